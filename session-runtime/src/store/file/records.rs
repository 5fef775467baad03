//! What is done to one record, in blocking calls.

use std::fs::{File, FileTimes, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Durability;
use super::error::{failed, outcome_unknown};
use super::folder::{Entry, Folder};
use super::format::{Document, FormatError};
use super::lists::Lists;
use super::name::{RecordName, random_name};
use super::new_file::NewFile;
use super::root::Root;
use crate::clock::{Clock, Timestamp};
use crate::store::{Action, Commit, Outcome, Record, StoreError, StoreErrorKind};
use crate::token::SessionId;

/// No file larger than this is read or written: many times what the layer lets a session grow to.
pub(super) const LARGEST_FILE: u64 = 16 << 20;

/// What the time of modification has below the millisecond when it is a record's `seen`.
///
/// Any other time (of a copy, of a restored backup, of `touch`) practically never has it, and is
/// not believed; then the record's own `seen` counts, which is never later than the true one.
const SEEN_MARK_NANOS: u32 = 173_200;

/// The records below one folder.
pub(super) struct Records {
    root: Root,
    pub(super) durability: Durability,
    clock: Arc<dyn Clock>,
}

impl Records {
    pub(super) fn open(
        path: &Path,
        durability: Durability,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let root = Root::open(path, durability)?;
        let records = Self {
            root,
            durability,
            clock,
        };
        records.sweep_leftovers()?;
        Ok(records)
    }

    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The record of a session, which may have ended.
    pub(super) fn load(&self, session: &SessionId) -> Result<Option<Record>, StoreError> {
        let name = RecordName::of(session);
        let entry = match self.root.shard(&name)? {
            Some(shard) => shard.open_file(name.as_str())?,
            None => Entry::Absent,
        };
        match entry {
            Entry::File(file) => match self.read(&name, &file)? {
                Ok(document) => Ok(Some(document.record)),
                Err(FormatError::Damaged(reason)) => {
                    report_damaged(session, reason);
                    Ok(None)
                }
                Err(newer) => Err(corrupt(newer)),
            },
            Entry::NotAFile => {
                report_not_a_file(session);
                Ok(None)
            }
            Entry::Absent => {
                self.root.check_presence()?;
                Ok(None)
            }
        }
    }

    /// The record of a session, and the moment by which the caller has to judge it.
    ///
    /// The moment comes before the reading. If it came after, a session could be said to have ended
    /// that a commit has prolonged between the two.
    pub(super) fn load_in_time(
        &self,
        session: &SessionId,
    ) -> Result<(Option<Record>, Timestamp), StoreError> {
        let now = self.now();
        let record = self.load(session)?;
        if record.as_ref().is_none_or(|record| !record.is_expired(now)) {
            return Ok((record, now));
        }
        // A commit that read the clock in time may still be writing, and once it is seen the
        // session lives. It holds the lock.
        let name = RecordName::of(session);
        let _lock = match self.root.shard(&name)? {
            Some(shard) => Some(shard.lock(name.as_str())?),
            None => None,
        };
        let now = self.now();
        Ok((self.load(session)?, now))
    }

    pub(super) fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        let lists = self.lock_lists(commit)?;
        loop {
            if let Some(outcome) = self.try_commit(commit, &lists)? {
                return Ok(outcome);
            }
        }
    }

    /// `None` when a session was created while this tried the same.
    fn try_commit(
        &self,
        commit: &Commit,
        lists: &Lists<'_>,
    ) -> Result<Option<Outcome>, StoreError> {
        let name = RecordName::of(&commit.session);
        let shard = match &commit.action {
            Action::Create { .. } => self.root.make_shard(&name)?,
            _ => match self.root.shard(&name)? {
                Some(shard) => shard,
                None => {
                    self.root.check_presence()?;
                    return Ok(Some(Outcome::Gone));
                }
            },
        };
        // The lock is held as long as this file is open.
        let (file, document) = match shard.lock(name.as_str())? {
            Entry::File(file) => match self.read(&name, &file)? {
                Ok(document) => (Some(file), Some(document)),
                Err(FormatError::Damaged(reason)) => {
                    self.set_aside(&shard, &name, reason)?;
                    (None, None)
                }
                Err(newer) => return Err(corrupt(newer)),
            },
            Entry::NotAFile => {
                report_not_a_file(&commit.session);
                return Ok(Some(Outcome::Gone));
            }
            Entry::Absent => {
                self.root.check_presence()?;
                (None, None)
            }
        };

        let now = self.now();
        // Nothing of a session that has ended goes over to another one of the same name.
        let document = document.filter(|document| !document.record.is_expired(now));
        let (mut record, unknown) = match document {
            Some(document) => (Some(document.record), document.unknown),
            None => (None, Vec::new()),
        };
        if let Some(outcome) = lists.refuse(record.as_ref(), commit, now) {
            return Ok(Some(outcome));
        }
        let outcome = Record::commit(&mut record, commit, now);
        if !matches!(outcome, Outcome::Applied(_)) {
            return Ok(Some(outcome));
        }
        if let (Some(record), Some(file)) = (&record, &file)
            && commit.is_touch()
            && commit.changes.is_empty()
            && self.touch(&shard, file, record.header.seen)?
        {
            return Ok(Some(outcome));
        }

        // All is written before anything gets its name, so that a full disk changes nothing.
        let temporary = self.root.temporary()?;
        let listed = lists.stage(commit, now, &temporary)?;
        let new = match record {
            Some(record) => Some(self.write(&temporary, &name, &Document { record, unknown })?),
            None => None,
        };
        listed.publish()?;
        match (new, &file) {
            (Some(new), Some(_)) => new.replace(&shard, name.as_str())?,
            (Some(new), None) => {
                if !new.link(&shard, name.as_str())? {
                    lists.restore()?;
                    return Ok(None);
                }
            }
            (None, Some(_)) => shard.remove(name.as_str())?,
            (None, None) => {}
        }
        self.sync_names(&shard)?;
        lists.take_off(commit, now);
        Ok(Some(outcome))
    }

    /// Reads the file of this name. `seen` is the later one of what the text and the file's time of
    /// modification say.
    pub(super) fn read(
        &self,
        name: &RecordName,
        file: &File,
    ) -> Result<Result<Document, FormatError>, StoreError> {
        let failed = || failed("read a record", self.root.path());
        let mut bytes = Vec::new();
        let read = file.take(LARGEST_FILE + 1).read_to_end(&mut bytes);
        if read.map_err(failed())? as u64 > LARGEST_FILE {
            return Ok(Err(FormatError::Damaged("the file is too large")));
        }
        let mut document = match Document::parse(name, &bytes) {
            Ok(document) => document,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(seen) = seen_of(&file.metadata().map_err(failed())?) {
            let header = &mut document.record.header;
            header.seen = header.seen.max(seen);
        }
        Ok(Ok(document))
    }

    /// Moves `seen` without writing the record again; `false` where the file system does not keep
    /// times exactly enough.
    fn touch(&self, shard: &Folder, file: &File, seen: Timestamp) -> Result<bool, StoreError> {
        let failed = || failed("touch a record", shard.path());
        file.set_times(FileTimes::new().set_modified(modified_at(seen)))
            .map_err(failed())?;
        let is_kept = seen_of(&file.metadata().map_err(failed())?) == Some(seen);
        if is_kept && self.durability == Durability::PowerLoss {
            file.sync_all()
                .map_err(outcome_unknown("sync a record", shard.path()))?;
        }
        Ok(is_kept)
    }

    /// Puts a record in the place of the one whose lock the caller holds.
    pub(super) fn replace(
        &self,
        shard: &Folder,
        name: &RecordName,
        document: &Document,
    ) -> Result<(), StoreError> {
        let temporary = self.root.temporary()?;
        self.write(&temporary, name, document)?
            .replace(shard, name.as_str())?;
        self.sync_names(shard)
    }

    fn write<'a>(
        &self,
        temporary: &'a Folder,
        name: &RecordName,
        document: &Document,
    ) -> Result<NewFile<'a>, StoreError> {
        let text = document.to_text(name);
        if text.len() as u64 > LARGEST_FILE {
            return Err(StoreError::with_source(
                StoreErrorKind::Full,
                "the record is larger than 16 MiB",
            ));
        }
        let modified = modified_at(document.record.header.seen);
        let mut file = NewFile::create(temporary)?;
        file.write(text.as_bytes(), Some(modified), self.durability)?;
        Ok(file)
    }

    /// Moves a file that is no record out of the way, with its lock held.
    pub(super) fn set_aside(
        &self,
        shard: &Folder,
        name: &RecordName,
        reason: &'static str,
    ) -> Result<(), StoreError> {
        let damaged = self.root.damaged()?;
        // A file of the same session may have been set aside before.
        let suffix = random_name::<4>().map_err(failed("name a file", damaged.path()))?;
        let new_name = format!("{}.{suffix}", name.as_str());
        shard.rename(name.as_str(), &damaged, &new_name)?;
        tracing::warn!(
            target: "session_runtime",
            event = "record-set-aside",
            session = ?name.session(),
            suffix,
            reason,
            "set a damaged session record aside"
        );
        self.sync_names(shard)
    }

    /// The record has its name, or is gone; this makes sure that it stays so.
    pub(super) fn sync_names(&self, shard: &Folder) -> Result<(), StoreError> {
        match self.durability {
            Durability::ProcessCrash => Ok(()),
            Durability::PowerLoss => shard
                .sync()
                .map_err(outcome_unknown("sync the folder", shard.path())),
        }
    }
}

/// How `seen` is written as a file's time of modification.
fn modified_at(seen: Timestamp) -> SystemTime {
    SystemTime::from(seen) + Duration::from_nanos(SEEN_MARK_NANOS.into())
}

/// The `seen` that [`modified_at`] wrote, if it was the last to set the time.
fn seen_of(metadata: &Metadata) -> Option<Timestamp> {
    const NANOS_PER_MILLI: u32 = 1_000_000;
    let nanos = u32::try_from(metadata.mtime_nsec()).ok()?;
    let seconds = u64::try_from(metadata.mtime()).ok()?;
    if nanos % NANOS_PER_MILLI != SEEN_MARK_NANOS {
        return None;
    }
    let millis = seconds
        .checked_mul(1000)?
        .checked_add((nanos / NANOS_PER_MILLI).into())?;
    Some(Timestamp::from_millis(millis))
}

pub(super) fn corrupt(error: FormatError) -> StoreError {
    StoreError::with_source(StoreErrorKind::Corrupt, error)
}

/// A load only says so; the next commit or sweep sets the file aside.
fn report_damaged(session: &SessionId, reason: &'static str) {
    tracing::warn!(
        target: "session_runtime",
        event = "record-damaged",
        ?session,
        reason,
        "a session record is damaged and counts as absent"
    );
}

pub(super) fn report_not_a_file(session: &SessionId) {
    tracing::warn!(
        target: "session_runtime",
        event = "record-not-a-file",
        ?session,
        "something that is no regular file has a session record's name and counts as absent"
    );
}
