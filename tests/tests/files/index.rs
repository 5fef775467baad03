//! The files in which `FileStore` keeps who has which sessions: what they look like, what becomes
//! of them, and what it makes of those that somebody or something has damaged.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::StatusCode;
use session_runtime::store::{Action, Commit, ListChange, Outcome, PrincipalKey, StoreErrorKind};
use session_runtime::test_kit::ManualClock;
use session_runtime::{
    FileStore, ReadSession, Session, SessionId, SessionLayer, SessionStore, Sessions,
};
use tempfile::TempDir;
use tests::sessions::{
    IDLE, LIFETIME, apply, commit, create, destroy, id, listed_under, load, set, sign_in, update,
};
use tests::visitor::Visitor;

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

    /// The file of a principal's list.
    fn file_of(&self, name: &str) -> PathBuf {
        let hex: String = key(name)
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.folder.path().join("index").join(&hex[..3]).join(hex)
    }

    fn damaged(&self) -> Vec<PathBuf> {
        match fs::read_dir(self.folder.path().join("damaged")) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        }
    }
}

fn key(name: &str) -> PrincipalKey {
    PrincipalKey::new("owner", name.as_bytes())
}

fn off(mut commit: Commit, name: &str) -> Commit {
    let principal = key(name);
    commit.index.push(ListChange::Remove { principal });
    commit
}

fn sessions<const N: usize>(sessions: [SessionId; N]) -> BTreeSet<SessionId> {
    sessions.into()
}

#[tokio::test]
async fn a_list_is_a_readable_file_for_its_owner_only_and_goes_with_the_last_entry() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.signed_in("7").await, fixture.signed_in("7").await);
    let file = fixture.file_of("7");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("session-index 1\n"), "{text}");
    assert_eq!(text.lines().count(), 4, "{text}");
    for session in [first, second] {
        let hex: String = session
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(text.contains(&hex), "{text}");
    }
    let mode = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let folder = file.parent().unwrap().to_path_buf();
    assert_eq!((mode(&file), mode(&folder)), (0o600, 0o700));
    assert_eq!(mode(&folder.join("lock")), 0o600);

    apply(&fixture.store, &off(destroy(first), "7")).await;
    assert_eq!(fixture.listed("7").await, sessions([second]));
    apply(&fixture.store, &off(destroy(second), "7")).await;
    assert!(!file.exists());
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "the lock stays");
    let temporary = fixture.folder.path().join("tmp");
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}

#[tokio::test]
async fn the_index_survives_a_restart_and_is_the_same_for_all_stores_of_a_folder() {
    let fixture = Fixture::new();
    let first = fixture.signed_in("7").await;
    let other = FileStore::builder()
        .clock(fixture.clock.clone())
        .open(fixture.folder.path())
        .unwrap();
    assert_eq!(listed_under(&other, "7").await, sessions([first]));
    let second = id();
    let refused = other.commit(&sign_in(second, "7", Some(1))).await.unwrap();
    assert_eq!(
        refused,
        Outcome::LimitReached {
            principal: key("7")
        }
    );
    apply(&other, &sign_in(second, "7", Some(2))).await;
    assert_eq!(fixture.listed("7").await, sessions([first, second]));
}

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
}

#[tokio::test]
async fn who_is_signed_in_where_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let site = || SessionLayer::new(FileStore::open(folder.path()).unwrap());
    let layer = site();
    let mut visitors = [Visitor::new(&layer), Visitor::new(&layer)];
    for visitor in &mut visitors {
        let page = |mut session: Session<Shop>| async move { session.customer = Some(7) };
        assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    }
    drop(layer);

    let layer = site();
    let list = layer.sessions().list(Shop::CUSTOMER, &7).await;
    assert_eq!(list.unwrap().len(), 2);
    for visitor in &mut visitors {
        visitor.move_to(&layer);
    }
    let page = |sessions: Sessions| async move {
        let revoked = sessions.revoke_others(Shop::CUSTOMER, &7).await;
        revoked.map(|revoked| revoked.to_string())
    };
    assert_eq!(visitors[0].visit(page).await.body, "1");
    let whoami = |session: ReadSession<Shop>| async move { format!("{:?}", session.customer) };
    assert_eq!(visitors[0].visit(whoami).await.body, "Some(7)");
    assert_eq!(visitors[1].visit(whoami).await.body, "None");
    let left = layer.sessions().list(Shop::CUSTOMER, &7).await.unwrap();
    assert_eq!(left.len(), 1);
    let revoked = layer.sessions().revoke_all(Shop::CUSTOMER, &7).await;
    assert_eq!(revoked.unwrap(), 1);
    let folders = fs::read_dir(folder.path().join("index")).unwrap();
    let files = folders.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    assert_eq!(files.count(), 1, "the lock stays");
}

/// A session that nobody lists cannot be revoked by its principal, so an empty list will not do.
#[tokio::test]
async fn a_damaged_list_is_made_anew_from_the_records() {
    let damages: [fn(Vec<u8>) -> Vec<u8>; 4] = [
        |_| Vec::new(),
        |text| text[..text.len() / 2].to_vec(),
        |text| [text.as_slice(), b"more\n"].concat(),
        |mut text| {
            text[40] ^= 1;
            text
        },
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let fixture = Fixture::new();
        let here = [fixture.signed_in("7").await, fixture.signed_in("7").await];
        fixture.signed_in("8").await;
        let gone = fixture.signed_in("7").await;
        apply(&fixture.store, &off(destroy(gone), "7")).await;
        let file = fixture.file_of("7");
        let bad = damage(fs::read(&file).unwrap());
        fs::write(&file, &bad).unwrap();

        // A limit counts what has been found again.
        let newcomer = id();
        let refused = fixture.store.commit(&sign_in(newcomer, "7", Some(2))).await;
        assert_eq!(
            refused.unwrap(),
            Outcome::LimitReached {
                principal: key("7")
            }
        );
        assert_eq!(fixture.listed("7").await, sessions(here), "{number}");
        let [aside] = fixture.damaged().try_into().unwrap();
        assert_eq!(fs::read(aside).unwrap(), bad);

        apply(&fixture.store, &sign_in(newcomer, "7", Some(3))).await;
        let [first, second] = here;
        let all = sessions([first, second, newcomer]);
        assert_eq!(fixture.listed("7").await, all);
        // What is found again is an entry like any other.
        for session in all {
            apply(&fixture.store, &off(destroy(session), "7")).await;
        }
        assert!(!file.exists() && fixture.damaged().len() == 1);
    }
}

#[tokio::test]
async fn a_damaged_list_of_nobody_is_an_empty_one() {
    let fixture = Fixture::new();
    let session = fixture.signed_in("7").await;
    fs::write(fixture.file_of("7"), "").unwrap();
    apply(&fixture.store, &off(destroy(session), "7")).await;
    assert_eq!(fixture.listed("7").await, sessions([]));
    assert_eq!(fixture.damaged().len(), 1);
    fixture.store.sweep().await.unwrap();
    assert!(!fixture.file_of("7").exists());
}

#[tokio::test]
async fn what_is_no_list_of_this_format_is_an_error_and_is_left_alone() {
    let later = "session-index 2\nwho knows\n@check d648b829f1f01aa4\n";
    for kind in ["later", "folder", "link"] {
        let fixture = Fixture::new();
        let (listed, newcomer) = (fixture.signed_in("7").await, id());
        let file = fixture.file_of("7");
        fs::remove_file(&file).unwrap();
        match kind {
            "later" => fs::write(&file, later).unwrap(),
            "folder" => fs::create_dir(&file).unwrap(),
            _ => symlink("/etc/hostname", &file).unwrap(),
        }
        let store = &fixture.store;
        let index = store.index(&key("7")).await.unwrap_err();
        assert_eq!(index.kind(), StoreErrorKind::Corrupt, "{kind}");
        for commit in [sign_in(newcomer, "7", None), off(destroy(listed), "7")] {
            let error = store.commit(&commit).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{kind}");
        }
        store.sweep().await.unwrap();
        assert!(load(store, &newcomer, &[]).await.unwrap().is_none());
        assert!(load(store, &listed, &[]).await.unwrap().is_some());
        // Nobody else is concerned.
        fixture.signed_in("8").await;
        assert!(file.symlink_metadata().is_ok() && fixture.damaged().is_empty());
    }
}

#[tokio::test]
async fn a_sweep_takes_the_entries_that_are_over_and_those_of_sessions_that_are_gone() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let over = id();
    let mut short = sign_in(over, "8", None);
    short.index = vec![ListChange::Add {
        principal: key("8"),
        keep: Some(IDLE / 2),
        limit: None,
    }];
    apply(store, &short).await;
    let (stays, ends, destroyed) = (
        fixture.signed_in("7").await,
        fixture.signed_in("7").await,
        fixture.signed_in("7").await,
    );
    // Without saying so to the index, as after a crash.
    apply(store, &destroy(destroyed)).await;
    fixture.clock.advance(IDLE / 2);
    apply(store, &update(stays, [])).await;
    apply(store, &update(over, [])).await;
    assert_eq!(
        fixture.listed("7").await,
        sessions([stays, ends, destroyed])
    );
    assert_eq!(fixture.listed("8").await, sessions([]));
    assert!(fixture.file_of("8").exists());

    assert_eq!(store.sweep().await.unwrap(), 0);
    assert_eq!(fixture.listed("7").await, sessions([stays, ends]));
    assert!(!fixture.file_of("8").exists());
    fixture.clock.advance(IDLE / 2);
    assert_eq!(store.sweep().await.unwrap(), 1);
    assert_eq!(fixture.listed("7").await, sessions([stays]));
    fixture.clock.advance(LIFETIME);
    assert_eq!(store.sweep().await.unwrap(), 2);
    assert!(!fixture.file_of("7").exists());
}

#[tokio::test]
async fn commits_sweep_the_index_in_the_background() {
    let fixture = Fixture::new();
    fixture.signed_in("7").await;
    fixture.clock.advance(LIFETIME);
    let store = FileStore::builder()
        .clock(fixture.clock.clone())
        .sweep_every(Duration::from_secs(256))
        .open(fixture.folder.path())
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while fixture.file_of("7").exists() {
        assert!(Instant::now() < deadline, "nothing was swept");
        apply(&store, &create(id(), [])).await;
        fixture.clock.advance(Duration::from_secs(1));
    }
}

/// While another process holds a list's lock, the others go on, and what waits is not lost.
#[tokio::test]
async fn a_locked_list_keeps_no_other_principal_waiting() {
    let fixture = Fixture::new();
    fixture.signed_in("7").await;
    let held = File::open(fixture.file_of("7").with_file_name("lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let waiting: Vec<_> = (0..64)
        .map(|number| {
            let store = fixture.store.clone();
            tokio::spawn(async move {
                match number % 2 {
                    0 => apply(&store, &sign_in(id(), "7", None)).await,
                    _ => drop(store.index(&key("7")).await.unwrap()),
                }
            })
        })
        .collect();
    for _ in 0..64 {
        tokio::task::yield_now().await;
        fixture.signed_in("8").await;
        assert!(!fixture.listed("8").await.is_empty());
    }
    assert!(waiting.iter().all(|task| !task.is_finished()));
    drop(held);
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(fixture.listed("7").await.len(), 33);
    assert_eq!(fixture.listed("8").await.len(), 64);
}

/// Moves in both directions at once need the same two locks.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn moves_in_opposite_directions_do_not_wait_for_each_other() {
    let fixture = Fixture::new();
    let other = FileStore::builder()
        .clock(fixture.clock.clone())
        .open(fixture.folder.path())
        .unwrap();
    let mut tasks = Vec::new();
    for task in 0..8 {
        let from = task % 2;
        let session = fixture.signed_in(NAMES[from]).await;
        // Two stores on one folder meet at the locks of the files, as two processes do.
        let store = [&fixture.store, &other][task / 4].clone();
        tasks.push(tokio::spawn(async move {
            for step in 0..25 {
                let (old, new) = (NAMES[(from + step) % 2], NAMES[(from + step + 1) % 2]);
                let mut commit = off(update(session, [set("owner", new)]), old);
                commit.index.push(ListChange::Add {
                    principal: key(new),
                    keep: None,
                    limit: None,
                });
                apply(&store, &commit).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fixture.listed("7").await.len(), 4);
    assert_eq!(fixture.listed("8").await.len(), 4);
}

#[tokio::test]
async fn an_abandoned_sign_in_is_listed_exactly_if_it_was_applied() {
    let mut random = tests::sessions::random();
    let fixture = Fixture::new();
    let mut applied = 0;
    for _ in 0..300 {
        let session = id();
        let commit = sign_in(session, "7", None);
        let mut future = fixture.store.commit(&commit);
        for _ in 0..random.usize(1..4) {
            let once = std::future::poll_fn(|context| {
                Poll::Ready(future.as_mut().poll(context).is_ready())
            });
            if once.await {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(future);
        // This waits for whatever is still under way.
        let listed = fixture.listed("7").await.contains(&session);
        let lives = load(&fixture.store, &session, &[]).await.unwrap().is_some();
        assert_eq!(listed, lives);
        applied += usize::from(lives);
    }
    println!("{applied} of 300 were applied");
}

#[tokio::test]
async fn a_folder_that_vanishes_has_no_empty_index() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, away) = (parent.path().join("sessions"), parent.path().join("away"));
    let store = FileStore::open(&folder).unwrap();
    let session = id();
    apply(&store, &sign_in(session, "7", None)).await;
    let entry = store.index(&key("7")).await.unwrap().entries[0];
    fs::rename(&folder, &away).unwrap();
    for is_empty_folder in [false, true] {
        if is_empty_folder {
            fs::create_dir(&folder).unwrap();
        }
        let revoke = off(commit(session, Action::Revoke), "7");
        let errors = [
            store.index(&key("7")).await.unwrap_err(),
            store.forget(&key("7"), &entry).await.unwrap_err(),
            store.commit(&sign_in(id(), "7", None)).await.unwrap_err(),
            store.commit(&revoke).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        }
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    fs::remove_dir(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    assert_eq!(listed_under(&store, "7").await, sessions([session]));
}
