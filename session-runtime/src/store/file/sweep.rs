//! Removing what has ended, a little at a time.
//!
//! 1. A record is looked at without its lock. Only if there is something to do is it locked (without
//!    waiting: whoever holds it is about to renew or to remove it), read again and judged again. So
//!    a sweep never removes what a commit just renewed, and any number of processes may sweep.
//! 2. In the background a pass over the folder takes as long as the store's sweep interval. It is
//!    cut into steps, each after some commit, of which there is never more than one at a time.
//! 3. A list of the index is treated likewise, with the lock of its folder.
//! 4. One file that cannot be swept is reported and does not keep the others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::folder::{Entry, Folder};
use super::format::{Document, FormatError};
use super::name::RecordName;
use super::records::{Records, report_not_a_file};
use crate::clock::Timestamp;
use crate::store::StoreError;

/// Into how many steps a pass is cut. Of a million sessions each looks at about 4,000.
const STEPS_PER_PASS: u32 = 256;

/// What there is to do about one file.
enum Duty {
    Keep,
    Remove,
    /// The session lives; some of its fields have ended.
    Rewrite(Box<Document>),
    SetAside(&'static str),
}

impl Records {
    /// Sweeps one of the folders that hold records; answers how many records went.
    pub(super) fn sweep_shard(&self, shard: &str) -> Result<u64, StoreError> {
        let Some(shard) = self.root().shard_named(shard)? else {
            return Ok(0);
        };
        let mut removed = 0;
        for name in shard.names()? {
            let Some(name) = RecordName::parse(&name) else {
                continue;
            };
            match self.sweep_record(&shard, &name) {
                Ok(true) => removed += 1,
                Ok(false) => {}
                Err(error) => tracing::warn!(
                    target: "session_runtime",
                    event = "sweep-failed",
                    session = ?name.session(),
                    error = &error as &dyn std::error::Error,
                    "cannot sweep a session record"
                ),
            }
        }
        Ok(removed)
    }

    /// Whether the record was removed.
    fn sweep_record(&self, shard: &Folder, name: &RecordName) -> Result<bool, StoreError> {
        match shard.open_file(name.as_str())? {
            Entry::File(file) => {
                if matches!(self.duty(name, &file)?, Duty::Keep) {
                    return Ok(false);
                }
            }
            Entry::NotAFile => {
                report_not_a_file(name.session());
                return Ok(false);
            }
            Entry::Absent => return Ok(false),
        }
        let Some(file) = shard.try_lock(name.as_str())? else {
            return Ok(false);
        };
        match self.duty(name, &file)? {
            Duty::Keep => Ok(false),
            Duty::Remove => {
                shard.remove(name.as_str())?;
                Ok(true)
            }
            Duty::Rewrite(document) => {
                self.replace(shard, name, &document)?;
                Ok(false)
            }
            Duty::SetAside(reason) => {
                self.set_aside(shard, name, reason)?;
                Ok(false)
            }
        }
    }

    fn duty(&self, name: &RecordName, file: &std::fs::File) -> Result<Duty, StoreError> {
        let mut document = match self.read(name, file)? {
            Ok(document) => document,
            Err(FormatError::Damaged(reason)) => return Ok(Duty::SetAside(reason)),
            Err(FormatError::Newer(_)) => return Ok(Duty::Keep),
        };
        let now = self.now();
        Ok(if document.record.is_expired(now) {
            Duty::Remove
        } else if document.record.reclaim(now) {
            Duty::Rewrite(Box::new(document))
        } else {
            Duty::Keep
        })
    }

    /// Removes what killed processes left of the records that they were writing.
    pub(super) fn sweep_leftovers(&self) -> Result<(), StoreError> {
        let temporary = self.root().temporary()?;
        for name in temporary.names()? {
            // Whoever is still writing holds the lock. It is kept until the file is removed: whoever
            // has just made one waits for it, and then sees that the file has gone.
            if let Some(_lock) = temporary.try_lock(&name)? {
                temporary.remove_if_there(&name)?;
            }
        }
        Ok(())
    }

    /// How many records one of the folders holds.
    pub(super) fn count_shard(&self, shard: &str) -> Result<u64, StoreError> {
        let Some(shard) = self.root().shard_named(shard)? else {
            return Ok(0);
        };
        let names = shard.names()?;
        let records = names.iter().filter_map(|name| RecordName::parse(name));
        Ok(records.count() as u64)
    }
}

/// When the next step in the background is due, and what it sweeps.
pub(super) struct BackgroundSweep {
    /// `None` when there is none.
    interval: Option<Duration>,
    /// Whoever holds the only permit may take a step.
    slot: Arc<Semaphore>,
    pass: Mutex<Pass>,
}

/// A folder that holds records or lists of the index.
enum Shard {
    Records(String),
    Lists(String),
}

struct Pass {
    next_step: Timestamp,
    /// What is left of the present pass.
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

    /// The right to take a step, if one is due.
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

    /// Takes a step. Only whoever got the permit may call this, so the lock is never waited for.
    pub(super) fn step(&self, records: &Records) {
        if let Err(error) = self.try_step(records) {
            tracing::warn!(
                target: "session_runtime",
                event = "sweep-failed",
                error = &error as &dyn std::error::Error,
                "cannot sweep the session store"
            );
        }
    }

    fn try_step(&self, records: &Records) -> Result<(), StoreError> {
        records.sweep_leftovers()?;
        for shard in self.next_shards(records)? {
            match shard {
                Shard::Records(shard) => records.sweep_shard(&shard).map(drop)?,
                Shard::Lists(shard) => records.sweep_lists(&shard)?,
            }
        }
        Ok(())
    }

    fn next_shards(&self, records: &Records) -> Result<Vec<Shard>, StoreError> {
        let lock = || self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        if lock().shards.is_empty() {
            // The records before the lists, which lose the entries of sessions that are gone.
            let own = records.root().shards()?.into_iter().map(Shard::Records);
            let index = records.root().index_shards()?.into_iter().map(Shard::Lists);
            let mut shards: VecDeque<Shard> = own.chain(index).collect();
            if !shards.is_empty() {
                // A program that is restarted often must not begin with the same ones every time.
                let first = records.now().as_millis() % shards.len() as u64;
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
