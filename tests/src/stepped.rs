//! A store in memory that changes index and sessions in steps, as a cluster of servers must.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::future::BoxFuture;
use session_runtime::store::{
    AddStep, Commit, Count, ListEntry, Listing, Loaded, NewEntry, Outcome, PrincipalKey, Record,
    Selected, SessionStep, SteppedStore, StoreErrorKind, commit_in_steps,
};
use session_runtime::{Clock, CommitId, SessionId, SessionStore, StoreError, Timestamp};

/// Sessions, and an index beside them. Between two steps other tasks run. Clones are the same store.
#[derive(Clone)]
pub struct SteppedMemory {
    shared: Arc<Shared>,
}

struct Shared {
    sessions: Mutex<BTreeMap<SessionId, Option<Record>>>,
    lists: Mutex<BTreeMap<PrincipalKey, BTreeMap<SessionId, Listed>>>,
    clock: Box<dyn Clock>,
    /// How many more steps work.
    steps_left: Mutex<Option<usize>>,
}

#[derive(Clone, Copy)]
struct Listed {
    entry: ListEntry,
    until: Option<Timestamp>,
}

impl Listed {
    fn counts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
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

    fn lists(&self) -> MutexGuard<'_, BTreeMap<PrincipalKey, BTreeMap<SessionId, Listed>>> {
        let lists = self.shared.lists.lock();
        lists.unwrap_or_else(PoisonError::into_inner)
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<SessionId, Option<Record>>> {
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
    fn commit_session<'a>(
        &'a self,
        commit: &'a Commit,
    ) -> BoxFuture<'a, Result<SessionStep, StoreError>> {
        Box::pin(async {
            self.step().await?;
            let mut sessions = self.sessions();
            let now = self.shared.clock.now();
            let record = sessions.entry(commit.session).or_default();
            let before = Record::precheck(record.as_ref(), commit, now);
            let repeated = matches!(before, Some(Outcome::Applied(_)));
            let outcome = Record::commit(record, commit, now);
            Ok(SessionStep { outcome, repeated })
        })
    }

    fn add_entry<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a NewEntry,
    ) -> BoxFuture<'a, Result<AddStep, StoreError>> {
        Box::pin(async {
            self.step().await?;
            let mut lists = self.lists();
            let now = self.shared.clock.now();
            let list = lists.entry(*principal).or_default();
            list.retain(|_, listed| listed.counts(now));
            let others = list.keys().filter(|session| **session != entry.session);
            if entry
                .limit
                .is_some_and(|limit| others.count() >= limit as usize)
            {
                return Ok(AddStep::LimitReached);
            }
            let listed = Listed {
                entry: ListEntry::new(entry.session, entry.mark, now).arriving(),
                until: entry.keep.map(|keep| now + keep),
            };
            Ok(match list.insert(entry.session, listed) {
                None => AddStep::Added,
                Some(_) => AddStep::Replaced,
            })
        })
    }

    fn confirm_entry<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        session: &'a SessionId,
        mark: &'a CommitId,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async {
            self.step().await?;
            let mut lists = self.lists();
            let listed = lists
                .get_mut(principal)
                .and_then(|list| list.get_mut(session));
            if let Some(Listed { entry, .. }) = listed {
                *entry = ListEntry::new(entry.session, *mark, entry.added);
                return Ok(true);
            }
            Ok(false)
        })
    }

    fn remove_entry<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        session: &'a SessionId,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async {
            self.step().await?;
            if let Some(list) = self.lists().get_mut(principal) {
                list.remove(session);
            }
            Ok(())
        })
    }
}

impl SessionStore for SteppedMemory {
    fn load<'a>(
        &'a self,
        session: &'a SessionId,
        fields: &'a [Selected<'a>],
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>> {
        Box::pin(async {
            self.step().await?;
            let sessions = self.sessions();
            let now = self.shared.clock.now();
            let record = sessions.get(session).and_then(Option::as_ref);
            Ok(record.and_then(|record| record.load(session, fields, now)))
        })
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        Box::pin(commit_in_steps(self, commit))
    }

    fn index<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        Box::pin(async {
            self.step().await?;
            let lists = self.lists();
            let now = self.shared.clock.now();
            let listed = lists.get(principal).into_iter().flat_map(BTreeMap::values);
            let counting = listed.filter(|listed| listed.counts(now));
            let entries = counting.map(|listed| listed.entry).collect();
            Ok(Listing::new(entries, now))
        })
    }

    fn forget<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a ListEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async {
            self.step().await?;
            if let Some(list) = self.lists().get_mut(principal)
                && let Some(listed) = list.get(&entry.session)
                && listed.entry.is_same(entry)
            {
                list.remove(&entry.session);
            }
            Ok(())
        })
    }

    fn len(&self) -> BoxFuture<'_, Result<Count, StoreError>> {
        Box::pin(async {
            let held = self.sessions().values().flatten().count();
            Ok(Count::Exact(held as u64))
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async {
            let now = self.shared.clock.now();
            let mut lists = self.lists();
            for list in lists.values_mut() {
                list.retain(|_, listed| listed.counts(now));
            }
            lists.retain(|_, list| !list.is_empty());
            let mut sessions = self.sessions();
            let expired = |record: &Option<Record>| {
                let record = record.as_ref();
                record.is_some_and(|record| record.is_expired(now))
            };
            let swept = sessions.values().filter(|record| expired(record)).count();
            sessions.retain(|_, record| record.is_some() && !expired(record));
            Ok(swept as u64)
        })
    }
}

impl std::fmt::Debug for SteppedMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SteppedMemory").finish_non_exhaustive()
    }
}
