//! The time of a file tells when its session was last seen, if a touch has set it.

use std::fs::{self, File, FileTimes};
use std::time::{Duration, SystemTime};

use session_runtime::store::Clock;
use tests::sessions::{IDLE, LIFETIME, apply, load, update};

use super::{Fixture, state};

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
    // The time that a touch would set if the clock had been far ahead.
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
