//! Bodies that are made while they are sent: the commit came before their first byte, and what
//! changes later is saved by hand.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use futures_util::stream;
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use session_runtime::{MemoryStore, Session, SessionError, SessionLayer};
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::gate::Gate;
use tokio::sync::Notify;

use super::wire::{self, COOKIE_NAME, Client, Version};
use super::{Shop, read, write};

/// The next piece of a body. The end of an HTTP/2 body may be a frame that holds nothing.
async fn piece(body: &mut Incoming) -> Option<String> {
    let frame = body.frame().await?.expect("the body goes on");
    let bytes = frame.into_data().expect("no trailers");
    let piece = String::from_utf8(bytes.to_vec()).expect("text");
    Some(piece).filter(|piece| !piece.is_empty())
}

#[tokio::test]
async fn p5_the_commit_came_before_the_body_is_asked_for_anything() {
    for version in Version::ALL {
        let store = CountingStore::new(MemoryStore::new());
        let gate = Gate::new();
        let (counter, waiting) = (store.clone(), gate.clone());
        let page = move |mut session: Session<Shop>| async move {
            session.visits += 1;
            Body::from_stream(stream::once(async move {
                let counts = counter.take_counts();
                waiting.pass().await;
                Ok::<_, Infallible>(format!("{counts:?}"))
            }))
        };
        let app = Router::new()
            .route("/slow", get(page))
            .route("/", get(read))
            .layer(SessionLayer::new(store.clone()));
        let mut visitor = Client::of(&app, version).await;
        let response = visitor.open(Method::GET, "/slow").await;
        gate.arrivals(1).await;
        // The head has arrived, and no byte of the body has been read.
        assert_eq!(visitor.tab().await.get("/").await.body, "1 ");
        gate.open();
        assert_eq!(wire::read(response).await.body, "(0, 1)");
    }
}

/// A page that counts on while it is read: each step waits at the gate, saves and says the number.
/// The label that it sets at its end is not saved.
fn counting_on(gate: &Gate) -> impl Fn(Session<Shop>) -> std::future::Ready<Body> + Clone + use<> {
    let gate = gate.clone();
    move |session| {
        let gate = gate.clone();
        let steps = stream::try_unfold(session, move |mut session| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                if session.visits == 3 {
                    session.name = "lost".to_owned();
                    return Ok(None);
                }
                session.visits += 1;
                session.save().await?;
                Ok::<_, SessionError>(Some((session.visits.to_string(), session)))
            }
        });
        std::future::ready(Body::from_stream(steps))
    }
}

#[tokio::test]
async fn a_streaming_body_saves_step_by_step_and_reports_what_it_did_not_save() {
    for version in Version::ALL {
        let gate = Gate::new();
        let app = Router::new()
            .route("/count", get(counting_on(&gate)))
            .route("/", get(read).post(write))
            .layer(SessionLayer::new(MemoryStore::new()));
        let mut visitor = Client::of(&app, version).await;
        visitor.post("/").await;
        let mut tab = visitor.tab().await;
        let recorder = Recorder::start();

        let mut body = visitor.open(Method::GET, "/count").await.into_body();
        for number in ["2", "3"] {
            gate.let_one_pass();
            assert_eq!(piece(&mut body).await.as_deref(), Some(number));
            assert_eq!(tab.get("/").await.body, format!("{number} "));
        }
        assert_eq!(recorder.take_events(), [""; 0]);
        gate.let_one_pass();
        assert_eq!(piece(&mut body).await, None);
        assert_eq!(recorder.take_events(), ["changes-lost"]);
        assert_eq!(tab.get("/").await.body, "3 ");
    }
}

#[tokio::test]
async fn a_stream_ends_when_the_visitor_signs_out_meanwhile() {
    for version in Version::ALL {
        let gate = Gate::new();
        let sign_out = |session: Session<Shop>| async move { session.destroy() };
        let app = Router::new()
            .route("/count", get(counting_on(&gate)))
            .route("/sign-out", post(sign_out))
            .route("/", get(read).post(write))
            .layer(SessionLayer::new(MemoryStore::new()));
        let mut visitor = Client::of(&app, version).await;
        visitor.post("/").await;
        let mut tab = visitor.tab().await;
        let mut body = visitor.open(Method::GET, "/count").await.into_body();
        gate.let_one_pass();
        assert_eq!(piece(&mut body).await.as_deref(), Some("2"));
        tab.post("/sign-out").await;
        gate.let_one_pass();
        let end = body.frame().await.expect("no clean end");
        assert!(end.is_err(), "{end:?}");
        assert_eq!(visitor.tab().await.get("/").await.body, "0 ");
    }
}

/// The cookie leaves with the head, so a visitor without a session gets one before the body.
#[tokio::test]
async fn a_newcomer_s_session_is_saved_before_the_stream_begins() {
    let page = |save_first: bool| {
        move |mut session: Session<Shop>| async move {
            if save_first {
                session.save_as("newcomer").await?;
            }
            let said = stream::once(async move {
                let result = session.save_as("later").await;
                Ok::<_, Infallible>(format!("{result:?}"))
            });
            Ok::<_, SessionError>(Body::from_stream(said))
        }
    };
    for version in Version::ALL {
        let app = Router::new()
            .route("/early", get(page(true)))
            .route("/late", get(page(false)))
            .route("/", get(read))
            .layer(SessionLayer::new(MemoryStore::new()));
        let mut visitor = Client::of(&app, version).await;
        assert_eq!(visitor.get("/late").await.body, "Err(ResponseSent)");
        assert_eq!(visitor.jar.get(COOKIE_NAME), None);
        assert_eq!(visitor.get("/early").await.body, "Ok(())");
        assert_eq!(visitor.get("/").await.body, "0 later");
    }
}

/// The work of these pages on a session.
trait SaveAs {
    async fn save_as(&mut self, name: &str) -> Result<(), SessionError>;
}

impl SaveAs for Session<Shop> {
    async fn save_as(&mut self, name: &str) -> Result<(), SessionError> {
        self.name = name.to_owned();
        self.save().await
    }
}

/// Notifies when it is dropped, with whatever it is a part of.
pub(crate) struct WhenDropped(pub(crate) Arc<Notify>);

impl Drop for WhenDropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_a_stream_keeps_what_was_saved() {
    for version in Version::ALL {
        let gate = Gate::new();
        let dropped = Arc::new(Notify::new());
        let (waiting, noticing) = (gate.clone(), dropped.clone());
        let page = move |mut session: Session<Shop>| async move {
            let noticed = WhenDropped(noticing.clone());
            let said = stream::once(async move {
                let _noticed = noticed;
                session.visits = 7;
                session.save().await?;
                session.name = "lost".to_owned();
                waiting.pass().await;
                Ok::<_, SessionError>("never seen")
            });
            Body::from_stream(said)
        };
        let app = Router::new()
            .route("/stream", get(page))
            .route("/", get(read).post(write))
            .layer(SessionLayer::new(MemoryStore::new()));
        let mut visitor = Client::of(&app, version).await;
        visitor.post("/").await;
        let mut tab = visitor.tab().await;
        let recorder = Recorder::start();
        let response = visitor.open(Method::GET, "/stream").await;
        gate.arrivals(1).await;
        visitor.connection().reset();
        dropped.notified().await;
        drop(response);
        assert_eq!(recorder.take_events(), ["changes-lost"]);
        assert_eq!(tab.get("/").await.body, "7 ");
    }
}
