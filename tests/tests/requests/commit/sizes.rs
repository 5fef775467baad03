//! Limits of size: refused before anything is sent, and no trap for a session that is too large.

use http::StatusCode;
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};
use tests::counting::CountingStore;
use tests::visitor::Visitor;

use super::{Merged, capture, site};

#[tokio::test]
async fn s33_what_is_too_large_is_refused_before_anything_is_sent() {
    let store = CountingStore::new(MemoryStore::new());
    let layer = SessionLayer::builder(store.clone())
        .max_field_bytes(100)
        .max_session_bytes(150)
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        session.text = "x".repeat(90);
        session.plain = 1;
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    store.take_counts();

    let field = |mut session: Session<Merged>| async move {
        session.text = "x".repeat(99);
        session.plain = 2;
    };
    let together = |mut session: Session<Merged>| async move {
        session.note = Some("y".repeat(80));
        session.plain = 2;
    };
    assert_eq!(
        visitor.visit(field).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert_eq!(
        visitor.visit(together).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert_eq!(store.take_counts(), (2, 0), "two loads, no commit");
    let after = capture(&visitor).await;
    assert_eq!((after.text.len(), after.note, after.plain), (90, None, 1));

    let new = Visitor::new(&layer).visit(field).await;
    assert_eq!(new.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(new.set_cookies(), [""; 0]);
    let exact = |mut session: Session<Merged>| async move { session.text = "x".repeat(98) };
    assert_eq!(visitor.visit(exact).await.status, StatusCode::OK);
}

#[tokio::test]
async fn s33_a_session_that_is_too_large_can_be_made_smaller() {
    let store = MemoryStore::new();
    let store = CountingStore::new(store);
    let mut visitor = Visitor::new(&SessionLayer::new(store.clone()));
    let page = |mut session: Session<Merged>| async move {
        session.text = "x".repeat(300);
        session.note = Some("y".repeat(300));
    };
    visitor.visit(page).await;
    let limited = SessionLayer::builder(store)
        .max_field_bytes(200)
        .max_session_bytes(200)
        .build()
        .unwrap();
    let token = visitor.token().unwrap();
    let mut visitor = Visitor::new(&limited);
    visitor.set_token(&token);
    let page = |mut session: Session<Merged>| async move { session.note = None };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    assert_eq!(capture(&visitor).await.note, None);
}

#[tokio::test]
async fn s33_a_session_that_is_too_large_can_stay_as_large() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        session.text = "x".repeat(150);
        session.note = Some("y".repeat(150));
    };
    visitor.visit(page).await;
    let limited = SessionLayer::builder(store)
        .max_field_bytes(200)
        .max_session_bytes(200)
        .build();
    visitor.move_to(&limited.unwrap());
    let page = |mut session: Session<Merged>| async move { session.text = "z".repeat(150) };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    assert_eq!(capture(&visitor).await.text, "z".repeat(150));
}

/// Two schemas of one name share what they both declare.
#[tokio::test]
async fn s33_a_field_of_two_schemas_counts_once() {
    #[derive(Session, Default)]
    #[session(name = "merged")]
    struct Other {
        text: String,
        only_here: u32,
    }
    let layer = SessionLayer::builder(MemoryStore::new())
        .max_field_bytes(100)
        .max_session_bytes(150)
        .build();
    let mut visitor = Visitor::new(&layer.unwrap());
    let page = |mut session: Session<Merged>| async move { session.text = "x".repeat(90) };
    visitor.visit(page).await;
    let page = |mut session: Session<Merged>, other: ReadSession<Other>| async move {
        session.plain = 1000;
        format!("{} {}", other.text.len(), other.only_here)
    };
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "90 0")
    );
}
