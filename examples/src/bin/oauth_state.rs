//! Signing in through a provider: the `state` of OAuth 2 comes back and can be used once.
//!
//! ```text
//! cargo run -p examples --bin oauth_state
//! curl -c jar -b jar -i http://127.0.0.1:3000/sign-in      # location: https://…&state=STATE
//! curl -c jar -b jar 'http://127.0.0.1:3000/callback?code=x&state=STATE'    # signed in
//! curl -c jar -b jar 'http://127.0.0.1:3000/callback?code=x&state=STATE'    # 403, used up
//! ```
//!
//! The provider sends the visitor back from another site. That is a plain visit of a link, with
//! which a `SameSite=Lax` cookie is sent; a `Strict` one would not be.

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;
use session_runtime::{MemoryStore, Session, SessionError, SessionLayer};

const PROVIDER: &str = "https://accounts.example.com/authorize?response_type=code&client_id=shop";

#[derive(Session)]
struct SignIn {
    #[session(principal)]
    user: Option<String>,
    /// The value that the provider must send back, within ten minutes.
    #[session(ttl = "10m", sensitive)]
    oauth_state: Option<String>,
}

async fn sign_in(mut session: Session<SignIn>) -> Result<Redirect, StatusCode> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    let state = format!("{:032x}", u128::from_be_bytes(random));
    let to = Redirect::to(&format!("{PROVIDER}&state={state}"));
    session.oauth_state = Some(state);
    Ok(to)
}

#[derive(Deserialize)]
struct Callback {
    code: String,
    state: String,
}

async fn callback(
    mut session: Session<SignIn>,
    Query(callback): Query<Callback>,
) -> Result<Response, SessionError> {
    // Read and removed in one step: of callbacks that race, one gets the state.
    let expected = session.take(SignIn::OAUTH_STATE).await?;
    if expected.as_deref() != Some(&*callback.state) {
        return Ok((StatusCode::FORBIDDEN, "this sign-in was not begun here\n").into_response());
    }
    // Here the code is exchanged for the name of who signed in at the provider.
    session.user = Some(format!("user-of-{}", callback.code));
    Ok("signed in\n".into_response())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .route("/sign-in", get(sign_in))
        .route("/callback", get(callback))
        .layer(sessions);
    Ok(examples::serve(app).await?)
}
