//! The store's folder as a whole.
//!
//! ```text
//! sessions/.session-store    says that the folder is a session store's, and which layout it has
//! sessions/3fa/3fa85f64…     one record; there are up to 4,096 such folders
//! sessions/index/1a7/1a79a4… one principal's list of sessions; there are up to 4,096 such folders
//! sessions/index/1a7/lock    whoever reads or changes a list in this folder holds its lock
//! sessions/tmp/…             records and lists that are being written
//! sessions/damaged/…         files that were found in the place of a record or list and are none
//! ```

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::Durability;
use super::error::failed;
use super::folder::{Entry, Folder};
use super::name::{ListName, RecordName, is_shard};
use super::new_file::NewFile;
use crate::store::{StoreError, StoreErrorKind};

const MARKER: &str = ".session-store";
const TEMPORARY: &str = "tmp";
const DAMAGED: &str = "damaged";
const INDEX: &str = "index";

const LAYOUT: &str = "session-store 1\n";
const LAYOUT_NAME: &str = "session-store ";
/// A marker is a few words; whatever is longer is none.
const LONGEST_MARKER: u64 = 4096;

/// The store's folder.
pub(super) struct Root {
    path: PathBuf,
    durability: Durability,
}

impl Root {
    /// Opens the folder, or makes it.
    pub(super) fn open(path: &Path, durability: Durability) -> Result<Self, StoreError> {
        create_with_parents(path).map_err(failed("make the folder", path))?;
        // What a relative path means must not change with the working directory.
        let path = fs::canonicalize(path).map_err(failed("open the folder", path))?;
        let root = Self { path, durability };
        let folder = root.folder()?;
        root.claim(&folder)?;
        root.close_to_others()?;
        // Better now than at the first visitor.
        NewFile::create(&root.temporary()?)?.discard();
        Ok(root)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of this record, if there is one.
    pub(super) fn shard(&self, name: &RecordName) -> Result<Option<Folder>, StoreError> {
        self.shard_named(name.shard())
    }

    pub(super) fn shard_named(&self, shard: &str) -> Result<Option<Folder>, StoreError> {
        Folder::open(self.path.join(shard))
    }

    /// The folder of this record, made where it is missing.
    pub(super) fn make_shard(&self, name: &RecordName) -> Result<Folder, StoreError> {
        self.open_or_make(&self.path.join(name.shard()))
    }

    /// The names of the folders that hold records.
    pub(super) fn shards(&self) -> Result<Vec<String>, StoreError> {
        self.check_presence()?;
        self.folder()?.names().map(only_shards)
    }

    /// The folder of this name that holds lists, if there is one.
    pub(super) fn index_shard(&self, shard: &str) -> Result<Option<Folder>, StoreError> {
        Folder::open(self.path.join(INDEX).join(shard))
    }

    /// The folder of this list, made where it is missing.
    pub(super) fn make_index_shard(&self, name: &ListName) -> Result<Folder, StoreError> {
        let index = self.path.join(INDEX);
        self.open_or_make(&index)?;
        self.open_or_make(&index.join(name.shard()))
    }

    /// The names of the folders that hold lists.
    pub(super) fn index_shards(&self) -> Result<Vec<String>, StoreError> {
        self.check_presence()?;
        match Folder::open(self.path.join(INDEX))? {
            Some(index) => index.names().map(only_shards),
            None => Ok(Vec::new()),
        }
    }

    /// Where files are written before they get their name.
    pub(super) fn temporary(&self) -> Result<Folder, StoreError> {
        self.open_or_make(&self.path.join(TEMPORARY))
    }

    /// Where files go that are neither records nor lists.
    pub(super) fn damaged(&self) -> Result<Folder, StoreError> {
        self.open_or_make(&self.path.join(DAMAGED))
    }

    /// Fails when the folder is gone, or when something else is in its place, such as the empty
    /// folder under a volume that is not mounted. Then a missing record says nothing about its
    /// session.
    pub(super) fn check_presence(&self) -> Result<(), StoreError> {
        match self.path.join(MARKER).symlink_metadata() {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let error = io::Error::new(
                    ErrorKind::NotFound,
                    "the store's folder is gone or not mounted",
                );
                Err(failed("find the records", &self.path)(error))
            }
            Err(error) => Err(failed("find the records", &self.path)(error)),
        }
    }

    fn folder(&self) -> Result<Folder, StoreError> {
        let gone = || failed("open the folder", &self.path)(io::Error::from(ErrorKind::NotFound));
        Folder::open(self.path.clone())?.ok_or_else(gone)
    }

    /// Opens a folder below the store's. What is above it must exist.
    fn open_or_make(&self, path: &Path) -> Result<Folder, StoreError> {
        loop {
            if let Some(folder) = Folder::open(path.to_path_buf())? {
                return Ok(folder);
            }
            self.check_presence()?;
            Folder::create(path)?;
            if self.durability == Durability::PowerLoss
                && let Some(above) = path.parent()
                && let Some(folder) = Folder::open(above.to_path_buf())?
            {
                folder.sync().map_err(failed("sync the folder", above))?;
            }
        }
    }

    /// Marks an empty folder as a session store's. Refuses a folder that holds anything else: its
    /// rights are about to change, and files below it to be removed.
    fn claim(&self, folder: &Folder) -> Result<(), StoreError> {
        if let Entry::File(file) = folder.open_file(MARKER)? {
            let mut marker = String::new();
            file.take(LONGEST_MARKER)
                .read_to_string(&mut marker)
                .map_err(failed("read `.session-store`", &self.path))?;
            return self.check_layout(&marker);
        }
        // A process that is opening the folder at the same moment may be this far.
        if folder
            .names()?
            .iter()
            .any(|name| name != TEMPORARY && name != MARKER)
        {
            return Err(self.unusable("it holds other files; name an empty folder or a new one"));
        }
        let temporary = self.path.join(TEMPORARY);
        Folder::create(&temporary)?;
        let temporary = Folder::open(temporary)?
            .ok_or_else(|| self.unusable("something removes what is made in it"))?;
        let mut marker = NewFile::create(&temporary)?;
        marker.write(LAYOUT.as_bytes(), None, self.durability)?;
        // Where another process was faster, its marker says the same.
        marker.link(folder, MARKER)?;
        if self.durability == Durability::PowerLoss {
            folder
                .sync()
                .map_err(failed("sync the folder", &self.path))?;
        }
        Ok(())
    }

    fn check_layout(&self, marker: &str) -> Result<(), StoreError> {
        if marker == LAYOUT {
            Ok(())
        } else if marker.starts_with(LAYOUT_NAME) {
            Err(self.unusable("a later version of this program laid it out; update this one"))
        } else {
            Err(self.unusable("its `.session-store` was not written by a session store"))
        }
    }

    fn close_to_others(&self) -> Result<(), StoreError> {
        let failed = || failed("close to other users", &self.path);
        let mut permissions = fs::metadata(&self.path).map_err(failed())?.permissions();
        if permissions.mode() & 0o077 != 0 {
            permissions.set_mode(0o700);
            fs::set_permissions(&self.path, permissions).map_err(failed())?;
        }
        Ok(())
    }

    fn unusable(&self, reason: &'static str) -> StoreError {
        StoreError::with_source(
            StoreErrorKind::Misconfigured,
            UnusableFolder {
                folder: self.path.clone(),
                reason,
            },
        )
    }
}

fn only_shards(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| is_shard(name));
    names.sort_unstable();
    names
}

#[derive(Debug, thiserror::Error)]
#[error("cannot keep sessions in `{}`: {reason}", folder.display())]
struct UnusableFolder {
    folder: PathBuf,
    reason: &'static str,
}

/// Makes the folder for its owner only, and what is missing above it with the usual rights.
fn create_with_parents(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}
