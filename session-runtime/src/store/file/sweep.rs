//! Removing what has ended, and making principals' lists agree with the records, a little at a time.
//!
//! 1. A record is looked at without its lock. Only if there is something to do is it locked (without
//!    waiting: a commit that holds the lock is about to renew it or to remove it), read again and
//!    judged again. So a sweep never removes what a commit just renewed, and any number of processes
//!    may sweep.
//! 2. The principals that a living record names list its session: the modification times of the
//!    entries are moved to the present, so that a cleaner of old files spares them, and entries that
//!    are missing are written again. Likewise, the lock of the list is held for that.
//! 3. An entry that no record justifies is removed, under the lock as well. The time plays no part
//!    in this: a commit may be prolonging a session that has ended.
//! 4. In the background a pass over the folder takes as long as the store's sweep interval. It is
//!    cut into steps, each after some commit, of which there is never more than one at a time.
//! 5. One file that cannot be swept is reported and does not keep the others.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::entries;
use super::folder::{Entry, Folder};
use super::name::RecordName;
use super::records;
use super::root::Root;
use crate::clock::Timestamp;
use crate::store::{ListEntry, PrincipalKey, Record, StoreError, TextError};
use crate::token::SessionId;

/// Into how many steps a pass is cut. Of a million sessions each looks at about 4,000.
const STEPS_PER_PASS: u32 = 256;

/// Sweeps one of the folders that hold records; answers how many records went.
pub(super) fn sweep_records(root: &Root, shard: &str) -> Result<u64, StoreError> {
    let Some(shard) = root.shard_named(shard)? else {
        return Ok(0);
    };
    let (mut removed, mut restored) = (0, 0);
    for name in shard.names()? {
        let Some(name) = RecordName::parse(&name) else {
            continue;
        };
        let swept = match sweep_record(root, &shard, &name) {
            Ok(Swept::Removed) => {
                removed += 1;
                Ok(())
            }
            Ok(Swept::Lives(record)) => {
                refresh_entries(root, &record).map(|entries| restored += entries)
            }
            Ok(Swept::LeftAlone) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = swept {
            tracing::warn!(
                target: "session_runtime",
                event = "sweep-failed",
                session = ?name.session(),
                error = &error as &dyn std::error::Error,
                "cannot sweep a session record"
            );
        }
    }
    if restored > 0 {
        tracing::warn!(
            target: "session_runtime",
            event = "entries-restored",
            entries = restored,
            "sessions were missing on their principals' lists and have been listed again"
        );
    }
    Ok(removed)
}

/// The end of one record's sweep.
enum Swept {
    Lives(Box<Record>),
    Removed,
    LeftAlone,
}

fn sweep_record(root: &Root, shard: &Folder, name: &RecordName) -> Result<Swept, StoreError> {
    match shard.open_file(name.as_str())? {
        Entry::File(file) => match judge(root, name, &file)? {
            Verdict::Lives(record) => return Ok(Swept::Lives(record)),
            Verdict::OtherVersion => return Ok(Swept::LeftAlone),
            Verdict::Ended | Verdict::HasEndedFields(_) | Verdict::Damaged(_) => {}
        },
        Entry::NotAFile => {
            records::report_not_a_file(name.session());
            return Ok(Swept::LeftAlone);
        }
        Entry::Absent => return Ok(Swept::LeftAlone),
    }
    let Some(file) = shard.try_lock(name.as_str())? else {
        return Ok(Swept::LeftAlone);
    };
    match judge(root, name, &file)? {
        Verdict::Lives(record) => Ok(Swept::Lives(record)),
        Verdict::OtherVersion => Ok(Swept::LeftAlone),
        Verdict::Ended => {
            shard.remove(name.as_str())?;
            Ok(Swept::Removed)
        }
        Verdict::HasEndedFields(record) => {
            records::replace(root, shard, &record)?;
            Ok(Swept::Lives(record))
        }
        Verdict::Damaged(reason) => {
            records::move_to_damaged(root, shard, name, reason)?;
            Ok(Swept::LeftAlone)
        }
    }
}

/// The state of a file in a record's place.
enum Verdict {
    Lives(Box<Record>),
    /// The session lives; this is its record without the fields that have ended.
    HasEndedFields(Box<Record>),
    Ended,
    Damaged(&'static str),
    OtherVersion,
}

fn judge(root: &Root, name: &RecordName, file: &File) -> Result<Verdict, StoreError> {
    let mut record = match records::read(root, name, file)? {
        Ok(record) => Box::new(record),
        Err(TextError::Damaged(reason)) => return Ok(Verdict::Damaged(reason)),
        Err(TextError::OtherVersion(_)) => return Ok(Verdict::OtherVersion),
    };
    let now = root.now();
    Ok(if record.is_expired(now) {
        Verdict::Ended
    } else if record.reclaim(now) {
        Verdict::HasEndedFields(record)
    } else {
        Verdict::Lives(record)
    })
}

/// Refreshes the entries of a session that lives and writes again those that are missing; answers
/// how many these were.
fn refresh_entries(root: &Root, record: &Record) -> Result<u64, StoreError> {
    let session = &record.session;
    let mut restored = 0;
    for principal in &record.header.principals {
        let principal = &principal.key;
        if entries::refresh(root, principal, session)? {
            continue;
        }
        let find = || entry_of(root, session, principal);
        restored += u64::from(entries::restore(root, principal, session, find)?);
    }
    Ok(restored)
}

/// The entry that a session should have on a principal's list, by what its record says now.
fn entry_of(
    root: &Root,
    session: &SessionId,
    principal: &PrincipalKey,
) -> Result<Option<ListEntry>, StoreError> {
    let record = records::find(root, session)?;
    Ok(record.and_then(|record| {
        if !records::names(&record, principal) {
            return None;
        }
        // A session that is listed anew has a later commit, so a verdict on an older entry does
        // not hit this one. The entry goes with the session.
        let mark = record.header.last_commit?;
        Some(ListEntry::new(*session, mark, record.header.rotated))
    }))
}

/// Removes from one folder of lists the entries that no record justifies.
pub(super) fn sweep_entries(root: &Root, shard: &str) -> Result<(), StoreError> {
    entries::sweep(root, shard, |principal, session| {
        records::may_name(root, session, principal)
    })
}

/// Removes what killed processes left of the files that they were writing.
pub(super) fn sweep_leftovers(root: &Root) -> Result<(), StoreError> {
    let temporary = root.temporary()?;
    for name in temporary.names()? {
        // A process that is still writing holds the lock. It is kept until the file is removed: a
        // process that has just made one waits for it, and then sees that the file has gone.
        if let Some(_lock) = temporary.try_lock(&name)? {
            temporary.remove_if_there(&name)?;
        }
    }
    root.refresh_marker()
}

/// How many records one of the folders holds.
pub(super) fn count_records(root: &Root, shard: &str) -> Result<u64, StoreError> {
    let Some(shard) = root.shard_named(shard)? else {
        return Ok(0);
    };
    let names = shard.names()?;
    let records = names.iter().filter_map(|name| RecordName::parse(name));
    Ok(records.count() as u64)
}

/// The schedule of the background sweep.
pub(super) struct BackgroundSweep {
    /// The time of a whole pass; `None` without a background sweep.
    interval: Option<Duration>,
    /// The only permit is held by a step.
    slot: Arc<Semaphore>,
    pass: Mutex<Pass>,
}

/// A folder that holds records or principals' lists.
enum Shard {
    Records(String),
    Lists(String),
}

struct Pass {
    next_step: Timestamp,
    /// The rest of the present pass.
    shards: VecDeque<Shard>,
    shards_per_step: usize,
}

impl BackgroundSweep {
    pub(super) fn new(interval: Option<Duration>, now: Timestamp) -> Self {
        Self {
            interval,
            slot: Arc::new(Semaphore::new(1)),
            pass: Mutex::new(Pass {
                next_step: now,
                shards: VecDeque::new(),
                shards_per_step: 1,
            }),
        }
    }

    /// The permit to take a step, if one is due.
    pub(super) fn due(&self, now: Timestamp) -> Option<OwnedSemaphorePermit> {
        let pause = self.interval? / STEPS_PER_PASS;
        let permit = Arc::clone(&self.slot).try_acquire_owned().ok()?;
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back must not stop the sweep until it has caught up.
        let is_waiting = now < pass.next_step && pass.next_step <= now + pause;
        if is_waiting {
            return None;
        }
        pass.next_step = now + pause;
        Some(permit)
    }

    /// Takes a step, with the permit from [`due`](Self::due).
    pub(super) fn step(&self, root: &Root) {
        if let Err(error) = self.try_step(root) {
            tracing::warn!(
                target: "session_runtime",
                event = "sweep-failed",
                error = &error as &dyn std::error::Error,
                "cannot sweep the session store"
            );
        }
    }

    fn try_step(&self, root: &Root) -> Result<(), StoreError> {
        sweep_leftovers(root)?;
        for shard in self.next_shards(root)? {
            match shard {
                Shard::Records(shard) => sweep_records(root, &shard).map(drop)?,
                Shard::Lists(shard) => sweep_entries(root, &shard)?,
            }
        }
        Ok(())
    }

    fn next_shards(&self, root: &Root) -> Result<Vec<Shard>, StoreError> {
        let lock = || self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().shards.is_empty() {
            // The records before the lists, which lose the entries of sessions that are gone.
            let own = root.shards()?.into_iter().map(Shard::Records);
            let index = root.index_shards()?.into_iter().map(Shard::Lists);
            let mut shards: VecDeque<Shard> = own.chain(index).collect();
            if !shards.is_empty() {
                // A program that is restarted often must not begin with the same ones every time.
                let first = root.now().as_millis() % shards.len() as u64;
                shards.rotate_left(first as usize);
            }
            let mut pass = lock();
            pass.shards_per_step = shards.len().div_ceil(STEPS_PER_PASS as usize);
            pass.shards = shards;
        }
        let mut pass = lock();
        let count = pass.shards_per_step.min(pass.shards.len());
        Ok(pass.shards.drain(..count).collect())
    }
}
