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

use session_runtime::SessionId;
use session_runtime::store::{Commit, ListChange, PrincipalKey};
use tests::sessions::{apply, id, listed_under, sign_in};

use super::fixture::{Fixture, hex};

const NAMES: [&str; 2] = ["7", "8"];

impl Fixture {
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
