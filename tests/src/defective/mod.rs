//! A store with one deliberate defect, to see that a check finds it.

mod bounds;
mod headers;
mod loads;
mod racy;
mod spoil;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use session_runtime::store::{
    Action, Commit, Count, Header, ListChange, ListEntry, Listing, Loaded, Outcome, PrincipalKey,
    PrincipalList, Record, Selection, Touched,
};
use session_runtime::store::{Clock, CommitId, StoreError, Timestamp};
use session_runtime::test_kit::ManualClock;
use session_runtime::{SessionId, SessionStore};

/// The defect of a [`DefectiveStore`].
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
    /// A second first write does not answer the value that it keeps.
    KeptValueNotAnswered,
    /// Conditions always hold.
    ConditionsIgnored,
    /// Conditions are checked, then the commit is applied.
    ConditionsNotAtomic,
    /// A result that leaves the range wraps or is written all the same.
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
    /// A creation replaces the session that has its id.
    UsedIdOverwritten,
    /// A creation of an id in use is told that the session is gone.
    UsedIdIsGone,
    /// Whether an id is in use is checked, then the session is created.
    CreationNotAtomic,
    /// A session that is created where one has ended gets the header's lists and link of that one.
    HeaderOutlivesTheSession,
    /// A touch counts as the last commit.
    TouchIsTheLastCommit,
    /// A value is answered and stays where it is.
    TakeLeavesTheField,
    /// Only the value that was taken last is remembered.
    OneTakenValueRemembered,
    /// The previous token rotates whatever the commit says.
    PreviousTokenRotates,
    /// The previous token does not rotate whatever the commit says.
    FromPreviousIgnored,
    /// A renewal restores nothing.
    RestoreIgnored,
    /// A renewal writes what it should only restore.
    RestoreReplaces,
    /// A renewal restores whatever was committed meanwhile.
    RestoreUnguarded,
    /// A creation makes no link.
    LinkIgnored,
    /// A load does not tell the link.
    LinkNotTold,
    /// A link stays open for ever.
    LinkWithoutEnd,
    /// A link cannot be closed.
    LinkStaysOpen,
    /// A commit closes the link though it is refused.
    LinkClosedByRefusal,
    /// A link does not rotate, as if it were the previous token.
    LinkIsPrevious,
    /// A rotation by link gives the grace to the link.
    LinkGetsTheGrace,
    /// A creation that arrives twice opens the link anew.
    LinkProlonged,
    /// A load does not tell the principals.
    PrincipalsNotTold,
    /// A load tells those principals only whose fields are there.
    PrincipalsHiddenWithField,
    /// A field's principal is kept beside the new one.
    PrincipalsAccumulate,
    /// A field's principal is removed, even if it is another one than the commit names.
    PrincipalRemovedByField,
    /// A rotation removes the principals from the header.
    PrincipalsLostByRotation,
    /// A refused commit changes the principals in the header.
    PrincipalsChangedByRefusal,
    /// A commit that arrives twice changes the principals in the header twice.
    PrincipalsChangedAgain,
    /// Conditions about principals always hold.
    PrincipalConditionIgnored,
    /// A load by prefix finds nothing.
    PrefixesIgnored,
    /// A load by prefix does not find what is asked for by name.
    NamesHiddenFromPrefixes,
    /// A load that asks for no prefix finds everything.
    FieldsFoundUnasked,
    /// A prefix finds names without its last slash too.
    PrefixTooWide,
    /// `%` and `_` in a prefix are wildcards.
    PrefixIsAPattern,
    /// A prefix finds fields whose time is over.
    EndedFieldsFound,
    /// A field is found once for each of its prefixes.
    FieldsFoundTwice,
    /// The fields are found in the opposite order.
    FieldsFoundBackwards,
    /// A prefix finds no more than a hundred fields.
    HundredFieldsFound,
    /// A prefix tells deadlines.
    DeadlinesFound,
    /// A prefix finds the header.
    HeaderFound,
    /// A bound neither evicts nor refuses.
    BoundIgnored,
    /// A bound is ignored in creations.
    BoundIgnoredInCreations,
    /// Only the first bound of a commit is kept.
    SecondBoundIgnored,
    /// One field fewer is allowed.
    BoundTooLow,
    /// A bound evicts though it should refuse.
    BoundAlwaysEvicts,
    /// A bound looks at the fields as they were before the commit.
    BoundComesFirst,
    /// A bound is checked, then the commit is applied.
    BoundNotAtomic,
    /// The fields that end last are evicted.
    LastEndingEvicted,
    /// Of fields that end together the last by name are evicted.
    LastNameEvicted,
    /// Entries that the commit itself writes are evicted like any others.
    WrittenEvicted,
    /// Fields whose time is over count for a bound.
    EndedFieldsCounted,
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
    records: HashMap<SessionId, Record>,
    lists: BTreeMap<PrincipalKey, PrincipalList>,
    /// The record that the load before showed.
    seen_before: HashMap<SessionId, Record>,
    /// The record that loads show while a commit is half visible.
    half_visible: HashMap<SessionId, Record>,
    to_list: Vec<Commit>,
    /// The headers of sessions that have ended.
    ended: HashMap<SessionId, Header>,
    /// The commit that was the last to take something.
    last_take: HashMap<SessionId, CommitId>,
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies a commit in one step, spoilt if the defect is one of a single step.
    fn apply(&self, commit: &Commit) -> Outcome {
        let mut state = self.state();
        let now = self.clock.now();
        let mut touched = state.touched(commit);
        let before = touched.record.clone();
        let is_repeated = before
            .as_ref()
            .is_some_and(|before| !before.is_expired(now) && before.remembers(&commit.id));
        let mut spoilt = commit.clone();
        if !is_repeated {
            self.spoil_commit(&mut spoilt, &mut touched, now);
            self.spoil_bounds(&mut spoilt, touched.record.as_ref(), now);
        }
        let mut outcome = spoilt.apply(&mut touched, now);
        self.spoil_touched(&mut touched, before.as_ref(), commit, &outcome, now);
        self.spoil_answer(&mut outcome, commit, is_repeated, &mut state);
        if let Outcome::Applied(applied) = &mut outcome {
            applied.values.truncate(commit.changes.len());
            match self.defect {
                Defect::ListedLate => {
                    touched.lists.clear();
                    state.to_list.push(commit.clone());
                }
                Defect::ListedAgain if is_repeated => {
                    change_lists(&mut touched.lists, commit, now);
                }
                _ => {}
            }
        }
        if let Some(before) = before {
            state.ended.insert(commit.session, before.header);
        }
        if let (Defect::HeaderOutlivesTheSession, Action::Create { .. }, Some(record)) =
            (self.defect, &commit.action, &mut touched.record)
            && let Some(ended) = state.ended.get(&commit.session)
        {
            record.header.principals.clone_from(&ended.principals);
            record.header.link = ended.link;
        }
        state.keep(commit.session, touched);
        outcome
    }
}

impl State {
    /// A copy of everything that the commit can touch.
    fn touched(&self, commit: &Commit) -> Touched {
        let list = |key| {
            let list = self.lists.get(&key).cloned();
            list.unwrap_or_else(|| PrincipalList::new(key))
        };
        let lists = commit.principals().into_iter().map(list).collect();
        Touched::new(self.records.get(&commit.session).cloned(), lists)
    }

    fn keep(&mut self, session: SessionId, touched: Touched) {
        match touched.record {
            Some(record) => self.records.insert(session, record),
            None => self.records.remove(&session),
        };
        let lists = touched.lists.into_iter();
        self.lists.extend(lists.map(|list| (list.principal, list)));
    }
}

/// Does to the lists what a commit says, whether or not it did so before.
fn change_lists(lists: &mut [PrincipalList], commit: &Commit, now: Timestamp) {
    for change in &commit.lists {
        let named = |list: &&mut PrincipalList| list.principal == *change.principal();
        let Some(list) = lists.iter_mut().find(named) else {
            continue;
        };
        match change {
            ListChange::Add { .. } => list.insert(ListEntry::new(commit.session, commit.id, now)),
            _ => list.remove(&commit.session),
        }
    }
}

impl SessionStore for DefectiveStore {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        let mut state = self.state();
        let now = self.clock.now();
        let present = state.records.get(session).cloned();
        let shown = match (self.defect, &present) {
            (Defect::StaleLoads, Some(present)) => {
                state.seen_before.insert(*session, present.clone())
            }
            (Defect::CommitNotAtomic, _) => state.half_visible.get(session).cloned(),
            _ => None,
        };
        let shown = shown.or(present);
        Ok(shown.and_then(|record| self.load_with_defect(&record, selection, now)))
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        Ok(self.commit_with_pauses(commit).await)
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        let mut state = self.state();
        let now = self.clock.now();
        let listing = state.lists.get(principal).map(|list| list.listing(now));
        for commit in std::mem::take(&mut state.to_list) {
            let mut touched = state.touched(&commit);
            change_lists(&mut touched.lists, &commit, now);
            state.keep(commit.session, touched);
        }
        Ok(listing.unwrap_or(Listing::new(Vec::new(), now)))
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        if let Some(list) = self.state().lists.get_mut(principal) {
            list.remove_stale(entry);
        }
        Ok(())
    }

    async fn len(&self) -> Result<Count, StoreError> {
        let now = self.clock.now();
        let state = self.state();
        let living = state
            .records
            .values()
            .filter(|record| !record.is_expired(now));
        Ok(Count::Exact(living.count() as u64))
    }
}
