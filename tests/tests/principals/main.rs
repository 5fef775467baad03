//! Who is signed in where: lists, revocation and limits, as handlers and jobs use them.

mod cuts;
mod entries;
mod limits;
mod lists;
mod races;
mod revocations;
mod rotation;
mod schemas;
mod values;

use std::time::Duration;

use http::StatusCode;
use session_runtime::test_kit::ManualClock;
use session_runtime::{MemoryStore, ReadSession, Session, SessionId, SessionInfo, SessionLayer};
use tests::counting::CountingStore;
use tests::visitor::Visitor;

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal, ttl = "2h")]
    customer: Option<u32>,
    cart: u32,
    visits: Option<String>,
}

#[derive(Session, Debug, Default)]
struct Staff {
    #[session(principal)]
    clerk: Option<String>,
}

/// A program that knows nothing of principals.
#[derive(Session, Debug, Default)]
#[session(name = "shop")]
struct OldShop {
    cart: u32,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Store = CountingStore<MemoryStore>;

fn store() -> (Store, ManualClock) {
    let clock = ManualClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    (CountingStore::new(store), clock)
}

fn site() -> (SessionLayer, Store, ManualClock) {
    let (store, clock) = store();
    (SessionLayer::new(store.clone()), store, clock)
}

async fn sign_in(visitor: &mut Visitor, customer: u32) -> StatusCode {
    let page = move |mut session: Session<Shop>| async move { session.customer = Some(customer) };
    visitor.visit(page).await.status
}

async fn signed_in(layer: &SessionLayer, customer: u32) -> Visitor {
    let mut visitor = Visitor::new(layer);
    assert_eq!(sign_in(&mut visitor, customer).await, StatusCode::OK);
    visitor
}

async fn sign_out(visitor: &mut Visitor) {
    let page = |mut session: Session<Shop>| async move { session.customer = None };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
}

/// Whom a visitor is signed in as.
async fn whoami(visitor: &mut Visitor) -> String {
    let page = |session: ReadSession<Shop>| async move {
        let customer = session.customer.map(|customer| customer.to_string());
        customer.unwrap_or_else(|| "nobody".to_owned())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.body
}

async fn id_of(visitor: &mut Visitor) -> SessionId {
    let page = |session: ReadSession<Shop>| async move { session.id().unwrap().to_string() };
    visitor.visit(page).await.body.parse().unwrap()
}

async fn list(layer: &SessionLayer, customer: u32) -> Vec<SessionInfo> {
    let sessions = layer.sessions();
    sessions.of(Shop::CUSTOMER, &customer).list().await.unwrap()
}

async fn count(layer: &SessionLayer, customer: u32) -> usize {
    list(layer, customer).await.len()
}
