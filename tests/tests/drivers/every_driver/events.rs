//! The events of a session's life: one structured event each, with the reason.

use axum::body::Body;
use http::Request;
use http::header::COOKIE;
use session_runtime::{Session, SessionLayer, WhenFull};
use tests::browser::send;
use tests::drivers::{Driver, drivers};
use tests::events::Recorder;
use tests::visitor::{COOKIE as NAME, Visitor, page};

use super::{Plain, cart, destroy, keys, known, put, rotate, sign_in};

/// The events of this project since the last time, each with the reason that it gives.
fn said(recorder: &Recorder) -> Vec<String> {
    let lines = recorder.take().into_iter();
    let ours = lines.filter(|line| line.target == "session_runtime");
    ours.map(|line| {
        let word = |name: &str| {
            let (_, rest) = line.text.split_once(&format!("{name}="))?;
            rest.split(' ').next()
        };
        let session = word("session").unwrap_or("SessionId(");
        assert!(
            session.starts_with("SessionId("),
            "structured: {}",
            line.text
        );
        match word("reason") {
            Some(reason) => format!("{} {reason}", line.event),
            None => line.event,
        }
    })
    .collect()
}

async fn has_ended(driver: &Driver, layer: &SessionLayer) -> Visitor {
    let mut visitor = known(layer).await;
    let id = super::id_of(&mut visitor).await;
    let lives = async || driver.look(&id).await.is_some();
    // Loaded before its end only, so that no load has removed the record.
    if driver.server().is_some() {
        driver.lasts(driver.minutes(1), lives).await;
    } else {
        driver.pass(driver.minutes(15)).await;
    }
    visitor
}

#[tokio::test]
async fn s54_each_thing_that_happens_is_said_once_with_its_reason() {
    for driver in drivers().await {
        let what = driver.name();
        let builder = driver
            .builder()
            .max_sessions(Plain::CUSTOMER, 1, WhenFull::EvictOldest);
        let layer = builder.signing_keys(keys([1])).build().unwrap();
        let recorder = Recorder::start();
        let expect = |expected: &[&str], when: &str| {
            assert_eq!(said(&recorder), expected, "{what}: {when}");
        };

        let mut visitor = known(&layer).await;
        expect(&["created"], "a first write");
        put(&mut visitor, 4).await;
        cart(&mut visitor).await;
        expect(&[], "the ordinary");
        rotate(&mut visitor).await;
        expect(&["rotated"], "a rotation");
        let mut dead = visitor.clone();
        sign_in(&mut visitor, 7).await;
        expect(&["rotated"], "a sign-in");
        cart(&mut dead).await;
        expect(&["unknown-token"], "a token that is dead");
        let mut other = known(&layer).await;
        recorder.take();
        sign_in(&mut other, 7).await;
        expect(&["destroyed Evicted", "rotated"], "one too many");
        let revoked = layer.sessions().of(Plain::CUSTOMER, &7).revoke_all().await;
        assert_eq!(revoked.unwrap(), 1, "{what}");
        expect(&["destroyed Revoked"], "a revocation");
        let mut visitor = known(&layer).await;
        recorder.take();
        let late = visitor.clone();
        destroy(&mut visitor).await;
        expect(&["destroyed Asked"], "a logout");
        cart(&mut late.clone()).await;
        expect(&["unknown-token"], "a session that was destroyed");

        // Refused: too late, forged, two at once, too many.
        let mut visitor = known(&layer).await;
        let same = visitor.clone();
        recorder.take();
        let page_that_is_late = move |mut session: Session<Plain>| async move {
            let mut other_tab = same;
            destroy(&mut other_tab).await;
            session.cart = 9;
        };
        visitor.visit(page_that_is_late).await;
        expect(&["destroyed Asked", "gone"], "a late write");
        let mut visitor = known(&layer).await;
        recorder.take();
        let token = visitor.token().unwrap();
        visitor.set_token(&format!("{}{}", &token[..44], "A".repeat(43)));
        cart(&mut visitor).await;
        expect(&["forged-cookie"], "a forged cookie");
        let second = known(&layer).await.token().unwrap();
        recorder.take();
        let read = |session: Session<Plain>| async move { session.cart.to_string() };
        let cookies = format!("{NAME}={token}; {NAME}={second}");
        let request = Request::get("/").header(COOKIE, cookies);
        send(&page(&layer, read), request.body(Body::empty()).unwrap()).await;
        expect(&["ambiguous-cookies"], "two cookies");
        let builder = driver
            .builder()
            .max_sessions(Plain::CUSTOMER, 1, WhenFull::Reject);
        let strict = builder.build().unwrap();
        sign_in(&mut Visitor::new(&strict), 8).await;
        recorder.take();
        sign_in(&mut Visitor::new(&strict), 8).await;
        expect(&["limit-reached"], "a sign-in too many");
        let small = driver.builder().max_field_bytes(4).build().unwrap();
        put(&mut Visitor::new(&small), 123_456).await;
        expect(&["refused"], "a value too large");
    }
}

#[tokio::test]
async fn s54_an_expired_session_is_said_where_the_store_still_knows_it() {
    for driver in drivers().await {
        let idle = driver.minutes(15);
        let layer = driver.builder().idle_timeout(idle).build().unwrap();
        let mut visitor = has_ended(&driver, &layer).await;
        let recorder = Recorder::start();
        cart(&mut visitor).await;
        // A server has removed it by itself.
        let expected: &[&str] = match driver.server() {
            Some(_) => &["unknown-token"],
            None => &["expired", "unknown-token"],
        };
        assert_eq!(said(&recorder), expected, "{}", driver.name());
    }
}
