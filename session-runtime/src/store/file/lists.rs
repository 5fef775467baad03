//! The index of principals: one list per principal, in blocking calls.
//!
//! 1. Whoever reads or changes a list holds the lock of its folder. A commit takes the locks of all
//!    its lists, in the order of their names, before the record's, and holds them to its end; so
//!    what a list and the records say changes in one step for everybody but a crash.
//! 2. A session is listed before its record changes and taken off afterwards. So a crash or a full
//!    disk leaves an entry too many, which is removed where it is noticed, and never one too few.
//! 3. A list that is damaged is made anew from the records, which say who belongs to whom.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::rc::Rc;

use super::error::failed;
use super::folder::{Entry, Folder};
use super::format::FormatError;
use super::list::{List, Listed};
use super::name::{ListName, RecordName, random_name};
use super::new_file::NewFile;
use super::records::{LARGEST_FILE, Records, corrupt};
use crate::clock::Timestamp;
use crate::store::{
    Commit, IndexChange, IndexEntries, IndexEntry, Outcome, PrincipalKey, Record, StoreError,
    StoreErrorKind,
};
use crate::token::{CommitId, SessionId};

/// The lists that a commit names, locked.
pub(super) struct Lists<'a> {
    records: &'a Records,
    lists: Vec<LockedList>,
}

struct LockedList {
    principal: PrincipalKey,
    name: ListName,
    folder: Rc<LockedFolder>,
    /// What the file says.
    list: List,
}

struct LockedFolder {
    folder: Folder,
    /// The lock is held as long as this is open.
    _lock: File,
}

/// Lists that are written and have not got their names yet.
pub(super) struct StagedLists<'a> {
    records: &'a Records,
    files: Vec<(&'a LockedList, NewFile<'a>)>,
}

impl Lists<'_> {
    /// What a commit comes to without changing anything: what its session alone says comes before
    /// the limits.
    pub(super) fn refuse(
        &self,
        record: Option<&Record>,
        commit: &Commit,
        now: Timestamp,
    ) -> Option<Outcome> {
        if self.lists.is_empty() {
            return None;
        }
        let exceeded = || {
            let is_full = |change: &&IndexChange| {
                let mut lists = self.lists.iter();
                let of = lists.find(|locked| locked.principal == *change.principal());
                of.is_some_and(|locked| locked.list.is_full_for(commit, change, now))
            };
            let principal = *commit.index.iter().find(is_full)?.principal();
            Some(Outcome::LimitReached { principal })
        };
        Record::precheck(record, commit, now).or_else(exceeded)
    }

    /// Writes the lists that get an entry.
    pub(super) fn stage<'a>(
        &'a self,
        commit: &Commit,
        now: Timestamp,
        temporary: &'a Folder,
    ) -> Result<StagedLists<'a>, StoreError> {
        let mut files = Vec::new();
        for locked in &self.lists {
            let list = locked.after(commit, now);
            if list.holds(&commit.session) {
                files.push((locked, self.records.write_list(temporary, &list)?));
            }
        }
        Ok(StagedLists {
            records: self.records,
            files,
        })
    }

    /// Takes the session off the lists that it leaves, once its record says so.
    pub(super) fn take_off(&self, commit: &Commit, now: Timestamp) {
        for locked in &self.lists {
            let list = locked.after(commit, now);
            if !list.holds(&commit.session) {
                // The commit is done, so this cannot fail any more: the entry is one too many.
                let _ = self.records.put_list(locked, &list);
            }
        }
    }

    /// Makes all lists what they were.
    pub(super) fn restore(&self) -> Result<(), StoreError> {
        let temporary = self.records.root().temporary()?;
        for LockedList {
            name, folder, list, ..
        } in &self.lists
        {
            let folder = &folder.folder;
            if !list.is_empty() {
                let file = self.records.write_list(&temporary, list)?;
                file.replace(folder, name.as_str())?;
            } else if matches!(folder.open_file(name.as_str())?, Entry::File(_)) {
                folder.remove(name.as_str())?;
            }
            self.records.sync_names(folder)?;
        }
        Ok(())
    }
}

impl LockedList {
    fn after(&self, commit: &Commit, now: Timestamp) -> List {
        let mut list = self.list.clone();
        list.reclaim(now);
        list.apply(&self.principal, commit, now);
        list
    }
}

impl StagedLists<'_> {
    /// From now on the session is listed.
    pub(super) fn publish(self) -> Result<(), StoreError> {
        for (locked, file) in self.files {
            let folder = &locked.folder.folder;
            file.replace(folder, locked.name.as_str())?;
            self.records.sync_names(folder)?;
        }
        Ok(())
    }
}

impl Records {
    /// Locks and reads the lists that a commit changes.
    pub(super) fn lock_lists(&self, commit: &Commit) -> Result<Lists<'_>, StoreError> {
        let changes = commit.index.iter();
        let principals: BTreeSet<PrincipalKey> =
            changes.map(|change| *change.principal()).collect();
        let mut lists: Vec<LockedList> = Vec::new();
        // Their order is the one of the names: whoever needs several locks waits in this order.
        for principal in principals {
            let name = ListName::of(&principal);
            let folder = match lists.last() {
                Some(last) if last.name.shard() == name.shard() => Rc::clone(&last.folder),
                _ => Rc::new(LockedFolder::of(self.root().make_index_shard(&name)?)?),
            };
            lists.push(self.locked_list(principal, name, folder)?);
        }
        Ok(Lists {
            records: self,
            lists,
        })
    }

    /// The sessions listed under a principal.
    pub(super) fn index(&self, principal: &PrincipalKey) -> Result<IndexEntries, StoreError> {
        let list = self.lock_list(principal)?;
        let now = self.now();
        let entries = list.map_or_else(Vec::new, |locked| locked.list.entries(now));
        Ok(IndexEntries::new(entries, now))
    }

    pub(super) fn forget(
        &self,
        principal: &PrincipalKey,
        stale: &IndexEntry,
    ) -> Result<(), StoreError> {
        let Some(locked) = self.lock_list(principal)? else {
            return Ok(());
        };
        let mut list = locked.list.clone();
        list.forget(stale);
        self.put_list(&locked, &list)
    }

    /// Drops from the lists of one folder what has ended, and the sessions that do not exist.
    pub(super) fn sweep_lists(&self, shard: &str) -> Result<(), StoreError> {
        let Some(folder) = self.root().index_shard(shard)? else {
            return Ok(());
        };
        for name in folder.names()? {
            if let Some(name) = ListName::parse(&name)
                && let Err(error) = self.sweep_list(&folder, &name)
            {
                tracing::warn!(
                    target: "session_runtime",
                    event = "sweep-failed",
                    error = &error as &dyn std::error::Error,
                    "cannot sweep a list of the index"
                );
            }
        }
        Ok(())
    }

    /// As for a record: looked at without the lock, and judged again with it.
    fn sweep_list(&self, folder: &Folder, name: &ListName) -> Result<(), StoreError> {
        if self.swept(folder, name)?.is_none() {
            return Ok(());
        }
        let Some(_lock) = folder.try_lock_all()? else {
            return Ok(());
        };
        match self.swept(folder, name)? {
            Some(list) if list.is_empty() => folder.remove(name.as_str()),
            Some(list) => {
                let temporary = self.root().temporary()?;
                let file = self.write_list(&temporary, &list)?;
                file.replace(folder, name.as_str())
            }
            None => Ok(()),
        }
    }

    /// What a list should be; `None` when it is that. What is damaged waits for a call that needs
    /// it, because making it anew takes long.
    fn swept(&self, folder: &Folder, name: &ListName) -> Result<Option<List>, StoreError> {
        let Entry::File(file) = folder.open_file(name.as_str())? else {
            return Ok(None);
        };
        let Ok(list) = self.parse_list(&file)? else {
            return Ok(None);
        };
        let mut swept = list.clone();
        swept.reclaim(self.now());
        for session in list.sessions() {
            if !self.exists(session)? {
                swept.remove(session);
            }
        }
        Ok((swept != list || swept.is_empty()).then_some(swept))
    }

    /// Locks and reads a list; `None` when no list was ever in its folder.
    fn lock_list(&self, principal: &PrincipalKey) -> Result<Option<LockedList>, StoreError> {
        let name = ListName::of(principal);
        match self.root().index_shard(name.shard())? {
            Some(folder) => {
                let folder = Rc::new(LockedFolder::of(folder)?);
                let list = self.locked_list(*principal, name, folder)?;
                Ok(Some(list))
            }
            None => {
                self.root().check_presence()?;
                Ok(None)
            }
        }
    }

    fn locked_list(
        &self,
        principal: PrincipalKey,
        name: ListName,
        folder: Rc<LockedFolder>,
    ) -> Result<LockedList, StoreError> {
        let list = match folder.folder.open_file(name.as_str())? {
            Entry::File(file) => match self.parse_list(&file)? {
                Ok(list) => list,
                Err(FormatError::Damaged(reason)) => {
                    self.make_anew(&principal, &folder.folder, &name, reason)?
                }
                Err(newer) => return Err(corrupt(newer)),
            },
            // Not an empty list: sessions that nobody can find cannot be revoked.
            Entry::NotAFile => {
                return Err(StoreError::with_source(
                    StoreErrorKind::Corrupt,
                    "something that is no regular file has the name of a list of the index",
                ));
            }
            Entry::Absent => {
                self.root().check_presence()?;
                List::default()
            }
        };
        Ok(LockedList {
            principal,
            name,
            folder,
            list,
        })
    }

    fn parse_list(&self, file: &File) -> Result<Result<List, FormatError>, StoreError> {
        let mut bytes = Vec::new();
        let read = file.take(LARGEST_FILE + 1).read_to_end(&mut bytes);
        let length = read.map_err(failed("read a list of the index", self.root().path()))?;
        Ok(if length as u64 > LARGEST_FILE {
            Err(FormatError::Damaged("the file is too large"))
        } else {
            List::parse(&bytes)
        })
    }

    fn write_list<'a>(
        &self,
        temporary: &'a Folder,
        list: &List,
    ) -> Result<NewFile<'a>, StoreError> {
        let text = list.to_text();
        if text.len() as u64 > LARGEST_FILE {
            return Err(StoreError::with_source(
                StoreErrorKind::Full,
                "the list of a principal's sessions is larger than 16 MiB",
            ));
        }
        let mut file = NewFile::create(temporary)?;
        file.write(text.as_bytes(), None, self.durability)?;
        Ok(file)
    }

    /// Writes what has become of a list; one without entries has no file.
    fn put_list(&self, before: &LockedList, list: &List) -> Result<(), StoreError> {
        if *list == before.list {
            return Ok(());
        }
        let (folder, name) = (&before.folder.folder, before.name.as_str());
        if list.is_empty() {
            folder.remove(name)?;
        } else {
            let temporary = self.root().temporary()?;
            self.write_list(&temporary, list)?.replace(folder, name)?;
        }
        self.sync_names(folder)
    }

    /// Makes a damaged list anew and keeps the damaged one aside.
    ///
    /// Who holds the list's lock may believe the records: none of them becomes the principal's
    /// meanwhile.
    fn make_anew(
        &self,
        principal: &PrincipalKey,
        folder: &Folder,
        name: &ListName,
        reason: &'static str,
    ) -> Result<List, StoreError> {
        let now = self.now();
        let mut list = List::default();
        for shard in self.root().shards()? {
            let Some(shard) = self.root().shard_named(&shard)? else {
                continue;
            };
            for record_name in shard.names()? {
                if let Some(session) = RecordName::parse(&record_name)
                    && let Some(record) = self.load(session.session())?
                    && !record.is_expired(now)
                    && is_of(&record, principal)
                {
                    let mark = CommitId::generate()
                        .map_err(std::io::Error::other)
                        .map_err(failed("name a commit", folder.path()))?;
                    let listed = Listed {
                        mark,
                        added: record.header.rotated,
                        // It goes with the session.
                        until: None,
                    };
                    list.insert(*session.session(), listed);
                }
            }
        }

        let (temporary, damaged) = (self.root().temporary()?, self.root().damaged()?);
        let suffix = random_name::<4>().map_err(failed("name a file", damaged.path()))?;
        let aside = format!("{}.{suffix}", name.as_str());
        // A second name first, so that the list is never missing. An empty list is written too: it
        // is no more than a file that the next sweep removes.
        folder.link(name.as_str(), &damaged, &aside)?;
        self.write_list(&temporary, &list)?
            .replace(folder, name.as_str())?;
        self.sync_names(folder)?;
        tracing::warn!(
            target: "session_runtime",
            event = "index-made-anew",
            suffix,
            reason,
            sessions = list.len(),
            "a principal's list of sessions was damaged and has been made anew from the records"
        );
        Ok(list)
    }

    fn exists(&self, session: &SessionId) -> Result<bool, StoreError> {
        let name = RecordName::of(session);
        match self.root().shard(&name)? {
            Some(shard) => Ok(matches!(shard.open_file(name.as_str())?, Entry::File(_))),
            None => {
                self.root().check_presence()?;
                Ok(false)
            }
        }
    }
}

impl LockedFolder {
    fn of(folder: Folder) -> Result<Self, StoreError> {
        let lock = folder.lock_all()?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }
}

/// Whether a record has a field that makes it the principal's.
fn is_of(record: &Record, principal: &PrincipalKey) -> bool {
    let mut fields = record.fields.iter();
    fields.any(|(name, field)| PrincipalKey::new(name, &field.value) == *principal)
}
