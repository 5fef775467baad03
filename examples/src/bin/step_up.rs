//! Asking for the password once more before something that matters, as an extractor.
//!
//! ```text
//! cargo run -p examples --bin step_up
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/sign-in
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/transfer                       # 403
//! curl -c jar -b jar -d 'password=lovelace' http://127.0.0.1:3000/confirm
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/transfer                       # ada has paid
//! sleep 15; curl -c jar -b jar -d '' http://127.0.0.1:3000/transfer             # 403
//! ```

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Form, Router};
use serde::Deserialize;
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};

#[derive(Session)]
struct Login {
    #[session(principal)]
    user: Option<String>,
    /// Whether the password was given lately. So short that one can watch it run out.
    #[session(ttl = "15s")]
    confirmed: bool,
}

/// A user who has confirmed the password recently.
struct Confirmed(String);

impl<S: Send + Sync> FromRequestParts<S> for Confirmed {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let session = ReadSession::<Login>::from_request_parts(parts, state).await;
        let session = session.map_err(IntoResponse::into_response)?;
        match &session.user {
            Some(user) if session.confirmed => Ok(Self(user.clone())),
            _ => Err((StatusCode::FORBIDDEN, "your password, please\n").into_response()),
        }
    }
}

async fn transfer(Confirmed(user): Confirmed) -> String {
    format!("{user} has paid\n")
}

async fn sign_in(mut session: Session<Login>) -> &'static str {
    session.user = Some("ada".to_owned());
    session.confirmed = false;
    "signed in\n"
}

#[derive(Deserialize)]
struct Password {
    password: String,
}

async fn confirm(mut session: Session<Login>, Form(form): Form<Password>) -> StatusCode {
    if session.user.is_none() || form.password != "lovelace" {
        return StatusCode::FORBIDDEN;
    }
    session.confirmed = true;
    // Confirming again assigns an equal value, which is no change. `renew` restarts the time all the
    // same, and writes the value again if it has run out during this request.
    session.renew(Login::CONFIRMED);
    // More rights, another token.
    session.rotate();
    StatusCode::OK
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .route("/sign-in", post(sign_in))
        .route("/confirm", post(confirm))
        .route("/transfer", post(transfer))
        .layer(sessions);
    Ok(examples::serve(app).await?)
}
