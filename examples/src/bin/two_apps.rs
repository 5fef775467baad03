//! Two parts of a program that know nothing of each other share the visitor's session.
//!
//! ```text
//! cargo run -p examples --bin two_apps
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/basket/tea
//! curl -c jar -b jar -d 'name=ada' http://127.0.0.1:3000/login     # a new cookie, the same basket
//! curl -c jar -b jar http://127.0.0.1:3000/                        # ada
//! curl -c jar -b jar http://127.0.0.1:3000/basket                  # ["tea"]
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/logout            # ends both
//! curl -c jar -b jar http://127.0.0.1:3000/basket                  # []
//! ```
//!
//! The login is below, the basket is a crate of its own, `examples/basket`. Each has its struct,
//! private to it. There is one cookie and one record; its fields are `login.user` and
//! `basket.products`, and each handler loads only its own.

use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};

#[derive(Session)]
struct Login {
    #[session(principal)]
    user: Option<String>,
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
}

async fn who(session: ReadSession<Login>) -> String {
    format!("{}\n", session.user.as_deref().unwrap_or("a guest"))
}

async fn login(mut session: Session<Login>, Form(form): Form<Credentials>) {
    session.user = Some(form.name);
}

async fn logout(session: Session<Login>) {
    session.destroy();
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .route("/", get(who))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .merge(basket::router())
        .layer(sessions);
    Ok(examples::serve(app).await?)
}
