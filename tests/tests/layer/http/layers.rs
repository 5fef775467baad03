//! Several session layers in one program. Side by side they keep to themselves, which is in
//! `guards.rs`; here one is inside of the other.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use session_runtime::store::StoreErrorKind;
use session_runtime::{MemoryStore, Session, SessionLayer};
use tests::counting::CountingStore;
use tests::faulty::{Fault, FaultyStore};

use super::wire::{Client, Version};
use super::{Shop, read, write};

type Store = CountingStore<MemoryStore>;

fn layer(cookie: &'static str) -> (SessionLayer, Store) {
    let store = Store::new(MemoryStore::new());
    let layer = SessionLayer::builder(store.clone())
        .cookie_name(cookie)
        .build();
    (layer.expect("a layer"), store)
}

/// Adds ten to the visits.
async fn add_ten(mut session: Session<Shop>, request: Request, next: Next) -> Response {
    session.visits += 10;
    session.commit();
    next.run(request).await
}

async fn destroy(session: Session<Shop>) {
    session.destroy();
}

#[tokio::test]
async fn a_session_is_that_of_the_innermost_layer() {
    for version in Version::ALL {
        let (outer, outer_store) = layer("__Host-site");
        let (inner, inner_store) = layer("__Host-admin");
        let admin = Router::new()
            .route("/", get(read).post(write))
            .route("/destroy", post(destroy))
            .layer(inner);
        let app = Router::new()
            .route("/", get(read).post(write))
            .nest("/admin", admin)
            .layer(from_fn(add_ten)) // inside of `outer` only
            .layer(outer);
        let mut visitor = Client::of(&app, version).await;

        // Both have something to save, and each its own cookie.
        let answer = visitor.post("/admin").await;
        assert_eq!(answer.body, "1");
        assert_eq!(answer.set_cookies().len(), 2);
        assert_eq!(outer_store.take_counts(), (0, 1));
        assert_eq!(inner_store.take_counts(), (0, 1));
        assert_eq!(visitor.get("/").await.body, "20 ");
        assert_eq!(visitor.get("/admin").await.body, "1 ");
        assert_eq!(inner_store.take_counts(), (1, 0));

        // One ends, the other does not.
        let answer = visitor.post("/admin/destroy").await;
        assert_eq!(answer.set_cookies().len(), 1);
        assert_eq!(visitor.jar.get("__Host-admin"), None);
        assert_eq!(visitor.get("/admin").await.body, "0 ");
        assert_eq!(visitor.get("/").await.body, "60 ");
    }
}

#[tokio::test]
async fn where_the_outer_layer_cannot_save_its_error_is_the_whole_response() {
    for version in Version::ALL {
        let failing = FaultyStore::new(MemoryStore::new());
        failing.on_commit(Fault::Fail(StoreErrorKind::Unavailable));
        let outer = SessionLayer::builder(failing).cookie_name("__Host-site");
        let (inner, inner_store) = layer("__Host-admin");
        let app = Router::new()
            .route("/", post(write))
            .layer(inner)
            .layer(from_fn(add_ten))
            .layer(outer.build().expect("a layer"));
        let mut visitor = Client::of(&app, version).await;
        let answer = visitor.post("/").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.set_cookies(), [""; 0]);
        assert_eq!(inner_store.sessions().await, 1);
    }
}

/// As happens when a router that has its layer is nested in one that has it too.
#[tokio::test]
async fn the_same_layer_twice_is_one() {
    for version in Version::ALL {
        let (layer, store) = layer("__Host-id");
        let inner = Router::new()
            .route("/", get(read).post(write))
            .route("/destroy", post(destroy))
            .layer(layer.clone());
        let app = Router::new()
            .nest("/inner", inner)
            .layer(from_fn(add_ten))
            .layer(layer);
        let mut visitor = Client::of(&app, version).await;
        let answer = visitor.post("/inner").await;
        assert_eq!(answer.body, "11");
        assert_eq!(answer.set_cookies().len(), 1);
        assert_eq!(store.take_counts(), (0, 1));
        assert_eq!(visitor.get("/inner").await.body, "21 ");
        assert_eq!(store.take_counts(), (1, 1));
        visitor.post("/inner/destroy").await;
        assert!(visitor.jar.crumbs().is_empty());
        assert_eq!(store.sessions().await, 0);
    }
}
