//! A WebSocket works with the session while it is open, and ends when the session does.
//!
//! ```text
//! cargo run -p examples --bin websocket
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/sign-in
//! websocat -H "Cookie: id-3000=$(awk '/\tid-3000\t/ { print $7 }' jar)" ws://127.0.0.1:3000/chat
//! # each line that you type is counted; in another terminal:
//! curl -c jar -b jar http://127.0.0.1:3000/
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/sign-out     # closes the socket
//! ```

use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use session_runtime::{MemoryStore, ReadSession, Session, SessionError, SessionLayer};

/// How soon a socket notices that its session has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Session)]
struct Chat {
    #[session(principal)]
    user: Option<String>,
    #[session(merge = "add")]
    messages: u64,
}

async fn open(session: Session<Chat>, upgrade: WebSocketUpgrade) -> Response {
    // A socket cannot give the visitor a cookie, so a session must exist before it is opened.
    if session.user.is_none() {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    upgrade.on_upgrade(|socket| talk(socket, session))
}

async fn talk(mut socket: WebSocket, mut session: Session<Chat>) {
    let reason = match answer(&mut socket, &mut session).await {
        Ok(()) => return,
        Err(SessionError::Gone) => "signed out",
        Err(_) => "something went wrong",
    };
    let close = CloseFrame {
        code: close_code::POLICY,
        reason: reason.into(),
    };
    // An error means that the visitor has gone, so there is nothing left to close.
    let _ = socket.send(Message::Close(Some(close))).await;
}

/// Answers messages until the visitor leaves or the session ends.
async fn answer(socket: &mut WebSocket, session: &mut Session<Chat>) -> Result<(), SessionError> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => {
                    // The response has left long ago, so the change is saved here.
                    session.messages += 1;
                    session.save().await?;
                    let text = format!("{} {text}", session.messages);
                    if socket.send(text.into()).await.is_err() {
                        return Ok(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(()),
            },
            // Not a visit: it does not keep the session alive.
            _ = look.tick() => session.reload().await?,
        }
    }
}

async fn show(session: ReadSession<Chat>) -> String {
    format!("{} messages\n", session.messages)
}

async fn sign_in(mut session: Session<Chat>) {
    session.user = Some("ada".to_owned());
}

async fn sign_out(session: Session<Chat>) {
    session.destroy();
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .route("/", get(show))
        .route("/chat", any(open))
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .layer(sessions);
    Ok(examples::serve(app).await?)
}
