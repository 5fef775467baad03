//! Principals' lists: a folder for each principal, and in it a file for each listed session.
//!
//! 1. The name is the entry. The content only adds which commit listed the session, when, and
//!    until when: the byte form of a [`PrincipalList`] with this one entry. A session whose file
//!    cannot be read is listed all the same, without an end.
//! 2. The lists in one folder share one lock. It is held while one of them is read or changed, by a
//!    commit until its record is written. So nothing but a crash comes between a commit's changes
//!    of lists and of its record.
//! 3. A session is listed before its record changes and taken off afterwards. So a crash or a full
//!    disk leaves an entry too many, and never one too few.
//! 4. The truth is in the records: which principals a session has. A sweep makes the lists agree
//!    with them.

use std::fs::File;
use std::io::Read;
use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::error::failed;
use super::folder::{Entry, Folder, Subfolder};
use super::name::{PrincipalName, RecordName};
use super::new_file::NewFile;
use super::root::Root;
use crate::clock::Timestamp;
use crate::store::{
    Commit, ListChange, ListEntry, Listing, PrincipalKey, PrincipalList, StoreError, StoreErrorKind,
};
use crate::token::{CommitId, SessionId, write_base64};

/// No more of an entry is read: many times what one needs.
const LARGEST_ENTRY: u64 = 4096;

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
            // What cannot be removed is an entry too many.
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

/// A principal's list. Its lock is held as long as this lives.
struct List {
    name: PrincipalName,
    shard: Rc<LockedShard>,
}

struct LockedShard {
    folder: Folder,
    /// The lock is held as long as this is open.
    _lock: File,
}

impl LockedShard {
    fn new(folder: Folder) -> Result<Self, StoreError> {
        let lock = folder.lock_all()?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// The same without waiting; `None` when the lock is held.
    fn try_new(folder: Folder) -> Result<Option<Self>, StoreError> {
        let lock = folder.try_lock_all()?;
        Ok(lock.map(|lock| Self {
            folder,
            _lock: lock,
        }))
    }
}

impl List {
    /// Locks a list; `None` when no list was ever in its folder.
    fn lock_existing(root: &Root, name: PrincipalName) -> Result<Option<Self>, StoreError> {
        match root.index_shard(name.shard())? {
            Some(folder) => {
                let shard = Rc::new(LockedShard::new(folder)?);
                Ok(Some(Self { name, shard }))
            }
            None => {
                root.check_presence()?;
                Ok(None)
            }
        }
    }

    fn folder(&self) -> Result<Option<Folder>, StoreError> {
        principal_folder(&self.shard.folder, &self.name)
    }

    fn make_folder(&self, root: &Root) -> Result<Folder, StoreError> {
        loop {
            if let Some(folder) = self.folder()? {
                return Ok(folder);
            }
            self.shard.folder.create_subfolder(self.name.as_str())?;
            root.sync_names(&self.shard.folder)?;
        }
    }

    /// All entries.
    fn read(&self) -> Result<PrincipalList, StoreError> {
        let mut list = PrincipalList::new(*self.name.principal());
        if let Some(folder) = self.folder()? {
            for session in sessions_in(&folder)? {
                let entry = read_entry(&folder, &self.name, &session)?;
                list.entries.extend(entry);
            }
        }
        Ok(list)
    }

    fn read_entry(&self, session: &SessionId) -> Result<Option<ListEntry>, StoreError> {
        match self.folder()? {
            Some(folder) => read_entry(&folder, &self.name, session),
            None => Ok(None),
        }
    }

    fn write<'a>(
        &self,
        root: &Root,
        entry: &ListEntry,
        temporary: &'a Folder,
    ) -> Result<NewFile<'a>, StoreError> {
        let mut list = PrincipalList::new(*self.name.principal());
        list.insert(*entry);
        let mut file = NewFile::create(temporary)?;
        file.write(&list.to_bytes(), None, root.durability())?;
        Ok(file)
    }

    fn publish(
        &self,
        root: &Root,
        session: &SessionId,
        file: NewFile<'_>,
    ) -> Result<(), StoreError> {
        let folder = self.make_folder(root)?;
        file.replace(&folder, RecordName::of(session).as_str())?;
        root.sync_names(&folder)
    }

    /// Removes an entry, and the folder with the last one. The disk need not have it: an entry that
    /// comes back after a power cut is one too many.
    fn remove(&self, session: &SessionId) -> Result<(), StoreError> {
        let Some(folder) = self.folder()? else {
            return Ok(());
        };
        folder.remove_if_there(RecordName::of(session).as_str())?;
        self.remove_folder_if_empty()
    }

    fn remove_folder_if_empty(&self) -> Result<(), StoreError> {
        let name = self.name.as_str();
        self.shard.folder.remove_subfolder_if_empty(name)
    }
}

/// The folder with a principal's entries, if there is one.
fn principal_folder(shard: &Folder, name: &PrincipalName) -> Result<Option<Folder>, StoreError> {
    match shard.subfolder(name.as_str())? {
        Subfolder::Folder(folder) => Ok(Some(folder)),
        Subfolder::Absent => Ok(None),
        // Not an empty list: sessions that cannot be found cannot be revoked.
        Subfolder::NotAFolder => Err(StoreError::with_source(
            StoreErrorKind::Corrupt,
            "something that is no folder has the name of a principal's list; remove it, and a \
             sweep lists the principal's sessions again",
        )),
    }
}

fn sessions_in(folder: &Folder) -> Result<Vec<SessionId>, StoreError> {
    let names = folder.names()?;
    let sessions = names.iter().filter_map(|name| RecordName::parse(name));
    Ok(sessions.map(|name| *name.session()).collect())
}

/// Reads an entry; `None` when nothing has its name.
fn read_entry(
    folder: &Folder,
    name: &PrincipalName,
    session: &SessionId,
) -> Result<Option<ListEntry>, StoreError> {
    let mut bytes = Vec::new();
    match folder.open_file(RecordName::of(session).as_str())? {
        Entry::Absent => return Ok(None),
        Entry::NotAFile => {}
        Entry::File(file) => {
            file.take(LARGEST_ENTRY)
                .read_to_end(&mut bytes)
                .map_err(failed("read an entry", folder.path()))?;
        }
    }
    parse_entry(&bytes, name.principal(), session)
        .map_or_else(|| unreadable_entry(&bytes, session), Ok)
        .map(Some)
}

fn parse_entry(bytes: &[u8], principal: &PrincipalKey, session: &SessionId) -> Option<ListEntry> {
    let list = PrincipalList::from_bytes(bytes).ok()?;
    let entry = list.get(session)?;
    (list.principal == *principal && list.entries.len() == 1).then_some(*entry)
}

/// The entry of a file whose content says nothing. Its mark comes from the content, so it changes
/// when the session is listed anew.
fn unreadable_entry(bytes: &[u8], session: &SessionId) -> Result<ListEntry, StoreError> {
    let digest = Sha256::digest(bytes);
    let mark = Base64(&digest[..6]).to_string().parse::<CommitId>();
    let mark = mark.map_err(|error| StoreError::with_source(StoreErrorKind::Corrupt, error))?;
    Ok(ListEntry::new(*session, mark, Timestamp::from_millis(0)))
}

struct Base64<'a>(&'a [u8]);

impl std::fmt::Display for Base64<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_base64(f, self.0)
    }
}
