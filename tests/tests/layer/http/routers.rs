//! Where a session is asked for: in nested routers and fallbacks, before other extractors, and in
//! middleware before and after the handler.

use axum::extract::{FromRequestParts, Path, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, RequestPartsExt, Router};
use http::header::{ALLOW, VARY};
use http::request::Parts;
use http::{Method, StatusCode};
use session_runtime::{MemoryStore, Session, SessionLayer, SessionRejection};
use tests::counting::CountingStore;

use super::wire::{Client, Version};
use super::{Shop, read, write};

type Store = CountingStore<MemoryStore>;

fn site() -> (SessionLayer, Store) {
    let store = Store::new(MemoryStore::new());
    (SessionLayer::new(store.clone()), store)
}

#[tokio::test]
async fn nested_routers_share_the_session_of_the_layer_round_them() {
    let (layer, store) = site();
    let innermost = Router::new().route("/write", post(write));
    let inner = Router::new()
        .route("/write", post(write))
        .nest("/deeper", innermost);
    let app = Router::new()
        .nest("/inner", inner.clone())
        .nest_service("/service", inner)
        .merge(Router::new().route("/", get(read)))
        .layer(layer);
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        store.take_counts();
        for path in ["/inner/write", "/inner/deeper/write", "/service/write"] {
            visitor.post(path).await;
        }
        assert_eq!(visitor.get("/").await.body, "3 ");
        assert_eq!(store.take_counts(), (3, 3));
    }
}

#[tokio::test]
async fn fallbacks_have_a_session() {
    let (layer, store) = site();
    async fn lost(mut session: Session<Shop>) -> (StatusCode, String) {
        session.visits += 1;
        (
            StatusCode::NOT_FOUND,
            format!("lost {} times", session.visits),
        )
    }
    async fn not_so(mut session: Session<Shop>) -> (StatusCode, String) {
        session.name = "pushy".to_owned();
        (StatusCode::METHOD_NOT_ALLOWED, "not so".to_owned())
    }
    let app = Router::new()
        .route("/", get(read))
        .fallback(lost)
        .method_not_allowed_fallback(not_so)
        .layer(layer);
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        let answer = visitor.get("/nowhere").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.body, "lost 1 times");
        assert_eq!(answer.set_cookies().len(), 1);
        assert_eq!(visitor.post("/nowhere").await.body, "lost 2 times");
        let answer = visitor.post("/").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.body, "not so");
        assert_eq!(visitor.get("/").await.body, "2 pushy");
    }
    assert_eq!(store.sessions().await, 2);
}

/// Answers that axum gives by itself cost no store call, and set no cookie.
#[tokio::test]
async fn p6_errors_without_a_handler_cost_nothing() {
    let (layer, store) = site();
    let app = Router::new().route("/", get(read).put(write)).layer(layer);
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        visitor.visit(Method::PUT, "/").await;
        store.take_counts();
        let refused = visitor.post("/").await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers[ALLOW], "GET,HEAD,PUT");
        let missing = visitor.get("/nowhere").await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
        for answer in [refused, missing] {
            assert_eq!(answer.set_cookies(), [""; 0]);
            assert!(!answer.headers.contains_key(VARY));
        }
        assert_eq!(store.take_counts(), (0, 0));
    }
}

/// An extractor that changes the session, as one that counts attempts would.
struct Attempt;

impl<S: Sync> FromRequestParts<S> for Attempt {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let mut session: Session<Shop> = parts.extract().await?;
        session.visits += 1;
        Ok(Self)
    }
}

#[tokio::test]
async fn an_extractor_that_fails_after_the_session_saves_what_was_changed_before() {
    let (layer, store) = site();
    let with_path = |_: Session<Shop>, Path(number): Path<u32>| async move { number.to_string() };
    let with_json = |_: Attempt, Json(number): Json<u32>| async move { number.to_string() };
    let app = Router::new()
        .route("/path/{number}", get(with_path))
        .route("/json", post(with_json))
        .route("/", get(read).post(write))
        .layer(layer);
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        visitor.post("/").await;
        store.take_counts();
        let answer = visitor.get("/path/none").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.headers[VARY], "cookie");
        assert_eq!(store.take_counts(), (1, 0), "nothing was changed");
        let answer = visitor.post("/json").await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(store.take_counts(), (1, 1), "the attempt counts");
        assert_eq!(visitor.get("/").await.body, "2 ");
    }
}

/// Extracts the session before the handler, and once more after it.
async fn before_and_after(request: Request, next: Next) -> Result<Response, SessionRejection> {
    let (mut parts, body) = request.into_parts();
    let mut before: Session<Shop> = parts.extract().await?;
    before.visits += 10;
    before.commit();
    let mut after = parts.clone();
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let mut after: Session<Shop> = after.extract().await?;
    let seen = format!("{} {}", after.visits, after.name);
    let seen = seen.parse().expect("a header's value");
    response.headers_mut().insert("x-seen", seen);
    after.name.push_str(" and after");
    Ok(response)
}

#[tokio::test]
async fn middleware_extracts_before_and_after_the_handler_and_one_commit_saves_all() {
    let (layer, store) = site();
    let handler = |mut session: Session<Shop>| async move {
        session.visits += 100;
        session.name = "handler".to_owned();
        session.visits.to_string()
    };
    let app = Router::new()
        .route("/", get(handler))
        .layer(from_fn(before_and_after))
        .layer(layer.clone());
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        for (round, calls) in [(1, (0, 1)), (2, (1, 1))] {
            store.take_counts();
            let answer = visitor.get("/").await;
            assert_eq!(
                answer.body,
                format!("{}", 110 * round),
                "sees what came before"
            );
            assert_eq!(answer.headers["x-seen"], format!("{} handler", 110 * round));
            assert_eq!(store.take_counts(), calls, "one load, one commit");
        }
        let page = Router::new().route("/", get(read)).layer(layer.clone());
        let mut reader = Client::of(&page, version).await;
        reader.jar.clone_from(&visitor.jar);
        assert_eq!(reader.get("/").await.body, "220 handler and after");
    }
}

/// A guard that lives on while the handler runs shows what it read.
#[tokio::test]
async fn middleware_that_keeps_its_guard_sees_the_handler_s_changes_once_it_saves() {
    async fn around(mut session: Session<Shop>, request: Request, next: Next) -> String {
        next.run(request).await;
        let held = session.visits;
        session.save().await.expect("a commit");
        format!("{held}, then {}", session.visits)
    }
    let (layer, store) = site();
    let app = Router::new()
        .route("/", get(write))
        .layer(from_fn(around))
        .layer(layer);
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        assert_eq!(visitor.get("/").await.body, "0, then 1");
        store.take_counts();
        assert_eq!(visitor.get("/").await.body, "1, then 2");
        assert_eq!(store.take_counts(), (1, 1));
    }
}
