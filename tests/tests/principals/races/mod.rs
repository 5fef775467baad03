//! Sign-ins and revocations at the same time, on every driver, on each Cluster, and on a store in
//! memory that works in steps as a Cluster must.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod churn;
mod limits;
mod revocations;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::StatusCode;
use session_runtime::test_kit::ManualClock;
use session_runtime::{ReadSession, RedisStore, Session, SessionLayer, SessionStore};
use tests::drivers::{Driver, drivers};
use tests::servers::{Cluster, available};
use tests::stepped::SteppedMemory;
use tests::visitor::Visitor;

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
}

async fn sign_in(visitor: &mut Visitor, customer: u32) -> StatusCode {
    let page = move |mut session: Session<Shop>| async move { session.customer = Some(customer) };
    visitor.visit(page).await.status
}

/// Whether the visitor is signed in as 7.
async fn is_signed_in(visitor: &mut Visitor) -> bool {
    let page =
        |session: ReadSession<Shop>| async move { (session.customer == Some(7)).to_string() };
    visitor.visit(page).await.body == "true"
}

async fn count(layer: &SessionLayer, customer: u32) -> usize {
    let sessions = layer.sessions();
    sessions
        .of(Shop::CUSTOMER, &customer)
        .list()
        .await
        .unwrap()
        .len()
}

/// An empty store, and what must outlive it.
struct Place {
    name: String,
    store: Arc<dyn SessionStore>,
    in_steps: bool,
    /// How often a race is run, which takes longer over a wire.
    rounds: usize,
    _outlives: (Option<Driver>, Option<Arc<Cluster>>),
}

async fn places() -> Vec<Place> {
    let mut places = Vec::new();
    for driver in drivers().await {
        places.push(Place {
            name: driver.name().to_owned(),
            store: driver.store(),
            in_steps: false,
            rounds: if driver.server().is_some() { 10 } else { 40 },
            _outlives: (Some(driver), None),
        });
    }
    places.push(Place {
        name: "steps".to_owned(),
        store: Arc::new(SteppedMemory::new(ManualClock::new())),
        in_steps: true,
        rounds: 40,
        _outlives: (None, None),
    });
    for generation in available() {
        static PREFIXES: AtomicUsize = AtomicUsize::new(0);
        let cluster = Cluster::shared(generation);
        let store = RedisStore::builder()
            .cluster(cluster.urls())
            .prefix(format!(
                "place-{}",
                PREFIXES.fetch_add(1, Ordering::Relaxed)
            ))
            .connect_deadline(Duration::from_secs(10))
            .command_deadline(Duration::from_secs(30))
            .connect();
        places.push(Place {
            name: format!("{} Cluster", generation.name()),
            store: Arc::new(store.await.unwrap()),
            in_steps: true,
            rounds: 10,
            _outlives: (None, Some(cluster)),
        });
    }
    places
}
