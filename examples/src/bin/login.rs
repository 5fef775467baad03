//! Signing in and out: a new token at every sign-in, "remember me", sign-out everywhere.
//!
//! ```text
//! cargo run -p examples --bin login
//! curl -c jar -b jar http://127.0.0.1:3000/                               # a guest, visit 1
//! curl -c jar -b jar -d 'name=ada&password=lovelace' http://127.0.0.1:3000/sign-in
//! curl -c jar -b jar http://127.0.0.1:3000/                               # ada, visit 2
//! curl -c phone -d 'name=ada&password=lovelace&remember=on' http://127.0.0.1:3000/sign-in
//! grep id jar phone                        # the phone's cookie has an end, two weeks from now
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/sign-out-everywhere
//! curl -c phone -b phone http://127.0.0.1:3000/                           # a guest, visit 1
//! ```

use std::time::Duration;

use axum::Form;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use session_runtime::{
    MemoryStore, ReadSession, Session, SessionError, SessionLayer, Sessions, Timeouts,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Session)]
struct Login {
    /// Whose session it is. Every change of it gives the visitor a new token.
    #[session(principal)]
    user: Option<String>,
    #[session(merge = "add")]
    visits: u64,
}

#[derive(Deserialize)]
struct Credentials {
    name: String,
    password: String,
    /// A checkbox: absent, or `on`.
    remember: Option<String>,
}

async fn who(mut session: Session<Login>) -> String {
    session.visits += 1;
    let user = session.user.as_deref().unwrap_or("a guest");
    format!("{user}, visit {}\n", session.visits)
}

async fn sign_in(
    mut session: Session<Login>,
    Form(credentials): Form<Credentials>,
) -> Result<(StatusCode, String), SessionError> {
    // The shop's example shows how to keep passwords.
    if (&*credentials.name, &*credentials.password) != ("ada", "lovelace") {
        return Ok((StatusCode::UNAUTHORIZED, String::new()));
    }
    if credentials.remember.is_some() {
        session.remember(true);
        // Two weeks without a visit, and three months in all.
        session.set_timeouts(Timeouts::new(14 * DAY, 90 * DAY)?);
    }
    let welcome = format!("welcome, {}\n", credentials.name);
    session.user = Some(credentials.name);
    Ok((StatusCode::OK, welcome))
}

async fn sign_out(session: Session<Login>) {
    session.destroy();
}

async fn sign_out_everywhere(
    session: ReadSession<Login>,
    sessions: Sessions,
) -> Result<String, SessionError> {
    let ended = match &session.user {
        Some(user) => sessions.of(Login::USER, user).revoke_all().await?,
        None => 0,
    };
    Ok(format!("ended: {ended}\n"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .route("/", get(who))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/sign-out-everywhere", post(sign_out_everywhere))
        .layer(sessions);
    Ok(examples::serve(app).await?)
}
