//! Defects of a single step: another commit than the one that was sent, or another result.

use std::time::Duration;

use session_runtime::Timeouts;
use session_runtime::store::{
    Action, Change, Commit, FieldTtl, MergeOperation, Outcome, Record, StoredField, Touched,
};
use session_runtime::store::{CommitId, Timestamp};

use super::{Defect, DefectiveStore, State};

impl DefectiveStore {
    /// Spoils what is applied.
    pub(super) fn spoil_commit(&self, commit: &mut Commit, touched: &mut Touched, now: Timestamp) {
        let record = &mut touched.record;
        let is_gone = record.as_ref().is_none_or(|record| record.is_expired(now));
        match self.defect {
            Defect::ExistenceGuardRemoved if is_gone => {
                if let Action::Update { verifier, .. } = commit.action {
                    commit.action = Action::Create {
                        verifier,
                        link: None,
                    };
                }
            }
            Defect::VerifierComparisonRemoved => {
                if let (
                    Some(record),
                    Action::Update { verifier, .. } | Action::Destroy { verifier },
                ) = (record, &mut commit.action)
                {
                    *verifier = record.header.verifier;
                }
            }
            Defect::ConditionsIgnored => commit.conditions.clear(),
            Defect::CommitIdNotRemembered => {
                commit.id = CommitId::generate().expect("random bytes");
            }
            Defect::EndedFieldSeen => {
                let fields = record
                    .iter_mut()
                    .flat_map(|record| record.fields.iter_mut());
                for (_, field) in fields {
                    field.deadline = field
                        .deadline
                        .map(|deadline| deadline.max(now + Duration::from_millis(1)));
                }
            }
            Defect::UsedIdOverwritten if matches!(commit.action, Action::Create { .. }) => {
                *record = None;
            }
            Defect::IdleTimeoutIgnored => {
                if let Some(timeouts) = &mut commit.timeouts {
                    let longer = timeouts.idle().map(|idle| idle * 1_000);
                    *timeouts = Timeouts::new(longer, None).expect("a long time");
                }
            }
            _ => {}
        }
        self.spoil_header_of(commit, touched.record.as_ref());
        for change in &mut commit.changes {
            self.spoil_change(change, touched.record.as_ref());
        }
    }

    fn spoil_change(&self, change: &mut Change, record: Option<&Record>) {
        match (self.defect, change) {
            (Defect::FirstOverwritten, Change::Set { only_if_absent, .. }) => {
                *only_if_absent = false;
            }
            (Defect::ReplaceKeepsTheFirst, Change::Set { only_if_absent, .. }) => {
                *only_if_absent = true;
            }
            (
                Defect::FixedTtlRestarted,
                Change::Set { ttl: Some(ttl), .. } | Change::Merge { ttl: Some(ttl), .. },
            ) => ttl.restart = true,
            (
                Defect::TtlNotAppliedAgain,
                Change::Set { name, ttl, .. } | Change::Merge { name, ttl, .. },
            ) => {
                let is_present = record.is_some_and(|record| record.fields.contains_key(name));
                *ttl = ttl.filter(|ttl| ttl.restart || !is_present);
            }
            (Defect::RestoreIgnored, Change::Renew { restore, .. }) => *restore = None,
            (
                Defect::RestoreUnguarded,
                Change::Renew {
                    restore: Some(restore),
                    ..
                },
            ) => restore.last_commit = record.and_then(|record| record.header.last_commit),
            (Defect::RestoreReplaces, change @ Change::Renew { .. }) => {
                if let Change::Renew {
                    name,
                    ttl,
                    restore: Some(restore),
                } = change.clone()
                {
                    *change = Change::Set {
                        name,
                        value: restore.value,
                        ttl: Some(FieldTtl::restarting(ttl)),
                        only_if_absent: false,
                    };
                }
            }
            (Defect::RangeIgnored, Change::Merge { range, .. }) => {
                (range.min, range.max) = (i64::MIN, i64::MAX);
            }
            (Defect::MaxKeepsTheSmaller, Change::Merge { operation, .. })
                if *operation == MergeOperation::Max =>
            {
                *operation = MergeOperation::Min;
            }
            (Defect::MinKeepsTheLarger, Change::Merge { operation, .. })
                if *operation == MergeOperation::Min =>
            {
                *operation = MergeOperation::Max;
            }
            _ => {}
        }
    }

    /// Spoils what is kept of a commit that was sent like this.
    pub(super) fn spoil_touched(
        &self,
        touched: &mut Touched,
        before: Option<&Record>,
        commit: &Commit,
        outcome: &Outcome,
        now: Timestamp,
    ) {
        let was_applied = matches!(outcome, Outcome::Applied(_));
        let Some(record) = &mut touched.record else {
            return;
        };
        match self.defect {
            Defect::CommitIdNotRemembered if was_applied && !commit.is_touch() => {
                record.header.last_commit = Some(commit.id);
            }
            Defect::TakeLeavesTheField if was_applied => {
                for change in &commit.changes {
                    if let Change::Take { name } = change
                        && let Some(field) = before.and_then(|before| before.fields.get(name))
                    {
                        record.fields.insert(name.clone(), field.clone());
                    }
                }
            }
            Defect::RefusalHalfApplied if matches!(outcome, Outcome::OutOfRange { .. }) => {
                if let Some(Change::Set { name, value, .. }) = commit.changes.first() {
                    let field = StoredField::new(value.clone(), None);
                    record.fields.insert(name.clone(), field);
                }
            }
            _ => {}
        }
        self.spoil_header(record, before, commit, outcome, now);
    }

    /// Spoils what is answered to a commit that was sent like this.
    pub(super) fn spoil_answer(
        &self,
        outcome: &mut Outcome,
        commit: &Commit,
        is_repeated: bool,
        state: &mut State,
    ) {
        if self.defect == Defect::UsedIdIsGone && *outcome == Outcome::IdTaken {
            *outcome = Outcome::Gone;
        }
        if let (Defect::KeptValueNotAnswered, Outcome::Applied(applied)) =
            (self.defect, &mut *outcome)
        {
            for (change, value) in commit.changes.iter().zip(&mut applied.values) {
                *value = value
                    .take()
                    .filter(|_| !matches!(change, Change::Set { .. }));
            }
        }
        let takes = |change: &Change| matches!(change, Change::Take { .. });
        if let Outcome::Applied(applied) = outcome
            && commit.changes.iter().any(takes)
        {
            if !is_repeated {
                state.last_take.insert(commit.session, commit.id);
            } else if self.defect == Defect::OneTakenValueRemembered
                && state.last_take.get(&commit.session) != Some(&commit.id)
            {
                applied.values.fill(None);
            }
        }
    }
}
