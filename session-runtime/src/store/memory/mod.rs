//! Sessions in the memory of this process.
//!
//! 1. Records are spread over shards by their id. Loads share a shard's lock, commits hold it
//!    alone, and no lock is held over an await. Nobody holds two locks, except that a commit which
//!    changes the index of principals holds the index first and then a shard.
//! 2. What a commit means is [`Record`](super::Record)'s business; this module holds the locks,
//!    bounds the number of records and reclaims them.
//! 3. A load or commit reads the clock when it holds the lock, so that what takes effect later has
//!    a later time: a call that waited must not see what ended meanwhile.
//! 4. Each shard keeps its records in the order in which they end, so that expired ones are found
//!    without a scan. Every call tends one shard, in turn, and reclaims a few; no task is spawned.

mod index;
#[cfg(all(test, shuttle))]
mod interleavings;
mod shard;
mod sync;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError};

use futures_core::future::BoxFuture;

use self::index::Index;
use self::shard::{Place, Shard};
use self::sync::{AtomicUsize, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use super::{
    Action, Commit, Count, IndexEntries, IndexEntry, Loaded, Outcome, PrincipalKey, Selected,
    SessionStore, StoreError, StoreErrorKind,
};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::token::SessionId;

/// How many locks share the sessions: enough that commits on all cores seldom meet.
const SHARDS: usize = 64;

/// How many expired records a call reclaims at most. More than the one that it can create, so that
/// expired records become fewer under any traffic.
const RECLAIMED_PER_CALL: usize = 4;

/// How many sessions a store holds unless told otherwise.
const DEFAULT_CAPACITY: usize = 100_000;

/// Keeps sessions in the memory of this process; they end with it.
///
/// ```
/// use session_runtime::MemoryStore;
/// use session_runtime::store::CapacityPolicy;
///
/// let store = MemoryStore::builder()
///     .capacity(10_000)
///     .when_full(CapacityPolicy::EvictSoonestEnding)
///     .build();
/// ```
///
/// # Capacity
///
/// The store holds at most 100,000 sessions unless [`capacity`](MemoryStoreBuilder::capacity) says
/// otherwise, and never more. At capacity it first drops what has expired; only if all sessions
/// are alive does its [`CapacityPolicy`] decide.
///
/// # What is reclaimed when
///
/// Every load and every commit also drops a few expired sessions, whichever they are, so under
/// traffic the memory of ended sessions is given back soon. Without any call nothing is dropped;
/// [`sweep`](SessionStore::sweep) drops all that has expired.
///
/// Expired fields of a living session are dropped by its next commit. Until then they take memory
/// and are absent for everyone. The same holds for a value that was taken: it stays for half a
/// minute, so that a commit that arrives twice can answer twice.
///
/// # Counting
///
/// [`len`](SessionStore::len) is exact and counts living sessions only: it drops the expired ones
/// first. A creation that is under way may be counted already; the answer is never above the
/// capacity.
pub struct MemoryStore {
    shards: Box<[RwLock<Shard>]>,
    index: Mutex<Index>,
    /// Decides the shard of an id. Randomly keyed, because clients choose the ids that they ask
    /// for.
    hasher: RandomState,
    /// Records in all shards, and slots that a creation has reserved. Never above `capacity`.
    held: AtomicUsize,
    capacity: usize,
    policy: CapacityPolicy,
    /// The shard that the next call tends.
    turn: AtomicUsize,
    clock: Arc<dyn Clock>,
}

impl MemoryStore {
    /// A store for up to 100,000 sessions that refuses more.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A store with other settings.
    pub fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder {
            capacity: DEFAULT_CAPACITY,
            policy: CapacityPolicy::Refuse,
            clock: Arc::new(SystemClock),
        }
    }

    fn load_now(&self, session: &SessionId, fields: &[Selected<'_>]) -> Option<Loaded> {
        // Before the tending, which could reclaim the record that the event is about.
        let shard = read(self.shard_of(session));
        let now = self.clock.now();
        let loaded = shard.load(session, fields, now);
        drop(shard);
        self.tend_next(now);
        loaded
    }

    fn commit_now(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        self.tend_next(self.clock.now());
        if commit.index.is_empty() {
            return Ok(self.commit_record(commit)?.0);
        }
        // Held to the end: what the index and the sessions say changes in one step.
        let mut index = self.index();
        index.reclaim(self.clock.now(), RECLAIMED_PER_CALL);
        let shard = read(self.shard_of(&commit.session));
        let now = self.clock.now();
        if let Some(outcome) = shard.precheck(commit, now) {
            return Ok(outcome);
        }
        drop(shard);
        if let Some(principal) = index.exceeded(commit, now) {
            return Ok(Outcome::LimitReached { principal });
        }
        let (outcome, now) = self.commit_record(commit)?;
        if matches!(outcome, Outcome::Applied(_)) {
            index.apply(commit, now);
        }
        Ok(outcome)
    }

    /// What became of the commit, and when.
    fn commit_record(&self, commit: &Commit) -> Result<(Outcome, Timestamp), StoreError> {
        let creates = matches!(commit.action, Action::Create { .. });
        loop {
            let mut shard = write(self.shard_of(&commit.session));
            let now = self.clock.now();
            let needs_slot = creates && !shard.holds(&commit.session);
            if needs_slot && !self.reserve() {
                drop(shard);
                self.make_room(now)?;
                continue;
            }
            let before = shard.len() + usize::from(needs_slot);
            let outcome = shard.commit(commit, now);
            self.release(before - shard.len());
            return Ok((outcome, now));
        }
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one slot of the capacity, if there is one.
    fn reserve(&self) -> bool {
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                (held < self.capacity).then_some(held + 1)
            })
            .is_ok()
    }

    fn release(&self, slots: usize) {
        if slots > 0 {
            self.held.fetch_sub(slots, Ordering::Relaxed);
        }
    }

    /// Frees at least one slot, or says that there is none.
    fn make_room(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.reclaim_all(now) > 0 {
            return Ok(());
        }
        match self.policy {
            CapacityPolicy::Refuse => Err(StoreError::new(StoreErrorKind::Full)),
            CapacityPolicy::EvictSoonestEnding => self.evict(),
        }
    }

    /// Evicts the session that ends first. While others commit, one that ended first a moment ago.
    fn evict(&self) -> Result<(), StoreError> {
        let first_of = |shard: &RwLock<Shard>| read(shard).first();
        let first: Option<Place> = self.shards.iter().filter_map(first_of).min();
        // Nothing to evict: the capacity is zero, or every slot is reserved by a creation that has
        // not finished.
        let place = first.ok_or_else(|| StoreError::new(StoreErrorKind::Full))?;
        if write(self.shard_of(&place.session)).evict(&place) {
            self.release(1);
            tracing::warn!(
                target: "session_runtime",
                session = ?place.session,
                capacity = self.capacity,
                "session evicted: the memory store is full"
            );
        }
        Ok(())
    }

    /// Reclaims a few expired records of one shard, or entries of the index, unless somebody is
    /// busy there.
    fn tend_next(&self, now: Timestamp) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % (SHARDS + 1);
        let Some(shard) = self.shards.get(turn) else {
            if let Ok(mut index) = self.index.try_lock() {
                index.reclaim(now, RECLAIMED_PER_CALL * SHARDS);
            }
            return;
        };
        let mut shard = match shard.try_write() {
            Ok(shard) => shard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.release(shard.reclaim(now, RECLAIMED_PER_CALL));
    }

    /// Reclaims all expired records and answers how many they were.
    fn reclaim_all(&self, now: Timestamp) -> usize {
        let reclaim = |shard: &RwLock<Shard>| {
            let reclaimed = write(shard).reclaim(now, usize::MAX);
            self.release(reclaimed);
            reclaimed
        };
        self.shards.iter().map(reclaim).sum()
    }

    fn shard_of(&self, session: &SessionId) -> &RwLock<Shard> {
        let hash = self.hasher.hash_one(session);
        &self.shards[(hash % SHARDS as u64) as usize]
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows settings and the numbers of records and of entries in the index, nothing of the sessions.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("held", &self.held)
            .field("listed", &self.index().len())
            .field("capacity", &self.capacity)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl SessionStore for MemoryStore {
    fn load<'a>(
        &'a self,
        session: &'a SessionId,
        fields: &'a [Selected<'a>],
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>> {
        Box::pin(async { Ok(self.load_now(session, fields)) })
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        Box::pin(async { self.commit_now(commit) })
    }

    fn index<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<IndexEntries, StoreError>> {
        Box::pin(async {
            let index = self.index();
            let now = self.clock.now();
            let entries = index.list(principal, now);
            Ok(IndexEntries::new(entries, now))
        })
    }

    fn forget<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a IndexEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async {
            self.index().forget(principal, entry);
            Ok(())
        })
    }

    fn len(&self) -> BoxFuture<'_, Result<Count, StoreError>> {
        Box::pin(async {
            self.reclaim_all(self.clock.now());
            let held = self.held.load(Ordering::Relaxed);
            Ok(Count::Exact(held as u64))
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async {
            let now = self.clock.now();
            let reclaimed = self.reclaim_all(now);
            let exists = |session: &SessionId| read(self.shard_of(session)).holds(session);
            let mut index = self.index();
            index.reclaim(now, usize::MAX);
            index.keep_only(exists);
            Ok(reclaimed as u64)
        })
    }
}

/// What a [`MemoryStore`] at capacity does with one more session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CapacityPolicy {
    /// Refuses it with [`StoreErrorKind::Full`]. Visitors who have a session keep it.
    Refuse,
    /// Evicts the session that would end first if nobody touched it; among those that never end,
    /// the one that was not seen for longest. New visitors are served, at the cost of idle ones.
    /// Each eviction is reported with a warning event.
    EvictSoonestEnding,
}

/// Settings of a [`MemoryStore`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct MemoryStoreBuilder {
    capacity: usize,
    policy: CapacityPolicy,
    clock: Arc<dyn Clock>,
}

impl MemoryStoreBuilder {
    /// How many sessions the store holds at most; 100,000 unless set.
    pub fn capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions;
        self
    }

    /// What happens to one session more; [`CapacityPolicy::Refuse`] unless set.
    pub fn when_full(mut self, policy: CapacityPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Where the time comes from; the machine's clock unless set.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The store, empty.
    pub fn build(self) -> MemoryStore {
        MemoryStore {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            index: Mutex::default(),
            hasher: RandomState::new(),
            held: AtomicUsize::new(0),
            capacity: self.capacity,
            policy: self.policy,
            turn: AtomicUsize::new(0),
            clock: self.clock,
        }
    }
}

impl fmt::Debug for MemoryStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStoreBuilder")
            .field("capacity", &self.capacity)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

// A panic while a lock is held (out of memory, or a defect) must not take all sessions of a shard
// down: a commit stages what can fail before it changes the record, so the shard is still usable.

fn read(shard: &RwLock<Shard>) -> RwLockReadGuard<'_, Shard> {
    shard.read().unwrap_or_else(PoisonError::into_inner)
}

fn write(shard: &RwLock<Shard>) -> RwLockWriteGuard<'_, Shard> {
    shard.write().unwrap_or_else(PoisonError::into_inner)
}
