//! Which cookies are believed, and what the responses say about ours.

mod answers;
mod attributes;
mod believed;
mod port;

use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};
use tests::counting::CountingStore;
use tests::visitor::Visitor;

#[derive(Session, Default)]
struct Shop {
    visits: u32,
}

async fn write(mut session: Session<Shop>) -> String {
    session.visits += 1;
    session.visits.to_string()
}

async fn read(session: ReadSession<Shop>) -> String {
    session.visits.to_string()
}

fn counted() -> (SessionLayer, CountingStore<MemoryStore>) {
    let store = CountingStore::new(MemoryStore::new());
    (SessionLayer::new(store.clone()), store)
}

/// A visitor with a session, and its token.
async fn signed_in(layer: &SessionLayer) -> (Visitor, String) {
    let mut visitor = Visitor::new(layer);
    visitor.visit(write).await;
    let token = visitor.token().expect("a write gives a cookie");
    (visitor, token)
}
