//! One commit: locks, [`Commit::apply`], and the files in an order that may end anywhere.
//!
//! The order is that of [`Touched`]: the lists in the order of their names, then the record, then
//! the clock; new entries, the record, removed entries. All is written before anything gets its
//! name, so a full disk changes nothing.

use super::entries::CommitLists;
use super::folder::Entry;
use super::name::RecordName;
use super::records;
use super::root::Root;
use crate::store::{Action, Commit, Outcome, StoreError, TextError, Touched};

/// Applies a commit.
pub(super) fn commit(root: &Root, commit: &Commit) -> Result<Outcome, StoreError> {
    let lists = CommitLists::lock(root, commit)?;
    loop {
        if let Some(outcome) = try_commit(root, commit, &lists)? {
            return Ok(outcome);
        }
    }
}

/// `None` when the session was created by another commit in the meantime.
fn try_commit(
    root: &Root,
    commit: &Commit,
    lists: &CommitLists<'_>,
) -> Result<Option<Outcome>, StoreError> {
    let creates = matches!(commit.action, Action::Create { .. });
    let name = RecordName::of(&commit.session);
    let shard = if creates {
        root.make_shard(&name)?
    } else if let Some(shard) = root.shard(&name)? {
        shard
    } else {
        root.check_presence()?;
        return Ok(Some(Outcome::Gone));
    };
    // The lock is held as long as this file is open.
    let (file, record) = match shard.lock(name.as_str())? {
        Entry::File(file) => match records::read(root, &name, &file)? {
            Ok(record) => (Some(file), Some(record)),
            Err(TextError::Damaged(reason)) => {
                records::move_to_damaged(root, &shard, &name, reason)?;
                (None, None)
            }
            Err(other_version) => return Err(records::corrupt(other_version)),
        },
        Entry::NotAFile => {
            records::report_not_a_file(&commit.session);
            return Ok(Some(if creates {
                Outcome::IdTaken
            } else {
                Outcome::Gone
            }));
        }
        Entry::Absent => {
            root.check_presence()?;
            (None, None)
        }
    };

    let mut touched = Touched::new(record, lists.read()?);
    let before = lists.own_entries(&touched.lists);
    let outcome = commit.apply(&mut touched, root.now());
    if !matches!(outcome, Outcome::Applied(_)) {
        return Ok(Some(outcome));
    }
    if let (Some(record), Some(file)) = (&touched.record, &file)
        && commit.is_touch()
        && commit.changes.is_empty()
        && records::touch(root, &shard, file, record.header.seen)?
    {
        return Ok(Some(outcome));
    }

    let temporary = root.temporary()?;
    let after = lists.own_entries(&touched.lists);
    let entries = lists.stage(&before, &after, &temporary)?;
    let new = match &touched.record {
        Some(record) => Some(records::write(root, &temporary, record)?),
        None => None,
    };
    let entries = entries.publish()?;
    let written = match (new, &file) {
        (Some(new), Some(_)) => new.replace(&shard, name.as_str()).map(|()| true),
        (Some(new), None) => new.link(&shard, name.as_str()),
        (None, Some(_)) => shard.remove(name.as_str()).map(|()| true),
        (None, None) => Ok(true),
    };
    match written {
        Ok(true) => {}
        Ok(false) => {
            entries.undo();
            return Ok(None);
        }
        Err(error) => {
            entries.undo();
            return Err(error);
        }
    }
    root.sync_commit(&shard)?;
    lists.take_off(&before, &after);
    Ok(Some(outcome))
}
