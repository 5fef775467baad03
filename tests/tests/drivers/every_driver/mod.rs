//! Tests that every driver must pass, whatever keeps the sessions: memory, files, and each real
//! server. The names say which statement a test shows; the README lists them all.
//!
//! Servers are used with the rights that the README grants and no others.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod cookies;
mod data;
mod down;
mod ending;
mod events;
mod guards;
mod lists;
mod rotation;
mod secrets;
mod time;
mod tokens;
mod visits;

use http::StatusCode;
use session_runtime::store::CommitId;
use session_runtime::store::{Action, Change, Commit, Outcome, Selected, Selection};
use session_runtime::{Key, ReadSession, Session, SessionId, SessionLayer, SessionStore};
use tests::browser::Answer;
use tests::drivers::Driver;
use tests::visitor::Visitor;

#[derive(Session, Debug, Default)]
#[session(name = "shop")]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    cart: u32,
    note: String,
    #[session(ttl = "10m")]
    otp: Option<String>,
    #[session(encrypt)]
    address: Option<String>,
    #[session(encrypt)]
    phone: Option<String>,
}

/// The contents of a visitor's cart; zero without a session.
async fn cart(visitor: &mut Visitor) -> u32 {
    let page = |session: ReadSession<Plain>| async move { session.cart.to_string() };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.body.parse().unwrap()
}

async fn put(visitor: &mut Visitor, cart: u32) -> Answer {
    let page = move |mut session: Session<Plain>| async move { session.cart = cart };
    visitor.visit(page).await
}

async fn sign_in(visitor: &mut Visitor, customer: u32) -> Answer {
    let page = move |mut session: Session<Plain>| async move { session.customer = Some(customer) };
    visitor.visit(page).await
}

async fn rotate(visitor: &mut Visitor) -> Answer {
    let page = |mut session: Session<Plain>| async move { session.rotate() };
    visitor.visit(page).await
}

async fn destroy(visitor: &mut Visitor) -> Answer {
    let page = |session: Session<Plain>| async move { session.destroy() };
    visitor.visit(page).await
}

async fn id_of(visitor: &mut Visitor) -> SessionId {
    let page = |session: ReadSession<Plain>| async move {
        session.id().map(|id| id.to_string()).unwrap_or_default()
    };
    visitor.visit(page).await.body.parse().unwrap()
}

/// A visitor with three things in the cart.
async fn known(layer: &SessionLayer) -> Visitor {
    let mut visitor = Visitor::new(layer);
    assert_eq!(put(&mut visitor, 3).await.status, StatusCode::OK);
    visitor
}

/// The fields of the shop that need no keys.
#[derive(Session, Debug, Default)]
#[session(name = "shop")]
struct Plain {
    #[session(principal)]
    customer: Option<u32>,
    cart: u32,
    note: String,
    #[session(ttl = "10m")]
    otp: Option<String>,
}

fn keys<const N: usize>(bytes: [u8; N]) -> [Key; N] {
    bytes.map(|byte| Key::from([byte; 32]))
}

/// A layer that seals with the first of these keys.
fn sealing<const N: usize>(driver: &Driver, bytes: [u8; N]) -> SessionLayer {
    let builder = driver.builder().encryption_keys(keys(bytes));
    builder.build().unwrap()
}

/// The stored value under a name.
async fn stored(store: &impl SessionStore, session: &SessionId, name: &str) -> Option<Vec<u8>> {
    let selected = [Selected::value(name)];
    let loaded = store
        .load(session, &Selection::fields(&selected))
        .await
        .unwrap()
        .unwrap();
    let field = loaded.fields.into_iter().next().unwrap();
    field.map(|field| field.value.to_vec())
}

/// Writes behind the layer's back.
async fn plant(store: &impl SessionStore, session: &SessionId, name: &'static str, value: &[u8]) {
    let header = store
        .load(session, &Selection::default())
        .await
        .unwrap()
        .unwrap()
        .header;
    let action = Action::Update {
        verifier: header.verifier,
        rotation: None,
    };
    let mut commit = Commit::new(*session, CommitId::generate().unwrap(), action);
    commit.changes.push(Change::Set {
        name: name.into(),
        value: value.to_vec().into(),
        ttl: None,
        only_if_absent: false,
    });
    let outcome = store.commit(&commit).await.unwrap();
    assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
}
