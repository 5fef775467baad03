//! Sessions in files, one each, that survive a restart and need no server.
//!
//! 1. [`Commit::apply`] has the semantics of a commit, and
//!    [`Record::to_bytes`](super::Record::to_bytes) the form of a record. `commit` holds locks and
//!    orders the writes; `records` reads and writes records, `entries` the entries on principals'
//!    lists, each `list` a folder; `sweep` removes what has ended; `root` has the folder as a
//!    whole, and `folder` the rules for locks and names.
//! 2. All of these block. This module hands their work to Tokio's blocking threads, no more than
//!    the store's concurrency at a time.
//! 3. Commits of one session wait for each other in a [`KeyedMutex`] before they get a thread, and
//!    between processes at the lock of the record's file. The same holds for calls that need the
//!    lists of one folder. A call that needs several locks waits for lists, in the order of their
//!    folders, then for the session, then for a thread; the files are locked in the same order.
//! 4. Once handed over, work runs to its end, even if the future that waits for it is dropped.

mod commit;
mod durability;
mod entries;
mod error;
mod folder;
mod keyed_mutex;
mod list;
mod name;
mod new_file;
mod records;
mod root;
mod sweep;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;

pub use self::durability::Durability;
use self::keyed_mutex::{KeyedGuard, KeyedMutex};
use self::name::PrincipalName;
use self::root::Root;
use self::sweep::BackgroundSweep;
use super::{
    Commit, Count, ListEntry, Listing, Loaded, Outcome, PrincipalKey, Selection, SessionStore,
    StoreError, StoreErrorKind,
};
use crate::clock::{Clock, SystemClock};
use crate::token::SessionId;

/// How many calls work on files at the same time unless told otherwise.
const DEFAULT_CONCURRENCY: usize = 16;

/// How long a pass of the background sweep takes unless told otherwise.
const DEFAULT_SWEEP_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// How many folders a call of `sweep` or `len` looks at before it lets others have the thread.
const SHARDS_PER_CALL: usize = 16;

/// Keeps sessions in files below one folder, one file per session, on one machine.
///
/// ```no_run
/// use session_runtime::FileStore;
///
/// # fn main() -> Result<(), session_runtime::store::StoreError> {
/// let store = FileStore::open("sessions")?;
/// # Ok(())
/// # }
/// ```
///
/// Needs the feature `file`, a Unix system, and a Tokio runtime around its futures.
///
/// # The folder
///
/// It is made where it is missing, with mode 0700, and files in it have mode 0600. An existing
/// folder must be a session store's or empty but for what systems leave there, such as `lost+found` in
/// a new volume; it is closed to other users. Any number of
/// processes of this machine may use it at the same time. It must be on a file system with `flock`
/// and hard links, as local ones have; network file systems are not supported.
///
/// A record is text: `cat` shows names, values and deadlines. Changing one by hand breaks the check
/// at its end. A file that is empty, cut short or otherwise damaged counts as absent, is reported by
/// an event, and is moved to `damaged/` below the folder by the next commit or sweep; nothing is ever
/// removed from there. Symbolic links, folders and the like in a record's place count as absent too,
/// are reported, and are left alone. A record that another version of the format wrote is left alone
/// and is an error ([`StoreErrorKind::Corrupt`]). A folder that another version of the layout laid
/// out is refused by [`open`](Self::open).
///
/// If the folder vanishes or its volume is unmounted, every call fails
/// ([`StoreErrorKind::Unavailable`]): a missing record then says nothing about its session. The
/// folder is made again only by [`open`](Self::open).
///
/// # What survives
///
/// A commit that was answered survives the death of the process, and, at a price, of the machine;
/// see [`Durability`]. At any moment a record is the one before a commit or the one after it. Where
/// a disk is full, a commit fails ([`StoreErrorKind::Full`]), the record stays as it was
/// and no part of the new one remains. Destroying a session and touching one need no room.
///
/// # Time
///
/// A touch moves the modification time of the file and does not write the record again, except on
/// file systems that keep times less exactly than a millisecond. A copy or a backup that loses
/// modification times loses touches, so sessions in it end earlier, never later.
///
/// A commit reads the clock, writes, and is seen when it has written; the time in it is a moment
/// earlier. A load in between sees the session as it was before.
///
/// # Reclaiming
///
/// Sessions and fields that have ended are absent at once. Their data, and their entries on lists,
/// are removed from the disk afterwards by a sweep in the background: a pass over the folder takes
/// ten minutes unless [`sweep_every`](FileStoreBuilder::sweep_every) says otherwise, and is cut into
/// 256 steps, which commits start when they are due. [`sweep`](SessionStore::sweep) makes a whole pass at once.
/// Leftovers of processes that were killed are removed when the store is opened and in each step.
///
/// # Principals
///
/// A principal's list is a folder below `index/`, with a small text file for each session. A
/// sign-in writes one of them; where there is a limit it reads the others. Sign-ins and lists of one
/// principal wait for each other; those of two principals do so only if both are in the same one of
/// 4,096 folders.
///
/// The name of such a file lists the session, whatever is in the file: damage hides nothing. Crashes
/// hide nothing either. They may leave an entry too many, which goes when the layer reads the list,
/// or by a sweep.
///
/// A session that is not listed cannot be revoked by its principal. So a sweep lists the sessions
/// again whose entries are lost, as their records say, and reports that by an event; until then they
/// are missing. Something that is no folder in a list's place is left alone and is an error
/// ([`StoreErrorKind::Corrupt`]).
///
/// Programs that remove old files spare the entries, whose modification times a sweep moves to the
/// present, and the folder's marker `.session-store`. A record has the time of its session's last
/// visit: such a program must leave it for as long as the session may live. Where the marker is lost
/// all the same, calls fail as if the folder were gone, and [`open`](Self::open) says how to write it
/// again.
///
/// # Counting
///
/// [`len`](SessionStore::len) counts the files, which takes about a second for a million; sessions
/// that have ended and were not swept yet are among them.
#[derive(Clone)]
pub struct FileStore {
    shared: Arc<Shared>,
}

struct Shared {
    root: Root,
    /// By the folder that the lists are in.
    lists: KeyedMutex<String>,
    sessions: KeyedMutex<SessionId>,
    threads: Arc<Semaphore>,
    background: BackgroundSweep,
}

impl FileStore {
    /// Opens or makes a store in this folder, with the default settings.
    ///
    /// This blocks for a moment; call it when the program starts.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be made or used, and when it holds other files or the sessions
    /// of another version of the layout.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder().open(folder)
    }

    /// For settings other than the defaults.
    pub fn builder() -> FileStoreBuilder {
        FileStoreBuilder {
            durability: Durability::default(),
            concurrency: DEFAULT_CONCURRENCY,
            sweep_interval: Some(DEFAULT_SWEEP_INTERVAL),
            clock: Arc::new(SystemClock),
        }
    }

    /// Does work on a blocking thread once one of ours is free.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Root) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let runtime = runtime()?;
        let permit = Arc::clone(&self.shared.threads)
            .acquire_owned()
            .await
            .map_err(|closed| StoreError::with_source(StoreErrorKind::Unavailable, closed))?;
        let shared = Arc::clone(&self.shared);
        let work = runtime.spawn_blocking(move || {
            let _permit = permit;
            work(&shared.root)
        });
        work.await.unwrap_or_else(|error| {
            // A runtime that is shutting down does not begin the work. A panic is no source: its
            // text could be anything.
            Err(StoreError::new(if error.is_cancelled() {
                StoreErrorKind::Unavailable
            } else {
                StoreErrorKind::OutcomeUnknown
            }))
        })
    }

    /// Locks the lists of these principals within this process.
    async fn lock_lists(&self, principals: &[PrincipalKey]) -> Vec<KeyedGuard<String>> {
        let shard = |principal| PrincipalName::of(principal).shard().to_owned();
        // In order, so that two that wait for the same ones do not wait for each other.
        let shards: BTreeSet<String> = principals.iter().map(shard).collect();
        let mut guards = Vec::with_capacity(shards.len());
        for shard in shards {
            guards.push(self.shared.lists.lock(shard).await);
        }
        guards
    }

    /// Adds up what `work` answers for each folder that `shards` names.
    async fn sum_over_shards(
        &self,
        shards: fn(&Root) -> Result<Vec<String>, StoreError>,
        work: fn(&Root, &str) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        let shards = self.blocking(shards).await?;
        let mut sum = 0;
        for some in shards.chunks(SHARDS_PER_CALL) {
            let some = some.to_vec();
            let add = move |root: &Root| some.iter().map(|shard| work(root, shard)).sum();
            sum += self.blocking::<u64>(add).await?;
        }
        Ok(sum)
    }

    /// Starts a step of the background sweep if one is due, and does not wait for it.
    fn sweep_in_background(&self) {
        let Ok(runtime) = runtime() else { return };
        let Some(permit) = self.shared.background.due(self.shared.root.now()) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        runtime.spawn_blocking(move || {
            let _permit = permit;
            shared.background.step(&shared.root);
        });
    }
}

impl SessionStore for FileStore {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        let id = *session;
        let (record, now) = self.blocking(move |root| records::load(root, &id)).await?;
        Ok(record.and_then(|record| record.load(selection, now)))
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        let lists = self.lock_lists(&commit.principals()).await;
        let session = self.shared.sessions.lock(commit.session).await;
        let commit = commit.clone();
        let outcome = self
            .blocking(move |root| {
                let _guards = (lists, session);
                commit::commit(root, &commit)
            })
            .await;
        self.sweep_in_background();
        outcome
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        let guards = self.lock_lists(&[*principal]).await;
        let principal = *principal;
        self.blocking(move |root| {
            let _guards = guards;
            entries::list(root, &principal)
        })
        .await
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        let guards = self.lock_lists(&[*principal]).await;
        let (principal, entry) = (*principal, *entry);
        self.blocking(move |root| {
            let _guards = guards;
            entries::remove_stale(root, &principal, &entry)
        })
        .await
    }

    async fn len(&self) -> Result<Count, StoreError> {
        let records = self.sum_over_shards(Root::shards, sweep::count_records);
        Ok(Count::Exact(records.await?))
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.blocking(sweep::sweep_leftovers).await?;
        let removed = self.sum_over_shards(Root::shards, sweep::sweep_records);
        let removed = removed.await?;
        // After the records, so that their entries go in the same pass.
        let none = self.sum_over_shards(Root::index_shards, |root, shard| {
            sweep::sweep_entries(root, shard).map(|()| 0)
        });
        Ok(removed + none.await?)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("folder", &self.shared.root.path())
            .finish_non_exhaustive()
    }
}

fn runtime() -> Result<Handle, StoreError> {
    Handle::try_current()
        .map_err(|outside| StoreError::with_source(StoreErrorKind::Misconfigured, outside))
}

/// The settings of a [`FileStore`]; made by [`FileStore::builder`].
#[derive(Clone)]
pub struct FileStoreBuilder {
    durability: Durability,
    concurrency: usize,
    sweep_interval: Option<Duration>,
    clock: Arc<dyn Clock>,
}

impl FileStoreBuilder {
    /// Sets the failures that an answered commit survives. Default: the end of the process.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How many calls work on files at the same time, each on one of Tokio's blocking threads;
    /// others wait for them without a thread. Default: 16. Zero counts as one.
    #[must_use]
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = calls.clamp(1, Semaphore::MAX_PERMITS);
        self
    }

    /// How long a pass of the background sweep takes. Default: ten minutes.
    #[must_use]
    pub fn sweep_every(mut self, interval: Duration) -> Self {
        self.sweep_interval = Some(interval);
        self
    }

    /// Without a sweep in the background: what has ended stays on the disk until
    /// [`sweep`](SessionStore::sweep) is called, by this process or another one.
    #[must_use]
    pub fn without_background_sweep(mut self) -> Self {
        self.sweep_interval = None;
        self
    }

    /// Sets the clock of the store. Default: the machine's clock, on which all processes
    /// that share a folder agree.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Opens or makes a store in this folder.
    ///
    /// This blocks for a moment; call it when the program starts.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be made or used, and when it holds other files or the sessions
    /// of another version of the layout.
    pub fn open(self, folder: impl AsRef<Path>) -> Result<FileStore, StoreError> {
        let root = Root::open(folder.as_ref(), self.durability, self.clock)?;
        sweep::sweep_leftovers(&root)?;
        let background = BackgroundSweep::new(self.sweep_interval, root.now());
        let shared = Shared {
            root,
            lists: KeyedMutex::default(),
            sessions: KeyedMutex::default(),
            threads: Arc::new(Semaphore::new(self.concurrency)),
            background,
        };
        Ok(FileStore {
            shared: Arc::new(shared),
        })
    }
}

impl fmt::Debug for FileStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStoreBuilder")
            .field("durability", &self.durability)
            .field("concurrency", &self.concurrency)
            .field("sweep_interval", &self.sweep_interval)
            .finish_non_exhaustive()
    }
}
