//! How records are kept: readable, for their owner only, written no more than needed, and gone
//! when their session is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use session_runtime::store::Verifier;
use session_runtime::store::{Action, Change, FieldTtl, Outcome, Rotation};
use session_runtime::{FileStore, SessionStore};
use tests::sessions::{apply, commit, destroy, id, set, update, value, verifier};

use super::{Fixture, state};

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
        verifier: Verifier::from_bytes([8; 16]),
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
async fn nothing_of_a_destroyed_session_stays() {
    let (fixture, session, file) = Fixture::with_session().await;
    let secret = set("shop.card", "4111-1111");
    apply(&fixture.store, &update(session, [secret])).await;
    let rotation = Rotation::new(verifier(), None);
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
