//! Posts from other sites are refused: tower-http's csrf layer beside the session layer.
//!
//! ```text
//! cargo run -p examples --bin csrf
//! curl -c jar -b jar -d 'to=bob' http://127.0.0.1:3000/pay        # paid
//! curl -i -b jar -d 'to=eve' -H 'sec-fetch-site: cross-site' http://127.0.0.1:3000/pay   # 403
//! curl -b jar http://127.0.0.1:3000/                              # ["bob"]
//! ```
//!
//! The session cookie's `SameSite=Lax` already keeps the cookie out of other sites' posts. The
//! layer refuses the posts themselves, those of other hosts of the same site too, by the headers
//! that every browser sends. There is no token to put into forms.

use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};
use tower_http::csrf::CsrfLayer;

#[derive(Session)]
struct Account {
    payments: Vec<String>,
}

#[derive(Deserialize)]
struct Payment {
    to: String,
}

async fn pay(mut session: Session<Account>, Form(payment): Form<Payment>) -> &'static str {
    session.payments.push(payment.to);
    "paid\n"
}

async fn show(session: ReadSession<Account>) -> String {
    format!("{:?}\n", session.payments)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .route("/", get(show))
        .route("/pay", post(pay))
        .layer(sessions)
        // The last layer is the first to see a request: what it refuses loads no session.
        .layer(CsrfLayer::new());
    Ok(examples::serve(app).await?)
}
