//! Sessions in the memory of this process.
//!
//! 1. Records are spread over shards by their id. Loads share a shard's lock, commits hold it
//!    alone, and no lock is held over an await. A call holds at most one lock, except that one that
//!    changes principals' lists takes their lock first and then a shard's.
//! 2. What a commit means is [`Commit::apply`]'s business; this module holds the locks, bounds the
//!    number of records and reclaims them.
//! 3. A load or commit reads the clock when it holds the lock, so that what takes effect later has
//!    a later time: a call that waited must not see what ended meanwhile.
//! 4. Each shard keeps its records in the order in which they end, so that expired ones are found
//!    without a scan. Every call tends one shard, in turn, and reclaims a few; no task is spawned.
//! 5. A record that ends by itself takes its entries off the lists of the principals that its
//!    header names.

#[cfg(all(test, shuttle))]
mod interleavings;
mod lists;
mod shard;
mod sync;

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::Duration;

use self::lists::Lists;
use self::shard::{Place, Shard};
use self::sync::{AtomicUsize, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use super::{
    Action, Commit, Count, ListEntry, Listing, Loaded, Outcome, Principal, PrincipalKey, Record,
    Selection, SessionStore, StoreError, StoreErrorKind, Touched,
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
    lists: Mutex<Lists>,
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

    fn load_now(&self, session: &SessionId, selection: &Selection<'_>) -> Option<Loaded> {
        // Before the tending, which could reclaim the record that the event is about.
        let shard = read(self.shard_of(session));
        let now = self.clock.now();
        let loaded = shard.load(session, selection, now);
        drop(shard);
        self.tend_next(now);
        loaded
    }

    fn commit_now(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        self.tend_next(self.clock.now());
        let creates = matches!(commit.action, Action::Create { .. });
        loop {
            let reserved = creates && !read(self.shard_of(&commit.session)).holds(&commit.session);
            if reserved && !self.reserve() {
                self.make_room(self.clock.now())?;
                continue;
            }
            // Held to the end: what lists and records say changes in one step.
            let mut lists = (!commit.lists.is_empty()).then(|| self.lists());
            let mut shard = write(self.shard_of(&commit.session));
            if creates && !reserved && !shard.holds(&commit.session) {
                continue;
            }
            let now = self.clock.now();
            let before = shard.len() + usize::from(reserved);
            let taken = lists.as_mut().map(|lists| lists.take(commit.principals()));
            let mut touched = Touched::new(None, taken.unwrap_or_default());
            let (outcome, ended) = shard.change(commit.session, |record| {
                touched.record = record.take();
                let may_end = |record: &Record| {
                    !matches!(commit.action, Action::Update { .. }) || record.is_expired(now)
                };
                let principals = touched.record.as_ref().filter(|record| may_end(record));
                let principals = principals.map(|record| record.header.principals.clone());
                let outcome = commit.apply(&mut touched, now);
                *record = touched.record.take();
                (outcome, principals.filter(|_| record.is_none()))
            });
            self.release(before - shard.len());
            drop(shard);
            if let Some(lists) = &mut lists {
                lists.put(touched.lists);
            }
            drop(lists);
            if let Some(principals) = ended {
                self.take_off(commit.session, &principals);
            }
            return Ok(outcome);
        }
    }

    /// Takes a session that is gone off the lists that its header named.
    fn take_off(&self, session: SessionId, principals: &[Principal]) {
        if principals.is_empty() {
            return;
        }
        let mut lists = self.lists();
        // A session of the same id may have been created and listed meanwhile.
        if !read(self.shard_of(&session)).holds(&session) {
            lists.remove(&session, principals);
        }
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Frees at least one slot, or fails because the store is full.
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
        let evicted = write(self.shard_of(&place.session)).evict(&place);
        if let Some(record) = evicted {
            self.release(1);
            self.take_off(record.session, &record.header.principals);
            tracing::warn!(
                target: "session_runtime",
                session = ?place.session,
                capacity = self.capacity,
                "session evicted: the memory store is full"
            );
        }
        Ok(())
    }

    /// Reclaims a few ended records of one shard, unless another call is busy there.
    fn tend_next(&self, now: Timestamp) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let shard = match self.shards[turn].try_write() {
            Ok(shard) => shard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.reclaim(shard, now, RECLAIMED_PER_CALL);
    }

    /// Reclaims all ended records and answers how many they were.
    fn reclaim_all(&self, now: Timestamp) -> usize {
        let shards = self.shards.iter();
        shards
            .map(|shard| self.reclaim(write(shard), now, usize::MAX))
            .sum()
    }

    /// Reclaims up to `most` ended records of one shard and answers how many they were.
    fn reclaim(
        &self,
        mut shard: RwLockWriteGuard<'_, Shard>,
        now: Timestamp,
        most: usize,
    ) -> usize {
        let mut listed = Vec::new();
        let reclaimed = shard.reclaim(now, most, |record| {
            if !record.header.principals.is_empty() {
                listed.push((record.session, record.header.principals));
            }
        });
        drop(shard);
        self.release(reclaimed);
        for (session, principals) in listed {
            self.take_off(session, &principals);
        }
        reclaimed
    }

    fn shard_of(&self, session: &SessionId) -> &RwLock<Shard> {
        // Not of the bytes that the shard's map tells its records apart by.
        let last = session.as_bytes()[15];
        &self.shards[usize::from(last) % SHARDS]
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows settings and the numbers of records and of list entries, nothing of the sessions.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("held", &self.held)
            .field("listed", &self.lists().len())
            .field("capacity", &self.capacity)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl SessionStore for MemoryStore {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        Ok(self.load_now(session, selection))
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        self.commit_now(commit)
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        let lists = self.lists();
        Ok(lists.listing(principal, self.clock.now()))
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        self.lists().remove_stale(principal, entry);
        Ok(())
    }

    /// At once: no call waits for anything but a lock.
    fn answers_within(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    async fn len(&self) -> Result<Count, StoreError> {
        self.reclaim_all(self.clock.now());
        let held = self.held.load(Ordering::Relaxed);
        Ok(Count::Exact(held as u64))
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let reclaimed = self.reclaim_all(now);
        let exists = |session: &SessionId| read(self.shard_of(session)).holds(session);
        self.lists().sweep(now, exists);
        Ok(reclaimed as u64)
    }
}

/// The policy of a [`MemoryStore`] at capacity for one more session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CapacityPolicy {
    /// Refuses it with [`StoreErrorKind::Full`]. Visitors who have a session keep it.
    Refuse,
    /// Evicts the session that would end first without a further visit; among those that never
    /// end, the one that was not seen for longest. New visitors are served, at the cost of idle ones.
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
    /// Sets the largest number of sessions; 100,000 by default.
    pub fn capacity(mut self, sessions: usize) -> Self {
        self.capacity = sessions;
        self
    }

    /// Sets the policy for one session more; [`CapacityPolicy::Refuse`] by default.
    pub fn when_full(mut self, policy: CapacityPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets the clock of the store; the machine's clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The store, empty.
    pub fn build(self) -> MemoryStore {
        MemoryStore {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            lists: Mutex::default(),
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
