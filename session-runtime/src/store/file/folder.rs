//! Open folders, and what is done to the files in them.
//!
//! 1. A file is always named relative to an open folder, and neither the folder nor the file may
//!    be a symbolic link.
//! 2. A record is changed or removed under its lock, after a check that the name still means the
//!    file that was locked ([`Folder::lock`]). Principals' lists have one lock for all in their
//!    folder ([`Folder::lock_all`]). A file is never written in place: a new one takes its name, so
//!    reading a record needs no lock.
//! 3. The locks are `flock` locks, so they hold between threads as well as between processes, and
//!    end with the process that holds them, however it ends.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW,
    UTIME_OMIT,
};
use rustix::io::Errno;

use super::error::failed;
use crate::store::StoreError;

const FOLDER_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
const FOLDER_MODE: Mode = Mode::RWXU;
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The file whose lock stands for a whole folder. It is empty and stays.
const LOCK: &str = "lock";

/// A folder below the store's, held open.
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// The thing that has a file's name.
pub(super) enum Entry {
    /// Nothing.
    Absent,
    /// A regular file, open for reading.
    File(File),
    /// A symbolic link, a folder or another thing that is no regular file.
    NotAFile,
}

/// The thing that has a folder's name.
pub(super) enum Subfolder {
    /// Nothing.
    Absent,
    /// A folder.
    Folder(Folder),
    /// A symbolic link, a file or another thing that is no folder.
    NotAFolder,
}

impl Folder {
    /// Opens a folder; `None` when there is none.
    pub(super) fn open(path: PathBuf) -> Result<Option<Self>, StoreError> {
        match rustix::fs::open(&path, FOLDER_FLAGS, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path })),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("open the folder", &path)(error)),
        }
    }

    /// Makes a folder that only its owner may use. It may exist already.
    pub(super) fn create(path: &Path) -> Result<(), StoreError> {
        match rustix::fs::mkdirat(CWD, path, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(failed("make the folder", path)(error)),
        }
    }

    /// Opens a folder in this one.
    pub(super) fn subfolder(&self, name: &str) -> Result<Subfolder, StoreError> {
        match rustix::fs::openat(&self.fd, name, FOLDER_FLAGS, Mode::empty()) {
            Ok(fd) => Ok(Subfolder::Folder(Self {
                fd,
                path: self.path.join(name),
            })),
            Err(Errno::NOENT) => Ok(Subfolder::Absent),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::MLINK) => Ok(Subfolder::NotAFolder),
            Err(error) => Err(failed("open a folder", &self.path)(error)),
        }
    }

    /// Makes a folder in this one that only its owner may use. It may exist already.
    pub(super) fn create_subfolder(&self, name: &str) -> Result<(), StoreError> {
        match rustix::fs::mkdirat(&self.fd, name, FOLDER_MODE) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(failed("make a folder", &self.path)(error)),
        }
    }

    /// Removes a folder in this one unless something is in it.
    pub(super) fn remove_subfolder_if_empty(&self, name: &str) -> Result<(), StoreError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(error) => Err(failed("remove a folder", &self.path)(error)),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file for reading.
    pub(super) fn open_file(&self, name: &str) -> Result<Entry, StoreError> {
        // Without NONBLOCK, opening a pipe would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(Entry::Absent),
            // A symbolic link; a socket.
            Err(Errno::LOOP | Errno::MLINK | Errno::NXIO) => return Ok(Entry::NotAFile),
            Err(error) => return Err(failed("open a file", &self.path)(error)),
        };
        let metadata = file
            .metadata()
            .map_err(failed("examine a file", &self.path))?;
        Ok(if metadata.is_file() {
            Entry::File(file)
        } else {
            Entry::NotAFile
        })
    }

    /// Opens a file and waits for its lock. Until the file is closed, its name means this file.
    pub(super) fn lock(&self, name: &str) -> Result<Entry, StoreError> {
        loop {
            let entry = self.open_file(name)?;
            let Entry::File(file) = &entry else {
                return Ok(entry);
            };
            self.lock_file(file, FlockOperation::LockExclusive)?;
            // While this waited, the one before may have put another file in its place.
            if self.is_named(file, name)? {
                return Ok(entry);
            }
        }
    }

    /// The same without waiting; `None` when the lock is held or there is no file.
    pub(super) fn try_lock(&self, name: &str) -> Result<Option<File>, StoreError> {
        let Entry::File(file) = self.open_file(name)? else {
            return Ok(None);
        };
        let locked = self.lock_file(&file, FlockOperation::NonBlockingLockExclusive)?
            && self.is_named(&file, name)?;
        Ok(locked.then_some(file))
    }

    /// Waits for the lock of the folder, and holds it until the file that this answers is closed.
    pub(super) fn lock_all(&self) -> Result<File, StoreError> {
        loop {
            match self.lock(LOCK)? {
                Entry::File(file) => return Ok(file),
                Entry::NotAFile => {
                    let error = io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "something that is no regular file has the name of the lock; remove it",
                    );
                    return Err(failed("lock the folder", &self.path)(error));
                }
                Entry::Absent => self.make_lock()?,
            }
        }
    }

    /// The same without waiting; `None` when the lock is held.
    pub(super) fn try_lock_all(&self) -> Result<Option<File>, StoreError> {
        self.make_lock()?;
        self.try_lock(LOCK)
    }

    /// Moves the modification time of the folder's lock to the present.
    pub(super) fn refresh_lock(&self) -> Result<(), StoreError> {
        self.refresh(LOCK).map(drop)
    }

    fn make_lock(&self) -> Result<(), StoreError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.fd, LOCK, flags, FILE_MODE) {
            Ok(_) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(failed("make a file", &self.path)(error)),
        }
    }

    /// Makes a file that did not exist, locked by us, that only its owner may use.
    pub(super) fn create_file(&self, name: &str) -> Result<File, StoreError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let file = rustix::fs::openat(&self.fd, name, flags, FILE_MODE)
                .map(File::from)
                .map_err(failed("make a file", &self.path))?;
            self.lock_file(&file, FlockOperation::LockExclusive)?;
            // Before it was locked, a sweep may have taken it for a leftover.
            if self.is_named(&file, name)? {
                return Ok(file);
            }
        }
    }

    /// Whether the lock was got.
    fn lock_file(&self, file: &File, operation: FlockOperation) -> Result<bool, StoreError> {
        loop {
            match rustix::fs::flock(file, operation) {
                Ok(()) => return Ok(true),
                Err(Errno::WOULDBLOCK) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed("lock a file", &self.path)(error)),
            }
        }
    }

    fn is_named(&self, file: &File, name: &str) -> Result<bool, StoreError> {
        let open = rustix::fs::fstat(file);
        let named = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
        match (open.map(identity), named.map(identity)) {
            (Ok(open), Ok(named)) => Ok(open == named),
            (_, Err(Errno::NOENT)) => Ok(false),
            (Err(error), _) | (_, Err(error)) => Err(failed("examine a file", &self.path)(error)),
        }
    }

    /// Moves a file to another folder, replacing what has the name there.
    pub(super) fn rename(&self, name: &str, to: &Self, new_name: &str) -> Result<(), StoreError> {
        rustix::fs::renameat(&self.fd, name, &to.fd, new_name)
            .map_err(failed("name a file", &to.path))
    }

    /// Gives a file a second name in another folder; `false` when that name is taken.
    pub(super) fn link(&self, name: &str, to: &Self, new_name: &str) -> Result<bool, StoreError> {
        match rustix::fs::linkat(&self.fd, name, &to.fd, new_name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(failed("name a file", &to.path)(error)),
        }
    }

    /// Removes a file that may be gone already.
    pub(super) fn remove_if_there(&self, name: &str) -> Result<(), StoreError> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed("remove a file", &self.path)(error)),
        }
    }

    pub(super) fn remove(&self, name: &str) -> Result<(), StoreError> {
        rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())
            .map_err(failed("remove a file", &self.path))
    }

    /// Moves the modification time of what has this name to the present; `false` when nothing has
    /// it.
    pub(super) fn refresh(&self, name: &str) -> Result<bool, StoreError> {
        let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
        let times = Timestamps {
            last_access: special(UTIME_OMIT),
            last_modification: special(UTIME_NOW),
        };
        match rustix::fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(failed("refresh a file", &self.path)(error)),
        }
    }

    /// Returns when the names in this folder would survive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// All names in the folder that are text, except `.` and `..`.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        self.list(|name| name.to_str().ok().map(str::to_owned))
    }

    /// All names in the folder, except `.` and `..`, as far as they are text.
    pub(super) fn all_names(&self) -> Result<Vec<String>, StoreError> {
        self.list(|name| Some(name.to_string_lossy().into_owned()))
    }

    fn list(&self, text: impl Fn(&CStr) -> Option<String>) -> Result<Vec<String>, StoreError> {
        let failed = || failed("list the folder", &self.path);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                names.extend(text(name));
            }
        }
        Ok(names)
    }
}
