//! The contract between the session layer and what keeps the sessions.
//!
//! A driver implements [`SessionStore`]: one read, one write, and two calls for housekeeping. The
//! write is a [`Commit`]: everything that one request changes about one session, applied as a
//! whole or not at all. It is small enough to be one server-side script over a Redis hash, and one
//! rewrite of a locked file.
//!
//! Whoever keeps records in its own memory or in a file of its own gets the semantics ready-made:
//! [`Record`] applies a commit to a record, and the driver only has to hold a lock and keep bytes.

mod commit;
#[cfg(all(unix, feature = "file"))]
mod file;
mod index;
mod memory;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_core::future::BoxFuture;

pub use self::commit::{
    Action, Applied, Change, Commit, Condition, FieldName, FieldTtl, IntegerRange, MergeOperation,
    Outcome, Rotation,
};
#[cfg(all(unix, feature = "file"))]
pub use self::file::{Durability, FileStore, FileStoreBuilder};
pub use self::index::{
    IndexChange, IndexEntries, IndexEntry, ParsePrincipalKeyError, PrincipalKey,
};
pub use self::memory::{CapacityPolicy, MemoryStore, MemoryStoreBuilder};
pub use self::record::{Record, Taken};
#[cfg(feature = "redis")]
pub use self::redis::{RedisConnectError, RedisStore, RedisStoreBuilder, Tier};
pub use self::steps::{AddStep, NewEntry, SessionStep, SteppedStore, commit_in_steps};
use crate::clock::Timestamp;
pub use crate::error::{StoreError, StoreErrorKind};
pub use crate::timeouts::Timeouts;
use crate::token::{CommitId, SessionId, Verifier};

/// Keeps sessions.
///
/// # What an implementation guarantees
///
/// 1. **Existence.** A session exists from the commit that created it until its end, and its end
///    is the earliest of: a commit that destroys it, `seen + idle`, and `end` (see [`Header`]).
///    From that moment on, `load` answers `None` and every commit but a creation answers
///    [`Outcome::Gone`], whether or not the record has been reclaimed yet.
/// 2. **Atomicity.** A commit is applied as a whole or not at all, and no load sees a part of it.
///    Commits of one session take effect one after the other.
/// 3. **Guards.** A commit is applied only if its [`Action`]'s guard and each of its
///    [`Condition`]s hold at the moment it takes effect. Checking and applying is one step.
/// 4. **Once.** A record remembers at least the last eight [`CommitId`]s that changed it. A commit
///    whose id is among them changes nothing and answers [`Outcome::Applied`], with the present
///    value for a [`Change::Merge`], and for a [`Change::Take`] with what it took, for at least 30
///    seconds and unless somebody else took the field meanwhile. This holds even where its guard no longer does (its own rotation may have
///    changed the token).
/// 5. **Field deadlines.** A field whose deadline has come is absent for loads, conditions and
///    changes, whether or not it has been reclaimed. Nothing but a new write brings it back.
/// 6. **One clock.** All moments are on the store's clock, and it is the only one that the layer
///    compares them with. A call judges by one moment what is over: a load's `now`, and the `seen`
///    that a commit leaves. It lies between the call's beginning and its effect, so a load with a
///    later `now` may miss a commit with an earlier `seen` that takes a while to write. Never does
///    such a load say that a session has ended which the commit prolongs.
/// 7. **Errors are not absence.** `None` and [`Outcome::Gone`] are said only by a store that knows.
///    A store that cannot tell answers with a [`StoreError`].
/// 8. **Foreign fields survive.** Fields that a commit does not name stay as they are.
/// 9. **The index is a superset.** From the moment at which a commit with
///    [`IndexChange::Add`] takes effect until the session ends or a commit removes it, `index`
///    lists the session, whatever crashes in between; it may list more. If
///    [`forget`](Self::forget) removes the entry before the session has changed, the session is
///    removed too and the answer is [`Outcome::Gone`]. The limit is exact: of simultaneous
///    additions no more succeed than it allows. A refused commit adds nothing. Entries go by
///    themselves when their time to keep is over. [`commit_in_steps`] does all this for a store
///    that cannot change index and session in one step.
///
/// The `test-kit` feature has a suite that tries to break each of these on any store.
///
/// Futures may be dropped at any await point: a dropped commit is applied as a whole or not at
/// all. Errors, events and panics never contain field values, tokens or verifiers.
#[expect(
    clippy::len_without_is_empty,
    reason = "a store is asked how many sessions it holds, never whether it holds none"
)]
pub trait SessionStore: Send + Sync + 'static {
    /// Reads the header and the named fields of a session; `None` when there is no such session.
    ///
    /// The answer has one entry per requested field, in the order of the request.
    fn load<'a>(
        &'a self,
        session: &'a SessionId,
        fields: &'a [Selected<'a>],
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>>;

    /// Applies a commit.
    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Outcome, StoreError>>;

    /// The sessions listed under a principal. It may list more than there are.
    ///
    /// What it costs depends on the principal's own sessions only.
    fn index<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<IndexEntries, StoreError>>;

    /// Removes an entry that proved to be stale, unless it has been written again or has arrived
    /// since: one of the same session with another [`mark`](IndexEntry::mark) or another
    /// [`arriving`](IndexEntry::arriving) stays.
    fn forget<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a IndexEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// How many sessions the store holds, expired ones that are not reclaimed yet perhaps included.
    fn len(&self) -> BoxFuture<'_, Result<Count, StoreError>>;

    /// Reclaims what has expired and what crashes left behind; answers how many records went.
    ///
    /// Nothing depends on this being called: expired sessions are absent without it. A store whose
    /// server reclaims by itself has nothing to do and answers 0.
    fn sweep(&self) -> BoxFuture<'_, Result<u64, StoreError>>;
}

/// So that a program can choose its driver at run time: `Arc<dyn SessionStore>` is a store.
impl<S: SessionStore + ?Sized> SessionStore for Arc<S> {
    fn load<'a>(
        &'a self,
        session: &'a SessionId,
        fields: &'a [Selected<'a>],
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>> {
        (**self).load(session, fields)
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        (**self).commit(commit)
    }

    fn index<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<IndexEntries, StoreError>> {
        (**self).index(principal)
    }

    fn forget<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a IndexEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        (**self).forget(principal, entry)
    }

    fn len(&self) -> BoxFuture<'_, Result<Count, StoreError>> {
        (**self).len()
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        (**self).sweep()
    }
}

/// One field that a load asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selected<'a> {
    /// The stored name.
    pub name: &'a str,
    /// Whether the answer must say when the field ends. Asking costs some stores extra work.
    pub deadline: bool,
}

/// What a load found.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What every session has.
    pub header: Header,
    /// One entry per requested field, in the order of the request; `None` where it is absent.
    pub fields: Vec<Option<StoredField>>,
    /// The store's time by which the load judged what is over.
    pub now: Timestamp,
}

/// One field as a store keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredField {
    /// The encoded value.
    pub value: Bytes,
    /// When the field ends; `None` when it lives as long as the session, or when the load did not
    /// ask for it.
    pub deadline: Option<Timestamp>,
}

/// Shows the size, never the value.
impl std::fmt::Debug for StoredField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredField")
            .field("bytes", &self.value.len())
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// What a record says about its session, besides the fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Who may use the session: compared with what the cookie's secret hashes to.
    pub verifier: Verifier,
    /// The verifier before the last rotation, while its grace lasts. The store leaves it out
    /// afterwards.
    pub previous: Option<Verifier>,
    /// When the session was created.
    pub created: Timestamp,
    /// When its present token was made: at the creation or the last rotation.
    pub rotated: Timestamp,
    /// When the last commit was applied, a touch included.
    pub seen: Timestamp,
    /// How long after `seen` the session ends; `None` for no such limit.
    pub idle: Option<Duration>,
    /// When the session ends in any case; `None` for never.
    pub end: Option<Timestamp>,
    /// Whether this visitor's cookie outlives the browser's session; `None` when only the layer's
    /// setting decides.
    pub persistent: Option<bool>,
    /// What the application calls this session in a list, such as "Firefox on Linux".
    pub label: Option<Arc<str>>,
    /// The last commit that changed more than `seen`.
    pub last_commit: Option<CommitId>,
}

impl Header {
    /// When the session ends if nothing touches it; `None` for never.
    pub fn deadline(&self) -> Option<Timestamp> {
        let idle_end = self.idle.map(|idle| self.seen + idle);
        match (idle_end, self.end) {
            (Some(idle_end), Some(end)) => Some(idle_end.min(end)),
            (one, other) => one.or(other),
        }
    }
}

/// How many sessions a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Counted.
    Exact(u64),
    /// Estimated, because counting would cost too much.
    Estimated(u64),
}
