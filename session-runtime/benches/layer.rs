//! The cost of the layer for a request: the same app without it, and with it for a page that asks for
//! no session, one that reads and one that writes.
//!
//! Everything happens in this process, so what is measured is the layer and not a store.

use std::hint::black_box;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, StatusCode};
use axum::routing::get;
use criterion::{Criterion, criterion_group, criterion_main};
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt;

#[derive(Session, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u64>,
    visits: u64,
    name: String,
    cart: Vec<(String, u32)>,
}

fn app() -> Router {
    Router::new()
        .route("/page", get(|| async { "a page" }))
        .route(
            "/read",
            get(|session: ReadSession<Shop>| async move { session.name.clone() }),
        )
        .route(
            "/guard",
            get(|session: Session<Shop>| async move { session.name.clone() }),
        )
        .route(
            "/write/{visits}",
            get(
                |Path(visits): Path<u64>, mut session: Session<Shop>| async move {
                    session.visits = visits;
                    session.name.clone()
                },
            ),
        )
        .route(
            "/fill",
            get(|mut session: Session<Shop>| async move {
                session.customer = Some(7);
                session.name = "Ada Lovelace".to_owned();
                session.cart = (0..10).map(|n| (format!("article {n}"), n)).collect();
            }),
        )
}

/// A session's cookie, ready to be sent.
async fn cookie(app: &Router) -> String {
    let request = Request::get("/fill").body(Body::empty());
    let request = request.expect("a valid request");
    let response = app.clone().oneshot(request).await;
    let response = response.unwrap_or_else(|never| match never {});
    let cookie = response.headers()[SET_COOKIE].to_str().expect("text");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

async fn visit(app: &Router, path: String, cookie: &str) {
    let request = Request::get(path)
        .header(COOKIE, cookie)
        .body(Body::empty());
    let request = request.expect("a valid request");
    let response = app.clone().oneshot(request).await;
    let response = response.unwrap_or_else(|never| match never {});
    assert_eq!(response.status(), StatusCode::OK);
    black_box(response);
}

fn layer(criterion: &mut Criterion) {
    let runtime: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let bare = app();
    let layered = app().layer(SessionLayer::new(MemoryStore::new()));
    let cookie = runtime.block_on(cookie(&layered));

    let mut group = criterion.benchmark_group("request");
    group.bench_function("without the layer", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| visit(&bare, "/page".to_owned(), &cookie));
    });
    for (name, path) in [
        ("untouched", "/page"),
        ("read", "/read"),
        ("unchanged", "/guard"),
    ] {
        group.bench_function(name, |bencher| {
            bencher
                .to_async(&runtime)
                .iter(|| visit(&layered, path.to_owned(), &cookie));
        });
    }
    let mut visits = 0_u64;
    group.bench_function("write", |bencher| {
        bencher.to_async(&runtime).iter(|| {
            visits += 1;
            visit(&layered, format!("/write/{visits}"), &cookie)
        });
    });
    group.finish();
}

criterion_group!(benches, layer);
criterion_main!(benches);
