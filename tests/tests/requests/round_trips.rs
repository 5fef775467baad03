//! Nothing for nothing: how many store calls and cookies each kind of request costs.

use axum::Router;
use axum::routing::{get, post};
use http::StatusCode;
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};
use tests::browser::Browser;
use tests::counting::CountingStore;

#[derive(Session, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    visits: u32,
}

fn app() -> (Router, CountingStore<MemoryStore>) {
    let store = CountingStore::new(MemoryStore::new());
    let app = Router::new()
        .route("/untouched", get(|| async { "hello" }))
        .route(
            "/read",
            get(|session: ReadSession<Shop>| async move { session.visits.to_string() }),
        )
        .route(
            "/idle",
            get(|session: Session<Shop>| async move { session.visits.to_string() }),
        )
        .route(
            "/write",
            post(|mut session: Session<Shop>| async move { session.visits += 1 }),
        )
        .route(
            "/login",
            post(|mut session: Session<Shop>| async move { session.customer = Some(7) }),
        )
        .route(
            "/logout",
            post(|session: Session<Shop>| async move { session.destroy() }),
        )
        .layer(SessionLayer::new(store.clone()));
    (app, store)
}

#[tokio::test]
async fn s30_every_kind_of_request_costs_what_it_must() {
    let (app, store) = app();
    let mut visitor = Browser::new(&app);

    for path in ["/untouched", "/read", "/idle"] {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.set_cookies(), [""; 0], "{path}");
        assert_eq!(store.take_counts(), (0, 0), "{path} without a cookie");
    }

    let answer = visitor.post("/write").await;
    assert_eq!(answer.set_cookies().len(), 1);
    assert_eq!(store.take_counts(), (0, 1), "first visit that writes");
    let first = visitor.cookie("__Host-id").map(str::to_owned);
    assert!(first.is_some());

    let answer = visitor.get("/untouched").await;
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(store.take_counts(), (0, 0), "untouched");

    for path in ["/read", "/idle"] {
        let answer = visitor.get(path).await;
        assert_eq!(answer.body, "1");
        assert_eq!(answer.set_cookies(), [""; 0], "{path}");
        assert_eq!(store.take_counts(), (1, 0), "{path}");
    }

    let answer = visitor.post("/write").await;
    assert_eq!(answer.set_cookies(), [""; 0], "the token stays");
    assert_eq!(store.take_counts(), (1, 1), "write");

    visitor.post("/login").await;
    assert_eq!(store.take_counts(), (1, 1), "login");
    let second = visitor.cookie("__Host-id").map(str::to_owned);
    assert!(second.is_some() && second != first, "login rotates");

    visitor.post("/logout").await;
    assert_eq!(store.take_counts(), (1, 1), "logout");
    assert_eq!(visitor.cookie("__Host-id"), None);
}
