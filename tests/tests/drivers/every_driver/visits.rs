//! A visit counts from its beginning, and upkeep changes no answer.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use session_runtime::store::StoreErrorKind;
use session_runtime::{ReadSession, Session};
use tests::counting::CountingStore;
use tests::drivers::{drivers, patient};
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::visitor::Visitor;

use super::{Plain, cart, known, put};

#[derive(Session, Debug, Default)]
struct Desk {
    plain: u32,
    #[session(ttl = "3s", renew = "read")]
    clerk: Option<String>,
}

#[tokio::test]
async fn s20_a_visit_counts_from_its_beginning() {
    for driver in drivers().await.into_iter().map(Arc::new) {
        let idle = driver.minutes(60);
        let counting = CountingStore::new(driver.store());
        let layer = patient(Arc::new(counting.clone()));
        let layer = layer.idle_timeout(idle).build().unwrap();
        let mut visitor = known(&layer).await;
        driver.pass(idle * 3 / 4).await;
        counting.take_counts();
        let slow = Arc::clone(&driver);
        let page = move |session: ReadSession<Plain>| async move {
            slow.pass(idle / 2).await;
            session.cart.to_string()
        };
        let answer = visitor.visit(page).await;
        assert_eq!(answer.body, "3", "{}", driver.name());
        let (loads, commits) = counting.take_counts();
        assert_eq!(
            (loads, commits),
            (1, 1),
            "{}: once a request",
            driver.name()
        );
        assert_eq!(cart(&mut visitor).await, 3, "{}", driver.name());
    }
}

#[tokio::test]
async fn s20_a_field_that_reading_renews_lives_from_the_beginning_of_a_visit() {
    const TTL: Duration = Duration::from_secs(3);
    for driver in drivers().await.into_iter().map(Arc::new) {
        let mut visitor = Visitor::new(&driver.layer());
        let fill = |mut session: Session<Desk>| async move {
            session.plain = 1;
            session.clerk = Some("eve".to_owned());
        };
        visitor.visit(fill).await;
        driver.pass(TTL * 3 / 4).await;
        let slow = Arc::clone(&driver);
        let page = move |_: ReadSession<Desk>| async move { slow.pass(TTL / 2).await };
        assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
        let page = |session: ReadSession<Desk>| async move { format!("{:?}", session.clerk) };
        let answer = visitor.visit(page).await;
        assert_eq!(answer.body, "Some(\"eve\")", "{}", driver.name());
    }
}

/// Early in a session's idle time and late in it, whatever the store says to the touch.
#[tokio::test]
async fn s68_refused_upkeep_changes_no_answer() {
    let kinds = [
        StoreErrorKind::Full,
        StoreErrorKind::Unavailable,
        StoreErrorKind::OutcomeUnknown,
        StoreErrorKind::Misconfigured,
    ];
    for driver in drivers().await {
        let idle = driver.minutes(60);
        // A server's time passes by waiting.
        let count = if driver.server().is_some() {
            1
        } else {
            kinds.len()
        };
        for &kind in &kinds[..count] {
            for part in [4, 2] {
                let what = format!("{}: {kind:?}, {part}", driver.name());
                let faulty = FaultyStore::new(driver.store());
                let layer = patient(Arc::new(faulty.clone())).idle_timeout(idle);
                let layer = layer.persistent().build().unwrap();
                let mut visitor = known(&layer).await;
                driver.pass(idle / part + driver.minutes(2)).await;
                let recorder = Recorder::start();
                faulty.on_commit(Fault::Fail(kind));
                let read = |session: ReadSession<Plain>| async move { session.cart.to_string() };
                let answer = visitor.visit(read).await;
                assert_eq!(
                    (answer.status, &*answer.body),
                    (StatusCode::OK, "3"),
                    "{what}"
                );
                assert_eq!(answer.set_cookies(), [""; 0], "{what}");
                let events = recorder.take_events();
                assert!(
                    events.contains(&"upkeep-failed".to_owned()),
                    "{what}: {events:?}"
                );
                // For a touch interval no other request tries.
                assert_eq!(visitor.visit(read).await.body, "3", "{what}");
                assert_eq!(recorder.take_events(), [""; 0], "{what}");
                // A write that a handler asked for still says what became of it.
                let answer = put(&mut visitor, 4).await;
                assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
                faulty.on_commit(Fault::None);
                assert_eq!(put(&mut visitor, 5).await.status, StatusCode::OK, "{what}");
                assert_eq!(cart(&mut visitor).await, 5, "{what}");
            }
        }
    }
}
