//! Principals' lists: what a commit, a listing and a sweep do to them.
//!
//! 1. The lists in one folder share one lock. It is held while one of them is read or changed, by a
//!    commit until its record is written. So nothing but a crash comes between a commit's changes
//!    of lists and of its record.
//! 2. A session is listed before its record changes and taken off afterwards. So a crash or a full
//!    disk leaves an entry too many, and never one too few.
//! 3. The truth is in the records: which principals a session has. A sweep makes the lists agree
//!    with them.

use std::rc::Rc;

use super::folder::Folder;
use super::list::{List, LockedShard, principal_folder, sessions_in};
use super::name::{PrincipalName, RecordName};
use super::new_file::NewFile;
use super::root::Root;
use crate::store::{
    Commit, ListChange, ListEntry, Listing, PrincipalKey, PrincipalList, StoreError,
};
use crate::token::SessionId;

/// The sessions listed under a principal.
pub(super) fn list(root: &Root, principal: &PrincipalKey) -> Result<Listing, StoreError> {
    let name = PrincipalName::of(principal);
    let list = match List::lock_existing(root, name)? {
        Some(list) => list.read()?,
        None => PrincipalList::new(*principal),
    };
    Ok(list.listing(root.now()))
}

/// Removes an entry if it is still the one that was seen.
pub(super) fn remove_stale(
    root: &Root,
    principal: &PrincipalKey,
    stale: &ListEntry,
) -> Result<(), StoreError> {
    let name = PrincipalName::of(principal);
    if let Some(list) = List::lock_existing(root, name)?
        && let Some(entry) = list.read_entry(&stale.session)?
        && entry.is_same(stale)
    {
        list.remove(&stale.session)?;
    }
    Ok(())
}

/// The lists that a commit changes, locked.
pub(super) struct CommitLists<'a> {
    root: &'a Root,
    session: SessionId,
    lists: Vec<List>,
    /// Whether others' entries matter to the commit, for each list.
    is_limited: Vec<bool>,
}

impl<'a> CommitLists<'a> {
    /// Locks the lists, in the order in which every commit locks them.
    pub(super) fn lock(root: &'a Root, commit: &Commit) -> Result<Self, StoreError> {
        let mut lists: Vec<List> = Vec::new();
        let mut is_limited = Vec::new();
        for principal in commit.principals() {
            let changes = commit.lists.iter();
            let additions = changes.filter_map(|change| match change {
                ListChange::Add { limit, .. } if *change.principal() == principal => Some(limit),
                _ => None,
            });
            let additions: Vec<_> = additions.collect();
            let name = PrincipalName::of(&principal);
            let shard = match lists.last() {
                Some(last) if last.name.shard() == name.shard() => Rc::clone(&last.shard),
                _ if additions.is_empty() => match root.index_shard(name.shard())? {
                    Some(folder) => Rc::new(LockedShard::new(folder)?),
                    // There is no entry to remove, and a logout needs no room on the disk.
                    None => continue,
                },
                _ => Rc::new(LockedShard::new(root.make_index_shard(&name)?)?),
            };
            is_limited.push(additions.iter().any(|limit| limit.is_some()));
            lists.push(List { name, shard });
        }
        Ok(Self {
            root,
            session: commit.session,
            lists,
            is_limited,
        })
    }

    /// The lists as far as the commit needs them: without a limit, the session's own entry.
    pub(super) fn read(&self) -> Result<Vec<PrincipalList>, StoreError> {
        let lists = self.lists.iter().zip(&self.is_limited);
        let read = lists.map(|(list, is_limited)| {
            if *is_limited {
                return list.read();
            }
            let mut read = PrincipalList::new(*list.name.principal());
            read.entries.extend(list.read_entry(&self.session)?);
            Ok(read)
        });
        read.collect()
    }

    /// The session's entry on each of these lists.
    pub(super) fn own_entries(&self, lists: &[PrincipalList]) -> Vec<Option<ListEntry>> {
        let own = |list: &PrincipalList| list.get(&self.session).copied();
        lists.iter().map(own).collect()
    }

    /// Writes the entries that are new, without their names.
    pub(super) fn stage<'b>(
        &'b self,
        before: &[Option<ListEntry>],
        after: &[Option<ListEntry>],
        temporary: &'b Folder,
    ) -> Result<StagedEntries<'b>, StoreError> {
        let mut staged = StagedEntries {
            root: self.root,
            session: self.session,
            files: Vec::new(),
        };
        for ((list, before), after) in self.lists.iter().zip(before).zip(after) {
            if let Some(entry) = after
                && before != after
            {
                let file = list.write(self.root, entry, temporary)?;
                staged.files.push((list, before.is_some(), file));
            }
        }
        Ok(staged)
    }

    /// Takes the session off the lists that it leaves, once its record says so.
    pub(super) fn take_off(&self, before: &[Option<ListEntry>], after: &[Option<ListEntry>]) {
        for ((list, before), after) in self.lists.iter().zip(before).zip(after) {
            if before.is_some() && after.is_none() {
                // The commit is done, so this cannot fail any more: the entry is one too many.
                let _ = list.remove(&self.session);
            }
        }
    }
}

/// Entries that are written and do not have their names yet.
pub(super) struct StagedEntries<'a> {
    root: &'a Root,
    session: SessionId,
    /// The list, whether the session is on it already, and the new entry.
    files: Vec<(&'a List, bool, NewFile<'a>)>,
}

impl<'a> StagedEntries<'a> {
    /// From now on the session is listed. A failure leaves the lists as they were.
    pub(super) fn publish(self) -> Result<PublishedEntries<'a>, StoreError> {
        let mut published = PublishedEntries {
            session: self.session,
            added: Vec::new(),
        };
        for (list, was_listed, file) in self.files {
            if !was_listed {
                published.added.push(list);
            }
            if let Err(error) = list.publish(self.root, &self.session, file) {
                published.undo();
                return Err(error);
            }
        }
        Ok(published)
    }
}

/// Entries that have their names, of a session whose record does not say so yet.
pub(super) struct PublishedEntries<'a> {
    session: SessionId,
    added: Vec<&'a List>,
}

impl PublishedEntries<'_> {
    /// Takes the session off the lists again, after a failure to write its record.
    pub(super) fn undo(self) {
        for list in self.added {
            // An entry that cannot be removed is one too many, which a list allows.
            let _ = list.remove(&self.session);
        }
    }
}

/// Moves an entry's modification time to the present, so that what removes old files spares it;
/// `false` when there is no such entry.
pub(super) fn refresh(
    root: &Root,
    principal: &PrincipalKey,
    session: &SessionId,
) -> Result<bool, StoreError> {
    let name = PrincipalName::of(principal);
    let Some(shard) = root.index_shard(name.shard())? else {
        root.check_presence()?;
        return Ok(false);
    };
    match principal_folder(&shard, &name)? {
        Some(folder) => folder.refresh(RecordName::of(session).as_str()),
        None => Ok(false),
    }
}

/// Writes an entry that was lost, if `find` answers it under the list's lock; answers whether it
/// did. While the lock is held elsewhere nothing happens.
pub(super) fn restore(
    root: &Root,
    principal: &PrincipalKey,
    session: &SessionId,
    find: impl FnOnce() -> Result<Option<ListEntry>, StoreError>,
) -> Result<bool, StoreError> {
    let name = PrincipalName::of(principal);
    let Some(shard) = LockedShard::try_new(root.make_index_shard(&name)?)? else {
        return Ok(false);
    };
    let shard = Rc::new(shard);
    let list = List { name, shard };
    if list.read_entry(session)?.is_some() {
        return Ok(false);
    }
    let Some(entry) = find()? else {
        return Ok(false);
    };
    let temporary = root.temporary()?;
    let file = list.write(root, &entry, &temporary)?;
    list.publish(root, session, file)?;
    Ok(true)
}

/// Removes the entries in one folder of lists that are not `justified`, which is asked with and
/// without the lock.
pub(super) fn sweep(
    root: &Root,
    shard: &str,
    justified: impl Fn(&PrincipalKey, &SessionId) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let Some(folder) = root.index_shard(shard)? else {
        return Ok(());
    };
    folder.refresh_lock()?;
    for name in folder.names()? {
        let Some(name) = PrincipalName::parse(&name) else {
            continue;
        };
        if let Err(error) = sweep_list(root, shard, &folder, name, &justified) {
            tracing::warn!(
                target: "session_runtime",
                event = "sweep-failed",
                error = &error as &dyn std::error::Error,
                "cannot sweep a principal's list"
            );
        }
    }
    Ok(())
}

fn sweep_list(
    root: &Root,
    shard: &str,
    folder: &Folder,
    name: PrincipalName,
    justified: impl Fn(&PrincipalKey, &SessionId) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    let Some(entries) = principal_folder(folder, &name)? else {
        return Ok(());
    };
    let sessions = sessions_in(&entries)?;
    let is_empty = sessions.is_empty();
    let mut suspects = Vec::new();
    for session in sessions {
        if !justified(name.principal(), &session)? {
            suspects.push(session);
        }
    }
    if suspects.is_empty() && !is_empty {
        return Ok(());
    }
    let Some(folder) = root.index_shard(shard)? else {
        return Ok(());
    };
    let Some(shard) = LockedShard::try_new(folder)? else {
        return Ok(());
    };
    let shard = Rc::new(shard);
    let list = List { name, shard };
    for session in suspects {
        if !justified(list.name.principal(), &session)? {
            list.remove(&session)?;
        }
    }
    list.remove_folder_if_empty()
}
