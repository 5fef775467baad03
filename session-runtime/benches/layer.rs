//! The cost of the layer for a request: the same app without it, and with it for each kind of page,
//! from one that asks for no session to one that ends it.
//!
//! Everything happens in this process, so what is measured is the layer and not a store.

use std::hint::black_box;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{Request, StatusCode};
use axum::response::Response;
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
            "/login/{customer}",
            get(
                |Path(customer): Path<u64>, mut session: Session<Shop>| async move {
                    session.customer = Some(customer);
                },
            ),
        )
        .route(
            "/rotate/{turn}",
            get(|mut session: Session<Shop>| async move { session.rotate() }),
        )
        .route(
            "/logout",
            get(|session: Session<Shop>| async move { session.destroy() }),
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
    cookie_of(&visit(app, "/fill", "").await)
}

fn cookie_of(response: &Response) -> String {
    let cookie = response.headers()[SET_COOKIE].to_str().expect("text");
    cookie.split(';').next().unwrap_or_default().to_owned()
}

async fn visit(app: &Router, path: &str, cookie: &str) -> Response {
    let mut request = Request::get(path);
    if !cookie.is_empty() {
        request = request.header(COOKIE, cookie);
    }
    let request = request.body(Body::empty()).expect("a valid request");
    let response = app.clone().oneshot(request).await;
    let response = response.unwrap_or_else(|never| match never {});
    assert_eq!(response.status(), StatusCode::OK);
    black_box(response)
}

fn layer(criterion: &mut Criterion) {
    let runtime: Runtime = Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let bare = app();
    let layered = app().layer(SessionLayer::new(MemoryStore::new()));
    let mut cookie = runtime.block_on(cookie(&layered));

    let mut group = criterion.benchmark_group("request");
    group.bench_function("without the layer", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| visit(&bare, "/page", &cookie));
    });
    for (name, path) in [
        ("untouched", "/page"),
        ("read", "/read"),
        ("unchanged", "/guard"),
    ] {
        group.bench_function(name, |bencher| {
            bencher
                .to_async(&runtime)
                .iter(|| visit(&layered, path, &cookie));
        });
    }
    let mut turn = 0_u64;
    group.bench_function("write", |bencher| {
        bencher.to_async(&runtime).iter(|| {
            turn += 1;
            let path = format!("/write/{turn}");
            let (layered, cookie) = (&layered, &cookie);
            async move { visit(layered, &path, cookie).await }
        });
    });
    for (name, path) in [("login", "/login/"), ("rotation", "/rotate/")] {
        let mut current = cookie.clone();
        group.bench_function(name, |bencher| {
            // Each request has the cookie that the last one was given.
            bencher.iter(|| {
                turn += 1;
                let path = format!("{path}{turn}");
                let response = runtime.block_on(visit(&layered, &path, &current));
                current = cookie_of(&response);
            });
        });
        cookie = current;
    }
    group.bench_function("first visit", |bencher| {
        bencher.iter_custom(|iterations| each_ended(&runtime, &layered, iterations, true));
    });
    group.bench_function("removal", |bencher| {
        bencher.iter_custom(|iterations| each_ended(&runtime, &layered, iterations, false));
    });
    group.finish();
}

/// Creates sessions and ends each at once, so that the store does not grow, and answers the time that
/// one of the two took.
fn each_ended(runtime: &Runtime, app: &Router, iterations: u64, creations: bool) -> Duration {
    let mut taken = Duration::ZERO;
    for _ in 0..iterations {
        let start = Instant::now();
        let cookie = runtime.block_on(cookie(app));
        let created = start.elapsed();
        let start = Instant::now();
        runtime.block_on(visit(app, "/logout", &cookie));
        let ended = start.elapsed();
        taken += if creations { created } else { ended };
    }
    taken
}

criterion_group!(benches, layer);
criterion_main!(benches);
