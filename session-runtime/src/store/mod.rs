//! The contract between the session layer and a store, for authors of drivers.
//!
//! A driver implements [`SessionStore`]: one read, one write, and calls for principals' lists and
//! housekeeping. The write is a [`Commit`]: everything that one request changes about one session,
//! applied as a whole or not at all.
//!
//! A driver that keeps records itself gets the semantics ready-made: [`Commit::apply`] applies a
//! commit to [`Touched`] records and lists, and the driver only holds locks and keeps bytes.
//! The guide `writing_a_store` shows one.

mod apply;
mod commit;
mod erased;
mod fields;
#[cfg(all(unix, feature = "file"))]
mod file;
mod list;
mod load;
mod memory;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod steps;
mod text;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use self::apply::Touched;
pub use self::commit::{
    Action, Applied, Change, Commit, Condition, FieldName, FieldTtl, IntegerRange, Link,
    MergeOperation, Outcome, Restore, Rotation,
};
pub use self::erased::ErasedStore;
pub use self::fields::Fields;
#[cfg(all(unix, feature = "file"))]
pub use self::file::{Durability, FileStore, FileStoreBuilder};
pub use self::list::{
    ListChange, ListEntry, Listing, ParsePrincipalKeyError, Principal, PrincipalKey, PrincipalList,
};
pub use self::load::{Count, Credential, Header, Loaded, Selected, Selection, StoredField};
pub use self::memory::{CapacityPolicy, MemoryStore, MemoryStoreBuilder};
pub use self::record::Record;
#[cfg(feature = "redis")]
pub use self::redis::{RedisConnectError, RedisCredentials, RedisStore, RedisStoreBuilder, Tier};
pub use self::steps::{AddStep, NewEntry, SessionStep, SteppedStore, commit_in_steps};
pub use self::text::TextError;
pub use crate::clock::{Clock, SystemClock, Timestamp};
pub use crate::error::{StoreError, StoreErrorKind};
pub use crate::timeouts::Timeouts;
pub use crate::token::{
    CommitId, ParseCommitIdError, ParseSessionIdError, ParseVerifierError, RandomError, SessionId,
    Verifier,
};

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
///    value for a [`Change::Merge`] and for a
///    [`Change::Set`] with `only_if_absent`, and for a [`Change::Take`] with what it took, for at
///    least 30 seconds and unless another commit took the field meanwhile. This holds even where
///    its guard no longer does: its own rotation may have changed the token.
/// 5. **Field deadlines.** A field whose deadline has come is absent for loads, conditions and
///    changes, whether or not it has been reclaimed. Only a new write brings it back, or a
///    [`Change::Renew`] that carries the value.
/// 6. **One clock.** All moments are on the store's clock, and the layer compares them with no
///    other. A call judges by one moment what is over: a load's `now`, and the `seen` that a commit
///    leaves. It lies between the call's beginning and its effect, so a load with a later `now` may
///    miss a commit with an earlier `seen` that takes a while to write. Such a load never says that
///    a session has ended which the commit prolongs. A store on a server that removes ended
///    sessions and fields itself may answer a load that asks for no deadline with an estimate of
///    its time: the layer uses it for upkeep and the cookie's age only. Such a load says that a
///    session has ended where the server has removed it, or where its `end` is past by more than a
///    minute on the estimated clock.
/// 7. **Errors are not absence.** A store answers `None` and [`Outcome::Gone`] only if it knows.
///    Otherwise it answers with a [`StoreError`].
/// 8. **Foreign fields survive.** Fields that a commit does not name stay as they are.
/// 9. **A list is a superset.** From the moment at which a commit with [`ListChange::Add`] takes
///    effect until the session ends or a commit removes it, [`list`](Self::list) has the session,
///    whatever crashes in between; it may have more. If [`remove_stale`](Self::remove_stale)
///    removes the entry before the session has changed, the session is removed too and the answer
///    is [`Outcome::Gone`]. The limit is exact: of simultaneous additions no more succeed than it
///    allows. A refused commit adds nothing. Entries go by themselves when their time to keep is
///    over. [`commit_in_steps`] does all this for a store that cannot change lists and session in
///    one step.
///
/// The `test-kit` feature has a suite that tries to break each of these on any store.
///
/// Futures may be dropped at any await point: a dropped commit is applied as a whole or not at
/// all. Errors, events and panics never contain field values, tokens or verifiers.
///
/// # Choosing a driver at run time
///
/// `Arc<dyn SessionStore>` is a store too; it calls the driver through [`ErasedStore`].
#[expect(
    clippy::len_without_is_empty,
    reason = "a store is asked how many sessions it holds, never whether it holds none"
)]
pub trait SessionStore: ErasedStore + Send + Sync + 'static {
    /// Reads the header and the selected fields of a session; `None` when there is no such session.
    ///
    /// # Errors
    ///
    /// A store that does not know answers with an error, never with `None`.
    fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> impl Future<Output = Result<Option<Loaded>, StoreError>> + Send
    where
        Self: Sized;

    /// Applies a commit, as [`Commit::apply`] says.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::OutcomeUnknown`] where the commit may have been applied; with every other
    /// kind nothing was applied.
    fn commit(&self, commit: &Commit) -> impl Future<Output = Result<Outcome, StoreError>> + Send
    where
        Self: Sized;

    /// The sessions listed under a principal. It may list more than there are.
    ///
    /// The cost depends on the principal's own sessions only.
    ///
    /// # Errors
    ///
    /// A store that does not know answers with an error, never with an empty list.
    fn list(
        &self,
        principal: &PrincipalKey,
    ) -> impl Future<Output = Result<Listing, StoreError>> + Send
    where
        Self: Sized;

    /// Removes an entry that proved to be stale, unless it has been written again or has arrived
    /// since: one of the same session with another [`mark`](ListEntry::mark) or another
    /// [`arriving`](ListEntry::arriving) stays.
    ///
    /// # Errors
    ///
    /// The store failed; the entry may be there or not.
    fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> impl Future<Output = Result<(), StoreError>> + Send
    where
        Self: Sized;

    /// The longest that a load or a commit takes, where the store bounds them itself: the layer then
    /// sets no timer of its own around them, if its
    /// [`store_deadline`](crate::SessionLayerBuilder::store_deadline) is not shorter. `None`, the
    /// default, where the store does not.
    fn answers_within(&self) -> Option<Duration> {
        None
    }

    /// How many sessions the store holds, perhaps including ended ones that are not reclaimed yet.
    /// [`Count::Unknown`] unless a store counts.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn len(&self) -> impl Future<Output = Result<Count, StoreError>> + Send
    where
        Self: Sized,
    {
        async { Ok(Count::Unknown) }
    }

    /// Reclaims ended sessions and leftovers of crashes; returns the number of records removed.
    ///
    /// Nothing depends on this being called: ended sessions are absent without it. A store whose
    /// server reclaims by itself keeps the default, which answers 0.
    ///
    /// # Errors
    ///
    /// The store failed; some of it may be reclaimed.
    fn sweep(&self) -> impl Future<Output = Result<u64, StoreError>> + Send
    where
        Self: Sized,
    {
        async { Ok(0) }
    }

    /// The store behind a pointer that the parts of a layer share; the same pointer where it is one.
    #[doc(hidden)]
    fn into_shared(self) -> Arc<dyn SessionStore>
    where
        Self: Sized,
    {
        Arc::new(self)
    }
}
