//! A commit that comes too late changes nothing, in thousands of orders of events.

use axum::RequestPartsExt;
use http::StatusCode;
use http::request::Parts;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use session_runtime::{MemoryStore, ReadSession, Session, SessionError, SessionLayer};
use tests::browser::Answer;
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::gate::Gate;
use tests::visitor::Visitor;
use tokio::task::JoinHandle;

type Store = CountingStore<FaultyStore<MemoryStore>>;

#[derive(Session, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    visits: u32,
    #[session(merge = "add")]
    sum: i64,
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

async fn shown(visitor: &mut Visitor) -> String {
    let page = |session: ReadSession<Shop>| async move { session.visits.to_string() };
    visitor.visit(page).await.body
}

/// What a request does between its load and its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Write,
    Add,
    Login,
    Rotate,
    Destroy,
    Nothing,
}

const DEEDS: [Deed; 6] = [
    Deed::Write,
    Deed::Add,
    Deed::Login,
    Deed::Rotate,
    Deed::Destroy,
    Deed::Nothing,
];

impl Deed {
    fn rotates(self) -> bool {
        matches!(self, Self::Login | Self::Rotate)
    }

    fn is_write(self) -> bool {
        self != Self::Nothing
    }

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

/// A request that loads, waits at the gate, does its deed and commits.
async fn begin(
    visitor: &Visitor,
    deed: Deed,
    number: u32,
) -> (Gate, JoinHandle<(Visitor, Answer)>) {
    let gate = Gate::new();
    let (mut tab, waiting) = (visitor.clone(), gate.clone());
    let request = tokio::spawn(async move {
        let page = move |session: Session<Shop>| async move {
            waiting.pass().await;
            deed.apply(session, number);
        };
        let answer = tab.visit(page).await;
        (tab, answer)
    });
    gate.arrivals(1).await;
    (gate, request)
}

async fn end((gate, request): (Gate, JoinHandle<(Visitor, Answer)>)) -> (Visitor, Answer) {
    gate.open();
    request.await.expect("the request ends")
}

#[tokio::test]
async fn s22_late_write_after_destroy_changes_nothing() {
    let (layer, store) = site();
    for deed in [Deed::Write, Deed::Add, Deed::Login, Deed::Rotate] {
        let visitor = signed_in(&layer).await;
        let late = begin(&visitor, deed, 1).await;
        let logout = begin(&visitor, Deed::Destroy, 0).await;
        let (_, answer) = end(logout).await;
        assert_eq!(answer.status, StatusCode::OK);

        let recorder = Recorder::start();
        let (_, answer) = end(late).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{deed:?}");
        assert_eq!(answer.set_cookies(), [""; 0]);
        assert_eq!(recorder.take_events(), ["gone"]);
        assert_eq!(store.sessions().await, 0, "no record exists");
    }
}

/// The answer of the store arrives after the same request has begun another session.
#[tokio::test]
async fn s22_a_late_load_brings_nothing_into_the_next_session() {
    #[derive(Session, Default)]
    struct Note {
        text: String,
    }
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut note: Session<Note>| async move { note.text = "old".to_owned() };
    visitor.visit(page).await;

    let page = move |mut parts: Parts| async move {
        let gate = Gate::new();
        let shop: Session<Shop> = parts.extract().await?;
        store.inner().on_load(Fault::WaitAfter(gate.clone()));
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
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, ""));
}

#[tokio::test]
async fn s22_a_write_that_is_on_its_way_when_the_session_ends_changes_nothing() {
    let (layer, store) = site();
    let visitor = signed_in(&layer).await;
    let gate = Gate::new();
    store.inner().on_commit(Fault::WaitBefore(gate.clone()));
    let mut tab = visitor.clone();
    let late = tokio::spawn(async move {
        let page = |mut session: Session<Shop>| async move { session.visits = 7 };
        tab.visit(page).await
    });
    gate.arrivals(1).await;
    store.inner().on_commit(Fault::None);
    let logout = begin(&visitor, Deed::Destroy, 0).await;
    end(logout).await;
    gate.open();
    assert_eq!(late.await.unwrap().status, StatusCode::CONFLICT);
    assert_eq!(store.sessions().await, 0);
}

#[tokio::test]
async fn p2_late_write_after_rotation_changes_nothing() {
    let (layer, store) = site();
    for (first, then) in [
        (Deed::Login, Deed::Write),
        (Deed::Rotate, Deed::Add),
        (Deed::Rotate, Deed::Rotate),
        (Deed::Login, Deed::Login),
        (Deed::Login, Deed::Destroy),
    ] {
        let visitor = signed_in(&layer).await;
        let late = begin(&visitor, then, 1).await;
        let rotation = begin(&visitor, first, 0).await;
        let (mut winner, answer) = end(rotation).await;
        assert_eq!(answer.status, StatusCode::OK);
        let (_, answer) = end(late).await;
        assert_eq!(
            answer.status,
            StatusCode::CONFLICT,
            "{then:?} after {first:?}"
        );
        assert_eq!(answer.set_cookies(), [""; 0]);
        assert_eq!(shown(&mut winner).await, "1");
        let logout = |session: Session<Shop>| async move { session.destroy() };
        winner.visit(logout).await;
        assert_eq!(store.sessions().await, 0, "one record, and it is gone now");
    }
}

#[tokio::test]
async fn two_logouts_are_as_good_as_one() {
    let (layer, store) = site();
    let visitor = signed_in(&layer).await;
    let first = begin(&visitor, Deed::Destroy, 0).await;
    let second = begin(&visitor, Deed::Destroy, 1).await;
    for request in [first, second] {
        let (tab, answer) = end(request).await;
        assert_eq!((answer.status, tab.token()), (StatusCode::OK, None));
    }
    assert_eq!(store.sessions().await, 0);
}

/// Several requests load the same session; then their deeds are committed in any order.
#[tokio::test]
async fn s11_s22_thousands_of_orders_agree_with_the_rules() {
    const SEED: u64 = 22;
    println!("seed {SEED}");
    let mut random = StdRng::seed_from_u64(SEED);
    let (layer, store) = site();
    for round in 0..3_000 {
        let context = format!("seed {SEED}, round {round}");
        let visitor = signed_in(&layer).await;
        let count = random.random_range(2..=4);
        let mut requests = Vec::new();
        for number in 0..count {
            let deed = DEEDS[random.random_range(0..DEEDS.len())];
            requests.push((number, deed, begin(&visitor, deed, number).await));
        }
        requests.shuffle(&mut random);

        // What must come of it: the first that rotates or destroys wins, what follows is late.
        let (mut live, mut owner) = (true, visitor.clone());
        let (mut stale, mut visits, mut sum) = (false, 1, 0);
        for (number, deed, request) in requests {
            let (tab, answer) = end(request).await;
            let context = format!("{context}, {deed:?} of {number}");
            if !deed.is_write() {
                assert_eq!(answer.status, StatusCode::OK, "{context}");
                continue;
            }
            if stale {
                let harmless = deed == Deed::Destroy && !live;
                let expected = if harmless {
                    StatusCode::OK
                } else {
                    StatusCode::CONFLICT
                };
                assert_eq!(answer.status, expected, "{context}");
                let cookies = answer.set_cookies();
                assert_eq!(cookies.len(), usize::from(harmless), "{context}");
                continue;
            }
            assert_eq!(answer.status, StatusCode::OK, "{context}");
            match deed {
                Deed::Write => visits = 100 + number,
                Deed::Add => sum += 1,
                Deed::Destroy => live = false,
                _ => {}
            }
            if deed.rotates() {
                assert_ne!(tab.token(), visitor.token(), "{context}");
                owner = tab;
            }
            stale = deed.rotates() || deed == Deed::Destroy;
        }

        assert_eq!(store.sessions().await, u64::from(live), "{context}");
        let page = |session: ReadSession<Shop>| async move {
            format!("{} {}", session.visits, session.sum)
        };
        let expected = if live {
            format!("{visits} {sum}")
        } else {
            "0 0".to_owned()
        };
        assert_eq!(owner.visit(page).await.body, expected, "{context}");
        if stale {
            let mut thief = visitor.clone();
            assert_eq!(
                thief.visit(page).await.body,
                "0 0",
                "{context}: the old token"
            );
        }
        let logout = |session: Session<Shop>| async move { session.destroy() };
        owner.visit(logout).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s11_of_parallel_rotations_exactly_one_wins() {
    let (layer, store) = site();
    for _ in 0..50 {
        let visitor = signed_in(&layer).await;
        let requests: Vec<_> = {
            let mut requests = Vec::new();
            for number in 0..4 {
                requests.push(begin(&visitor, Deed::Login, number).await);
            }
            requests
        };
        // All at once: nobody waits for anybody's end.
        for (gate, _) in &requests {
            gate.open();
        }
        let mut winners = Vec::new();
        for (_, request) in requests {
            let (tab, answer) = request.await.unwrap();
            match answer.status {
                StatusCode::OK => winners.push(tab),
                status => assert_eq!(status, StatusCode::CONFLICT),
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(shown(&mut winners[0]).await, "1");
        let logout = |session: Session<Shop>| async move { session.destroy() };
        winners[0].visit(logout).await;
        assert_eq!(store.sessions().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s22_writers_racing_with_a_logout_leave_nothing() {
    let (layer, store) = site();
    for _ in 0..50 {
        let visitor = signed_in(&layer).await;
        let mut requests = Vec::new();
        for number in 0..6 {
            let deed = if number == 3 {
                Deed::Destroy
            } else {
                Deed::Write
            };
            requests.push(begin(&visitor, deed, number).await);
        }
        for (gate, _) in &requests {
            gate.open();
        }
        for (_, request) in requests {
            let (_, answer) = request.await.unwrap();
            let ends = [StatusCode::OK, StatusCode::CONFLICT];
            assert!(ends.contains(&answer.status), "{}", answer.status);
        }
        assert_eq!(store.sessions().await, 0);
    }
}

#[tokio::test]
async fn a_logout_that_came_after_a_rotation_does_not_pretend() {
    let (layer, _) = site();
    let visitor = signed_in(&layer).await;
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
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.set_cookies(),
        [""; 0],
        "the new token's cookie stays"
    );
}
