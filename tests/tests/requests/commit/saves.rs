//! A save that fails, and one during which the session changes.

use axum::RequestPartsExt;
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize, Serializer};
use session_runtime::{MemoryStore, Session, SessionLayer, SessionRejection};
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::gate::Gate;
use tests::visitor::Visitor;

use super::{Merged, capture, site};

/// A value that has no encoding.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Stubborn(bool);

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            false => serializer.serialize_unit_struct("Stubborn"),
            true => Err(serde::ser::Error::custom("secret detail")),
        }
    }
}

#[derive(Session, Default)]
struct Odd {
    stubborn: Stubborn,
    plain: u32,
}

#[tokio::test]
async fn p5_a_value_without_encoding_is_an_error_and_nothing_is_saved() {
    let (layer, store) = site();
    let recorder = Recorder::start();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Odd>| async move {
        session.plain = 1;
        session.stubborn = Stubborn(true);
        "all is well"
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.body.contains("well") && !answer.body.contains("secret"));
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(store.take_counts(), (0, 0));
    assert!(
        recorder
            .take()
            .iter()
            .all(|line| !line.text.contains("secret"))
    );

    let page = |mut session: Session<Odd>| async move {
        session.plain = 1;
        session.stubborn = Stubborn(true);
        let refused = session.save().await.is_err();
        session.stubborn = Stubborn(false);
        session.plain = 2;
        refused.to_string()
    };
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "true")
    );
    let page = |session: Session<Odd>| async move { session.plain.to_string() };
    assert_eq!(visitor.visit(page).await.body, "2");
}

/// While one guard's changes are on their way to the store, another guard of the request changes
/// the same fields.
#[tokio::test]
async fn what_changes_during_a_save_is_saved_after_it() {
    let store = FaultyStore::new(MemoryStore::new());
    let mut visitor = Visitor::new(&SessionLayer::new(store.clone()));
    let page = |mut session: Session<Merged>| async move { session.best = 1 };
    visitor.visit(page).await;
    let other = visitor.clone();

    let page = move |mut parts: Parts| async move {
        let gate = Gate::new();
        let mut first: Session<Merged> = parts.extract().await?;
        (first.plain, first.sum, first.best) = (1, 10, 10);
        store.on_commit(Fault::WaitBefore(gate.clone()));
        let meanwhile = async {
            gate.arrivals(1).await;
            store.on_commit(Fault::None);
            let page = |mut session: Session<Merged>| async move {
                (session.sum, session.best) = (5, 15);
            };
            other.clone().visit(page).await;
            let mut second: Session<Merged> = parts.extract().await.expect("it is known");
            (second.plain, second.sum, second.best) = (2, 11, 20);
            drop(second);
            gate.open();
        };
        let (saved, ()) = tokio::join!(first.save(), meanwhile);
        saved.expect("the store works");
        Ok::<_, SessionRejection>(())
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    let after = capture(&visitor).await;
    assert_eq!((after.plain, after.sum, after.best), (2, 16, 20));
}
