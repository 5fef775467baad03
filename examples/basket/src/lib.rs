//! A basket as a library for other programs. It keeps its contents in the visitor's session and
//! knows neither the session's other fields nor the store.

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use session_runtime::{ReadSession, Session};

#[derive(Session)]
struct Basket {
    products: Vec<String>,
}

/// The pages, to be merged into a router that gets a session layer.
pub fn router() -> Router {
    Router::new()
        .route("/basket", get(show))
        .route("/basket/{product}", post(add))
}

async fn show(session: ReadSession<Basket>) -> String {
    format!("{:?}\n", session.products)
}

async fn add(mut session: Session<Basket>, Path(product): Path<String>) {
    session.products.push(product);
}
