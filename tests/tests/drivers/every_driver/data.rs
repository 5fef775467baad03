//! Values that are too large, damaged, moved or sealed under another key.

use std::sync::Arc;

use fastrand::Rng;
use http::StatusCode;
use session_runtime::{Key, Session, SessionId, SessionLayer};
use tests::counting::CountingStore;
use tests::drivers::{Driver, drivers, patient};
use tests::events::Recorder;
use tests::fuzz;
use tests::visitor::Visitor;

use super::{Plain, Shop, cart, id_of, known, plant, put, sealing, stored};

#[tokio::test]
async fn s33_what_is_too_large_is_refused_before_anything_is_sent() {
    for driver in drivers().await {
        let what = driver.name();
        let counting = CountingStore::new(driver.store());
        let builder = patient(Arc::new(counting.clone()));
        let limited = builder.max_field_bytes(100).max_session_bytes(150);
        let layer = limited.build().unwrap();
        let write = |note: usize, otp: usize| {
            move |mut session: Session<Plain>| async move {
                session.note = "n".repeat(note);
                session.otp = Some("o".repeat(otp));
            }
        };
        let mut visitor = Visitor::new(&layer);
        assert_eq!(visitor.visit(write(90, 20)).await.status, StatusCode::OK);
        let before = driver.contents();
        counting.take_counts();
        for (note, otp) in [(99, 20), (90, 99), (90, 60), (100_000, 20)] {
            let answer = visitor.visit(write(note, otp)).await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{what}");
            assert_eq!(counting.take_counts(), (1, 0), "{what}: nothing is sent");
            let newcomer = Visitor::new(&layer).visit(write(note, otp)).await;
            assert_eq!(newcomer.status, StatusCode::INTERNAL_SERVER_ERROR, "{what}");
            assert_eq!(newcomer.set_cookies(), [""; 0], "{what}");
            assert_eq!(counting.take_counts(), (0, 0), "{what}");
        }
        assert!(driver.contents() == before, "{what}: the old values stay");
        let read = |session: Session<Plain>| async move {
            format!(
                "{} {}",
                session.note.len(),
                session.otp.as_ref().unwrap().len()
            )
        };
        assert_eq!(visitor.visit(read).await.body, "90 20", "{what}");
        assert_eq!(
            visitor.visit(write(98, 40)).await.status,
            StatusCode::OK,
            "{what}"
        );
    }
}

/// Random bytes, and what a value or a deadline of a driver looks like, a little changed.
fn garbage(random: &mut Rng) -> Vec<u8> {
    let examples = [
        "7",
        "-1",
        "1e9",
        "\"text\"",
        "null",
        "[1,2]",
        "\u{1}1700000000000:7",
        "{}",
    ];
    let examples: Vec<Vec<u8>> = examples.map(|text| text.as_bytes().to_vec()).to_vec();
    if random.bool() {
        return fuzz::mutated(random, &examples);
    }
    (0..random.usize(..200)).map(|_| random.u8(..)).collect()
}

#[tokio::test]
async fn s49_any_stored_bytes_cost_their_field_only() {
    let rounds = fuzz::inputs(200);
    let mut random = fuzz::random();
    for driver in drivers().await {
        let what = driver.name();
        let mut visitor = known(&driver.layer()).await;
        let write = |mut session: Session<Plain>| async move { session.note = "alive".to_owned() };
        visitor.visit(write).await;
        let id = id_of(&mut visitor).await;
        for round in 0..rounds {
            let bytes = garbage(&mut random);
            let name = ["shop.cart", "shop.otp", "shop.customer"][round % 3];
            match (driver.server(), driver.prefix()) {
                // Past the driver, so that what it puts before a value is damaged as well.
                (Some(server), Some(prefix)) if round % 2 == 0 => {
                    server.set_field(&format!("{prefix}:{id}"), name, &bytes);
                }
                _ => plant(&driver.store(), &id, name, &bytes).await,
            }
            let read = |session: Session<Plain>| async move {
                let decodes = (session.cart, &session.otp, session.customer);
                format!("{} {}", session.note, format!("{decodes:?}").len() < 2_000)
            };
            let answer = visitor.visit(read).await;
            assert_eq!(answer.status, StatusCode::OK, "{what}, {round}: {bytes:?}");
            assert_eq!(answer.body, "alive true", "{what}, {round}: {bytes:?}");
        }
        // Whatever is there, a new value takes its place.
        let mend = |mut session: Session<Plain>| async move {
            session.remove(Plain::CART);
            session.remove(Plain::OTP);
            session.remove(Plain::CUSTOMER);
        };
        assert_eq!(visitor.visit(mend).await.status, StatusCode::OK, "{what}");
        assert_eq!(put(&mut visitor, 5).await.status, StatusCode::OK, "{what}");
        assert_eq!(cart(&mut visitor).await, 5, "{what}");
    }
}

async fn filled(layer: &SessionLayer) -> (Visitor, SessionId) {
    let mut visitor = Visitor::new(layer);
    let page = |mut session: Session<Shop>| async move {
        session.address = Some("12 Main Street".to_owned());
        session.phone = Some("555-0100".to_owned());
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    let id = id_of(&mut visitor).await;
    (visitor, id)
}

/// The visitor's address and phone, as far as they can be opened.
async fn opened(visitor: &mut Visitor) -> (String, String) {
    let page = |session: Session<Shop>| async move {
        let shown =
            [&session.address, &session.phone].map(|value| value.clone().unwrap_or_default());
        shown.join("|")
    };
    let body = visitor.visit(page).await.body;
    let (address, phone) = body.split_once('|').unwrap();
    (address.to_owned(), phone.to_owned())
}

fn both() -> (String, String) {
    ("12 Main Street".to_owned(), "555-0100".to_owned())
}

/// Another schema with a field of the same name.
#[derive(Session, Default)]
struct Desk {
    #[session(encrypt)]
    address: Option<String>,
}

#[tokio::test]
async fn s50_ciphertext_that_was_moved_does_not_open() {
    for driver in drivers().await {
        let (what, store) = (driver.name(), driver.store());
        let layer = sealing(&driver, [1]);
        let (_, from) = filled(&layer).await;
        let (mut visitor, to) = filled(&layer).await;
        let own = stored(&store, &to, "shop.address").await.unwrap();
        let recorder = Recorder::start();
        for (source, name) in [
            (from, "shop.address"),
            (to, "shop.phone"),
            (from, "shop.phone"),
        ] {
            let sealed = stored(&store, &source, name).await.unwrap();
            assert!(
                !tests::secrets::contains(&sealed, b"Main"),
                "{what}: sealed"
            );
            plant(&store, &to, "shop.address", &sealed).await;
            assert_eq!(
                opened(&mut visitor).await,
                (String::new(), both().1),
                "{what}"
            );
            assert_eq!(recorder.take_events(), ["decode-failed"], "{what}");
        }
        plant(&store, &to, "desk.address", &own).await;
        let desk = |session: Session<Desk>| async move { format!("{:?}", session.address) };
        assert_eq!(
            visitor.visit(desk).await.body,
            "None",
            "{what}: another schema"
        );
        plant(&store, &to, "shop.address", &own).await;
        assert_eq!(opened(&mut visitor).await, both(), "{what}: in its place");
    }
}

#[tokio::test]
async fn s51_keys_change_and_visitors_stay_signed_in() {
    for driver in drivers().await {
        let what = driver.name();
        let layers = |keys: &[u8]| signed_and_sealed(&driver, keys);
        let (mut visitor, _) = filled(&layers(&[1])).await;
        visitor.move_to(&layers(&[2, 1]));
        assert_eq!(opened(&mut visitor).await, both(), "{what}: both keys open");
        // A change of the phone seals it anew, a new cookie signs it anew.
        let page = |mut session: Session<Shop>| async move {
            session.phone = Some("1".to_owned());
            session.rotate();
        };
        assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
        visitor.move_to(&layers(&[2]));
        let expected = (String::new(), "1".to_owned());
        assert_eq!(
            opened(&mut visitor).await,
            expected,
            "{what}: the old key is gone"
        );
        put(&mut visitor, 5).await;
        assert_eq!(cart(&mut visitor).await, 5, "{what}: the session lives");
    }
}

fn signed_and_sealed(driver: &Driver, keys: &[u8]) -> SessionLayer {
    let keys = || keys.iter().map(|&byte| Key::from([byte; 32]));
    let builder = driver.builder().encryption_keys(keys());
    builder.signing_keys(keys()).build().unwrap()
}
