//! Sweeps: what they remove, what they never do, and when they happen.

use std::fs::{self, File};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use session_runtime::store::{Change, FieldTtl, Outcome};
use session_runtime::store::{Clock, Timestamp};
use session_runtime::test_kit::ManualClock;
use session_runtime::{FileStore, SessionStore};
use tests::sessions::{IDLE, apply, create, destroy, id, load, set, update};
use tokio::runtime::Handle;

use super::Fixture;

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
async fn leftovers_go_when_the_store_is_opened_unless_they_are_being_written() {
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
