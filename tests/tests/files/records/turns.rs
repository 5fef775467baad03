//! Commits of one session wait for each other, never for those of another, and are applied as a
//! whole.

use std::fs::File;

use session_runtime::SessionStore;
use tests::sessions::{apply, create, id, set, update, value};

use super::Fixture;
use crate::fixture::abandon;

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
    let mut random = tests::sessions::random();
    let (fixture, session, _) = Fixture::with_session().await;
    let mut before = 0;
    for _ in 0..300 {
        let changes = [
            tests::sessions::count("shop.count"),
            tests::sessions::count("shop.echo"),
        ];
        let commit = update(session, changes);
        abandon(fixture.store.commit(&commit), &mut random).await;
        // A commit of the same session waits for whatever is still under way.
        apply(&fixture.store, &update(session, [])).await;
        let count = tests::sessions::integer(&fixture.store, &session, "shop.count").await;
        let echo = tests::sessions::integer(&fixture.store, &session, "shop.echo").await;
        assert_eq!(count, echo);
        assert!(count == before || count == before + 1);
        before = count;
    }
}
