//! Errors of the file system as store errors.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::store::{StoreError, StoreErrorKind};

/// The source of the driver's store errors. It names folders, never a record.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} in `{}`", folder.display())]
struct FileError {
    action: &'static str,
    folder: PathBuf,
    source: io::Error,
}

/// Converts the system's error while doing `action` in `folder`. Nothing was applied.
pub(super) fn failed<E: Into<io::Error>>(
    action: &'static str,
    folder: &Path,
) -> impl FnOnce(E) -> StoreError {
    move |error| {
        let source = error.into();
        let kind = match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                StoreErrorKind::Full
            }
            // The last two: a file where a folder should be.
            ErrorKind::PermissionDenied
            | ErrorKind::Unsupported
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::AlreadyExists => StoreErrorKind::Misconfigured,
            _ => StoreErrorKind::Unavailable,
        };
        with_source(kind, action, folder, source)
    }
}

/// The same for a failure after the point of no return.
pub(super) fn outcome_unknown<E: Into<io::Error>>(
    action: &'static str,
    folder: &Path,
) -> impl FnOnce(E) -> StoreError {
    move |error| with_source(StoreErrorKind::OutcomeUnknown, action, folder, error.into())
}

fn with_source(
    kind: StoreErrorKind,
    action: &'static str,
    folder: &Path,
    source: io::Error,
) -> StoreError {
    let folder = folder.to_path_buf();
    StoreError::with_source(
        kind,
        FileError {
            action,
            folder,
            source,
        },
    )
}
