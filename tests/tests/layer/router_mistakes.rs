//! A router that is put together wrongly says so.

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use axum::{Router, body::Body};
use http::StatusCode;
use session_runtime::{MemoryStore, Session, SessionLayer};
use tests::browser::{Browser, send};
use tests::events::Recorder;

#[derive(Session)]
struct Visit {
    count: u32,
}

async fn visit(mut session: Session<Visit>) -> String {
    session.count += 1;
    session.count.to_string()
}

async fn count_ten(mut session: Session<Visit>, request: Request, next: Next) -> Response {
    session.count += 10;
    drop(session);
    next.run(request).await
}

fn layer() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

fn named(cookie: &str) -> SessionLayer {
    let builder = SessionLayer::builder(MemoryStore::new());
    builder.cookie_name(cookie).build().expect("a valid name")
}

#[tokio::test]
async fn a_route_outside_of_the_layer_names_the_line_to_add() {
    let visit = || get(visit);
    for (mistake, app) in [
        ("no layer", Router::new().route("/", visit())),
        (
            "layer before routes",
            Router::new().layer(layer()).route("/", visit()),
        ),
        (
            "middleware outside",
            Router::new()
                .route("/", visit())
                .layer(layer())
                .layer(from_fn(count_ten)),
        ),
    ] {
        let recorder = Recorder::start();
        let answer = send(&app, Request::new(Body::empty())).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            answer.body.contains(".layer(SessionLayer::new(store))"),
            "{mistake}: {}",
            answer.body
        );
        assert_eq!(recorder.take_events(), ["layer-missing"], "{mistake}");
    }
    let app = Router::new()
        .route("/", visit())
        .layer(from_fn(count_ten))
        .layer(layer());
    let mut browser = Browser::new(&app);
    assert_eq!(browser.get("/").await.body, "11");
    assert_eq!(browser.get("/").await.body, "22");
}

/// How often two layers in one another are reported in three visits.
async fn reports(outer: SessionLayer, inner: SessionLayer) -> usize {
    let app = Router::new()
        .route("/", get(visit))
        .layer(inner)
        .layer(from_fn(count_ten))
        .layer(outer);
    let recorder = Recorder::start();
    let mut browser = Browser::new(&app);
    for _ in 0..3 {
        browser.get("/").await;
    }
    let events = recorder.take_events();
    events.iter().filter(|event| *event == "two-layers").count()
}

#[tokio::test]
async fn two_layers_with_one_cookie_are_reported_once() {
    assert_eq!(reports(layer(), layer()).await, 1);
}

#[tokio::test]
async fn the_same_layer_twice_is_no_mistake() {
    let twice = layer();
    assert_eq!(reports(twice.clone(), twice).await, 0);
}

#[tokio::test]
async fn two_layers_with_two_cookies_are_no_mistake() {
    assert_eq!(reports(named("__Host-a"), named("__Host-b")).await, 0);
}
