//! `FileStore` and the files in its records' places: its own and others.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

mod found;
mod kept;
mod sweeps;
mod times;
mod turns;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use session_runtime::SessionId;
use tests::sessions::{apply, create, id, load, set};

use super::fixture::{Fixture, hex};

impl Fixture {
    /// With one session, in which `shop.cart` is `pear`.
    async fn with_session() -> (Self, SessionId, PathBuf) {
        let fixture = Self::new();
        let session = id();
        let cart = set("shop.cart", "pear");
        apply(&fixture.store, &create(session, [cart])).await;
        let file = fixture.file_of(session);
        (fixture, session, file)
    }

    fn file_of(&self, session: SessionId) -> PathBuf {
        let hex = hex(session.as_bytes());
        self.folder.path().join(&hex[..3]).join(hex)
    }

    async fn is_absent(&self, session: SessionId) -> bool {
        load(&self.store, &session, &[]).await.unwrap().is_none()
    }
}

/// The identity and the contents of a file, to see whether anything was written.
fn state(file: &Path) -> (u64, i64, i64, Vec<u8>) {
    let metadata = fs::metadata(file).unwrap();
    let content = fs::read(file).unwrap();
    (
        metadata.ino(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        content,
    )
}
