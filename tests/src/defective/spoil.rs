//! Defects of a single step: another commit than the one that was sent, or another result.

use std::time::Duration;

use session_runtime::store::{
    Action, Change, Commit, MergeOperation, Outcome, Record, StoredField, Touched,
};
use session_runtime::{CommitId, Timeouts, Timestamp};

use super::{Defect, DefectiveStore};

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
                let fields = record.iter_mut().flat_map(|record| &mut record.fields);
                for (_, field) in fields {
                    field.deadline = field
                        .deadline
                        .map(|deadline| deadline.max(now + Duration::from_millis(1)));
                }
            }
            Defect::IdleTimeoutIgnored => {
                if let Some(timeouts) = &mut commit.timeouts {
                    let longer = timeouts.idle().map(|idle| idle * 1_000);
                    *timeouts = Timeouts::new(longer, None).expect("a long time");
                }
            }
            _ => {}
        }
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
            Defect::GraceWithoutEnd => {
                if let Some(previous) = &mut record.header.previous {
                    previous.until = now + Duration::from_secs(3_600);
                }
            }
            Defect::AbsoluteEndMoves if was_applied && commit.timeouts.is_none() => {
                let length = before.and_then(|before| {
                    let end = before.header.end?;
                    Some(end.saturating_since(before.header.seen))
                });
                record.header.end = length.map(|length| now + length);
            }
            Defect::RefusalHalfApplied if matches!(outcome, Outcome::OutOfRange { .. }) => {
                if let Some(Change::Set { name, value, .. }) = commit.changes.first() {
                    let field = StoredField::new(value.clone(), None);
                    record.fields.insert(name.clone(), field);
                }
            }
            _ => {}
        }
    }
}
