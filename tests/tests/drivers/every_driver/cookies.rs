//! The cost and the answer of a request, by the cookies that it shows.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use http::header::COOKIE;
use session_runtime::{ReadSession, Session};
use tests::browser::{Answer, send};
use tests::counting::CountingStore;
use tests::drivers::{drivers, patient};
use tests::events::Recorder;
use tests::visitor::{COOKIE as NAME, page};

use super::{Plain, cart, destroy, known, put, sign_in};

#[tokio::test]
async fn s30_a_get_that_changes_nothing_writes_nothing() {
    for driver in drivers().await {
        let what = driver.name();
        let counting = CountingStore::new(driver.store());
        // Within the touch interval, however slow the test is.
        let layer = patient(Arc::new(counting.clone()))
            .idle_timeout(Duration::from_secs(30 * 60))
            .build()
            .unwrap();
        let mut visitor = known(&layer).await;
        sign_in(&mut visitor, 7).await;
        let before = driver.contents();
        counting.take_counts();
        let start = driver.now();
        let read = |session: ReadSession<Plain>| async move { session.cart.to_string() };
        let same = |mut session: Session<Plain>| async move {
            session.cart += 1;
            session.cart -= 1;
            session.customer = Some(7);
        };
        for round in 0..3 {
            let answers = [
                visitor.visit(read).await,
                visitor.visit(same).await,
                visitor.visit(|_: Session<Plain>| async {}).await,
                visitor.visit(|| async {}).await,
            ];
            for answer in answers {
                assert!(answer.status.is_success(), "{what}, {round}");
                assert_eq!(answer.set_cookies(), [""; 0], "{what}, {round}");
            }
        }
        let is_due = driver.now().saturating_since(start).as_secs() >= 60;
        assert!(is_due || counting.take_counts() == (9, 0), "{what}");
        assert!(is_due || driver.contents() == before, "{what}: not a byte");
    }
}

#[tokio::test]
async fn s44_the_order_of_duplicate_cookies_does_not_matter() {
    for driver in drivers().await {
        let what = driver.name();
        let counting = CountingStore::new(driver.store());
        let layer = patient(Arc::new(counting.clone())).build().unwrap();
        let ask = async |tokens: &[&str]| -> Answer {
            let pairs: Vec<_> = tokens
                .iter()
                .map(|token| format!("{NAME}={token}"))
                .collect();
            let read = |session: ReadSession<Plain>| async move { session.cart.to_string() };
            let request = Request::get("/").header(COOKIE, pairs.join("; "));
            send(&page(&layer, read), request.body(Body::empty()).unwrap()).await
        };
        let mut live = known(&layer).await;
        let mut other = known(&layer).await;
        put(&mut other, 4).await;
        let mut ended = known(&layer).await;
        let dead = ended.token().unwrap();
        destroy(&mut ended).await;
        let tokens = [live.token().unwrap(), other.token().unwrap()];
        let [first, second] = [&*tokens[0], &tokens[1]];
        counting.take_counts();
        let recorder = Recorder::start();

        for cookies in [[first, &dead], [&dead, first], [first, first]] {
            let answer = ask(&cookies).await;
            assert_eq!(answer.body, "3", "{what}");
            assert_eq!(answer.set_cookies(), [""; 0], "{what}");
            let (loads, commits) = counting.take_counts();
            assert!(loads <= 2 && commits == 0, "{what}: {loads}, {commits}");
        }
        recorder.take();
        // Two live sessions are an anonymous visitor and an event; neither cookie is touched.
        for cookies in [[first, second], [second, first]] {
            let answer = ask(&cookies).await;
            assert_eq!(answer.body, "0", "{what}");
            assert_eq!(recorder.take_events(), ["ambiguous-cookies"], "{what}");
            assert_eq!(answer.set_cookies(), [""; 0], "{what}");
            assert_eq!(counting.take_counts(), (2, 0), "{what}");
        }
        // However many there are.
        let mut many = vec![dead.clone()];
        for _ in 0..3 {
            let mut ended = known(&layer).await;
            many.push(ended.token().unwrap());
            destroy(&mut ended).await;
        }
        many.push(tokens[0].clone());
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        counting.take_counts();
        assert_eq!(ask(&many).await.body, "0", "{what}");
        let (loads, _) = counting.take_counts();
        assert!(loads <= 4, "{what}: {loads}");
        assert_eq!(
            (cart(&mut live).await, cart(&mut other).await),
            (3, 4),
            "{what}"
        );
    }
}
