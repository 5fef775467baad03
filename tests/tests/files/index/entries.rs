//! Lists as folders, and entries as files in them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use http::StatusCode;
use session_runtime::store::{Action, Outcome, StoreErrorKind};
use session_runtime::{FileStore, ReadSession, Session, SessionLayer, SessionStore, Sessions};
use tests::sessions::{apply, commit, destroy, id, listed_under, sign_in};
use tests::visitor::Visitor;

use super::{Fixture, hex, key, off, sessions};

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
