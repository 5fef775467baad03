//! How often a request allocates, beyond what its router does with a layer that does nothing.
//!
//! A program of its own, because the allocator that counts is that of the whole program.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, StatusCode};
use axum::routing::{Route, get};
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer, SessionStore};
use tests::servers::{Generation, Server, available};
use tokio::runtime::{Builder, Runtime};
use tower::Service;
use tower::layer::layer_fn;

#[derive(Session, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u64>,
    visits: u64,
    name: String,
    cart: Vec<(String, u32)>,
    theme: String,
}

fn routes() -> Router {
    Router::new()
        .route("/untouched", get(|| async { "ok" }))
        .route(
            "/read",
            get(async |session: ReadSession<Shop>| {
                assert_eq!(session.name, "Ada Lovelace");
                "ok"
            }),
        )
        .route(
            "/write",
            get(async |mut session: Session<Shop>| {
                session.visits += 1;
                "ok"
            }),
        )
        .route(
            "/login",
            get(async |mut session: Session<Shop>| {
                session.customer = session.customer.map(|customer| customer + 1);
                "ok"
            }),
        )
        .route(
            "/fill",
            get(async |mut session: Session<Shop>| {
                session.customer = Some(7);
                session.name = "Ada Lovelace".to_owned();
                session.cart = vec![("a".to_owned(), 1), ("b".to_owned(), 2)];
                "ok"
            }),
        )
}

/// A router with the layer and one with a layer that does nothing, on a runtime whose only thread is
/// the test's: the counts are those of one thread.
struct Measured {
    runtime: Runtime,
    bare: Router,
    layered: Router,
    cookie: String,
}

impl Measured {
    fn new<S: SessionStore>(runtime: Runtime, store: S) -> Self {
        let held = Arc::new(());
        let mut measured = Self {
            runtime,
            bare: routes().layer(layer_fn(move |inner: Route| {
                // Like every layer that holds something: axum clones it for a request.
                let _held = &held;
                inner
            })),
            layered: routes().layer(SessionLayer::new(store)),
            cookie: String::new(),
        };
        measured.request(true, "/fill");
        assert!(!measured.cookie.is_empty());
        measured
    }

    /// The allocations of a request for a page, beyond those of a page that has no session in an app
    /// that has none.
    fn allocations(&mut self, page: &str) -> u64 {
        // The fewest of several: buffers and tables grow now and then.
        let mut fewest =
            |layered, page| (0..50).map(|_| self.request(layered, page)).min().unwrap();
        fewest(true, page) - fewest(false, "/untouched")
    }

    /// The allocations of one request, which keeps the cookie that it is given.
    fn request(&mut self, layered: bool, page: &str) -> u64 {
        let mut app = match layered {
            true => self.layered.clone(),
            false => self.bare.clone(),
        };
        let request = Request::get(page)
            .header(COOKIE, &self.cookie)
            .body(Body::empty())
            .unwrap();
        let mut response = None;
        let measured = allocation_counter::measure(|| {
            response = Some(self.runtime.block_on(app.call(request)).unwrap());
        });
        let response = response.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        if let Some(cookie) = response.headers().get(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap().split(';').next();
            self.cookie = cookie.unwrap().to_owned();
        }
        measured.count_total
    }
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn in_memory() {
    let mut measured = Measured::new(runtime(), MemoryStore::new());
    let mut allocations = |page| measured.allocations(page);
    // The state of the request's session, and the pointer to it in the request's extensions, where the
    // router has its own already.
    assert_eq!(allocations("/untouched"), 2);
    // Exact, so that what is saved is written down and stays saved.
    let pages = ["/read", "/write", "/login"];
    assert_eq!(pages.map(allocations), [17, 31, 39]);
}

#[test]
fn on_redis() {
    for generation in available() {
        let server = Server::shared(generation);
        let runtime = runtime();
        let store = runtime.block_on(server.store());
        let mut measured = Measured::new(runtime, store);
        assert_eq!(measured.allocations("/untouched"), 2);
        // Those of the client library too, whose task is on the same thread.
        let at_most = match generation {
            Generation::Redis7 => [44, 68, 92],
            Generation::Redis8 | Generation::Valkey9 => [35, 59, 83],
        };
        for (page, at_most) in ["/read", "/write", "/login"].into_iter().zip(at_most) {
            let allocations = measured.allocations(page);
            assert!(
                allocations <= at_most,
                "{generation:?}: {page} allocates {allocations} times, not {at_most}"
            );
        }
    }
}
