//! Changes of lists wait for each other no longer than they must, and are whole where a request is abandoned.

use std::fs::File;

use session_runtime::store::ListChange;
use session_runtime::{FileStore, SessionStore};
use tests::sessions::{apply, id, load, set, sign_in, update};

use super::{Fixture, NAMES, key, off};
use crate::fixture::abandon;

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
        abandon(fixture.store.commit(&commit), &mut random).await;
        // This waits for whatever is still under way.
        let listed = fixture.listed("7").await.contains(&session);
        let lives = load(&fixture.store, &session, &[]).await.unwrap().is_some();
        assert_eq!(listed, lives);
        applied += usize::from(lives);
    }
    println!("{applied} of 300 were applied");
}
