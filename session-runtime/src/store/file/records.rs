//! Records: a file for each session, read, touched and written in blocking calls.
//!
//! A commit without changes does not write the record again. It moves the modification time of the
//! file, and `seen` is the later one of what the text and the time say. On ext4, with a record of a
//! kilobyte, that takes 0.05 to 0.1 ms against 0.5 to 1 ms for writing it again; where the disk is
//! waited for, 0.3 to 3 ms against 9 to 12 ms (`benches/store_file.rs`, on a busy machine). And it
//! needs no room, so sessions live on while a disk is full.

use std::fs::{File, FileTimes, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use super::durability::Durability;
use super::error::{failed, outcome_unknown};
use super::folder::{Entry, Folder};
use super::name::{RecordName, random_name};
use super::new_file::NewFile;
use super::root::Root;
use crate::clock::Timestamp;
use crate::store::{PrincipalKey, Record, StoreError, StoreErrorKind, TextError};
use crate::token::SessionId;

/// No file larger than this is read or written: many times what the layer lets a session grow to.
const LARGEST_FILE: u64 = 16 << 20;

/// The part of a modification time below the millisecond when it is a record's `seen`.
///
/// Any other time (of a copy, of a restored backup, of `touch`) practically never has it, and does
/// not count; then the record's own `seen` counts, which is never later than the true one.
const SEEN_MARK_NANOS: u32 = 173_200;

/// The record of a session, and the moment by which the caller has to judge it.
///
/// The moment comes before the reading. If it came after, a session could be said to have ended
/// that a commit has prolonged between the two.
pub(super) fn load(
    root: &Root,
    session: &SessionId,
) -> Result<(Option<Record>, Timestamp), StoreError> {
    let now = root.now();
    let record = find(root, session)?;
    if record.as_ref().is_none_or(|record| !record.is_expired(now)) {
        return Ok((record, now));
    }
    // A commit that read the clock in time may still be writing, and once it is seen the session
    // lives. It holds the lock.
    let name = RecordName::of(session);
    let _lock = match root.shard(&name)? {
        Some(shard) => Some(shard.lock(name.as_str())?),
        None => None,
    };
    let now = root.now();
    Ok((find(root, session)?, now))
}

/// The record of a session, which may have ended.
pub(super) fn find(root: &Root, session: &SessionId) -> Result<Option<Record>, StoreError> {
    let name = RecordName::of(session);
    match open(root, &name)? {
        Entry::File(file) => match read(root, &name, &file)? {
            Ok(record) => Ok(Some(record)),
            Err(TextError::Damaged(reason)) => {
                report_damaged(session, reason);
                Ok(None)
            }
            Err(other_version) => Err(corrupt(other_version)),
        },
        Entry::NotAFile => {
            report_not_a_file(session);
            Ok(None)
        }
        Entry::Absent => Ok(None),
    }
}

/// Whether a session's record says that the session is this principal's. A record that cannot be
/// read may say so.
pub(super) fn may_name(
    root: &Root,
    session: &SessionId,
    principal: &PrincipalKey,
) -> Result<bool, StoreError> {
    let name = RecordName::of(session);
    let Entry::File(file) = open(root, &name)? else {
        return Ok(false);
    };
    Ok(match read(root, &name, &file)? {
        Ok(record) => names(&record, principal),
        Err(_) => true,
    })
}

/// Whether a record says that its session is this principal's.
pub(super) fn names(record: &Record, principal: &PrincipalKey) -> bool {
    let mut principals = record.header.principals.iter();
    principals.any(|named| named.key == *principal)
}

fn open(root: &Root, name: &RecordName) -> Result<Entry, StoreError> {
    let entry = match root.shard(name)? {
        Some(shard) => shard.open_file(name.as_str())?,
        None => Entry::Absent,
    };
    if let Entry::Absent = entry {
        root.check_presence()?;
    }
    Ok(entry)
}

/// Reads the file of this name.
pub(super) fn read(
    root: &Root,
    name: &RecordName,
    file: &File,
) -> Result<Result<Record, TextError>, StoreError> {
    let failed = || failed("read a record", root.path());
    let mut bytes = Vec::new();
    let read = file.take(LARGEST_FILE + 1).read_to_end(&mut bytes);
    if read.map_err(failed())? as u64 > LARGEST_FILE {
        return Ok(Err(TextError::Damaged("the file is too large")));
    }
    let mut record = match Record::from_bytes(&bytes) {
        Ok(record) => record,
        Err(error) => return Ok(Err(error)),
    };
    if record.session != *name.session() {
        let reason = "the record is not the one that the file's name says";
        return Ok(Err(TextError::Damaged(reason)));
    }
    if let Some(seen) = seen_of(&file.metadata().map_err(failed())?) {
        let header = &mut record.header;
        header.seen = header.seen.max(seen);
    }
    Ok(Ok(record))
}

/// Moves `seen` without writing the record again; `false` where the file system does not keep
/// times exactly enough.
pub(super) fn touch(
    root: &Root,
    shard: &Folder,
    file: &File,
    seen: Timestamp,
) -> Result<bool, StoreError> {
    let failed = || failed("touch a record", shard.path());
    file.set_times(FileTimes::new().set_modified(modified_at(seen)))
        .map_err(failed())?;
    let is_kept = seen_of(&file.metadata().map_err(failed())?) == Some(seen);
    if is_kept && root.durability() == Durability::PowerLoss {
        file.sync_all()
            .map_err(outcome_unknown("sync a record", shard.path()))?;
    }
    Ok(is_kept)
}

/// Puts a record in the place of the one whose lock the caller holds.
pub(super) fn replace(root: &Root, shard: &Folder, record: &Record) -> Result<(), StoreError> {
    let temporary = root.temporary()?;
    let name = RecordName::of(&record.session);
    write(root, &temporary, record)?.replace(shard, name.as_str())?;
    root.sync_commit(shard)
}

/// Writes a record, without its name.
pub(super) fn write<'a>(
    root: &Root,
    temporary: &'a Folder,
    record: &Record,
) -> Result<NewFile<'a>, StoreError> {
    let bytes = record.to_bytes();
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(StoreError::with_source(
            StoreErrorKind::Full,
            "the record is larger than 16 MiB",
        ));
    }
    let modified = modified_at(record.header.seen);
    let mut file = NewFile::create(temporary)?;
    file.write(&bytes, Some(modified), root.durability())?;
    Ok(file)
}

/// Moves a file that is no record out of the way, with its lock held.
pub(super) fn move_to_damaged(
    root: &Root,
    shard: &Folder,
    name: &RecordName,
    reason: &'static str,
) -> Result<(), StoreError> {
    let damaged = root.damaged()?;
    // A file of the same session may be there already.
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
    root.sync_names(shard)
}

/// The modification time of a file that stands for this `seen`.
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

pub(super) fn corrupt(error: TextError) -> StoreError {
    StoreError::with_source(StoreErrorKind::Corrupt, error)
}

/// A load only says so; the next commit or sweep moves the file.
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
