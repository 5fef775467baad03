//! A sweep makes lists and records agree again.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use session_runtime::store::{ListChange, Outcome};
use session_runtime::{FileStore, SessionStore};
use tests::sessions::{IDLE, LIFETIME, apply, create, destroy, id, set, sign_in, update};

use super::{Fixture, key, make_older, off, sessions};

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
