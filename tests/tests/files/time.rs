//! The answers of `FileStore` while a commit has read the clock and not yet written.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_runtime::store::{Clock, Timestamp};
use session_runtime::test_kit::ManualClock;
use session_runtime::{FileStore, SessionId};
use tests::sessions::{IDLE, apply, create, id, load, update};
use tokio::runtime::Handle;
use tokio::time::timeout;

type Interruption = Box<dyn FnOnce() + Send>;

/// A clock on which something happens after one reading, before the reader goes on.
#[derive(Clone)]
struct Interrupted {
    clock: ManualClock,
    by: Arc<Mutex<Option<Interruption>>>,
}

impl Interrupted {
    fn next(&self, interruption: impl FnOnce() + Send + 'static) {
        *self.by.lock().unwrap() = Some(Box::new(interruption));
    }
}

impl Clock for Interrupted {
    fn now(&self) -> Timestamp {
        let now = self.clock.now();
        let by = self.by.lock().unwrap().take();
        if let Some(interruption) = by {
            interruption();
        }
        now
    }
}

struct Fixture {
    store: FileStore,
    clock: Interrupted,
    session: SessionId,
    _folder: tempfile::TempDir,
}

/// With a session that ends at the next millisecond.
async fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let clock = Interrupted {
        clock: ManualClock::new(),
        by: Arc::default(),
    };
    let store = FileStore::builder().clock(clock.clone());
    let store = store
        .without_background_sweep()
        .open(folder.path())
        .unwrap();
    let session = id();
    apply(&store, &create(session, [])).await;
    clock.clock.advance(IDLE - Duration::from_millis(1));
    Fixture {
        store,
        clock,
        session,
        _folder: folder,
    }
}

/// The last moment of the session passes while a touch is under way: until the touch is there, no
/// load answers that the session has ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_waits_for_the_commit_that_prolongs_the_session() {
    let fixture = fixture().await;
    let (store, clock, session) = (
        fixture.store.clone(),
        fixture.clock.clock.clone(),
        fixture.session,
    );
    let (sender, loads) = mpsc::channel();
    let runtime = Handle::current();
    fixture.clock.next(move || {
        clock.advance(Duration::from_millis(1));
        let mut answer = runtime.spawn(async move { load(&store, &session, &[]).await.unwrap() });
        let early = runtime.block_on(timeout(Duration::from_millis(200), &mut answer));
        assert!(
            early.is_err(),
            "answered before the touch was there: {early:?}"
        );
        sender.send(answer).unwrap();
    });
    apply(&fixture.store, &update(session, [])).await;
    let loaded = loads
        .recv()
        .unwrap()
        .await
        .unwrap()
        .expect("the session lives");
    let now = fixture.clock.clock.now();
    assert_eq!(loaded.now, now);
    assert_eq!(loaded.header.seen + Duration::from_millis(1), now);
}

/// The last moment of the session passes while a load is under way, after a touch has been there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_judges_by_a_moment_before_it_reads() {
    let fixture = fixture().await;
    let (store, clock, session) = (
        fixture.store.clone(),
        fixture.clock.clock.clone(),
        fixture.session,
    );
    let before = clock.now();
    let runtime = Handle::current();
    fixture.clock.next(move || {
        runtime.block_on(apply(&store, &update(session, [])));
        clock.advance(Duration::from_millis(1));
    });
    let loaded = load(&fixture.store, &session, &[]).await.unwrap();
    let loaded = loaded.expect("at no moment the session was over");
    assert_eq!(loaded.now, before);
    assert_eq!(loaded.header.seen, before);
}
