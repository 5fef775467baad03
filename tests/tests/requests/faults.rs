//! Stores that hang, lose their answers and fail at the wrong moment.

use std::time::Duration;

use http::StatusCode;
use session_runtime::store::StoreErrorKind;
use session_runtime::{
    MemoryStore, ReadSession, Session, SessionError, SessionLayer, SessionRejection,
};
use tests::browser::Answer;
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::visitor::Visitor;
use tokio::time::Instant;

type Store = CountingStore<FaultyStore<MemoryStore>>;

#[derive(Session, Debug, Default)]
struct Shop {
    visits: u32,
    #[session(merge = "add")]
    sum: i64,
    otp: Option<u32>,
}

fn site() -> (SessionLayer, Store) {
    let store = CountingStore::new(FaultyStore::new(MemoryStore::new()));
    (SessionLayer::new(store.clone()), store)
}

async fn write(mut session: Session<Shop>) {
    session.visits += 1;
    session.sum += 1;
}

async fn read(session: ReadSession<Shop>) -> String {
    format!("{} {}", session.visits, session.sum)
}

async fn signed_in(layer: &SessionLayer) -> Visitor {
    let mut visitor = Visitor::new(layer);
    visitor.visit(write).await;
    visitor
}

const DEADLINE: Duration = Duration::from_millis(1250);

/// The answer, and how long it took on the clock of the runtime.
async fn timed(answer: impl Future<Output = Answer>) -> (Answer, Duration) {
    let start = Instant::now();
    let answer = answer.await;
    (answer, start.elapsed())
}

/// A timer of the runtime fires at the next full millisecond.
fn assert_at(took: Duration, expected: Duration) {
    let late = Duration::from_millis(2);
    assert!(
        (expected..=expected + late).contains(&took),
        "{took:?}, not {expected:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn s58_a_store_that_hangs_ends_the_request_at_the_deadline() {
    let (layer, store) = site();
    let mut visitor = signed_in(&layer).await;
    store.inner().on_load(Fault::Hang);
    let (answer, took) = timed(visitor.visit(read)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body, "The session store is unavailable.");
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_at(took, DEADLINE);

    store.inner().on_load(Fault::None);
    store.inner().on_commit(Fault::Hang);
    let (answer, took) = timed(visitor.visit(write)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        answer.body.contains("may have been saved"),
        "{}",
        answer.body
    );
    assert_at(took, DEADLINE);

    let (answer, took) = timed(Visitor::new(&layer).visit(write)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_at(took, DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn s58_the_deadline_is_the_layers() {
    let store = FaultyStore::new(MemoryStore::new());
    let layer = SessionLayer::builder(store.clone())
        .store_deadline(Duration::from_millis(40))
        .build()
        .unwrap();
    let mut visitor = signed_in(&layer).await;
    store.on_load(Fault::Hang);
    let (_, took) = timed(visitor.visit(read)).await;
    assert_at(took, Duration::from_millis(40));
    // Two cookies are two look-ups, each within the deadline.
    let token = visitor.token().unwrap();
    let other = signed_in(&layer).await.token().unwrap();
    visitor.set_token(&format!("{token}; __Host-id={other}"));
    let (answer, took) = timed(visitor.visit(read)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_at(took, Duration::from_millis(40));
}

#[tokio::test(start_paused = true)]
async fn s58_handlers_of_a_hanging_store_come_back_too() {
    let (layer, store) = site();
    let mut visitor = signed_in(&layer).await;
    store.take_counts();
    let hung = store.clone();
    let page = move |mut session: Session<Shop>| async move {
        hung.inner().on_commit(Fault::Hang);
        let unsure = |result: Result<(), SessionError>| {
            let Err(SessionError::Store(error)) = result else {
                panic!("{result:?}");
            };
            assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
        };
        session.visits += 1;
        unsure(session.save().await);
        unsure(session.add(Shop::SUM, 1).await.map(drop));
        unsure(session.take(Shop::OTP).await.map(drop));
        unsure(session.update(|shop| shop.visits += 1).await);
        session.rotate();
        unsure(session.save().await);
        hung.inner().on_commit(Fault::None);
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "the handler dealt with it");
    assert_eq!(answer.set_cookies(), [""; 0]);
    let (_, commits) = store.take_counts();
    assert_eq!(commits, 5, "each was tried once");
    assert_eq!(visitor.visit(read).await.body, "1 1", "the old token works");
}

#[tokio::test(start_paused = true)]
async fn p9_a_commit_whose_answer_is_lost_is_unknown_and_not_repeated() {
    let (layer, store) = site();
    let mut visitor = signed_in(&layer).await;
    store.take_counts();
    store.inner().on_commit(Fault::LoseTheAnswer);
    let recorder = Recorder::start();
    let answer = visitor.visit(write).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.body.contains("may have been saved"));
    assert_eq!(recorder.take_events(), ["store-failed"]);
    assert_eq!(store.take_counts(), (1, 1));
    store.inner().on_commit(Fault::None);
    assert_eq!(visitor.visit(read).await.body, "2 2", "once");
}

#[tokio::test]
async fn s57_update_and_reload_tell_a_failing_store_from_an_ended_session() {
    let (layer, store) = site();
    let mut visitor = signed_in(&layer).await;
    let down = store.clone();
    let page = move |mut session: Session<Shop>| async move {
        down.inner()
            .on_load(Fault::Fail(StoreErrorKind::Unavailable));
        let is_store = |result: Result<(), SessionError>| {
            assert!(matches!(result, Err(SessionError::Store(_))), "{result:?}");
        };
        session.visits = 7;
        is_store(session.reload().await);
        assert_eq!(session.visits, 7, "the guard keeps what it had");
        is_store(session.update(|shop| shop.sum += 1).await);
        is_store(session.ttl(Shop::OTP).await.map(drop));
        down.inner().on_load(Fault::None);
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    // An update takes along what waits, and what it could not commit is not tried again.
    assert_eq!(visitor.visit(read).await.body, "1 1");
}

#[tokio::test]
async fn s57_the_second_of_two_loads_may_fail() {
    #[derive(Session, Default)]
    struct Login {
        user: String,
    }
    let (layer, store) = site();
    let mut visitor = signed_in(&layer).await;
    let down = store.clone();
    let page = move |mut shop: Session<Shop>, mut request: axum::extract::Request| async move {
        use axum::RequestExt;
        shop.visits = 5;
        down.inner()
            .on_load(Fault::Fail(StoreErrorKind::Unavailable));
        let login: Result<Session<Login>, SessionRejection> = request.extract_parts().await;
        assert!(login.is_err());
        let again: Session<Shop> = request.extract_parts().await?;
        assert_eq!(again.visits, 1, "known already");
        down.inner().on_load(Fault::None);
        let login: Session<Login> = request.extract_parts().await?;
        Ok::<_, SessionRejection>(login.user.clone())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(visitor.visit(read).await.body, "5 1");
}

#[tokio::test]
async fn s57_a_logout_that_failed_keeps_session_and_cookie() {
    let (layer, store) = site();
    let mut visitor = signed_in(&layer).await;
    let logout = |session: Session<Shop>| async move { session.destroy() };
    store
        .inner()
        .on_commit(Fault::Fail(StoreErrorKind::Unavailable));
    let answer = visitor.visit(logout).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.set_cookies(), [""; 0]);
    store.inner().on_commit(Fault::None);
    assert_eq!(visitor.visit(read).await.body, "1 1");
}

#[tokio::test]
async fn a_cookie_that_save_earned_leaves_though_the_last_commit_fails() {
    let (layer, store) = site();
    let mut visitor = signed_in(&layer).await;
    let down = store.clone();
    let page = move |mut session: Session<Shop>| async move {
        session.rotate();
        session.save().await?;
        session.visits = 9;
        down.inner()
            .on_commit(Fault::Fail(StoreErrorKind::Unavailable));
        Ok::<_, SessionError>(())
    };
    let old = visitor.token();
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    store.inner().on_commit(Fault::None);
    assert_ne!(visitor.token(), old, "or the visitor would be locked out");
    assert_eq!(visitor.visit(read).await.body, "1 1");
}

#[tokio::test]
async fn a_full_store_refuses_new_sessions_and_serves_the_others() {
    let store = MemoryStore::builder().capacity(1).build();
    let layer = SessionLayer::new(store);
    let mut visitor = signed_in(&layer).await;
    let answer = Visitor::new(&layer).visit(write).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.set_cookies(), [""; 0]);
    visitor.visit(write).await;
    assert_eq!(visitor.visit(read).await.body, "2 2");
}
