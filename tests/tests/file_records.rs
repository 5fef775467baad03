//! What `FileStore` makes of the files it finds in its records' places, and how it keeps its own.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use session_runtime::store::{Action, Change, FieldTtl, Outcome, Rotation, StoreErrorKind};
use session_runtime::test_kit::ManualClock;
use session_runtime::{Clock, FileStore, SessionId, SessionStore, Timestamp, Verifier};
use tempfile::TempDir;
use tests::sessions::{
    IDLE, LIFETIME, apply, commit, create, destroy, id, load, set, update, value, verifier,
};
use tokio::runtime::Handle;

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
        let hex: String = session
            .as_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        self.folder.path().join(&hex[..3]).join(hex)
    }

    fn damaged(&self) -> Vec<PathBuf> {
        match fs::read_dir(self.folder.path().join("damaged")) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        }
    }

    async fn is_absent(&self, session: SessionId) -> bool {
        load(&self.store, &session, &[]).await.unwrap().is_none()
    }
}

/// What a file is, to see whether anything was written.
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

#[tokio::test]
async fn a_record_is_readable_and_only_for_its_owner() {
    let (fixture, session, file) = Fixture::with_session().await;
    let otp = Change::Set {
        name: "shop.otp".into(),
        value: "428117".into(),
        ttl: Some(FieldTtl::restarting(Duration::from_secs(300))),
        only_if_absent: false,
    };
    apply(&fixture.store, &update(session, [otp])).await;

    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nshop.cart - text pear\n"), "{text}");
    assert!(
        text.contains("\nshop.otp 2023-11-14T22:18:20.000Z text 428117\n"),
        "{text}"
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    assert_eq!(mode(&fixture.folder.path().join("tmp")), 0o700);
    assert_eq!(mode(fixture.folder.path()), 0o700);
}

#[tokio::test]
async fn a_session_survives_a_restart() {
    let (fixture, session, _) = Fixture::with_session().await;
    let Fixture {
        store,
        clock,
        folder,
    } = fixture;
    drop(store);
    let store = FileStore::builder()
        .clock(clock)
        .open(folder.path())
        .unwrap();
    assert_eq!(value(&store, &session, "shop.cart").await.unwrap(), "pear");
}

#[tokio::test]
async fn a_load_and_a_refused_commit_write_nothing() {
    let (fixture, session, file) = Fixture::with_session().await;
    let before = state(&file);
    value(&fixture.store, &session, "shop.cart").await;
    let stranger = Action::Update {
        verifier: Verifier::from_bytes([8; 32]),
        rotation: None,
    };
    let outcome = fixture
        .store
        .commit(&commit(session, stranger))
        .await
        .unwrap();
    assert_eq!(outcome, Outcome::Gone);
    assert_eq!(state(&file), before);

    let nobody = id();
    assert!(fixture.is_absent(nobody).await);
    let outcome = fixture.store.commit(&update(nobody, [])).await.unwrap();
    assert_eq!(outcome, Outcome::Gone);
    assert!(!fixture.file_of(nobody).parent().unwrap().exists());
}

#[tokio::test]
async fn a_touch_moves_the_time_of_the_file_exactly_and_nothing_else() {
    let (fixture, session, file) = Fixture::with_session().await;
    let (inode, _, _, content) = state(&file);
    for _ in 0..50 {
        fixture.clock.advance(Duration::from_millis(12_347));
        apply(&fixture.store, &update(session, [])).await;
        let loaded = load(&fixture.store, &session, &[]).await.unwrap().unwrap();
        assert_eq!(loaded.header.seen, fixture.clock.now());
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        let difference = modified.duration_since(fixture.clock.now().into()).unwrap();
        assert!(difference < Duration::from_millis(1), "{difference:?}");
    }
    let (inode_after, _, _, content_after) = state(&file);
    assert_eq!((inode_after, content_after), (inode, content));
}

/// As a file system does that keeps times less exactly, and as copies do.
#[tokio::test]
async fn a_time_that_no_touch_has_set_is_not_believed() {
    let (fixture, session, file) = Fixture::with_session().await;
    let created = fixture.clock.now();
    fixture.clock.advance(Duration::from_secs(60));
    apply(&fixture.store, &update(session, [])).await;

    let now = SystemTime::from(fixture.clock.now());
    let year = Duration::from_secs(365 * 24 * 60 * 60);
    for time in [now, now + year, now - year, now + Duration::from_nanos(1)] {
        let times = FileTimes::new().set_modified(time);
        File::open(&file).unwrap().set_times(times).unwrap();
        let loaded = load(&fixture.store, &session, &[]).await.unwrap().unwrap();
        assert_eq!(loaded.header.seen, created);
    }
    fixture.clock.set(created + IDLE);
    assert!(fixture.is_absent(session).await);
}

#[tokio::test]
async fn no_time_of_a_file_moves_the_absolute_end() {
    let (fixture, session, file) = Fixture::with_session().await;
    let created = fixture.clock.now();
    // What a touch would set if the clock had been far ahead.
    fixture.clock.advance(IDLE - Duration::from_secs(1));
    apply(&fixture.store, &update(session, [])).await;
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    let times = FileTimes::new().set_modified(modified + LIFETIME * 9);
    File::open(&file).unwrap().set_times(times).unwrap();

    fixture
        .clock
        .set(created + (LIFETIME - Duration::from_millis(1)));
    assert!(!fixture.is_absent(session).await);
    fixture.clock.advance(Duration::from_millis(1));
    assert!(fixture.is_absent(session).await);
}

#[tokio::test]
async fn a_damaged_file_counts_as_absent_and_is_set_aside_not_deleted() {
    let (fixture, session, file) = Fixture::with_session().await;
    let good = fs::read(&file).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 4;
    let contents: [&[u8]; 5] = [
        b"",
        &good[..good.len() / 2],
        &flipped,
        b"#!/bin/sh\n",
        &[0xff; 99],
    ];
    for (index, content) in contents.into_iter().enumerate() {
        fs::write(&file, content).unwrap();
        assert!(fixture.is_absent(session).await);
        assert_eq!(fs::read(&file).unwrap(), content, "a load wrote");

        // A commit and a sweep find it in turn.
        if index % 2 == 0 {
            let outcome = fixture.store.commit(&update(session, [])).await.unwrap();
            assert_eq!(outcome, Outcome::Gone);
        } else {
            assert_eq!(fixture.store.sweep().await.unwrap(), 0);
        }
        assert!(!file.exists());
        let damaged = fixture.damaged();
        assert_eq!(damaged.len(), index + 1);
        assert!(
            damaged
                .iter()
                .any(|path| fs::read(path).unwrap() == content)
        );
    }
    apply(&fixture.store, &create(session, [])).await;
    assert!(!fixture.is_absent(session).await);
    fixture.store.sweep().await.unwrap();
    assert_eq!(fixture.damaged().len(), contents.len());
}

#[tokio::test]
async fn another_sessions_record_under_this_name_is_damaged() {
    let (fixture, session, file) = Fixture::with_session().await;
    let other = id();
    fs::create_dir_all(fixture.file_of(other).parent().unwrap()).unwrap();
    fs::copy(&file, fixture.file_of(other)).unwrap();
    assert!(fixture.is_absent(other).await);
    assert!(!fixture.is_absent(session).await);
}

#[tokio::test]
async fn a_file_larger_than_any_record_is_not_read_into_memory() {
    let (fixture, session, file) = Fixture::with_session().await;
    // A sparse terabyte; where the file system has a smaller limit, what it allows.
    let huge = File::options().write(true).open(&file).unwrap();
    if huge.set_len(1 << 40).is_err() {
        huge.set_len(1 << 30).unwrap();
    }
    assert!(fixture.is_absent(session).await);
    fixture.store.sweep().await.unwrap();
    assert_eq!(fixture.damaged().len(), 1);

    let bulk = set("shop.bulk", vec![b'x'; 17 << 20]);
    let error = fixture
        .store
        .commit(&create(id(), [bulk]))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Full);
}

#[tokio::test]
async fn a_record_of_a_later_format_is_an_error_and_stays() {
    /// With the check that belongs to it.
    const LATER: &str = "session-record 2\nanything\n@check b7c2a5be539b2c4b\n";
    let (fixture, session, file) = Fixture::with_session().await;
    fs::write(&file, LATER).unwrap();

    let error = load(&fixture.store, &session, &[]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    for commit in [update(session, []), create(session, []), destroy(session)] {
        let error = fixture.store.commit(&commit).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }
    fixture.clock.advance(LIFETIME);
    assert_eq!(fixture.store.sweep().await.unwrap(), 0);
    assert_eq!(fs::read_to_string(&file).unwrap(), LATER);
}

#[tokio::test]
async fn links_folders_and_pipes_in_a_records_place_are_not_followed_and_stay() {
    let fixture = Fixture::new();
    let (source, _, good) = Fixture::with_session().await;
    let plant: [&dyn Fn(&Path); 4] = [
        &|place| symlink(&good, place).unwrap(),
        &|place| symlink("/nonexistent", place).unwrap(),
        &|place| fs::create_dir(place).unwrap(),
        &|place| {
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
            rustix::fs::mknodat(rustix::fs::CWD, place, kind, mode, 0).unwrap();
        },
    ];
    let before = state(&good);
    for plant in plant {
        let session = id();
        let place = fixture.file_of(session);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        plant(&place);
        assert!(fixture.is_absent(session).await);
        for commit in [update(session, []), create(session, []), destroy(session)] {
            let outcome = fixture.store.commit(&commit).await.unwrap();
            assert_eq!(outcome, Outcome::Gone);
        }
        fixture.store.sweep().await.unwrap();
        assert!(place.symlink_metadata().is_ok());
    }
    assert_eq!(state(&good), before);
    assert!(fixture.damaged().is_empty());
    drop(source);
}

#[tokio::test]
async fn a_linked_folder_of_records_is_an_error() {
    let (fixture, session, file) = Fixture::with_session().await;
    let shard = file.parent().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(shard, elsewhere.path().join("records")).unwrap();
    symlink(elsewhere.path().join("records"), shard).unwrap();
    let error = load(&fixture.store, &session, &[]).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    let error = fixture.store.commit(&destroy(session)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
}

#[tokio::test]
async fn a_sweep_removes_what_has_ended_and_only_that() {
    let (fixture, ended, ended_file) = Fixture::with_session().await;
    let (renewed, living) = (id(), id());
    let short = |name: &'static str| Change::Set {
        name: name.into(),
        value: "428117".into(),
        ttl: Some(FieldTtl::restarting(Duration::from_secs(60))),
        only_if_absent: false,
    };
    apply(
        &fixture.store,
        &create(renewed, [short("shop.otp"), set("shop.cart", "fig")]),
    )
    .await;
    fixture.clock.advance(IDLE / 2);
    apply(&fixture.store, &update(renewed, [])).await;
    apply(&fixture.store, &create(living, [])).await;
    fixture.clock.advance(IDLE / 2);

    let text = fs::read_to_string(fixture.file_of(renewed)).unwrap();
    assert!(text.contains("428117"), "a touch wrote the fields");
    assert!(fixture.is_absent(ended).await);
    assert!(ended_file.exists(), "a load wrote");
    let seen = load(&fixture.store, &renewed, &[])
        .await
        .unwrap()
        .unwrap()
        .header
        .seen;

    assert_eq!(fixture.store.sweep().await.unwrap(), 1);
    assert!(!ended_file.exists());
    assert!(!fixture.is_absent(living).await);
    // The field has ended, the session has not.
    let text = fs::read_to_string(fixture.file_of(renewed)).unwrap();
    assert!(!text.contains("428117"), "{text}");
    let after = load(&fixture.store, &renewed, &["shop.cart"])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.header.seen, seen);
    assert_eq!(after.fields[0].as_ref().unwrap().value, "fig");
}

/// A clock on which, the first time that it is asked, something happens first.
struct Interrupted {
    clock: ManualClock,
    by: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Clock for Interrupted {
    fn now(&self) -> Timestamp {
        let by = self.by.lock().unwrap().take();
        if let Some(interrupt) = by {
            interrupt();
        }
        self.clock.now()
    }
}

/// A sweep has read the record when a commit renews it, and judges when its old end has come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_looks_again_before_it_removes() {
    let (fixture, session, file) = Fixture::with_session().await;
    fixture.clock.advance(IDLE - Duration::from_millis(1));
    let (store, clock) = (fixture.store.clone(), fixture.clock.clone());
    let runtime = Handle::current();
    let sweeper = Interrupted {
        clock: fixture.clock.clone(),
        by: Mutex::new(None),
    };
    let sweeper = Arc::new(sweeper);
    let other_process = FileStore::builder()
        .clock(Arc::clone(&sweeper))
        .without_background_sweep()
        .open(fixture.folder.path())
        .unwrap();
    *sweeper.by.lock().unwrap() = Some(Box::new(move || {
        runtime.block_on(apply(&store, &update(session, [])));
        clock.advance(Duration::from_millis(1));
    }));
    assert_eq!(other_process.sweep().await.unwrap(), 0);
    assert!(sweeper.by.lock().unwrap().is_none(), "nothing was renewed");
    assert!(file.exists());
    assert!(!fixture.is_absent(session).await);
}

/// A touch races with two sweeps while the last moment of the session passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_sweep_never_removes_what_a_commit_just_renewed() {
    let fixture = Fixture::new();
    let other_process = FileStore::builder()
        .clock(fixture.clock.clone())
        .without_background_sweep()
        .open(fixture.folder.path())
        .unwrap();
    let mut random = tests::sessions::random();
    let session = id();
    let (mut renewed, mut gone) = (0, 0);
    for _ in 0..300 {
        apply(&fixture.store, &create(session, [])).await;
        fixture.clock.advance(IDLE - Duration::from_millis(1));

        let store = fixture.store.clone();
        let touch = tokio::spawn(async move { store.commit(&update(session, [])).await.unwrap() });
        let sweeps = [fixture.store.clone(), other_process.clone()].map(|store| {
            tokio::spawn(async move {
                for _ in 0..3 {
                    store.sweep().await.unwrap();
                }
            })
        });
        let end = Instant::now() + Duration::from_micros(random.u64(..400));
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        fixture.clock.advance(Duration::from_millis(1));
        for sweep in sweeps {
            sweep.await.unwrap();
        }
        if matches!(touch.await.unwrap(), Outcome::Applied(_)) {
            assert!(
                !fixture.is_absent(session).await,
                "a renewed session was removed"
            );
            apply(&fixture.store, &destroy(session)).await;
            renewed += 1;
        } else {
            gone += 1;
        }
    }
    println!("{renewed} renewed, {gone} too late");
}

#[tokio::test]
async fn commits_sweep_in_the_background_also_after_a_restart() {
    let (fixture, _, ended_file) = Fixture::with_session().await;
    fixture.clock.advance(IDLE);
    let leftover = fixture.folder.path().join("tmp").join("leftover");
    let store = FileStore::builder()
        .clock(fixture.clock.clone())
        .sweep_every(Duration::from_secs(256))
        .open(fixture.folder.path())
        .unwrap();
    fs::write(&leftover, "half").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    // Each commit that comes after another second starts one of the steps of a pass.
    while ended_file.exists() || leftover.exists() {
        assert!(Instant::now() < deadline, "nothing was swept");
        apply(&store, &create(id(), [])).await;
        fixture.clock.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn leftovers_go_when_the_store_is_opened_unless_somebody_writes_them() {
    let fixture = Fixture::new();
    let temporary = fixture.folder.path().join("tmp");
    fs::write(temporary.join("leftover"), "half").unwrap();
    let written = File::create(temporary.join("written")).unwrap();
    let lock = rustix::fs::FlockOperation::LockExclusive;
    rustix::fs::flock(&written, lock).unwrap();

    let store = FileStore::open(fixture.folder.path()).unwrap();
    assert!(!temporary.join("leftover").exists());
    assert!(temporary.join("written").exists());
    drop(written);
    store.sweep().await.unwrap();
    assert!(!temporary.join("written").exists());
}

#[tokio::test]
async fn nothing_of_a_destroyed_session_stays() {
    let (fixture, session, file) = Fixture::with_session().await;
    let secret = set("shop.card", "4111-1111");
    apply(&fixture.store, &update(session, [secret])).await;
    let rotation = Rotation {
        verifier: verifier(),
        grace: None,
    };
    let rotate = Action::Update {
        verifier: verifier(),
        rotation: Some(rotation),
    };
    apply(&fixture.store, &commit(session, rotate)).await;
    apply(&fixture.store, &destroy(session)).await;
    assert!(!file.exists());
    let shard = file.parent().unwrap();
    assert_eq!(fs::read_dir(shard).unwrap().count(), 0);
    let temporary = fixture.folder.path().join("tmp");
    assert_eq!(fs::read_dir(temporary).unwrap().count(), 0);
}

/// While another process holds a session's lock, all others go on, and what waits is not lost.
#[tokio::test]
async fn a_locked_session_keeps_no_other_waiting() {
    let (fixture, locked, file) = Fixture::with_session().await;
    let held = File::open(&file).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let waiting: Vec<_> = (0..64)
        .map(|_| {
            let store = fixture.store.clone();
            let commit = update(locked, [set("shop.cart", "fig")]);
            tokio::spawn(async move { apply(&store, &commit).await })
        })
        .collect();
    for _ in 0..64 {
        let other = id();
        apply(&fixture.store, &create(other, [])).await;
        apply(&fixture.store, &update(other, [])).await;
    }
    assert_eq!(
        value(&fixture.store, &locked, "shop.cart").await.unwrap(),
        "pear"
    );
    drop(held);
    for commit in waiting {
        commit.await.unwrap();
    }
    assert_eq!(
        value(&fixture.store, &locked, "shop.cart").await.unwrap(),
        "fig"
    );
}

#[tokio::test]
async fn an_abandoned_commit_is_applied_as_a_whole_or_not_at_all() {
    use std::task::Poll;

    let mut random = tests::sessions::random();
    let (fixture, session, _) = Fixture::with_session().await;
    let mut before = 0;
    for _ in 0..300 {
        let changes = [
            tests::sessions::count("shop.count"),
            tests::sessions::count("shop.echo"),
        ];
        let commit = update(session, changes);
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
        // A commit of the same session waits for whatever is still under way.
        apply(&fixture.store, &update(session, [])).await;
        let count = tests::sessions::integer(&fixture.store, &session, "shop.count").await;
        let echo = tests::sessions::integer(&fixture.store, &session, "shop.echo").await;
        assert_eq!(count, echo);
        assert!(count == before || count == before + 1);
        before = count;
    }
}
