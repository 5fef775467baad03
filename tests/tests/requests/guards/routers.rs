//! Several layers, several routers behind one layer, and what a layer can wrap.

use std::future::Ready;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::{Request, Response, StatusCode};
use session_runtime::{MemoryStore, Session, SessionLayer};
use tests::browser::Browser;
use tests::counting::CountingStore;
use tower::{Layer, Service, ServiceExt};

use super::{Shop, destroy, read, site, write};

#[tokio::test]
async fn layers_with_different_cookies_keep_to_themselves() {
    let stores = [MemoryStore::new(), MemoryStore::new()].map(CountingStore::new);
    let part = |name: &str, store: &CountingStore<MemoryStore>| {
        Router::new()
            .route("/write", post(write))
            .route("/read", get(read))
            .route("/destroy", post(destroy))
            .layer(
                SessionLayer::builder(store.clone())
                    .cookie_name(name)
                    .build()
                    .unwrap(),
            )
    };
    let app = Router::new()
        .nest("/shop", part("__Host-shop", &stores[0]))
        .nest("/admin", part("__Host-admin", &stores[1]));
    let mut visitor = Browser::new(&app);
    visitor.post("/shop/write").await;
    assert!(visitor.cookie("__Host-shop").is_some());
    assert_eq!(visitor.cookie("__Host-admin"), None);
    visitor.post("/admin/write").await;
    visitor.post("/admin/write").await;
    assert_eq!(visitor.get("/shop/read").await.body, "1 ");
    assert_eq!(visitor.get("/admin/read").await.body, "2 ");
    visitor.post("/admin/destroy").await;
    assert_eq!(visitor.get("/shop/read").await.body, "1 ");
    assert_eq!(visitor.get("/admin/read").await.body, "0 ");
}

#[tokio::test]
async fn one_layer_serves_nested_routers_and_their_errors() {
    let (layer, _) = site();
    let inner = Router::new().route("/write", post(write)).fallback(
        |mut session: Session<Shop>| async move {
            session.name.push('x');
            StatusCode::NOT_FOUND
        },
    );
    let app = Router::new()
        .nest("/inner", inner)
        .route("/read", get(read))
        .layer(layer);
    let mut visitor = Browser::new(&app);
    assert_eq!(visitor.post("/inner/write").await.status, StatusCode::OK);
    assert_eq!(
        visitor.get("/inner/none").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(visitor.get("/read").await.body, "1 x");
}

/// A service that has no room for requests at the moment.
#[derive(Clone)]
struct Busy;

impl Service<Request<Body>> for Busy {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Err("busy"))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        unreachable!("a service that is not ready is never called")
    }
}

#[tokio::test]
async fn the_layer_is_ready_when_what_it_wraps_is() {
    let mut wrapped = SessionLayer::new(MemoryStore::new()).layer(Busy);
    assert_eq!(wrapped.ready().await.err(), Some("busy"));
}
