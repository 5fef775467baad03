//! A store with one deliberate defect, to see that a check finds it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_core::future::BoxFuture;
use session_runtime::store::{
    Action, Change, Commit, Count, ListChange, ListEntry, Listing, Loaded, MergeOperation, Outcome,
    PrincipalKey, Record, Selected,
};
use session_runtime::test_kit::ManualClock;
use session_runtime::{Clock, CommitId, SessionId, SessionStore, StoreError, Timeouts, Timestamp};

/// What a [`DefectiveStore`] does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// Nothing.
    None,
    /// An update of a session that is gone creates it again.
    ExistenceGuardRemoved,
    /// Any token changes a session.
    VerifierComparisonRemoved,
    /// The previous token works for ever.
    GraceWithoutEnd,
    /// A write of a field with a fixed window loses the window's end.
    TtlNotAppliedAgain,
    /// A write of a field with a fixed window starts the window anew.
    FixedTtlRestarted,
    /// A write of a field whose time is over sees the old value.
    EndedFieldSeen,
    /// An idle session does not end.
    IdleTimeoutIgnored,
    /// Every write moves the absolute end.
    AbsoluteEndMoves,
    /// Of two writes of a field the first one stays.
    ReplaceKeepsTheFirst,
    /// Two additions at the same time count once.
    AddNotAtomic,
    /// Of two values the smaller one stays.
    MaxKeepsTheSmaller,
    /// Of two values the larger one stays.
    MinKeepsTheLarger,
    /// A second first write wins.
    FirstOverwritten,
    /// Conditions always hold.
    ConditionsIgnored,
    /// Conditions are checked, then the commit is applied.
    ConditionsNotAtomic,
    /// What leaves the range wraps or is written all the same.
    RangeIgnored,
    /// A value is read, then removed.
    TakeNotAtomic,
    /// A commit that arrives twice is applied twice.
    CommitIdNotRemembered,
    /// A refused commit has done the changes before the refusal.
    RefusalHalfApplied,
    /// Changes become visible one after the other.
    CommitNotAtomic,
    /// A load shows what was there at the load before.
    StaleLoads,
    /// The limit is checked, then the session is listed.
    LimitNotAtomic,
    /// A session is listed a little after its commit was answered.
    ListedLate,
    /// A commit that arrives twice changes the lists twice.
    ListedAgain,
}

/// Keeps sessions in memory, with one deliberate defect.
#[derive(Debug)]
pub struct DefectiveStore {
    defect: Defect,
    clock: ManualClock,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: HashMap<SessionId, Option<Record>>,
    listed: BTreeMap<(PrincipalKey, SessionId), (CommitId, Timestamp)>,
    seen_before: HashMap<SessionId, Record>,
    to_list: Vec<Commit>,
}

impl DefectiveStore {
    /// An empty store.
    pub fn new(defect: Defect, clock: ManualClock) -> Self {
        Self {
            defect,
            clock,
            state: Mutex::default(),
        }
    }

    fn has(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn commit_with_defect(&self, commit: &Commit) -> Outcome {
        let mut commit = commit.clone();
        match self.defect {
            Defect::AddNotAtomic => self.read_before_adding(&mut commit).await,
            Defect::TakeNotAtomic => return self.take_in_two_steps(&commit).await,
            Defect::ConditionsNotAtomic if !commit.conditions.is_empty() => {
                let dry_run = {
                    let mut record = self.state().records.get(&commit.session).cloned().flatten();
                    Record::commit(&mut record, &commit, self.clock.now())
                };
                if !matches!(dry_run, Outcome::Applied(_)) {
                    return dry_run;
                }
                pause().await;
                commit.conditions.clear();
            }
            Defect::CommitNotAtomic if commit.changes.len() > 1 => {
                let mut first = commit.clone();
                first.changes.truncate(1);
                let rest = commit.changes.split_off(1);
                let Outcome::Applied(mut applied) = self.apply(&first) else {
                    return self.apply(&first);
                };
                pause().await;
                let mut state = self.state();
                if let Some(Some(record)) = state.records.get_mut(&commit.session) {
                    record.recent.retain(|id| *id != commit.id);
                }
                drop(state);
                let mut second = commit.clone();
                second.changes = rest;
                second.conditions.clear();
                if let Action::Create { verifier } = second.action {
                    let rotation = None;
                    second.action = Action::Update { verifier, rotation };
                }
                return match self.apply(&second) {
                    Outcome::Applied(more) => {
                        applied.values.extend(more.values);
                        Outcome::Applied(applied)
                    }
                    refused => refused,
                };
            }
            Defect::LimitNotAtomic => {
                if let Some(reached) = self.state().limit_reached(&commit) {
                    return reached;
                }
                pause().await;
                for change in &mut commit.index {
                    if let ListChange::Add { limit, .. } = change {
                        *limit = None;
                    }
                }
            }
            _ => {}
        }
        self.apply(&commit)
    }

    /// Reads the sum and writes it, with a pause in between.
    async fn read_before_adding(&self, commit: &mut Commit) {
        let now = self.clock.now();
        let record = self.state().records.get(&commit.session).cloned().flatten();
        pause().await;
        for change in &mut commit.changes {
            if let Change::Merge {
                name,
                operation: operation @ MergeOperation::Add,
                operand,
                initial,
                ..
            } = change
            {
                let stored = record.as_ref().and_then(|record| {
                    let field = record.fields.get(name)?;
                    let text = std::str::from_utf8(&field.value).ok()?;
                    text.parse::<i64>().ok().filter(|_| !record.is_expired(now))
                });
                let sum = stored.unwrap_or(*initial).saturating_add(*operand);
                // The larger of the sum and the smallest integer is the sum, whatever is stored
                // where it grew by less.
                *operation = MergeOperation::Max;
                *operand = sum;
            }
        }
    }

    async fn take_in_two_steps(&self, commit: &Commit) -> Outcome {
        let now = self.clock.now();
        let before = self.state().records.get(&commit.session).cloned().flatten();
        if !commit
            .changes
            .iter()
            .any(|change| matches!(change, Change::Take { .. }))
        {
            return self.apply(commit);
        }
        pause().await;
        match self.apply(commit) {
            Outcome::Applied(mut applied) => {
                for (change, value) in commit.changes.iter().zip(&mut applied.values) {
                    if let (Change::Take { name }, None, Some(record)) = (change, &value, &before) {
                        let field = record.fields.get(name);
                        let living = field
                            .filter(|field| field.deadline.is_none_or(|deadline| now < deadline));
                        *value = living.map(|field| field.value.clone());
                    }
                }
                Outcome::Applied(applied)
            }
            refused => refused,
        }
    }

    fn apply(&self, commit: &Commit) -> Outcome {
        let mut commit = commit.clone();
        let mut state = self.state();
        let now = self.clock.now();
        let present = state.records.get(&commit.session).and_then(Option::as_ref);
        let is_accepted = Record::precheck(present, &commit, now).is_none();
        if is_accepted && let Some(reached) = state.limit_reached(&commit) {
            return reached;
        }
        let state = &mut *state;
        let record = state.records.entry(commit.session).or_default();
        self.spoil_commit(&mut commit, record, now);
        let before = record.clone();
        let mut outcome = Record::commit(record, &commit, now);
        if let Some(record) = record {
            self.spoil_record(record, before.as_ref(), &commit, &outcome, now);
        }
        if self.has(Defect::RefusalHalfApplied)
            && let (Outcome::OutOfRange { .. }, Some(record)) = (&outcome, record.as_mut())
            && let Some(Change::Set { name, value, .. }) = commit.changes.first()
        {
            let field = session_runtime::store::StoredField {
                value: value.clone(),
                deadline: None,
            };
            record.fields.insert(name.clone(), field);
        }
        if let Outcome::Applied(applied) = &mut outcome {
            applied.values.truncate(commit.changes.len());
            match self.defect {
                Defect::ListedLate => state.to_list.push(commit),
                Defect::ListedAgain => state.list(&commit, now),
                _ if is_accepted => state.list(&commit, now),
                _ => {}
            }
        }
        outcome
    }

    fn spoil_commit(&self, commit: &mut Commit, record: &mut Option<Record>, now: Timestamp) {
        let is_gone = record.as_ref().is_none_or(|record| record.is_expired(now));
        match self.defect {
            Defect::ExistenceGuardRemoved if is_gone => {
                if let Action::Update { verifier, .. } = commit.action {
                    commit.action = Action::Create { verifier };
                }
            }
            Defect::VerifierComparisonRemoved => {
                if let (
                    Some(record),
                    Action::Update { verifier, .. } | Action::Destroy { verifier },
                ) = (&*record, &mut commit.action)
                {
                    *verifier = record.header.verifier;
                }
            }
            Defect::ConditionsIgnored => commit.conditions.clear(),
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
                    let lifetime = timeouts.lifetime();
                    let longest = lifetime.unwrap_or(Duration::MAX);
                    let idle = timeouts.idle().map(|idle| (idle * 1_000).min(longest));
                    *timeouts = Timeouts::new(idle, lifetime).expect("no longer than the lifetime");
                }
            }
            _ => {}
        }
        for change in &mut commit.changes {
            self.spoil_change(change, record.as_ref());
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

    fn spoil_record(
        &self,
        record: &mut Record,
        before: Option<&Record>,
        commit: &Commit,
        outcome: &Outcome,
        now: Timestamp,
    ) {
        let was_applied = matches!(outcome, Outcome::Applied(_));
        match self.defect {
            Defect::CommitIdNotRemembered => record.recent.clear(),
            Defect::GraceWithoutEnd => {
                record.previous_until = record
                    .previous_until
                    .map(|_| now + Duration::from_secs(3_600));
            }
            Defect::AbsoluteEndMoves if was_applied && commit.timeouts.is_none() => {
                let length = before.and_then(|before| {
                    let end = before.header.end?;
                    Some(end.saturating_since(before.header.seen))
                });
                record.header.end = length.map(|length| now + length);
            }
            _ => {}
        }
    }
}

impl State {
    /// The limit that refuses a commit which its session accepts.
    fn limit_reached(&self, commit: &Commit) -> Option<Outcome> {
        commit.index.iter().find_map(|change| match change {
            ListChange::Add {
                principal,
                limit: Some(limit),
                ..
            } => {
                let others = self
                    .listed
                    .keys()
                    .filter(|(listed, session)| listed == principal && *session != commit.session);
                (others.count() >= *limit as usize).then_some(Outcome::LimitReached {
                    principal: *principal,
                })
            }
            _ => None,
        })
    }

    fn list(&mut self, commit: &Commit, now: Timestamp) {
        for change in &commit.index {
            let entry = (*change.principal(), commit.session);
            match change {
                ListChange::Add { .. } => {
                    self.listed.insert(entry, (commit.id, now));
                }
                _ => {
                    self.listed.remove(&entry);
                }
            }
        }
    }
}

/// Lets the others go first.
async fn pause() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

impl SessionStore for DefectiveStore {
    fn load<'a>(
        &'a self,
        session: &'a SessionId,
        fields: &'a [Selected<'a>],
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>> {
        Box::pin(async {
            let mut state = self.state();
            let now = self.clock.now();
            let record = state.records.get(session).cloned().flatten();
            let shown = match (self.has(Defect::StaleLoads), &record) {
                (true, Some(present)) => state.seen_before.insert(*session, present.clone()),
                _ => record.clone(),
            };
            let shown = shown.or(record);
            Ok(shown.and_then(|record| record.load(session, fields, now)))
        })
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        Box::pin(async { Ok(self.commit_with_defect(commit).await) })
    }

    fn index<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        Box::pin(async move {
            let now = self.clock.now();
            let mut state = self.state();
            let listed = state
                .listed
                .iter()
                .filter(|((listed, _), _)| listed == principal);
            let entry =
                |((_, session), (mark, added)): (&(_, SessionId), &(CommitId, Timestamp))| {
                    ListEntry::new(*session, *mark, *added)
                };
            let entries = listed.map(entry).collect();
            for commit in std::mem::take(&mut state.to_list) {
                state.list(&commit, now);
            }
            Ok(Listing::new(entries, now))
        })
    }

    fn forget<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a ListEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async {
            let key = (*principal, entry.session);
            let mut state = self.state();
            if state
                .listed
                .get(&key)
                .is_some_and(|(mark, _)| *mark == entry.mark)
            {
                state.listed.remove(&key);
            }
            Ok(())
        })
    }

    fn len(&self) -> BoxFuture<'_, Result<Count, StoreError>> {
        Box::pin(async {
            let now = self.clock.now();
            let state = self.state();
            let records = state.records.values().flatten();
            let living = records.filter(|record| !record.is_expired(now));
            Ok(Count::Exact(living.count() as u64))
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async { Ok(0) })
    }
}
