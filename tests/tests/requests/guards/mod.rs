//! The guard in a handler: who sees what, what is saved and when, and what an error does.

mod ending;
mod errors;
mod outlived;
mod routers;
mod saving;

use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};
use tests::counting::CountingStore;
use tests::faulty::FaultyStore;

type Store = CountingStore<FaultyStore<MemoryStore>>;

fn site() -> (SessionLayer, Store) {
    let store = CountingStore::new(FaultyStore::new(MemoryStore::new()));
    (SessionLayer::new(store.clone()), store)
}

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    visits: u32,
    name: String,
    #[session(skip)]
    scratch: String,
    #[session(sensitive)]
    pin: Option<u32>,
}

/// Another crate's schema in the same session.
#[derive(Session, Debug, Default)]
struct Login {
    user: String,
    attempts: u32,
}

async fn write(mut session: Session<Shop>) {
    session.visits += 1;
}

async fn read(session: ReadSession<Shop>) -> String {
    format!("{} {}", session.visits, session.name)
}

async fn destroy(session: Session<Shop>) {
    session.destroy();
}
