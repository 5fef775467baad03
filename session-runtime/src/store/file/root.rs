//! The store's folder as a whole.
//!
//! ```text
//! sessions/.session-store           the marker of a session store, with the layout's version
//! sessions/3fa/3fa85f64…            a record; there are up to 4,096 such folders
//! sessions/index/1a7/1a79a4…/3fa85… a session on a principal's list; also up to 4,096 folders
//! sessions/index/1a7/lock           held while a list in this folder is read or changed
//! sessions/tmp/…                    files that are being written
//! sessions/damaged/…                files that had a record's name and are not records
//! ```

use std::borrow::Cow;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::durability::Durability;
use super::error::{failed, outcome_unknown};
use super::folder::{Entry, Folder, Subfolder};
use super::name::{PrincipalName, RecordName, is_shard};
use super::new_file::NewFile;
use crate::clock::{Clock, Timestamp};
use crate::store::{StoreError, StoreErrorKind};

const MARKER: &str = ".session-store";
const TEMPORARY: &str = "tmp";
const DAMAGED: &str = "damaged";
const INDEX: &str = "index";

/// Names that systems put into unused folders, such as `lost+found` into a new volume.
const OF_SYSTEMS: &[&str] = &[
    "lost+found",
    ".DS_Store",
    ".Spotlight-V100",
    ".Trashes",
    ".fseventsd",
    ".snapshot",
    ".zfs",
    "System Volume Information",
    "aquota.user",
    "aquota.group",
    // So that a version control system keeps an empty folder.
    ".gitkeep",
    ".gitignore",
    ".keep",
];

const LAYOUT_NAME: &str = "session-store ";
const LAYOUT_VERSION: u64 = 2;
/// A marker is a few words; a longer file is not one.
const LONGEST_MARKER: u64 = 4096;

/// The store's folder, and the settings for everything in it.
pub(super) struct Root {
    path: PathBuf,
    durability: Durability,
    clock: Arc<dyn Clock>,
}

impl Root {
    /// Opens the folder, or makes it.
    pub(super) fn open(
        path: &Path,
        durability: Durability,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        create_with_parents(path).map_err(failed("make the folder", path))?;
        // The meaning of a relative path must not change with the working directory.
        let path = fs::canonicalize(path).map_err(failed("open the folder", path))?;
        let root = Self {
            path,
            durability,
            clock,
        };
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

    pub(super) fn durability(&self) -> Durability {
        self.durability
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
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

    /// The folder of this principal's list, made where it is missing.
    pub(super) fn make_index_shard(&self, name: &PrincipalName) -> Result<Folder, StoreError> {
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

    /// The folder in which files are written before they get their name.
    pub(super) fn temporary(&self) -> Result<Folder, StoreError> {
        self.open_or_make(&self.path.join(TEMPORARY))
    }

    /// The folder for files that have a record's name and are not records.
    pub(super) fn damaged(&self) -> Result<Folder, StoreError> {
        self.open_or_make(&self.path.join(DAMAGED))
    }

    /// Makes the names in a folder survive what the store promises. For names that must be safe
    /// before a commit takes effect.
    pub(super) fn sync_names(&self, folder: &Folder) -> Result<(), StoreError> {
        match self.durability {
            Durability::ProcessCrash => Ok(()),
            Durability::PowerLoss => folder
                .sync()
                .map_err(failed("sync the folder", folder.path())),
        }
    }

    /// The same once a record has its name or is gone, when a failure leaves the outcome unknown.
    pub(super) fn sync_commit(&self, folder: &Folder) -> Result<(), StoreError> {
        match self.durability {
            Durability::ProcessCrash => Ok(()),
            Durability::PowerLoss => folder
                .sync()
                .map_err(outcome_unknown("sync the folder", folder.path())),
        }
    }

    /// Moves the modification time of the folder's marker to the present, so that what removes old
    /// files spares it.
    pub(super) fn refresh_marker(&self) -> Result<(), StoreError> {
        self.check_presence()?;
        self.folder()?.refresh(MARKER).map(drop)
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
            if let Some(above) = path.parent()
                && let Some(folder) = Folder::open(above.to_path_buf())?
            {
                self.sync_names(&folder)?;
            }
        }
    }

    /// Marks an empty folder as a session store's. Refuses a folder that holds anything else: its
    /// rights are about to change, and files below it to be removed.
    fn claim(&self, folder: &Folder) -> Result<(), StoreError> {
        match folder.open_file(MARKER)? {
            Entry::File(file) => {
                let mut marker = Vec::new();
                file.take(LONGEST_MARKER)
                    .read_to_end(&mut marker)
                    .map_err(failed("read `.session-store`", &self.path))?;
                return self.check_layout(&String::from_utf8_lossy(&marker));
            }
            Entry::NotAFile => {
                return Err(self.unusable("its `.session-store` is no regular file; remove it"));
            }
            Entry::Absent => self.check_emptiness(folder)?,
        }
        let temporary = self.path.join(TEMPORARY);
        Folder::create(&temporary)?;
        let temporary = Folder::open(temporary)?
            .ok_or_else(|| self.unusable("something removes what is made in it"))?;
        let mut marker = NewFile::create(&temporary)?;
        let layout = format!("{LAYOUT_NAME}{LAYOUT_VERSION}\n");
        marker.write(layout.as_bytes(), None, self.durability)?;
        // Where another process was faster, its marker says the same.
        marker.link(folder, MARKER)?;
        self.sync_names(folder)
    }

    /// Refuses a folder without a marker that is in use.
    fn check_emptiness(&self, folder: &Folder) -> Result<(), StoreError> {
        let mut others = Vec::new();
        for name in folder.all_names()? {
            // A process that is opening the folder at the same moment may be this far.
            if name == TEMPORARY || name == MARKER || OF_SYSTEMS.contains(&&*name) {
                continue;
            }
            if is_shard(&name) {
                match folder.subfolder(&name)? {
                    Subfolder::Folder(shard) if shard.all_names()?.is_empty() => continue,
                    Subfolder::Folder(shard) if !records_in(&shard)?.is_empty() => {
                        return Err(self.without_marker("it holds session records, and"));
                    }
                    _ => {}
                }
            }
            others.push(name);
        }
        others.sort_unstable();
        match &others[..] {
            [] => Ok(()),
            [one] => Err(self.unusable(format!(
                "it holds `{one}`; name an empty folder or a new one"
            ))),
            [one, rest @ ..] => Err(self.unusable(format!(
                "it holds `{one}` and {} more; name an empty folder or a new one",
                rest.len()
            ))),
        }
    }

    /// Says how to go on where the marker was lost: to a cleaner of old files, in a power cut, or
    /// because a copy left out what begins with a dot.
    fn without_marker(&self, finding: &str) -> StoreError {
        let marker = self.path.join(MARKER);
        self.unusable(format!(
            "{finding} its marker `{MARKER}` is lost; if it is this program's folder, write the \
             marker again with `printf '{LAYOUT_NAME}{LAYOUT_VERSION}\\n' > '{}'`, and keep what \
             removes old files away from the folder",
            marker.display()
        ))
    }

    fn check_layout(&self, marker: &str) -> Result<(), StoreError> {
        if marker.trim_end_matches('\0').is_empty() {
            return Err(self.without_marker("its content is not known:"));
        }
        let version = marker
            .strip_prefix(LAYOUT_NAME)
            .and_then(|version| version.strip_suffix('\n')?.parse::<u64>().ok());
        let reason = match version {
            Some(LAYOUT_VERSION) => return Ok(()),
            Some(0..LAYOUT_VERSION) => {
                "an earlier version of `session-runtime` laid it out, and this one cannot read its \
                 sessions; name a new folder, or remove this one (visitors sign in again)"
            }
            Some(_) => "a later version of `session-runtime` laid it out; update this program",
            None => "its `.session-store` was not written by a session store",
        };
        Err(self.unusable(reason))
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

    fn unusable(&self, reason: impl Into<Cow<'static, str>>) -> StoreError {
        StoreError::with_source(
            StoreErrorKind::Misconfigured,
            UnusableFolder {
                folder: self.path.clone(),
                reason: reason.into(),
            },
        )
    }
}

/// The names of the records in one of the store's folders.
fn records_in(shard: &Folder) -> Result<Vec<RecordName>, StoreError> {
    let names = shard.names()?;
    Ok(names
        .iter()
        .filter_map(|name| RecordName::parse(name))
        .collect())
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
    reason: Cow<'static, str>,
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
