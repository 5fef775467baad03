//! The folders and files in which `FileStore` keeps principals' lists: what they look like, what
//! becomes of them, and what a sweep makes of those that are damaged or lost.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

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

#[tokio::test]
async fn an_entry_is_a_readable_file_for_its_owner_only_and_the_list_goes_with_the_last_one() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.signed_in("7").await, fixture.signed_in("7").await);
    let list = fixture.list_of("7");
    assert_eq!(fs::read_dir(&list).unwrap().count(), 2);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for session in [first, second] {
        let entry = fixture.entry_of("7", session);
        let text = fs::read_to_string(&entry).unwrap();
        let principal = format!("session-list 2\n@principal {}\n", key("7"));
        assert!(text.starts_with(&principal), "{text}");
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains(&hex(session.as_bytes())), "{text}");
        assert_eq!(mode(&entry), 0o600);
    }
    let folder = list.parent().unwrap();
    assert_eq!((mode(&list), mode(folder)), (0o700, 0o700));
    assert_eq!(mode(&folder.join("lock")), 0o600);

    apply(&fixture.store, &off(destroy(first), "7")).await;
    assert_eq!(fixture.listed("7").await, sessions([second]));
    apply(&fixture.store, &off(destroy(second), "7")).await;
    assert!(!list.exists());
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1, "the lock stays");
    let temporary = fixture.folder.path().join("tmp");
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}

#[tokio::test]
async fn a_sign_in_and_a_sign_out_write_nothing_of_other_entries() {
    let fixture = Fixture::new();
    let first = fixture.signed_in("7").await;
    let entry = fixture.entry_of("7", first);
    let state = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        (metadata.modified().unwrap(), fs::read(path).unwrap())
    };
    let before = state(&entry);
    let second = fixture.signed_in("7").await;
    apply(&fixture.store, &off(destroy(second), "7")).await;
    assert_eq!(state(&entry), before);
}

#[tokio::test]
async fn a_list_survives_a_restart_and_is_the_same_for_all_stores_of_a_folder() {
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
    let list = layer.sessions().of(Shop::CUSTOMER, &7).list().await;
    assert_eq!(list.unwrap().len(), 2);
    for visitor in &mut visitors {
        visitor.move_to(&layer);
    }
    let page = |sessions: Sessions| async move {
        let revoked = sessions.of(Shop::CUSTOMER, &7).revoke_others().await;
        revoked.map(|revoked| revoked.to_string())
    };
    assert_eq!(visitors[0].visit(page).await.body, "1");
    let whoami = |session: ReadSession<Shop>| async move { format!("{:?}", session.customer) };
    assert_eq!(visitors[0].visit(whoami).await.body, "Some(7)");
    assert_eq!(visitors[1].visit(whoami).await.body, "None");
    let left = layer
        .sessions()
        .of(Shop::CUSTOMER, &7)
        .list()
        .await
        .unwrap();
    assert_eq!(left.len(), 1);
    let revoked = layer.sessions().of(Shop::CUSTOMER, &7).revoke_all().await;
    assert_eq!(revoked.unwrap(), 1);
    let folders = fs::read_dir(folder.path().join("index")).unwrap();
    let files = folders.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    assert_eq!(files.count(), 1, "the lock stays");
}

/// The name lists the session: a session that is not listed cannot be revoked by its principal.
#[tokio::test]
async fn an_entry_of_any_content_lists_its_session() {
    let damages: [fn(Vec<u8>) -> Vec<u8>; 6] = [
        |_| Vec::new(),
        |text| text[..text.len() / 2].to_vec(),
        |text| [text.as_slice(), b"more\n"].concat(),
        |mut text| {
            text[40] ^= 1;
            text
        },
        |_| vec![0xff; 1 << 20],
        |_| b"session-list 3\nwho knows\n@check de17b7be7109f363\n".to_vec(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let fixture = Fixture::new();
        let here = [fixture.signed_in("7").await, fixture.signed_in("7").await];
        fixture.signed_in("8").await;
        let gone = fixture.signed_in("7").await;
        apply(&fixture.store, &off(destroy(gone), "7")).await;
        let file = fixture.entry_of("7", here[0]);
        let bad = damage(fs::read(&file).unwrap());
        fs::write(&file, &bad).unwrap();

        // A limit counts it.
        let newcomer = id();
        let refused = fixture.store.commit(&sign_in(newcomer, "7", Some(2))).await;
        assert_eq!(
            refused.unwrap(),
            Outcome::LimitReached {
                principal: key("7")
            }
        );
        assert_eq!(fixture.listed("7").await, sessions(here), "{number}");
        fixture.store.sweep().await.unwrap();
        assert_eq!(fixture.listed("7").await, sessions(here), "{number}");
        assert_eq!(fs::read(&file).unwrap(), bad);

        apply(&fixture.store, &sign_in(newcomer, "7", Some(3))).await;
        let [first, second] = here;
        let all = sessions([first, second, newcomer]);
        assert_eq!(fixture.listed("7").await, all);
        // It is an entry like any other.
        for session in all {
            apply(&fixture.store, &off(destroy(session), "7")).await;
        }
        assert!(!fixture.list_of("7").exists() && fixture.damaged().is_empty());
    }
}

/// A session that was found ended at a damaged entry may have signed in again since: the new entry
/// stays.
#[tokio::test]
async fn a_damaged_entry_is_removed_as_stale_unless_the_session_was_listed_since() {
    let fixture = Fixture::new();
    let session = fixture.signed_in("7").await;
    let file = fixture.entry_of("7", session);
    for is_listed_since in [true, false] {
        fs::write(&file, "damaged").unwrap();
        let seen = fixture.store.list(&key("7")).await.unwrap().entries[0];
        if is_listed_since {
            let mut again = update(session, []);
            again.lists = sign_in(session, "7", None).lists;
            apply(&fixture.store, &again).await;
        }
        fixture.store.remove_stale(&key("7"), &seen).await.unwrap();
        let listed = fixture.listed("7").await.contains(&session);
        assert_eq!(listed, is_listed_since);
    }
}

#[tokio::test]
async fn entries_that_no_record_justifies_go_with_a_sweep() {
    let fixture = Fixture::new();
    let (stays, elsewhere, nobody) = (
        fixture.signed_in("7").await,
        fixture.signed_in("8").await,
        id(),
    );
    // As crashes leave them: of a session that never was, and of one that has moved on.
    fs::write(fixture.entry_of("7", nobody), "").unwrap();
    let good = fs::read(fixture.entry_of("8", elsewhere)).unwrap();
    fs::write(fixture.entry_of("7", elsewhere), good).unwrap();
    let empty = fixture.list_of("9");
    fs::create_dir_all(&empty).unwrap();
    assert_eq!(
        fixture.listed("7").await,
        sessions([stays, elsewhere, nobody])
    );
    fixture.store.sweep().await.unwrap();
    assert_eq!(fixture.listed("7").await, sessions([stays]));
    assert_eq!(fixture.listed("8").await, sessions([elsewhere]));
    assert!(!empty.exists());
}

#[tokio::test]
async fn what_is_no_folder_in_a_lists_place_is_an_error_and_is_left_alone() {
    for kind in ["earlier", "file", "link"] {
        let fixture = Fixture::new();
        let (listed, newcomer) = (fixture.signed_in("7").await, id());
        let list = fixture.list_of("7");
        fs::remove_dir_all(&list).unwrap();
        match kind {
            "earlier" => fs::write(
                &list,
                include_bytes!("../../campaigns/corpus/golden/list-1"),
            )
            .unwrap(),
            "file" => fs::write(&list, "").unwrap(),
            _ => symlink("/etc", &list).unwrap(),
        }
        let store = &fixture.store;
        let error = store.list(&key("7")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{kind}");
        for commit in [sign_in(newcomer, "7", None), off(destroy(listed), "7")] {
            let error = store.commit(&commit).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{kind}");
        }
        store.sweep().await.unwrap();
        assert!(load(store, &newcomer, &[]).await.unwrap().is_none());
        assert!(load(store, &listed, &[]).await.unwrap().is_some());
        // No other principal is concerned.
        fixture.signed_in("8").await;
        assert!(!list.symlink_metadata().unwrap().is_dir() && fixture.damaged().is_empty());

        // The error says how to mend it.
        fs::remove_file(&list).unwrap();
        store.sweep().await.unwrap();
        assert_eq!(fixture.listed("7").await, sessions([listed]));
    }
}

/// None of them is followed.
#[tokio::test]
async fn links_folders_and_pipes_in_an_entrys_place_list_its_session() {
    for kind in ["link", "folder", "pipe"] {
        let fixture = Fixture::new();
        let (session, target) = (
            fixture.signed_in("7").await,
            fixture.folder.path().join("x"),
        );
        let year_ago = SystemTime::now() - Duration::from_secs(365 * 24 * 60 * 60);
        fs::write(&target, "untouched").unwrap();
        make_older(&target, year_ago);
        let entry = fixture.entry_of("7", session);
        fs::remove_file(&entry).unwrap();
        match kind {
            "link" => symlink(&target, &entry).unwrap(),
            "folder" => fs::create_dir(&entry).unwrap(),
            _ => {
                let (pipe, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
                rustix::fs::mknodat(rustix::fs::CWD, &entry, pipe, mode, 0).unwrap();
            }
        }
        assert_eq!(fixture.listed("7").await, sessions([session]), "{kind}");
        fixture.store.sweep().await.unwrap();
        assert_eq!(fixture.listed("7").await, sessions([session]), "{kind}");
        assert!(entry.symlink_metadata().is_ok());

        apply(&fixture.store, &off(destroy(session), "7")).await;
        let left = fixture.listed("7").await;
        // A folder is nothing that the store removes.
        assert_eq!(left.len(), usize::from(kind == "folder"));
        assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
        assert_eq!(fs::metadata(&target).unwrap().modified().unwrap(), year_ago);
    }
}

fn make_older(path: &Path, modified: SystemTime) {
    let times = fs::FileTimes::new().set_modified(modified);
    File::open(path).unwrap().set_times(times).unwrap();
}

/// Files that a cleaner of old files, or a careless hand, may remove.
#[tokio::test]
async fn lost_entries_are_written_again_by_a_sweep() {
    for lost in ["entry", "list", "folder", "index"] {
        let fixture = Fixture::new();
        let here = [fixture.signed_in("7").await, fixture.signed_in("7").await];
        let [moved, gone] = [fixture.signed_in("7").await, fixture.signed_in("7").await];
        let mut to_another = off(update(moved, [set("owner", "8")]), "7");
        to_another.lists.extend(sign_in(moved, "8", None).lists);
        apply(&fixture.store, &to_another).await;
        apply(&fixture.store, &off(destroy(gone), "7")).await;
        let list = fixture.list_of("7");
        match lost {
            "entry" => fs::remove_file(fixture.entry_of("7", here[0])).unwrap(),
            "list" => fs::remove_dir_all(&list).unwrap(),
            "folder" => fs::remove_dir_all(list.parent().unwrap()).unwrap(),
            _ => fs::remove_dir_all(fixture.folder.path().join("index")).unwrap(),
        }
        assert_ne!(fixture.listed("7").await, sessions(here));

        fixture.store.sweep().await.unwrap();
        assert_eq!(fixture.listed("7").await, sessions(here), "{lost}");
        assert_eq!(fixture.listed("8").await, sessions([moved]), "{lost}");
        // A limit counts what has been found again, and it is an entry like any other.
        let refused = fixture.store.commit(&sign_in(id(), "7", Some(2))).await;
        assert!(matches!(refused, Ok(Outcome::LimitReached { .. })));
        for session in here {
            apply(&fixture.store, &off(destroy(session), "7")).await;
        }
        assert!(!list.exists());
        fixture.store.sweep().await.unwrap();
        assert_eq!(fixture.listed("7").await, sessions([]));
    }
}

/// A cleaner goes by the time of modification, and spares what a sweep has refreshed.
#[tokio::test]
async fn a_sweep_refreshes_what_must_not_be_removed_for_its_age() {
    let fixture = Fixture::new();
    let session = fixture.signed_in("7").await;
    let kept = [
        fixture.entry_of("7", session),
        fixture.list_of("7").with_file_name("lock"),
        fixture.folder.path().join(".session-store"),
    ];
    let hour = Duration::from_secs(60 * 60);
    let contents = kept.each_ref().map(|path| fs::read(path).unwrap());
    for path in &kept {
        make_older(path, SystemTime::now() - 24 * hour);
    }
    fixture.store.sweep().await.unwrap();
    for path in &kept {
        let age = fs::metadata(path).unwrap().modified().unwrap().elapsed();
        assert!(age.unwrap() < hour, "{path:?}");
    }
    assert_eq!(
        kept.each_ref().map(|path| fs::read(path).unwrap()),
        contents
    );
}

#[tokio::test]
async fn entries_go_when_they_are_over_and_with_a_sweep_when_their_sessions_are_gone() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let over = id();
    let mut short = sign_in(over, "8", None);
    short.lists = vec![ListChange::Add {
        field: "owner".into(),
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
    // Without saying so to the list, as after a crash.
    apply(store, &destroy(destroyed)).await;
    fixture.clock.advance(IDLE / 2);
    apply(store, &update(stays, [])).await;
    apply(store, &update(over, [])).await;
    assert_eq!(
        fixture.listed("7").await,
        sessions([stays, ends, destroyed])
    );
    assert_eq!(fixture.listed("8").await, sessions([]));
    assert!(fixture.list_of("8").exists());

    // The file of the entry that is over stays with the record that names it: if it went, the sweep
    // would take it for lost and list the session again.
    for _ in 0..2 {
        assert_eq!(store.sweep().await.unwrap(), 0);
        assert_eq!(fixture.listed("7").await, sessions([stays, ends]));
        assert_eq!(fixture.listed("8").await, sessions([]));
    }
    apply(store, &sign_in(id(), "8", Some(1))).await;
    apply(store, &destroy(over)).await;
    store.sweep().await.unwrap();
    assert!(!fixture.entry_of("8", over).exists());
    fixture.clock.advance(IDLE / 2);
    assert_eq!(store.sweep().await.unwrap(), 1);
    assert_eq!(fixture.listed("7").await, sessions([stays]));
    fixture.clock.advance(LIFETIME);
    assert_eq!(store.sweep().await.unwrap(), 2);
    assert!(!fixture.list_of("7").exists());
}

#[tokio::test]
async fn commits_sweep_the_lists_in_the_background() {
    let fixture = Fixture::new();
    fixture.signed_in("7").await;
    fixture.clock.advance(LIFETIME);
    let store = FileStore::builder()
        .clock(fixture.clock.clone())
        .sweep_every(Duration::from_secs(256))
        .open(fixture.folder.path())
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while fixture.list_of("7").exists() {
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
    let held = File::open(fixture.list_of("7").with_file_name("lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let waiting: Vec<_> = (0..64)
        .map(|number| {
            let store = fixture.store.clone();
            tokio::spawn(async move {
                match number % 2 {
                    0 => apply(&store, &sign_in(id(), "7", None)).await,
                    _ => drop(store.list(&key("7")).await.unwrap()),
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
                commit.lists.push(ListChange::Add {
                    field: "owner".into(),
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
        let mut future = Box::pin(fixture.store.commit(&commit));
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
async fn a_folder_that_vanishes_has_no_empty_list() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, away) = (parent.path().join("sessions"), parent.path().join("away"));
    let store = FileStore::open(&folder).unwrap();
    let session = id();
    apply(&store, &sign_in(session, "7", None)).await;
    let entry = store.list(&key("7")).await.unwrap().entries[0];
    fs::rename(&folder, &away).unwrap();
    for is_empty_folder in [false, true] {
        if is_empty_folder {
            fs::create_dir(&folder).unwrap();
        }
        let revoke = off(commit(session, Action::Revoke), "7");
        let errors = [
            store.list(&key("7")).await.unwrap_err(),
            store.remove_stale(&key("7"), &entry).await.unwrap_err(),
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
