//! A `Secure` cookie over plain http: it is set all the same, and an event says once why it does
//! not come back.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use session_runtime::{MemoryStore, Session, SessionLayer};
use tests::browser::send;
use tests::events::Recorder;

#[derive(Session)]
struct Visit {
    count: u32,
}

async fn visit(mut session: Session<Visit>) {
    session.count += 1;
}

fn site(layer: SessionLayer) -> Router {
    Router::new()
        .route("/", get(visit))
        .route("/nothing", get(async || {}))
        .layer(layer)
}

/// How often the log says it after a request with these headers.
async fn reports(app: &Router, path: &str, headers: &[(&str, &str)]) -> usize {
    let recorder = Recorder::start();
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a valid request");
    let answer = send(app, request).await;
    if path == "/" {
        assert!(answer.set_cookies()[0].contains("; Secure"));
    }
    let events = recorder.take_events();
    events
        .iter()
        .filter(|name| *name == "secure-over-http")
        .count()
}

#[tokio::test]
async fn s36_a_secure_cookie_that_plain_http_loses_is_set_and_reported_once() {
    let page = ("referer", "http://shop.test:3000/cart");
    let origin = ("origin", "http://shop.test:3000");
    let host = ("host", "shop.test:3000");
    for says_http in [page, origin] {
        let app = site(SessionLayer::new(MemoryStore::new()));
        assert_eq!(reports(&app, "/nothing", &[host, says_http]).await, 0);
        assert_eq!(reports(&app, "/", &[host, says_http]).await, 1);
        assert_eq!(reports(&app, "/", &[host, says_http]).await, 0);
    }
}

#[tokio::test]
async fn what_may_be_https_is_not_reported() {
    let app = site(SessionLayer::new(MemoryStore::new()));
    let host = ("host", "shop.test");
    for other in [
        ("accept", "*/*"),
        ("referer", "https://shop.test/cart"),
        ("origin", "https://shop.test"),
        ("origin", "null"),
        // Another site's page with a link to this one.
        ("referer", "http://shop.test.example/"),
        ("referer", "http://shop.test:8080/"),
        ("referer", "http://example.com/"),
    ] {
        assert_eq!(reports(&app, "/", &[host, other]).await, 0, "{other:?}");
    }
    assert_eq!(
        reports(&app, "/", &[("referer", "http://shop.test/")]).await,
        0
    );
}

#[tokio::test]
async fn a_cookie_that_is_not_secure_is_not_lost() {
    let layer = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()
        .expect("nothing contradicts");
    let app = site(layer);
    let recorder = Recorder::start();
    let request = Request::get("/")
        .header("host", "localhost:3000")
        .header("referer", "http://localhost:3000/");
    send(&app, request.body(Body::empty()).expect("a valid request")).await;
    assert_eq!(recorder.take_events(), ["created"]);
}
