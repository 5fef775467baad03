//! The effect of an error on the answer, on the session, and on later attempts.

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::StatusCode;
use session_runtime::store::StoreErrorKind;
use session_runtime::{
    MemoryStore, ReadSession, Session, SessionError, SessionLayer, SessionRejection,
};
use tests::browser::Browser;
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::visitor::{Visitor, page};

use super::{Shop, read, site, write};

#[tokio::test]
async fn s57_p5_a_commit_that_failed_is_the_answer() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Shop>| async move {
        session.customer = Some(1);
        "welcome"
    };
    for kind in [
        StoreErrorKind::Unavailable,
        StoreErrorKind::OutcomeUnknown,
        StoreErrorKind::Full,
        StoreErrorKind::Misconfigured,
        StoreErrorKind::Corrupt,
    ] {
        store.inner().on_commit(Fault::Fail(kind));
        let answer = visitor.visit(page).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{kind:?}");
        assert!(!answer.body.contains("welcome"));
        assert_eq!(answer.set_cookies(), [""; 0]);
        let unsure = answer.body.contains("may have been saved");
        assert_eq!(unsure, kind == StoreErrorKind::OutcomeUnknown);
        assert_eq!(store.take_counts(), (0, 1), "tried once");
    }
}

#[tokio::test]
async fn s57_a_store_that_is_down_is_never_an_anonymous_visitor() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    store
        .inner()
        .on_load(Fault::Fail(StoreErrorKind::Unavailable));
    store.take_counts();
    for _ in 0..2 {
        let answer = visitor.visit(write).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.set_cookies(), [""; 0]);
    }
    assert_eq!(store.take_counts(), (2, 0));
    // A visitor without a cookie is anonymous without a call of the store.
    assert_eq!(
        Visitor::new(&layer).visit(read).await.status,
        StatusCode::OK
    );

    let patient = |session: Result<Session<Shop>, SessionRejection>| async move {
        let rejection = session.expect_err("the store is down");
        assert!(matches!(rejection.error(), Some(SessionError::Store(_))));
        "a page without a session"
    };
    let answer = visitor.visit(patient).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "a page without a session")
    );
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(answer.headers["vary"], "cookie", "others see another page");

    store.inner().on_load(Fault::None);
    assert_eq!(visitor.visit(read).await.body, "1 ");
}

#[tokio::test]
async fn a_second_attempt_in_the_same_request_may_succeed() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let behind = store.clone();
    let page = move |mut session: Session<Shop>| async move {
        behind
            .inner()
            .on_commit(Fault::Fail(StoreErrorKind::Unavailable));
        session.name = "name".to_owned();
        assert!(session.save().await.is_err());
        assert_eq!(session.name, "", "the guard shows what the store holds");
        behind.inner().on_commit(Fault::None);
        session.name = "name".to_owned();
        session.save().await?;
        Ok::<_, SessionError>(())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(visitor.visit(read).await.body, "1 name");
}

#[tokio::test]
async fn what_save_refused_is_not_tried_again() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    store.take_counts();
    let behind = store.clone();
    let page = move |mut session: Session<Shop>| async move {
        behind
            .inner()
            .on_commit(Fault::Fail(StoreErrorKind::Unavailable));
        session.name = "name".to_owned();
        session.customer = Some(1);
        let failed = session.save().await.is_err();
        behind.inner().on_commit(Fault::None);
        failed.to_string()
    };
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "true")
    );
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(store.take_counts(), (1, 1));
    assert_eq!(visitor.visit(read).await.body, "1 ");
}

#[tokio::test]
async fn on_error_answers_for_loads_and_commits() {
    let store = FaultyStore::new(MemoryStore::new());
    let layer = SessionLayer::builder(store.clone())
        .on_error(|error: SessionError| (StatusCode::IM_A_TEAPOT, error.status().to_string()))
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&layer);
    store.on_commit(Fault::Fail(StoreErrorKind::Unavailable));
    let answer = visitor.visit(write).await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert!(answer.body.starts_with("503"));
    store.on_commit(Fault::None);
    visitor.visit(write).await;
    store.on_load(Fault::Fail(StoreErrorKind::Unavailable));
    assert_eq!(visitor.visit(write).await.status, StatusCode::IM_A_TEAPOT);
}

#[tokio::test]
async fn on_error_answers_for_errors_that_a_handler_passes_on() {
    let store = FaultyStore::new(MemoryStore::new());
    let layer = SessionLayer::builder(store.clone())
        .on_error(|error: SessionError| (StatusCode::IM_A_TEAPOT, error.status().to_string()))
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&layer);
    store.on_commit(Fault::Fail(StoreErrorKind::Unavailable));
    let page = |mut session: Session<Shop>| async move {
        session.visits = 1;
        session.save().await
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert!(answer.body.starts_with("503"));
}

#[tokio::test]
async fn a_missing_layer_says_what_to_add() {
    let recorder = Recorder::start();
    for app in [
        Router::new().route("/", get(write)),
        Router::new().route("/", get(read)),
        Router::new()
            .layer(SessionLayer::new(MemoryStore::new()))
            .route("/", get(write)),
    ] {
        let answer = Browser::new(&app).get("/").await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            answer.body.contains(".layer(SessionLayer::new(store))"),
            "{}",
            answer.body
        );
        assert_eq!(recorder.take_events(), ["layer-missing"]);
    }
    let page = |session: Result<Session<Shop>, SessionRejection>| async move {
        let rejection = session.expect_err("no layer");
        assert!(rejection.error().is_none());
        rejection.to_string()
    };
    let app = Router::new().route("/", get(page));
    assert!(
        Browser::new(&app)
            .get("/")
            .await
            .body
            .contains("SessionLayer")
    );
}

#[tokio::test]
async fn an_error_of_save_can_be_the_handlers_answer() {
    let (layer, store) = site();
    store
        .inner()
        .on_commit(Fault::Fail(StoreErrorKind::Unavailable));
    let page = |mut session: Session<Shop>| async move {
        session.visits = 1;
        match session.save().await {
            Ok(()) => "saved".into_response(),
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    };
    let answer = page_answer(&layer, page).await;
    assert_eq!(answer.0, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.1, "the session store is unavailable");
}

async fn page_answer<H, T>(layer: &SessionLayer, handler: H) -> (StatusCode, String)
where
    H: axum::handler::Handler<T, ()>,
    T: 'static,
{
    let answer = Browser::new(&page(layer, handler)).get("/").await;
    (answer.status, answer.body)
}

/// `Option` says `None` of a visitor without a live session, and of nothing else.
#[tokio::test]
async fn p5_an_optional_session_is_none_only_without_one() {
    let (layer, store) = site();
    let optional = |session: Option<Session<Shop>>| async move {
        session.map_or("none".to_owned(), |session| session.visits.to_string())
    };
    let read_only = |session: Option<ReadSession<Shop>>| async move {
        session.map_or("none".to_owned(), |session| session.visits.to_string())
    };
    let mut visitor = Visitor::new(&layer);
    assert_eq!(visitor.visit(optional).await.body, "none");
    assert_eq!(visitor.token(), None);
    visitor.visit(write).await;
    assert_eq!(visitor.visit(optional).await.body, "1");
    assert_eq!(visitor.visit(read_only).await.body, "1");

    let down = Fault::Fail(StoreErrorKind::Unavailable);
    store.inner().on_load(down);
    for _ in 0..2 {
        let answer = visitor.visit(optional).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    store.inner().on_load(Fault::None);
    let mut ended = visitor.clone();
    visitor
        .visit(|session: Session<Shop>| async move { session.destroy() })
        .await;
    assert_eq!(ended.visit(optional).await.body, "none");

    let bare = Router::new().route("/", get(optional));
    let answer = Browser::new(&bare).get("/").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}
