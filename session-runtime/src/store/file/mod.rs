//! Sessions in files, one each, that survive a restart and need no server.
//!
//! 1. What a commit means is [`Record`](super::Record)'s business, and how a record is written is
//!    `format`'s. `records` reads, changes and writes one record; `lists` does the same for the
//!    lists of principals, written as `list` says; `root` knows the folder as a whole; `folder`
//!    holds the rules for locks and names; `sweep` removes what has ended.
//! 2. All of these block. This module hands their work to Tokio's blocking threads, no more than
//!    the store's concurrency at a time.
//! 3. Commits of one session wait for each other in `turns` before they get a thread, and between
//!    processes at the lock of the record's file. The same holds for calls that need the lists of
//!    one folder. Whoever needs several turns waits for lists, in the order of their folders, then
//!    for the session, then for a thread; the locks are taken in the same order.
//! 4. Once handed over, work runs to its end, even if the future that waits for it is dropped.

mod error;
mod folder;
mod format;
mod list;
mod lists;
mod name;
mod new_file;
mod records;
mod root;
mod sweep;
mod turns;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use self::name::ListName;
use self::records::Records;
use self::sweep::BackgroundSweep;
use self::turns::{Turn, Turns};
use super::{
    Commit, Count, IndexChange, IndexEntries, IndexEntry, Loaded, Outcome, PrincipalKey, Selected,
    SessionStore, StoreError, StoreErrorKind,
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
/// folder must be empty or a session store's, and is closed to other users. Any number of
/// processes of this machine may use it at the same time. It must be on a file system with `flock`
/// and hard links, as local ones have; network file systems are not supported.
///
/// A record is text: `cat` shows names, values and deadlines. Whoever changes one by hand breaks
/// the check at its end. A file that is empty, cut short or otherwise damaged counts as absent, is
/// reported by an event, and is moved to `damaged/` below the folder by the next commit or sweep;
/// nothing is ever removed from there. Symbolic links, folders and the like in a record's place
/// count as absent too, are reported, and are left alone. A record that a later version of the
/// format wrote is left alone and is an error ([`StoreErrorKind::Corrupt`]).
///
/// If the folder vanishes or its volume is unmounted, every call fails
/// ([`StoreErrorKind::Unavailable`]): a missing record then says nothing about its session. The
/// folder is made again only by [`open`](Self::open).
///
/// # What survives
///
/// A commit that was answered survives the death of the process, and, at a price, of the machine;
/// see [`Durability`]. Whatever dies when: a record is the one before a commit or the one after
/// it. Where a disk is full, a commit fails ([`StoreErrorKind::Full`]), the record stays as it was
/// and no part of the new one remains. Destroying a session and touching one need no room.
///
/// # Time
///
/// A touch moves the modification time of the file and does not write the record again, except on
/// file systems that keep times less exactly than a millisecond. A copy or a backup that loses
/// modification times loses touches, so sessions in it end earlier, never later.
///
/// A commit reads the clock, writes, and is seen when it has written; the time in it is a moment
/// earlier. Whoever loads a session in between sees it as it was before.
///
/// # Reclaiming
///
/// Sessions and fields that have ended are absent at once. Their data, and their entries in the
/// index, are removed from the disk afterwards by a sweep in the background: a pass over the folder takes ten minutes unless
/// [`sweep_every`](FileStoreBuilder::sweep_every) says otherwise, and is cut into 256 steps, which
/// commits start when they are due. [`sweep`](SessionStore::sweep) makes a whole pass at once.
/// Leftovers of processes that were killed are removed when the store is opened and in each step.
///
/// # Principals
///
/// The sessions of a principal are a text file as well, with one line for each, below `index/`. A
/// sign-in writes this file again, so it costs in proportion to the principal's own sessions.
/// Sign-ins and lists of one principal wait for each other; those of two principals do so only if
/// both are in the same one of 4,096 folders.
///
/// Whatever dies when, every session that should be listed is. There may be an entry too many,
/// which goes when the layer reads the list, or by a sweep.
///
/// A session that is not listed cannot be revoked by its principal, so no list is taken for empty
/// because it is damaged: the first call that needs it moves it to `damaged/`, makes it anew from
/// all records and reports that by an event. This reads every record once, which may take longer
/// than the layer waits; it goes on nevertheless, and later calls find it done. A list that a later
/// version of the format wrote, and anything in a list's place that is no regular file, is left
/// alone and is an error ([`StoreErrorKind::Corrupt`]). Nobody should remove a file below `index/`.
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
    records: Records,
    /// At the lists of one folder.
    list_turns: Turns<String>,
    session_turns: Turns<SessionId>,
    threads: Arc<Semaphore>,
    background: BackgroundSweep,
}

/// What a commit that was answered survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The end of the process, however it ends. After a power cut or a crash of the system the last
    /// seconds may be missing, logouts among them, and a record written in them may be damaged. A
    /// session whose visitor signed in during them may be there and not be listed.
    #[default]
    ProcessCrash,
    /// A power cut as well. Each commit waits until the disk has the file and its name.
    PowerLoss,
}

impl FileStore {
    /// Opens or makes a store in this folder, with the default settings.
    ///
    /// This blocks for a moment; call it when the program starts.
    ///
    /// # Errors
    ///
    /// Fails when the folder cannot be made or used, and when it holds other files.
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
        work: impl FnOnce(&Records) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let runtime = runtime()?;
        let permit = Arc::clone(&self.shared.threads)
            .acquire_owned()
            .await
            .map_err(|closed| StoreError::with_source(StoreErrorKind::Unavailable, closed))?;
        let shared = Arc::clone(&self.shared);
        let work = runtime.spawn_blocking(move || {
            let _permit = permit;
            work(&shared.records)
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

    /// Waits for the lists of these principals.
    async fn turns_at_lists(
        &self,
        principals: impl Iterator<Item = &PrincipalKey>,
    ) -> Vec<Turn<String>> {
        let shard = |principal| ListName::of(principal).shard().to_owned();
        // In order, so that two that wait for the same ones do not wait for each other.
        let shards: BTreeSet<String> = principals.map(shard).collect();
        let mut turns = Vec::with_capacity(shards.len());
        for shard in shards {
            turns.push(self.shared.list_turns.wait_for(shard).await);
        }
        turns
    }

    /// Adds up what `work` answers for each folder that `shards` names.
    async fn sum_over_shards(
        &self,
        shards: fn(&Records) -> Result<Vec<String>, StoreError>,
        work: fn(&Records, &str) -> Result<u64, StoreError>,
    ) -> Result<u64, StoreError> {
        let shards = self.blocking(shards).await?;
        let mut sum = 0;
        for some in shards.chunks(SHARDS_PER_CALL) {
            let some = some.to_vec();
            let add = move |records: &Records| some.iter().map(|shard| work(records, shard)).sum();
            sum += self.blocking::<u64>(add).await?;
        }
        Ok(sum)
    }

    /// Starts a step of the background sweep if one is due, and does not wait for it.
    fn sweep_in_background(&self) {
        let Ok(runtime) = runtime() else { return };
        let Some(permit) = self.shared.background.due(self.shared.records.now()) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        runtime.spawn_blocking(move || {
            let _permit = permit;
            shared.background.step(&shared.records);
        });
    }
}

impl SessionStore for FileStore {
    fn load<'a>(
        &'a self,
        session: &'a SessionId,
        fields: &'a [Selected<'a>],
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>> {
        let session = *session;
        Box::pin(async move {
            let (record, now) = self
                .blocking(move |records| records.load_in_time(&session))
                .await?;
            Ok(record.and_then(|record| record.load(&session, fields, now)))
        })
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        Box::pin(async move {
            let principals = commit.index.iter().map(IndexChange::principal);
            let at_lists = self.turns_at_lists(principals).await;
            let at_session = self.shared.session_turns.wait_for(commit.session).await;
            let commit = commit.clone();
            let outcome = self
                .blocking(move |records| {
                    let _turns = (at_lists, at_session);
                    records.commit(&commit)
                })
                .await;
            self.sweep_in_background();
            outcome
        })
    }

    fn index<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<IndexEntries, StoreError>> {
        Box::pin(async move {
            let turns = self.turns_at_lists(std::iter::once(principal)).await;
            let principal = *principal;
            self.blocking(move |records| {
                let _turns = turns;
                records.index(&principal)
            })
            .await
        })
    }

    fn forget<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a IndexEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let turns = self.turns_at_lists(std::iter::once(principal)).await;
            let (principal, entry) = (*principal, *entry);
            self.blocking(move |records| {
                let _turns = turns;
                records.forget(&principal, &entry)
            })
            .await
        })
    }

    fn len(&self) -> BoxFuture<'_, Result<Count, StoreError>> {
        Box::pin(async move {
            let shards = |records: &Records| records.root().shards();
            let records = self.sum_over_shards(shards, Records::count_shard).await?;
            Ok(Count::Exact(records))
        })
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            self.blocking(Records::sweep_leftovers).await?;
            let shards = |records: &Records| records.root().shards();
            let removed = self.sum_over_shards(shards, Records::sweep_shard).await?;
            // After the records, so that their entries go in the same pass.
            let shards = |records: &Records| records.root().index_shards();
            let none = self.sum_over_shards(shards, |records, shard| {
                records.sweep_lists(shard).map(|()| 0)
            });
            Ok(removed + none.await?)
        })
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore")
            .field("folder", &self.shared.records.root().path())
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
    /// What a commit that was answered survives. Default: the end of the process.
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

    /// Where the store takes the time from. Default: the machine's clock, on which all processes
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
    /// Fails when the folder cannot be made or used, and when it holds other files.
    pub fn open(self, folder: impl AsRef<Path>) -> Result<FileStore, StoreError> {
        let records = Records::open(folder.as_ref(), self.durability, self.clock)?;
        let background = BackgroundSweep::new(self.sweep_interval, records.now());
        let shared = Shared {
            records,
            list_turns: Turns::default(),
            session_turns: Turns::default(),
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
