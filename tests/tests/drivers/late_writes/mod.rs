//! A commit that comes too late changes nothing: in the orders that matter, chosen by hand, and in
//! thousands chosen at random, on every driver.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod interleavings;

use std::sync::Arc;

use axum::RequestPartsExt;
use http::StatusCode;
use http::request::Parts;
use session_runtime::{ReadSession, Session, SessionError, SessionLayer};
use tests::browser::Answer;
use tests::drivers::{drivers, patient};
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::gate::Gate;
use tests::visitor::Visitor;
use tokio::task::JoinHandle;

#[derive(Session, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    visits: u32,
    #[session(merge = "add")]
    sum: i64,
}

async fn signed_in(layer: &SessionLayer) -> Visitor {
    let mut visitor = Visitor::new(layer);
    let page = |mut session: Session<Shop>| async move { session.visits = 1 };
    visitor.visit(page).await;
    visitor
}

async fn shown(visitor: &mut Visitor) -> String {
    let page = |session: ReadSession<Shop>| async move { session.visits.to_string() };
    visitor.visit(page).await.body
}

async fn log_out(visitor: &mut Visitor) {
    let page = |session: Session<Shop>| async move { session.destroy() };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
}

/// The work of a request between its load and its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Write,
    Add,
    Login,
    Rotate,
    Destroy,
    Nothing,
}

impl Deed {
    fn apply(self, mut session: Session<Shop>, number: u32) {
        match self {
            Self::Write => session.visits = 100 + number,
            Self::Add => session.sum += 1,
            Self::Login => session.customer = Some(number + 1),
            Self::Rotate => session.rotate(),
            Self::Destroy => session.destroy(),
            Self::Nothing => {}
        }
    }
}

type Begun = (Gate, JoinHandle<(Visitor, Answer)>);

/// A request that loads, waits at the gate, does its deed and commits. It answers what it loaded.
async fn begin(visitor: &Visitor, deed: Deed, number: u32) -> Begun {
    let gate = Gate::new();
    let (mut tab, waiting) = (visitor.clone(), gate.clone());
    let request = tokio::spawn(async move {
        let page = move |session: Session<Shop>| async move {
            let loaded = format!("{:?}", (session.customer, session.visits, session.sum));
            waiting.pass().await;
            deed.apply(session, number);
            loaded
        };
        let answer = tab.visit(page).await;
        (tab, answer)
    });
    gate.arrivals(1).await;
    (gate, request)
}

async fn end((gate, request): Begun) -> (Visitor, Answer) {
    gate.open();
    request.await.expect("the request ends")
}

#[tokio::test]
async fn s22_late_write_after_destroy_changes_nothing() {
    for driver in drivers().await {
        let layer = driver.layer();
        for deed in [Deed::Write, Deed::Add, Deed::Login, Deed::Rotate] {
            let what = format!("{}: {deed:?}", driver.name());
            let visitor = signed_in(&layer).await;
            let late = begin(&visitor, deed, 1).await;
            let logout = begin(&visitor, Deed::Destroy, 0).await;
            let (_, answer) = end(logout).await;
            assert_eq!(answer.status, StatusCode::OK, "{what}");

            let recorder = Recorder::start();
            let (_, answer) = end(late).await;
            assert_eq!(answer.status, StatusCode::CONFLICT, "{what}");
            assert_eq!(answer.set_cookies(), [""; 0], "{what}");
            assert_eq!(recorder.take_events(), ["gone"], "{what}");
            assert_eq!(driver.sessions().await, 0, "{what}: no record exists");
        }
    }
}

/// The answer of the store arrives after the same request has begun another session.
#[tokio::test]
async fn s22_a_late_load_brings_nothing_into_the_next_session() {
    #[derive(Session, Default)]
    struct Note {
        text: String,
    }
    for driver in drivers().await {
        let store = FaultyStore::new(driver.store());
        let layer = patient(Arc::new(store.clone())).build().unwrap();
        let mut visitor = Visitor::new(&layer);
        let page = |mut note: Session<Note>| async move { note.text = "old".to_owned() };
        visitor.visit(page).await;

        let page = move |mut parts: Parts| async move {
            let gate = Gate::new();
            let shop: Session<Shop> = parts.extract().await?;
            store.on_load(Fault::WaitAfter(gate.clone()));
            let mut same_request = parts.clone();
            let next = async {
                gate.arrivals(1).await;
                shop.destroy();
                let mut shop: Session<Shop> = parts.extract().await.expect("nothing is loaded");
                shop.visits = 2;
                shop.save().await.expect("the store works");
                gate.open();
            };
            let (late, ()) = tokio::join!(same_request.extract::<ReadSession<Note>>(), next);
            late.map(|note| note.text.clone())
        };
        let answer = visitor.visit(page).await;
        let answer = (answer.status, answer.body.as_str());
        assert_eq!(answer, (StatusCode::OK, ""), "{}", driver.name());
    }
}

#[tokio::test]
async fn s22_a_write_that_is_on_its_way_when_the_session_ends_changes_nothing() {
    for driver in drivers().await {
        let store = FaultyStore::new(driver.store());
        let layer = patient(Arc::new(store.clone())).build().unwrap();
        let visitor = signed_in(&layer).await;
        let gate = Gate::new();
        store.on_commit(Fault::WaitBefore(gate.clone()));
        let mut tab = visitor.clone();
        let late = tokio::spawn(async move {
            let page = |mut session: Session<Shop>| async move { session.visits = 7 };
            tab.visit(page).await
        });
        gate.arrivals(1).await;
        store.on_commit(Fault::None);
        let logout = begin(&visitor, Deed::Destroy, 0).await;
        end(logout).await;
        gate.open();
        let status = late.await.unwrap().status;
        assert_eq!(status, StatusCode::CONFLICT, "{}", driver.name());
        assert_eq!(driver.sessions().await, 0, "{}", driver.name());
    }
}

#[tokio::test]
async fn p2_late_write_after_rotation_changes_nothing() {
    for driver in drivers().await {
        let layer = driver.layer();
        for (first, then) in [
            (Deed::Login, Deed::Write),
            (Deed::Rotate, Deed::Add),
            (Deed::Rotate, Deed::Rotate),
            (Deed::Login, Deed::Login),
            (Deed::Login, Deed::Destroy),
        ] {
            let what = format!("{}: {then:?} after {first:?}", driver.name());
            let visitor = signed_in(&layer).await;
            let late = begin(&visitor, then, 1).await;
            let rotation = begin(&visitor, first, 0).await;
            let (mut winner, answer) = end(rotation).await;
            assert_eq!(answer.status, StatusCode::OK, "{what}");
            let (_, answer) = end(late).await;
            assert_eq!(answer.status, StatusCode::CONFLICT, "{what}");
            assert_eq!(answer.set_cookies(), [""; 0], "{what}");
            assert_eq!(shown(&mut winner).await, "1", "{what}");
            log_out(&mut winner).await;
            assert_eq!(driver.sessions().await, 0, "{what}: it was one record");
        }
    }
}

#[tokio::test]
async fn two_logouts_are_as_good_as_one() {
    for driver in drivers().await {
        let visitor = signed_in(&driver.layer()).await;
        let first = begin(&visitor, Deed::Destroy, 0).await;
        let second = begin(&visitor, Deed::Destroy, 1).await;
        let (tab, answer) = end(first).await;
        assert_eq!((answer.status, tab.token()), (StatusCode::OK, None));
        // The second one ended nothing, so it removes no cookie: a sign-in may have set another.
        let (tab, answer) = end(second).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.set_cookies(), [""; 0]);
        assert!(tab.token().is_some());
        assert_eq!(driver.sessions().await, 0, "{}", driver.name());
    }
}

/// All at once: no request waits for another one's end.
async fn race(visitor: &Visitor, deeds: impl IntoIterator<Item = Deed>) -> Vec<(Visitor, Answer)> {
    let mut requests = Vec::new();
    for (number, deed) in (0..).zip(deeds) {
        requests.push(begin(visitor, deed, number).await);
    }
    for (gate, _) in &requests {
        gate.open();
    }
    let mut answers = Vec::new();
    for (_, request) in requests {
        answers.push(request.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_of_parallel_rotations_exactly_one_wins() {
    for driver in drivers().await {
        let what = driver.name();
        let layer = driver.layer();
        for _ in 0..50 {
            let visitor = signed_in(&layer).await;
            let mut winners = Vec::new();
            let deeds = [Deed::Login, Deed::Rotate, Deed::Login, Deed::Rotate];
            for (tab, answer) in race(&visitor, deeds).await {
                match answer.status {
                    StatusCode::OK => winners.push(tab),
                    // The others are told.
                    status => assert_eq!(status, StatusCode::CONFLICT, "{what}"),
                }
            }
            assert_eq!(winners.len(), 1, "{what}");
            assert_eq!(shown(&mut winners[0]).await, "1", "{what}");
            assert_eq!(shown(&mut visitor.clone()).await, "0", "{what}");
            log_out(&mut winners[0]).await;
            assert_eq!(driver.sessions().await, 0, "{what}: it was one record");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s22_writers_racing_with_a_logout_leave_nothing() {
    for driver in drivers().await {
        let what = driver.name();
        let layer = driver.layer();
        for _ in 0..50 {
            let visitor = signed_in(&layer).await;
            let mut deeds = [Deed::Write; 6];
            deeds[3] = Deed::Destroy;
            for (_, answer) in race(&visitor, deeds).await {
                let ends = [StatusCode::OK, StatusCode::CONFLICT];
                assert!(ends.contains(&answer.status), "{what}: {}", answer.status);
            }
            assert_eq!(driver.sessions().await, 0, "{what}");
        }
    }
}

#[tokio::test]
async fn a_logout_that_came_after_a_rotation_does_not_pretend() {
    for driver in drivers().await {
        let visitor = signed_in(&driver.layer()).await;
        let late = visitor.clone();
        let page = move |session: Session<Shop>| async move {
            let mut other = late;
            other
                .visit(|mut session: Session<Shop>| async move { session.rotate() })
                .await;
            let answer = session.destroy_now().await;
            assert!(matches!(answer, Err(SessionError::Gone)), "{answer:?}");
            assert_eq!(shown(&mut other).await, "1", "it lives");
        };
        let answer = visitor.clone().visit(page).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", driver.name());
        // The new token's cookie stays.
        assert_eq!(answer.set_cookies(), [""; 0], "{}", driver.name());
    }
}
