//! Guards that outlive their response, handlers that panic, and clients that go away.

use std::any::Any;
use std::sync::{Arc, Mutex};

use axum::RequestExt;
use axum::body::Body;
use axum::extract::Request;
use futures_core::future::BoxFuture;
use http::StatusCode;
use http::header::COOKIE;
use session_runtime::{
    MemoryStore, ReadSession, Session, SessionError, SessionLayer, SessionRejection,
};
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::gate::Gate;
use tests::visitor::{COOKIE as NAME, Visitor, page};
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

type Store = CountingStore<FaultyStore<MemoryStore>>;

#[derive(Session, Debug, Default)]
struct Shop {
    visits: u32,
    name: String,
    #[session(principal)]
    customer: Option<u32>,
}

fn site() -> (SessionLayer, Store) {
    let store = CountingStore::new(FaultyStore::new(MemoryStore::new()));
    (SessionLayer::new(store.clone()), store)
}

async fn signed_in(layer: &SessionLayer) -> Visitor {
    let mut visitor = Visitor::new(layer);
    let page = |mut session: Session<Shop>| async move { session.visits = 1 };
    visitor.visit(page).await;
    visitor
}

async fn read(session: ReadSession<Shop>) -> String {
    format!("{} {}", session.visits, session.name)
}

/// A page that answers at once and leaves its guard behind.
async fn guard_after_response(visitor: &mut Visitor) -> Session<Shop> {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let page = move |session: Session<Shop>| async move {
        sender.send(session).expect("the test listens");
    };
    visitor.visit(page).await;
    receiver.recv().await.expect("the page was visited")
}

#[tokio::test]
async fn save_works_after_the_response_for_a_session_that_exists() {
    let (layer, _) = site();
    let mut visitor = signed_in(&layer).await;
    let recorder = Recorder::start();
    let mut session = guard_after_response(&mut visitor).await;
    for visits in 10..13 {
        session.visits = visits;
        session.save().await.unwrap();
        assert_eq!(visitor.visit(read).await.body, format!("{visits} "));
    }
    assert_eq!(session.add(Shop::VISITS, 1).await.unwrap(), 13);
    session.update(|shop| shop.name.push('u')).await.unwrap();
    session.reload().await.unwrap();
    drop(session);
    assert_eq!(visitor.visit(read).await.body, "13 u");
    assert_eq!(recorder.take_events(), [""; 0]);
}

/// The new token would have no response to leave with.
#[tokio::test]
async fn an_update_cannot_sign_in_after_the_response() {
    let (layer, _) = site();
    let mut visitor = signed_in(&layer).await;
    let mut session = guard_after_response(&mut visitor).await;
    let result = session.update(|shop| shop.customer = Some(7)).await;
    assert!(
        matches!(result, Err(SessionError::ResponseSent)),
        "{result:?}"
    );
    assert_eq!(visitor.visit(read).await.body, "1 ", "the token lives");
}

#[tokio::test]
async fn unsaved_changes_after_the_response_are_reported() {
    let (layer, _) = site();
    let mut visitor = signed_in(&layer).await;
    let recorder = Recorder::start();

    let mut session = guard_after_response(&mut visitor).await;
    session.visits = 9;
    drop(session);
    assert_eq!(recorder.take_events(), ["changes-lost"]);

    let mut session = guard_after_response(&mut visitor).await;
    session.visits = 9;
    session.commit();
    assert_eq!(recorder.take_events(), ["changes-lost"]);

    let session = guard_after_response(&mut visitor).await;
    session.destroy();
    assert_eq!(
        recorder.take_events(),
        ["changes-lost"],
        "it was not destroyed"
    );

    let mut session = guard_after_response(&mut visitor).await;
    session.rotate();
    drop(session);
    assert_eq!(recorder.take_events(), ["changes-lost"]);

    let mut session = guard_after_response(&mut visitor).await;
    session.remove(Shop::NAME);
    drop(session);
    assert_eq!(recorder.take_events(), ["changes-lost"]);

    // Nothing is lost where nothing changed, or where the change was given up.
    let mut session = guard_after_response(&mut visitor).await;
    session.visits = 1;
    drop(session);
    let mut session = guard_after_response(&mut visitor).await;
    session.visits = 9;
    session.discard();
    assert_eq!(recorder.take_events(), [""; 0]);
    assert_eq!(visitor.visit(read).await.body, "1 ");
}

#[tokio::test]
async fn no_token_is_made_that_could_not_reach_the_visitor() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let mut session = guard_after_response(&mut visitor).await;
    let late = |result: Result<(), SessionError>| {
        assert!(
            matches!(result, Err(SessionError::ResponseSent)),
            "{result:?}"
        );
    };
    session.visits = 1;
    late(session.save().await);
    late(session.add(Shop::VISITS, 1).await.map(drop));
    late(session.update(|shop| shop.visits += 1).await);
    drop(session);
    assert_eq!(store.sessions().await, 0);

    let mut visitor = signed_in(&layer).await;
    let mut session = guard_after_response(&mut visitor).await;
    session.rotate();
    late(session.save().await);
    session.name = "saved".to_owned();
    session.save().await.unwrap();
    assert_eq!(
        visitor.visit(read).await.body,
        "1 saved",
        "the old token lives"
    );
}

#[tokio::test]
async fn a_session_can_be_ended_after_the_response() {
    let (layer, store) = site();
    let mut visitor = signed_in(&layer).await;
    let recorder = Recorder::start();
    let session = guard_after_response(&mut visitor).await;
    session.destroy_now().await.unwrap();
    assert_eq!(recorder.take_events(), ["destroyed"]);
    assert_eq!(store.sessions().await, 0);
}

#[tokio::test]
async fn a_late_save_after_logout_changes_nothing() {
    let (layer, store) = site();
    let mut visitor = signed_in(&layer).await;
    let mut session = guard_after_response(&mut visitor).await;
    let logout = |session: Session<Shop>| async move { session.destroy() };
    visitor.visit(logout).await;
    session.visits = 9;
    assert!(matches!(session.save().await, Err(SessionError::Gone)));
    assert_eq!(store.sessions().await, 0);
}

#[tokio::test]
async fn a_handler_that_panics_saves_nothing() {
    let (layer, store) = site();
    let visitor = signed_in(&layer).await;
    let panicking = |mut session: Session<Shop>| async move {
        session.visits = 9;
        session.rotate();
        if session.visits == 9 {
            panic!("on purpose");
        }
    };
    store.take_counts();

    // Nothing catches it inside: there is no response at all.
    let mut tab = visitor.clone();
    let request = tokio::spawn(async move { tab.visit(panicking).await });
    assert!(request.await.unwrap_err().is_panic());
    assert_eq!(store.take_counts(), (1, 0));

    // Something answers in the handler's place, and that answer commits nothing either.
    let app = axum::Router::new()
        .fallback(panicking)
        .layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send>| {
            http::Response::builder()
                .status(StatusCode::INTERNAL_SERVER_ERROR)
                .body(Body::from("caught"))
                .expect("a response")
        }))
        .layer(layer.clone());
    let mut tab = visitor.clone();
    tab.browser().go_to(&app);
    let answer = tab.browser().get("/").await;
    assert_eq!(answer.body, "caught");
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(store.take_counts(), (1, 0));
    assert_eq!(visitor.clone().visit(read).await.body, "1 ");
}

#[tokio::test]
async fn a_panic_undoes_a_destroy_that_waits() {
    let (layer, store) = site();
    let visitor = signed_in(&layer).await;
    let panicking = |session: Session<Shop>, mut request: Request| async move {
        session.destroy();
        let held: Session<Shop> = request.extract_parts().await?;
        if held.visits == 0 {
            panic!("on purpose");
        }
        Ok::<_, SessionRejection>(())
    };
    let app = axum::Router::new()
        .fallback(panicking)
        .layer(CatchPanicLayer::new())
        .layer(layer.clone());
    let mut tab = visitor.clone();
    tab.browser().go_to(&app);
    let answer = tab.browser().get("/").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!((store.sessions().await, answer.set_cookies().len()), (1, 0));
}

/// The future of one request, to be dropped half-way.
fn request_of(visitor: &Visitor, app: axum::Router) -> BoxFuture<'static, StatusCode> {
    let token = visitor.token().expect("the visitor has a session");
    let request = Request::builder()
        .header(COOKIE, format!("{NAME}={token}"))
        .body(Body::empty())
        .expect("the test's request is valid");
    Box::pin(async move {
        let response = app.oneshot(request).await;
        response.unwrap_or_else(|never| match never {}).status()
    })
}

#[tokio::test]
async fn a_client_that_goes_away_during_the_handler_leaves_nothing() {
    let (layer, store) = site();
    let visitor = signed_in(&layer).await;
    store.take_counts();
    let recorder = Recorder::start();
    let gate = Gate::new();
    let waiting = gate.clone();
    let slow = move |mut session: Session<Shop>| async move {
        session.visits = 9;
        waiting.pass().await;
    };
    let request = request_of(&visitor, page(&layer, slow));
    tokio::select! {
        _ = request => panic!("the gate is closed"),
        () = gate.arrivals(1) => {}
    }
    assert_eq!(store.take_counts(), (1, 0));
    assert_eq!(recorder.take_events(), [""; 0]);
    assert_eq!(visitor.clone().visit(read).await.body, "1 ");
}

#[tokio::test]
async fn a_client_that_goes_away_during_the_commit_leaves_all_or_nothing() {
    let (layer, store) = site();
    for applied in [false, true] {
        let visitor = signed_in(&layer).await;
        let gate = Gate::new();
        store.inner().on_commit(match applied {
            false => Fault::WaitBefore(gate.clone()),
            true => Fault::WaitAfter(gate.clone()),
        });
        let write = |mut session: Session<Shop>| async move {
            session.visits = 9;
            session.name = "nine".to_owned();
        };
        let request = request_of(&visitor, page(&layer, write));
        tokio::select! {
            _ = request => panic!("the gate is closed"),
            () = gate.arrivals(1) => {}
        }
        store.inner().on_commit(Fault::None);
        let expected = if applied { "9 nine" } else { "1 " };
        assert_eq!(visitor.clone().visit(read).await.body, expected);
    }
}

#[tokio::test]
async fn a_task_learns_that_its_request_was_cancelled() {
    let (layer, store) = site();
    let visitor = signed_in(&layer).await;
    let gate = Gate::new();
    let kept: Arc<Mutex<Option<Session<Shop>>>> = Arc::default();
    let (waiting, keep) = (gate.clone(), kept.clone());
    let slow = move |session: Session<Shop>| async move {
        *keep.lock().expect("no task panics") = Some(session);
        waiting.pass().await;
    };
    let request = request_of(&visitor, page(&layer, slow));
    tokio::select! {
        _ = request => panic!("the gate is closed"),
        () = gate.arrivals(1) => {}
    }
    let mut session = kept.lock().unwrap().take().unwrap();
    session.rotate();
    let result = session.save().await;
    assert!(
        matches!(result, Err(SessionError::ResponseSent)),
        "{result:?}"
    );
    assert_eq!(
        visitor.clone().visit(read).await.body,
        "1 ",
        "the token lives"
    );
    session.name = "saved".to_owned();
    session.save().await.unwrap();
    assert_eq!(visitor.clone().visit(read).await.body, "1 saved");
    assert_eq!(store.sessions().await, 1);
}
