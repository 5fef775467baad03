//! Whose token is believed: the store decides, and nothing that a visitor made up opens anything.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use session_runtime::store::Count;
use session_runtime::{MemoryStore, SessionLayer, SessionStore};
use tests::drivers::{Driver, drivers, patient};
use tests::events::Recorder;
use tests::visitor::Visitor;

use super::{Plain, cart, destroy, id_of, known, put, rotate, sign_in};

#[tokio::test]
async fn s02_the_store_decides_on_every_request() {
    for driver in drivers().await {
        let what = driver.name();
        let other_node = patient(driver.another_node().await).build().unwrap();
        for (end, customer) in [("destroy", 1), ("rotate", 2), ("sign in", 3), ("revoke", 4)] {
            let layer = driver.layer();
            let mut visitor = known(&layer).await;
            sign_in(&mut visitor, customer).await;
            let before = visitor.clone();
            let mut elsewhere = visitor.clone();
            elsewhere.move_to(&other_node);
            assert_eq!(cart(&mut elsewhere).await, 3, "{what}: any node knows it");
            match end {
                "destroy" => drop(destroy(&mut visitor).await),
                "rotate" => drop(rotate(&mut visitor).await),
                "sign in" => drop(sign_in(&mut visitor, 8).await),
                _ => {
                    let revoked = layer
                        .sessions()
                        .of(Plain::CUSTOMER, &customer)
                        .revoke_all()
                        .await;
                    assert_eq!(revoked.unwrap(), 1, "{what}");
                }
            }
            // The cookie says what it said before, and it says it as often as it likes.
            for _ in 0..2 {
                assert_eq!(cart(&mut before.clone()).await, 0, "{what}: {end}");
                assert_eq!(cart(&mut elsewhere.clone()).await, 0, "{what}: {end}");
            }
            let lives_on = ["rotate", "sign in"].contains(&end);
            let expected = if lives_on { 3 } else { 0 };
            assert_eq!(cart(&mut visitor).await, expected, "{what}: {end}");
            visitor.move_to(&other_node);
            assert_eq!(cart(&mut visitor).await, expected, "{what}: {end}");
        }
    }
}

#[tokio::test]
async fn s03_a_token_that_was_never_issued_is_no_key() {
    let elsewhere = SessionLayer::new(MemoryStore::new());
    for driver in drivers().await {
        let what = driver.name();
        let layer = driver.layer();
        // Made by the same generator, in the same form, for another store.
        let mut stranger = known(&elsewhere).await;
        let (foreign, id) = (stranger.token().unwrap(), id_of(&mut stranger).await);
        stranger.move_to(&layer);

        let recorder = Recorder::start();
        assert_eq!(cart(&mut stranger.clone()).await, 0, "{what}");
        assert_eq!(recorder.take_events(), ["unknown-token"], "{what}");
        put(&mut stranger, 5).await;
        let issued = stranger.token().unwrap();
        assert_ne!(issued[..21], foreign[..21], "{what}: another id");
        assert_ne!(issued[22..], foreign[22..], "{what}: another secret");
        assert_eq!(recorder.take_events(), ["unknown-token", "created"]);
        assert!(driver.look(&id).await.is_none(), "{what}: used as a key");
        assert_eq!(cart(&mut stranger).await, 5);
        assert_eq!(driver.store().len().await.unwrap(), counted(&driver, 1));
    }
}

/// On a server the store can only say how many keys there are, its own mark and others' included.
fn counted(driver: &Driver, sessions: u64) -> Count {
    match driver.server() {
        None => Count::Exact(sessions),
        Some(server) => Count::Estimated(server.command(&["DBSIZE"])),
    }
}

/// A thief with a copy of the store has the id and the verifier of every session.
#[tokio::test]
async fn s05_neither_the_id_nor_the_verifier_opens_a_session() {
    for driver in drivers().await {
        let layer = driver.layer();
        let mut visitor = known(&layer).await;
        let token = visitor.token().unwrap();
        let id = id_of(&mut visitor).await;
        let header = driver.look(&id).await.unwrap().header;
        let verifier = header.verifier.to_string();
        let bytes = [&id.as_bytes()[..], &header.verifier.as_bytes()[..]].concat();
        let id = id.to_string();
        for forged in [
            id.clone(),
            verifier.clone(),
            // As long as a token, and with the right id.
            URL_SAFE_NO_PAD.encode(bytes),
            format!("{}{verifier}", &id[..21]),
            format!("{}{}", &token[..22], &verifier[..21]),
            format!("{}{}", &token[..22], &verifier[1..]),
            format!("{}{}", &token[..22], "A".repeat(21)),
            format!("{id}{}", &id[..21]),
        ] {
            let mut thief = Visitor::new(&layer);
            thief.set_token(&forged);
            assert_eq!(cart(&mut thief).await, 0, "{}: {forged}", driver.name());
        }
        assert_eq!(cart(&mut visitor).await, 3, "{}", driver.name());
    }
}
