//! A cleaner of old files, as temporary folders have one, and a hand that removes folders, while the
//! store is in use.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use session_runtime::store::{Count, ListChange, PrincipalKey};
use session_runtime::test_kit::ManualClock;
use session_runtime::{FileStore, SessionId, SessionStore};
use tests::sessions::{apply, create, destroy, id, listed_under, load, sign_in, update};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The files below a folder, and the folders, deepest first.
fn walk(folder: &Path, files: &mut Vec<PathBuf>, folders: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files, folders);
            folders.push(path);
        } else {
            files.push(path);
        }
    }
}

/// Whether it is the record of a session, which says itself when it was used.
fn is_record(root: &Path, file: &Path) -> bool {
    let below = file.strip_prefix(root).unwrap();
    below.components().count() == 2 && !below.starts_with("tmp")
}

/// Lets everything but the records look a day old.
fn age(root: &Path) {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    walk(root, &mut files, &mut folders);
    let times = FileTimes::new().set_modified(SystemTime::now() - 24 * HOUR);
    for path in files
        .iter()
        .filter(|file| !is_record(root, file))
        .chain(&folders)
    {
        File::open(path).unwrap().set_times(times).unwrap();
    }
}

/// Removes what is older than an hour, and every folder that is empty; answers what it removed.
fn clean(root: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    walk(root, &mut files, &mut folders);
    let is_old = |file: &PathBuf| {
        let modified = fs::metadata(file).unwrap().modified().unwrap();
        modified.elapsed().is_ok_and(|age| age > HOUR)
    };
    let old = files
        .into_iter()
        .filter(|file| !is_record(root, file) && is_old(file));
    let mut removed: Vec<_> = old.collect();
    for file in &removed {
        fs::remove_file(file).unwrap();
    }
    removed.extend(
        folders
            .into_iter()
            .filter(|folder| fs::remove_dir(folder).is_ok()),
    );
    removed
}

async fn assert_all_is_well(store: &FileStore, sessions: &[SessionId]) {
    for session in sessions {
        assert!(load(store, session, &[]).await.unwrap().is_some());
    }
    assert_eq!(
        listed_under(store, "7").await,
        sessions.iter().copied().collect()
    );
    let newcomer = id();
    apply(store, &sign_in(newcomer, "8", Some(1))).await;
    assert_eq!(listed_under(store, "8").await, [newcomer].into());
    let mut end = destroy(newcomer);
    let (field, principal) = ("owner".into(), PrincipalKey::new("owner", b"8"));
    end.lists.push(ListChange::Remove { field, principal });
    apply(store, &end).await;
}

/// The sweep of a whole pass, and the steps that touches start.
#[tokio::test]
async fn a_cleaner_of_old_files_takes_nothing_that_must_stay() {
    for in_the_background in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let clock = ManualClock::new();
        let open = || {
            FileStore::builder()
                .clock(clock.clone())
                .sweep_every(Duration::from_secs(256))
                .open(root)
                .unwrap()
        };
        let store = open();
        let sessions = [id(), id()];
        for session in sessions {
            apply(&store, &sign_in(session, "7", None)).await;
        }
        for round in 0..5 {
            age(root);
            if in_the_background {
                let deadline = Instant::now() + Duration::from_secs(30);
                let is_young = |file: &PathBuf| {
                    let modified = fs::metadata(file).unwrap().modified().unwrap();
                    is_record(root, file) || modified.elapsed().unwrap_or_default() < HOUR
                };
                loop {
                    let (mut files, mut folders) = (Vec::new(), Vec::new());
                    walk(root, &mut files, &mut folders);
                    if files.iter().all(is_young) {
                        break;
                    }
                    assert!(Instant::now() < deadline, "not refreshed");
                    clock.advance(Duration::from_secs(1));
                    for session in sessions {
                        apply(&store, &update(session, [])).await;
                    }
                    tokio::task::yield_now().await;
                }
            } else {
                store.sweep().await.unwrap();
            }
            let removed = clean(root);
            assert!(removed.iter().all(|path| !path.ends_with(".session-store")));
            assert!(
                removed.iter().all(|path| !path.ends_with("lock")),
                "{removed:?}"
            );
            let context = format!("background {in_the_background}, round {round}");
            println!("{context}: {} removed", removed.len());
            assert_all_is_well(&store, &sessions).await;
            assert_all_is_well(&open(), &sessions).await;
        }
    }
}

/// Each folder below the store's is made again when it is needed.
#[tokio::test]
async fn a_folder_that_goes_while_the_store_is_open_is_made_again() {
    for gone in [
        "tmp",
        "damaged",
        "index",
        "index/shards",
        "index/lists",
        "index/locks",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let store = FileStore::open(root).unwrap();
        let sessions = [id(), id()];
        for session in sessions {
            apply(&store, &sign_in(session, "7", None)).await;
        }
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        walk(root, &mut files, &mut folders);
        let depth = |path: &PathBuf| {
            path.strip_prefix(root.join("index"))
                .ok()
                .map(|below| below.components().count())
        };
        match gone {
            "index/shards" => folders.retain(|path| depth(path) == Some(1)),
            "index/lists" => folders.retain(|path| depth(path) == Some(2)),
            "index/locks" => {
                files.retain(|path| path.ends_with("lock"));
                folders.clear();
            }
            name => folders.retain(|path| *path == root.join(name)),
        }
        for path in &folders {
            fs::remove_dir_all(path).unwrap();
        }
        if gone == "index/locks" {
            assert_eq!(files.len(), 1);
            fs::remove_file(&files[0]).unwrap();
        }
        // What is not listed is listed by a sweep, and the rest goes on at once.
        apply(&store, &create(id(), [])).await;
        apply(&store, &update(sessions[0], [])).await;
        store.sweep().await.unwrap();
        assert_all_is_well(&store, &sessions).await;
        assert_eq!(store.len().await.unwrap(), Count::Exact(3), "{gone}");
        assert_all_is_well(&FileStore::open(root).unwrap(), &sessions).await;
    }
}
