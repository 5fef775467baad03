//! Handlers that do not come to their end: the client leaves, they panic, or they take too long.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::{Method, StatusCode};
use session_runtime::{MemoryStore, Session, SessionLayer};
use tests::browser::Browser;
use tests::counting::CountingStore;
use tests::gate::Gate;
use tokio::sync::Notify;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

use super::streams::WhenDropped;
use super::wire::{Client, Version};
use super::{Shop, read, write};

type Store = CountingStore<MemoryStore>;

/// How a client leaves.
#[derive(Debug, Clone, Copy)]
enum Leaving {
    /// The connection is reset.
    Connection,
    /// Of an HTTP/2 connection that goes on, only the request's stream is reset.
    Stream,
}

#[tokio::test]
async fn a_client_that_leaves_during_the_handler_leaves_nothing() {
    for (version, leaving) in [
        (Version::Http1, Leaving::Connection),
        (Version::Http2, Leaving::Connection),
        (Version::Http2, Leaving::Stream),
    ] {
        let store = Store::new(MemoryStore::new());
        let gate = Gate::new();
        let dropped = Arc::new(Notify::new());
        let (waiting, noticing) = (gate.clone(), dropped.clone());
        let slow = move |mut session: Session<Shop>| async move {
            let _noticed = WhenDropped(noticing);
            session.visits = 9;
            session.rotate();
            waiting.pass().await;
        };
        let app = Router::new()
            .route("/slow", get(slow))
            .route("/", get(read).post(write))
            .layer(SessionLayer::new(store.clone()));
        let mut visitor = Client::of(&app, version).await;
        visitor.post("/").await;
        let mut tab = visitor.tab().await;
        let connection = visitor.connection();
        store.take_counts();
        {
            let mut request = pin!(visitor.open(Method::GET, "/slow"));
            tokio::select! {
                _ = request.as_mut() => panic!("the gate is closed"),
                () = gate.arrivals(1) => {}
            }
            if let Leaving::Connection = leaving {
                connection.reset();
            }
            // The request's future ends here: that resets the stream, if there is one.
        }
        let noticed = tokio::time::timeout(Duration::from_secs(60), dropped.notified());
        noticed.await.expect("the server gives the request up");
        gate.open();
        assert_eq!(store.take_counts(), (1, 0), "{leaving:?}");
        assert_eq!(tab.get("/").await.body, "1 ", "the token lives");
        if let Leaving::Stream = leaving {
            assert_eq!(visitor.get("/").await.body, "1 ", "the connection too");
        }
        assert_eq!(store.take_counts().1, 0, "{leaving:?}");
    }
}

#[tokio::test]
async fn a_panic_is_an_answer_that_saves_nothing_wherever_it_is_caught() {
    for version in Version::ALL {
        let store = Store::new(MemoryStore::new());
        let panicking = |mut session: Session<Shop>| async move {
            session.visits = 9;
            session.rotate();
            if session.visits == 9 {
                panic!("on purpose");
            }
        };
        let routes = Router::new()
            .route("/panic", get(panicking))
            .route("/", get(read).post(write));
        let layer = SessionLayer::new(store.clone());
        let inside = routes
            .clone()
            .layer(CatchPanicLayer::new())
            .layer(layer.clone());
        let outside = routes.layer(layer).layer(CatchPanicLayer::new());
        for app in [inside, outside] {
            let mut visitor = Client::of(&app, version).await;
            visitor.post("/").await;
            store.take_counts();
            let answer = visitor.get("/panic").await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(answer.set_cookies(), [""; 0]);
            assert_eq!(store.take_counts(), (1, 0));
            // On the same connection.
            assert_eq!(visitor.get("/").await.body, "1 ");
        }
    }
}

fn timeout() -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(5))
}

/// Routes of which one never answers, after it has changed the session.
fn routes() -> Router {
    let endless = |mut session: Session<Shop>| async move {
        session.visits = 9;
        session.rotate();
        std::future::pending::<()>().await;
    };
    Router::new()
        .route("/endless", get(endless))
        .route("/", get(read).post(write))
}

/// Visits the page that never answers; what was asked of the store, and what the session then is.
async fn visit_endless(app: &Router, store: &Store) -> ((usize, usize), String) {
    let mut visitor = Browser::new(app);
    visitor.post("/").await;
    store.take_counts();
    let answer = visitor.get("/endless").await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    let counts = store.take_counts();
    (counts, visitor.get("/").await.body)
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_of_the_session_layer_saves_nothing() {
    let store = Store::new(MemoryStore::new());
    let app = routes()
        .layer(SessionLayer::new(store.clone()))
        .layer(timeout());
    assert_eq!(visit_endless(&app, &store).await, ((1, 0), "1 ".to_owned()));
}

/// Nothing tells a handler that was cut off from one that came to its end.
#[tokio::test(start_paused = true)]
async fn a_timeout_inside_of_the_session_layer_is_an_answer_like_any_other() {
    let store = Store::new(MemoryStore::new());
    let layer = SessionLayer::new(store.clone());
    let one_by_one = routes().layer(timeout()).layer(layer.clone());
    // The layers' own types, where axum does not box what is between them.
    let in_one = routes().layer(ServiceBuilder::new().layer(layer).layer(timeout()));
    for app in [one_by_one, in_one] {
        assert_eq!(visit_endless(&app, &store).await, ((1, 1), "9 ".to_owned()));
    }
}
