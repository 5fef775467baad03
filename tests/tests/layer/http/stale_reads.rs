//! Promise 5 from outside: the response does not leave before its commit, so who follows a redirect
//! at once sees what was done.

use std::sync::Arc;

use axum::Router;
use axum::response::Redirect;
use axum::routing::{get, post};
use http::header::LOCATION;
use http::{Method, StatusCode};
use session_runtime::{FileStore, MemoryStore, ReadSession, Session, SessionStore};
use tests::drivers::patient;
use tests::servers::{Server, available};

use super::Shop;
use super::wire::{self, Client, Version};

/// Follows so many redirects on a second connection, as soon as the head of the response is there.
const REDIRECTS: u32 = 300;

async fn follow_redirects(store: Arc<dyn SessionStore>) {
    let add = |mut session: Session<Shop>| async move {
        session.visits += 1;
        Redirect::to("/cart")
    };
    let cart = |session: ReadSession<Shop>| async move { session.visits.to_string() };
    let app = Router::new()
        .route("/add", post(add))
        .route("/cart", get(cart))
        .layer(patient(store).build().expect("a layer"));
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        let mut follower = visitor.tab().await;
        for round in 1..=REDIRECTS {
            let response = visitor.open(Method::POST, "/add").await;
            assert_eq!(response.status(), StatusCode::SEE_OTHER);
            let to = response.headers()[LOCATION].to_str().expect("a path");
            follower.jar.clone_from(&visitor.jar);
            assert_eq!(follower.get(to).await.body, round.to_string());
            wire::read(response).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_redirect_followed_at_once_shows_no_past_of_memory() {
    follow_redirects(Arc::new(MemoryStore::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_redirect_followed_at_once_shows_no_past_of_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = FileStore::open(folder.path().join("sessions")).expect("a store");
    follow_redirects(Arc::new(store)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_redirect_followed_at_once_shows_no_past_of_a_server() {
    for generation in available() {
        println!("{}", generation.name());
        let server = Server::shared(generation);
        let store = server.store().await;
        follow_redirects(Arc::new(store)).await;
    }
}
