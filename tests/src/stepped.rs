//! A store in memory that changes lists and sessions in steps, as a cluster of servers must.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_runtime::store::{
    AddStep, Commit, Count, ListEntry, Listing, Loaded, NewEntry, Outcome, PrincipalKey,
    PrincipalList, Record, Selection, SessionStep, SteppedStore, StoreErrorKind, Touched,
    commit_in_steps,
};
use session_runtime::store::{Clock, CommitId, StoreError};
use session_runtime::{SessionId, SessionStore};

/// Sessions, and lists beside them. Between two steps other tasks run. Clones are the same store.
#[derive(Clone)]
pub struct SteppedMemory {
    shared: Arc<Shared>,
}

struct Shared {
    sessions: Mutex<BTreeMap<SessionId, Record>>,
    lists: Mutex<BTreeMap<PrincipalKey, PrincipalList>>,
    clock: Box<dyn Clock>,
    /// How many more steps work.
    steps_left: Mutex<Option<usize>>,
}

impl SteppedMemory {
    /// An empty store.
    pub fn new(clock: impl Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                sessions: Mutex::default(),
                lists: Mutex::default(),
                clock: Box::new(clock),
                steps_left: Mutex::new(None),
            }),
        }
    }

    /// After so many more steps every step fails.
    pub fn fail_after(&self, steps: usize) {
        *self.steps_left() = Some(steps);
    }

    /// Every step works again. Answers whether one has failed, or would have been the next to.
    pub fn recover(&self) -> bool {
        self.steps_left().take() == Some(0)
    }

    fn steps_left(&self) -> MutexGuard<'_, Option<usize>> {
        let left = self.shared.steps_left.lock();
        left.unwrap_or_else(PoisonError::into_inner)
    }

    fn lists(&self) -> MutexGuard<'_, BTreeMap<PrincipalKey, PrincipalList>> {
        let lists = self.shared.lists.lock();
        lists.unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Record>> {
        let sessions = self.shared.sessions.lock();
        sessions.unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives other tasks their turn, and fails when the test wants it.
    async fn step(&self) -> Result<(), StoreError> {
        tokio::task::yield_now().await;
        match &mut *self.steps_left() {
            Some(0) => Err(StoreError::new(StoreErrorKind::Unavailable)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl SteppedStore for SteppedMemory {
    async fn commit_session(&self, commit: &Commit) -> Result<SessionStep, StoreError> {
        self.step().await?;
        let mut sessions = self.sessions();
        let now = self.shared.clock.now();
        let record = sessions.remove(&commit.session);
        let repeated = record
            .as_ref()
            .is_some_and(|record| !record.is_expired(now) && record.remembers(&commit.id));
        let mut touched = Touched::new(record, Vec::new());
        let outcome = commit.apply(&mut touched, now);
        sessions.extend(touched.record.map(|record| (commit.session, record)));
        Ok(SessionStep::new(outcome, repeated))
    }

    async fn add_entry(
        &self,
        principal: &PrincipalKey,
        entry: &NewEntry,
    ) -> Result<AddStep, StoreError> {
        self.step().await?;
        let mut lists = self.lists();
        let now = self.shared.clock.now();
        let list = lists
            .entry(*principal)
            .or_insert_with(|| PrincipalList::new(*principal));
        list.reclaim(now);
        if entry
            .limit
            .is_some_and(|limit| list.is_full(&entry.session, limit, now))
        {
            return Ok(AddStep::LimitReached);
        }
        let step = match list.get(&entry.session) {
            None => AddStep::Added,
            Some(_) => AddStep::Replaced,
        };
        let until = entry.keep.map(|keep| now + keep);
        let added = ListEntry::new(entry.session, entry.mark, now).until(until);
        list.insert(added.arriving());
        Ok(step)
    }

    async fn confirm_entry(
        &self,
        principal: &PrincipalKey,
        session: &SessionId,
        mark: &CommitId,
    ) -> Result<bool, StoreError> {
        self.step().await?;
        let mut lists = self.lists();
        if let Some(list) = lists.get_mut(principal)
            && let Some(entry) = list.get(session).copied()
        {
            list.insert(ListEntry::new(*session, *mark, entry.added).until(entry.until));
            return Ok(true);
        }
        Ok(false)
    }

    async fn remove_entry(
        &self,
        principal: &PrincipalKey,
        session: &SessionId,
    ) -> Result<(), StoreError> {
        self.step().await?;
        if let Some(list) = self.lists().get_mut(principal) {
            list.remove(session);
        }
        Ok(())
    }
}

impl SessionStore for SteppedMemory {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        self.step().await?;
        let sessions = self.sessions();
        let now = self.shared.clock.now();
        let record = sessions.get(session);
        Ok(record.and_then(|record| record.load(selection, now)))
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        commit_in_steps(self, commit).await
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        self.step().await?;
        let lists = self.lists();
        let now = self.shared.clock.now();
        let listing = lists.get(principal).map(|list| list.listing(now));
        Ok(listing.unwrap_or(Listing::new(Vec::new(), now)))
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        self.step().await?;
        if let Some(list) = self.lists().get_mut(principal) {
            list.remove_stale(entry);
        }
        Ok(())
    }

    async fn len(&self) -> Result<Count, StoreError> {
        Ok(Count::Exact(self.sessions().len() as u64))
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let now = self.shared.clock.now();
        let mut lists = self.lists();
        for list in lists.values_mut() {
            list.reclaim(now);
        }
        lists.retain(|_, list| !list.is_empty());
        let mut sessions = self.sessions();
        let before = sessions.len();
        sessions.retain(|_, record| !record.is_expired(now));
        Ok((before - sessions.len()) as u64)
    }
}

impl std::fmt::Debug for SteppedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SteppedMemory").finish_non_exhaustive()
    }
}
