//! A file on its way to its name.

use std::fs::{File, FileTimes};
use std::io::Write;
use std::time::SystemTime;

use super::durability::Durability;
use super::error::failed;
use super::folder::Folder;
use super::name::random_name;
use crate::store::StoreError;

/// A file without a lasting name, locked. It is removed again unless it is given one.
///
/// The lock distinguishes it from the leftover of a process that was killed, and stays with the
/// file when it gets its name: until this value is dropped, no other commit changes the record.
pub(super) struct NewFile<'a> {
    folder: &'a Folder,
    name: String,
    file: File,
    is_temporary: bool,
}

impl<'a> NewFile<'a> {
    pub(super) fn create(folder: &'a Folder) -> Result<Self, StoreError> {
        let name = random_name::<16>().map_err(failed("name a file", folder.path()))?;
        Ok(Self {
            file: folder.create_file(&name)?,
            folder,
            name,
            is_temporary: true,
        })
    }

    /// Writes all there is to write, and sets the time of modification if one is given.
    pub(super) fn write(
        &mut self,
        content: &[u8],
        modified: Option<SystemTime>,
        durability: Durability,
    ) -> Result<(), StoreError> {
        let mut write = || {
            self.file.write_all(content)?;
            if let Some(modified) = modified {
                let times = FileTimes::new().set_modified(modified);
                self.file.set_times(times)?;
            }
            match durability {
                Durability::ProcessCrash => Ok(()),
                Durability::PowerLoss => self.file.sync_all(),
            }
        };
        write().map_err(failed("write a file", self.folder.path()))
    }

    /// Takes the name from the file that has it.
    pub(super) fn replace(mut self, folder: &Folder, name: &str) -> Result<(), StoreError> {
        self.folder.rename(&self.name, folder, name)?;
        self.is_temporary = false;
        Ok(())
    }

    /// Takes the name if nothing has it; `false` if something does.
    pub(super) fn link(self, folder: &Folder, name: &str) -> Result<bool, StoreError> {
        self.folder.link(&self.name, folder, name)
    }

    pub(super) fn discard(self) {}
}

impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        if self.is_temporary {
            // A file that cannot be removed now is removed as a leftover later.
            let _ = self.folder.remove(&self.name);
        }
    }
}
