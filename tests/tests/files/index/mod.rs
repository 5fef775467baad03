//! The folders and files in which `FileStore` keeps principals' lists: what they look like, what
//! becomes of them, and what a sweep makes of those that are damaged or lost.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

mod damage;
mod entries;
mod locks;
mod sweeps;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use session_runtime::store::{Commit, ListChange, PrincipalKey};
use session_runtime::test_kit::ManualClock;
use session_runtime::{FileStore, SessionId};
use tempfile::TempDir;
use tests::sessions::{apply, id, listed_under, sign_in};

const NAMES: [&str; 2] = ["7", "8"];

/// A store whose time stands still, and where it is.
struct Fixture {
    store: FileStore,
    clock: ManualClock,
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new();
        let store = FileStore::builder()
            .clock(clock.clone())
            .without_background_sweep()
            .open(folder.path())
            .unwrap();
        Self {
            store,
            clock,
            folder,
        }
    }

    async fn signed_in(&self, name: &'static str) -> SessionId {
        let session = id();
        apply(&self.store, &sign_in(session, name, None)).await;
        session
    }

    async fn listed(&self, name: &str) -> BTreeSet<SessionId> {
        listed_under(&self.store, name).await
    }

    /// The folder of a principal's list.
    fn list_of(&self, name: &str) -> PathBuf {
        let hex = hex(key(name).as_bytes());
        self.folder.path().join("index").join(&hex[..3]).join(hex)
    }

    /// The file of an entry.
    fn entry_of(&self, name: &str, session: SessionId) -> PathBuf {
        self.list_of(name).join(hex(session.as_bytes()))
    }

    fn damaged(&self) -> Vec<PathBuf> {
        match fs::read_dir(self.folder.path().join("damaged")) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(name: &str) -> PrincipalKey {
    PrincipalKey::new("owner", name.as_bytes())
}

fn off(mut commit: Commit, name: &str) -> Commit {
    let (field, principal) = ("owner".into(), key(name));
    commit.lists.push(ListChange::Remove { field, principal });
    commit
}

fn sessions<const N: usize>(sessions: [SessionId; N]) -> BTreeSet<SessionId> {
    sessions.into()
}

fn make_older(path: &Path, modified: SystemTime) {
    let times = fs::FileTimes::new().set_modified(modified);
    File::open(path).unwrap().set_times(times).unwrap();
}
