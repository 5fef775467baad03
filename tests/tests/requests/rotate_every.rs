//! New tokens for long sessions: the old one works on for a while, and no visitor is signed out.

use std::time::Duration;

use http::StatusCode;
use session_runtime::test_kit::ManualClock;
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::gate::Gate;
use tests::visitor::{COOKIE as NAME, Visitor};

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    cart: u32,
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const GRACE: Duration = Duration::from_secs(30);

type Store = CountingStore<MemoryStore>;

fn site_rotating(every: Duration, persistent: bool) -> (SessionLayer, Store, ManualClock) {
    let clock = ManualClock::new();
    let store = CountingStore::new(MemoryStore::builder().clock(clock.clone()).build());
    let mut builder = SessionLayer::builder(store.clone())
        .idle_timeout(12 * HOUR)
        .rotate_every(every);
    if persistent {
        builder = builder.persistent();
    }
    (builder.build().unwrap(), store, clock)
}

fn site() -> (SessionLayer, Store, ManualClock) {
    site_rotating(HOUR, false)
}

async fn put(visitor: &mut Visitor, cart: u32) -> StatusCode {
    let page = move |mut session: Session<Shop>| async move { session.cart = cart };
    visitor.visit(page).await.status
}

async fn cart(visitor: &mut Visitor) -> String {
    let page = |session: ReadSession<Shop>| async move { session.cart.to_string() };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.body
}

async fn id_of(visitor: &mut Visitor) -> String {
    let page = |session: ReadSession<Shop>| async move { session.id().unwrap().to_string() };
    visitor.visit(page).await.body
}

#[tokio::test]
async fn a_token_is_replaced_when_it_is_old_enough() {
    let (layer, store, clock) = site();
    let mut visitor = Visitor::new(&layer);
    put(&mut visitor, 1).await;
    let first = visitor.token();
    let id = id_of(&mut visitor).await;

    clock.advance(HOUR - SECOND);
    assert_eq!(cart(&mut visitor).await, "1");
    assert_eq!(visitor.token(), first, "a second too early");

    clock.advance(SECOND);
    store.take_counts();
    let recorder = Recorder::start();
    assert_eq!(cart(&mut visitor).await, "1", "a page that only reads");
    assert_eq!(recorder.take_events(), ["rotated"]);
    assert_eq!(store.take_counts(), (1, 1), "in the touch's commit");
    let second = visitor.token();
    assert_ne!(second, first);
    assert_eq!(id_of(&mut visitor).await, id);

    clock.advance(HOUR - SECOND);
    cart(&mut visitor).await;
    assert_eq!(visitor.token(), second, "counted from the rotation");
    clock.advance(SECOND);
    put(&mut visitor, 2).await;
    assert_ne!(visitor.token(), second, "with a write");
    assert_eq!(cart(&mut visitor).await, "2");
}

#[tokio::test]
async fn s12_the_old_token_works_within_its_grace_and_is_not_rotated_again() {
    for persistent in [false, true] {
        let (layer, _, clock) = site_rotating(HOUR, persistent);
        let mut visitor = Visitor::new(&layer);
        put(&mut visitor, 1).await;
        let mut old = visitor.clone();
        clock.advance(HOUR);
        cart(&mut visitor).await;
        assert_ne!(visitor.token(), old.token());

        clock.advance(GRACE - SECOND);
        let recorder = Recorder::start();
        let page = |mut session: Session<Shop>| async move {
            session.cart += 1;
            session.cart.to_string()
        };
        let answer = old.visit(page).await;
        assert_eq!(answer.body, "2", "the same session");
        assert_eq!(
            answer.set_cookies(),
            [""; 0],
            "it must not replace the new token"
        );
        assert_eq!(recorder.take_events(), [""; 0], "no second rotation");

        clock.advance(SECOND);
        assert_eq!(cart(&mut old).await, "0");
        assert_eq!(
            recorder.take_events(),
            ["unknown-token"],
            "its use is an event"
        );
        assert_eq!(cart(&mut visitor).await, "2");
    }
}

#[tokio::test]
async fn s12_the_grace_ends_when_the_new_token_was_seen() {
    let (layer, store, clock) = site();
    let mut visitor = Visitor::new(&layer);
    put(&mut visitor, 1).await;
    let mut old = visitor.clone();
    clock.advance(HOUR);
    cart(&mut visitor).await;
    assert_eq!(cart(&mut old).await, "1");

    store.take_counts();
    assert_eq!(cart(&mut visitor).await, "1");
    assert_eq!(store.take_counts(), (1, 1), "the new token ends the grace");
    let recorder = Recorder::start();
    assert_eq!(cart(&mut old.clone()).await, "0");
    assert_eq!(recorder.take_events(), ["unknown-token"]);
    store.take_counts();
    assert_eq!(cart(&mut visitor).await, "1");
    assert_eq!(store.take_counts(), (1, 0), "once");
    let again = old.token();
    assert_eq!(put(&mut old, 9).await, StatusCode::CONFLICT);
    assert_eq!(old.token(), again, "the visitor's newer cookie stays");
    clock.advance(30 * SECOND);
    put(&mut old, 9).await;
    assert_ne!(old.token(), again, "a new visitor");
    assert_eq!(cart(&mut visitor).await, "1");
}

/// Where tokens are replaced faster than a grace lasts, it ends when the next rotation is due.
#[tokio::test]
async fn s12_the_grace_is_no_longer_than_the_interval() {
    let (layer, _, clock) = site_rotating(10 * SECOND, false);
    let mut visitor = Visitor::new(&layer);
    put(&mut visitor, 1).await;
    let mut old = visitor.clone();
    clock.advance(10 * SECOND);
    cart(&mut visitor).await;
    clock.advance(9 * SECOND);
    assert_eq!(cart(&mut old).await, "1");
    clock.advance(SECOND);
    assert_eq!(cart(&mut old).await, "0");

    // The visitor comes back when the next one is due; parallel requests have their grace again.
    let mut parallel = visitor.clone();
    let before = visitor.token();
    assert_eq!(cart(&mut visitor).await, "1");
    assert_ne!(visitor.token(), before);
    assert_eq!(cart(&mut parallel).await, "1");
    assert_eq!(put(&mut parallel, 2).await, StatusCode::OK);
    assert_eq!(cart(&mut visitor).await, "2");
}

#[tokio::test]
async fn s09_a_change_of_the_principal_has_no_grace() {
    let (layer, _, clock) = site();
    let mut visitor = Visitor::new(&layer);
    put(&mut visitor, 1).await;
    clock.advance(2 * HOUR);
    let mut old = visitor.clone();
    // Due by age as well.
    let page = |mut session: Session<Shop>| async move { session.customer = Some(7) };
    visitor.visit(page).await;
    assert_eq!(cart(&mut old).await, "0");
    assert_eq!(cart(&mut visitor).await, "1");

    // The grace of a rotation by age ends with it too.
    clock.advance(HOUR);
    let mut first = visitor.clone();
    let page = |session: Session<Shop>| async move { session.cart.to_string() };
    visitor.visit(page).await;
    let mut second = visitor.clone();
    let page = |mut session: Session<Shop>| async move { session.customer = Some(8) };
    visitor.visit(page).await;
    assert_eq!(
        (cart(&mut first).await, cart(&mut second).await),
        ("0".into(), "0".into())
    );
    assert_eq!(cart(&mut visitor).await, "1");
}

#[tokio::test]
async fn s12_an_old_token_cannot_sign_in() {
    let (layer, _, clock) = site();
    let mut visitor = Visitor::new(&layer);
    put(&mut visitor, 1).await;
    let mut old = visitor.clone();
    clock.advance(HOUR);
    cart(&mut visitor).await;
    let page = |mut session: Session<Shop>| async move { session.customer = Some(7) };
    let answer = old.visit(page).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(
        layer
            .sessions()
            .of(Shop::CUSTOMER, &7)
            .list()
            .await
            .unwrap(),
        []
    );
    assert_eq!(cart(&mut visitor).await, "1");
}

/// Requests that were loaded before any of them rotated: all are answered, one gets the new token.
#[tokio::test(flavor = "multi_thread")]
async fn s12_requests_that_are_due_at_the_same_time_all_succeed() {
    for persistent in [false, true] {
        let (layer, _, clock) = site_rotating(HOUR, persistent);
        let mut visitor = Visitor::new(&layer);
        put(&mut visitor, 1).await;
        clock.advance(HOUR);

        let gate = Gate::new();
        let mut tasks = Vec::new();
        for tab in 0..20 {
            let (mut visitor, gate) = (visitor.clone(), gate.clone());
            tasks.push(tokio::spawn(async move {
                let before = visitor.token();
                let page = move |mut session: Session<Shop>| async move {
                    gate.pass().await;
                    if tab % 2 == 0 {
                        session.cart = 2;
                    }
                };
                let answer = visitor.visit(page).await;
                (
                    answer.status,
                    (visitor.token() != before).then_some(visitor),
                )
            }));
        }
        gate.arrivals(20).await;
        gate.open();
        let mut rotated = Vec::new();
        for task in tasks {
            let (status, with_new_token) = task.await.unwrap();
            assert_eq!(status, StatusCode::OK);
            rotated.extend(with_new_token);
        }
        assert_eq!(rotated.len(), 1, "one of them rotates");
        assert_eq!(cart(&mut rotated[0]).await, "2");
        assert_eq!(cart(&mut rotated[0]).await, "2");
        assert_eq!(
            cart(&mut visitor).await,
            "0",
            "the old one died when the new was seen"
        );
    }
}

/// The slowest of the parallel requests ends after the browser has shown the new token already.
#[tokio::test]
async fn s12_a_slow_page_is_answered_after_its_grace() {
    let (layer, _, clock) = site();
    let mut visitor = Visitor::new(&layer);
    put(&mut visitor, 1).await;
    clock.advance(HOUR);
    let gate = Gate::new();
    let mut slow = visitor.clone();
    let waiting = gate.clone();
    let slow = tokio::spawn(async move {
        let page = move |session: Session<Shop>| async move {
            waiting.pass().await;
            session.cart.to_string()
        };
        let answer = slow.visit(page).await;
        (
            answer.status,
            answer.body,
            answer.headers.contains_key("set-cookie"),
        )
    });
    gate.arrivals(1).await;
    cart(&mut visitor).await;
    cart(&mut visitor).await;
    gate.open();
    assert_eq!(slow.await.unwrap(), (StatusCode::OK, "1".to_owned(), false));
    assert_eq!(cart(&mut visitor).await, "1");
}

/// Only the new token shows that the visitor has it.
#[tokio::test]
async fn s12_a_write_with_the_old_token_leaves_it_its_grace() {
    let (layer, _, clock) = site();
    let mut visitor = Visitor::new(&layer);
    put(&mut visitor, 1).await;
    let mut old = visitor.clone();
    clock.advance(HOUR);
    cart(&mut visitor).await;
    for number in 2..4 {
        assert_eq!(put(&mut old, number).await, StatusCode::OK);
        assert_eq!(cart(&mut old).await, number.to_string());
    }
}

/// A browser that keeps both cookies for a moment, as two paths or domains let it.
#[tokio::test]
async fn s12_of_both_tokens_of_a_session_the_new_one_counts() {
    for old_comes_first in [false, true] {
        let (layer, _, clock) = site();
        let mut visitor = Visitor::new(&layer);
        put(&mut visitor, 1).await;
        let old = visitor.token().unwrap();
        clock.advance(HOUR);
        cart(&mut visitor).await;
        let new = visitor.token().unwrap();

        visitor.set_token(&match old_comes_first {
            true => format!("{old}; {NAME}={new}"),
            false => format!("{new}; {NAME}={old}"),
        });
        let recorder = Recorder::start();
        assert_eq!(cart(&mut visitor).await, "1");
        assert_eq!(recorder.take_events(), [""; 0], "nothing is ambiguous");
        visitor.set_token(&old);
        assert_eq!(cart(&mut visitor).await, "0", "the new one was seen");
    }
}

#[tokio::test]
async fn s12_a_grace_is_ended_once() {
    let (layer, store, clock) = site();
    let mut visitor = Visitor::new(&layer);
    put(&mut visitor, 1).await;
    clock.advance(HOUR);
    cart(&mut visitor).await;
    store.take_counts();
    let page = |mut session: Session<Shop>| async move {
        session.cart = 2;
        session.save().await
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    assert_eq!(store.take_counts(), (1, 1), "with what the handler saved");
}
