//! One principal's list on the disk: a folder, and in it a file for each listed session.
//!
//! The name is the entry. The content only adds which commit listed the session, when, and until
//! when: the byte form of a [`PrincipalList`] with this one entry. A session whose file cannot be
//! read is listed all the same, without an end.

use std::fmt;
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
use crate::store::{ListEntry, PrincipalKey, PrincipalList, StoreError, StoreErrorKind};
use crate::token::{CommitId, SessionId, write_base64};

/// No more of an entry is read: many times what one needs.
const LARGEST_ENTRY: u64 = 4096;

/// A principal's list. Its lock is held as long as this lives.
pub(super) struct List {
    pub(super) name: PrincipalName,
    pub(super) shard: Rc<LockedShard>,
}

/// A folder of lists, locked.
pub(super) struct LockedShard {
    folder: Folder,
    /// The lock is held as long as this is open.
    _lock: File,
}

impl LockedShard {
    /// Waits for the lock.
    pub(super) fn new(folder: Folder) -> Result<Self, StoreError> {
        let lock = folder.lock_all()?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// The same without waiting; `None` when the lock is held.
    pub(super) fn try_new(folder: Folder) -> Result<Option<Self>, StoreError> {
        let lock = folder.try_lock_all()?;
        Ok(lock.map(|lock| Self {
            folder,
            _lock: lock,
        }))
    }
}

impl List {
    /// Locks a list; `None` when no list was ever in its folder.
    pub(super) fn lock_existing(
        root: &Root,
        name: PrincipalName,
    ) -> Result<Option<Self>, StoreError> {
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
    pub(super) fn read(&self) -> Result<PrincipalList, StoreError> {
        let mut list = PrincipalList::new(*self.name.principal());
        if let Some(folder) = self.folder()? {
            for session in sessions_in(&folder)? {
                let entry = read_entry(&folder, &self.name, &session)?;
                list.entries.extend(entry);
            }
        }
        Ok(list)
    }

    /// The entry of a session, if it is listed.
    pub(super) fn read_entry(&self, session: &SessionId) -> Result<Option<ListEntry>, StoreError> {
        match self.folder()? {
            Some(folder) => read_entry(&folder, &self.name, session),
            None => Ok(None),
        }
    }

    /// Writes an entry, without its name.
    pub(super) fn write<'a>(
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

    /// Gives an entry its name; from now on the session is listed.
    pub(super) fn publish(
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
    pub(super) fn remove(&self, session: &SessionId) -> Result<(), StoreError> {
        let Some(folder) = self.folder()? else {
            return Ok(());
        };
        folder.remove_if_there(RecordName::of(session).as_str())?;
        self.remove_folder_if_empty()
    }

    pub(super) fn remove_folder_if_empty(&self) -> Result<(), StoreError> {
        let name = self.name.as_str();
        self.shard.folder.remove_subfolder_if_empty(name)
    }
}

/// The folder with a principal's entries, if there is one.
pub(super) fn principal_folder(
    shard: &Folder,
    name: &PrincipalName,
) -> Result<Option<Folder>, StoreError> {
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

/// The sessions that have an entry in a principal's folder.
pub(super) fn sessions_in(folder: &Folder) -> Result<Vec<SessionId>, StoreError> {
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

impl fmt::Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base64(f, self.0)
    }
}
