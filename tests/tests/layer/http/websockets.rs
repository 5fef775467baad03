//! WebSockets, opened by an upgrade and by an extended `CONNECT`: the session is read when they are
//! opened, and saved while they are open.

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{any, get, post};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use session_runtime::{MemoryStore, Session, SessionError, SessionLayer};
use tests::counting::CountingStore;
use tests::events::Recorder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;

use super::wire::{COOKIE_NAME, Client, Version};
use super::{Shop, read, write};

async fn chat(session: Session<Shop>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(|socket| talk(socket, session))
}

/// The visitor is called what was said last, `bye` excepted.
async fn talk(mut socket: WebSocket, mut session: Session<Shop>) {
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        session.name = text.to_string();
        if text == "bye" {
            break;
        }
        let answer = match session.save().await {
            Ok(()) => format!("{} {}", session.visits, session.name),
            Err(error) => error.to_string(),
        };
        if socket.send(answer.into()).await.is_err() {
            break;
        }
    }
}

async fn say<S>(socket: &mut WebSocketStream<S>, text: &str) -> Option<String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let sent = socket.send(tungstenite::Message::text(text)).await;
    sent.expect("an open socket");
    match socket.next().await? {
        Ok(message) => Some(message.into_text().expect("text").to_string()),
        Err(_) => None,
    }
}

fn site() -> (Router, CountingStore<MemoryStore>) {
    let store = CountingStore::new(MemoryStore::new());
    let sign_out = |session: Session<Shop>| async move { session.destroy() };
    let app = Router::new()
        .route("/chat", any(chat))
        .route("/sign-out", post(sign_out))
        .route("/", get(read).post(write))
        .layer(SessionLayer::new(store.clone()));
    (app, store)
}

#[tokio::test]
async fn a_session_is_read_at_the_upgrade_and_saved_within_the_socket() {
    for version in Version::ALL {
        let (app, store) = site();
        let mut visitor = Client::of(&app, version).await;
        visitor.post("/").await;
        let mut tab = visitor.tab().await;
        store.take_counts();
        let mut socket = visitor.websocket("/chat").await;
        assert_eq!(say(&mut socket, "ada").await.as_deref(), Some("1 ada"));
        assert_eq!(store.take_counts(), (1, 1), "one load, one commit");
        assert_eq!(tab.get("/").await.body, "1 ada");
        assert_eq!(say(&mut socket, "grace").await.as_deref(), Some("1 grace"));
        assert_eq!(tab.get("/").await.body, "1 grace");

        let recorder = Recorder::start();
        assert_eq!(say(&mut socket, "bye").await, None);
        assert_eq!(recorder.take_events(), ["changes-lost"]);
        assert_eq!(tab.get("/").await.body, "1 grace");
    }
}

#[tokio::test]
async fn a_socket_cannot_save_what_was_signed_out() {
    for version in Version::ALL {
        let (app, store) = site();
        let mut visitor = Client::of(&app, version).await;
        visitor.post("/").await;
        let mut tab = visitor.tab().await;
        let mut socket = visitor.websocket("/chat").await;
        assert_eq!(tab.post("/sign-out").await.status, StatusCode::OK);
        let gone = SessionError::Gone.to_string();
        assert_eq!(say(&mut socket, "ada").await, Some(gone));
        assert_eq!(store.sessions().await, 0);
    }
}

/// The answer that opens a socket is a response like any other: it can carry the cookie.
#[tokio::test]
async fn a_newcomer_gets_the_cookie_with_the_answer_that_opens_the_socket() {
    for version in Version::ALL {
        let open = |mut session: Session<Shop>, upgrade: WebSocketUpgrade| async move {
            session.visits = 5;
            session.save().await?;
            Ok::<_, SessionError>(chat(session, upgrade).await)
        };
        let app = Router::new()
            .route("/open", any(open))
            .route("/", get(read))
            .layer(SessionLayer::new(MemoryStore::new()));
        let mut visitor = Client::of(&app, version).await;
        assert_eq!(visitor.get("/").await.body, "0 ");
        let mut tab = visitor.tab().await;
        let mut socket = visitor.websocket("/open").await;
        assert!(visitor.jar.get(COOKIE_NAME).is_some());
        assert_eq!(say(&mut socket, "ada").await.as_deref(), Some("5 ada"));
        tab.jar.clone_from(&visitor.jar);
        assert_eq!(tab.get("/").await.body, "5 ada");
    }
}
