//! When sessions end. On a server time passes as it does; what is asserted is what must be true
//! however slow the test is: bounds from a clock that was read before and after.

use std::path::Path;
use std::time::Duration;

use http::StatusCode;
use session_runtime::store::Timestamp;
use session_runtime::{Session, SessionId};
use tests::drivers::{Driver, drivers, patient};
use tests::events::Recorder;
use tests::visitor::Visitor;

use super::{Plain, cart, id_of, known, put, rotate};

/// A visitor with a session that ends so soon, and between which moments it was made.
async fn short_lived(
    driver: &Driver,
    idle: Duration,
    lifetime: Duration,
) -> (Visitor, SessionId, Timestamp, Timestamp) {
    let builder = driver.builder().idle_timeout(idle).lifetime(lifetime);
    let layer = builder.persistent().build().unwrap();
    let before = driver.now();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Plain>| async move {
        session.cart = 3;
        session.save().await.unwrap();
        session.id().unwrap().to_string()
    };
    let answer = visitor.visit(page).await;
    let after = driver.now();
    (visitor, answer.body.parse().unwrap(), before, after)
}

#[tokio::test]
async fn s16_a_session_ends_without_visits() {
    for driver in drivers().await {
        let what = driver.name();
        let (idle, lifetime) = (driver.minutes(15), driver.minutes(900));
        let (mut visitor, id, before, after) = short_lived(&driver, idle, lifetime).await;
        let lives = async || driver.look(&id).await.is_some();
        let (last, first) = driver.lasts(driver.minutes(1), lives).await;
        assert!(first >= before + idle, "{what}: too early");
        assert!(
            last.is_none_or(|last| last < after + idle),
            "{what}: too late"
        );
        assert_eq!(cart(&mut visitor).await, 0, "{what}: refused");
        assert!(visitor.token().is_some(), "{what}: no request ended it");
    }
}

/// A visitor reads, writes, rotates and extends the cookie all the time, on one node and the other.
#[tokio::test]
async fn s17_activity_does_not_move_the_absolute_end() {
    for driver in drivers().await {
        let what = driver.name();
        let (idle, lifetime) = (driver.minutes(20), driver.minutes(40));
        let (mut visitor, id, before, after) = short_lived(&driver, idle, lifetime).await;
        let end = driver.look(&id).await.unwrap().header.end.unwrap();
        assert!(
            before + lifetime <= end && end <= after + lifetime,
            "{what}"
        );
        let other_node = patient(driver.another_node().await);
        let other_node = other_node.idle_timeout(idle).lifetime(lifetime * 2);
        let nodes = [other_node.build().unwrap(), driver.layer()];
        let mut visits = 0_u32;
        let visit = async || {
            visits += 1;
            visitor.move_to(&nodes[visits as usize % 2]);
            let answer = match visits % 4 {
                0 => return cart(&mut visitor).await > 0,
                1 => put(&mut visitor, visits).await,
                2 => rotate(&mut visitor).await,
                _ => {
                    let page = |mut session: Session<Plain>| async move {
                        session.remember(true);
                        session.otp = Some("again".to_owned());
                    };
                    visitor.visit(page).await
                }
            };
            // A write after the end makes another session, or comes too late.
            let is_same = driver.look(&id).await.is_some_and(|loaded| {
                assert_eq!(loaded.header.end, Some(end), "{what}: the end stays");
                true
            });
            assert!([StatusCode::OK, StatusCode::CONFLICT].contains(&answer.status));
            is_same
        };
        let (last, first) = driver.lasts(driver.minutes(1), visit).await;
        assert!(last.is_none_or(|last| last < end), "{what}: too late");
        // On a machine so slow that no visit came in time, it ended by the idle timeout.
        let touch = (idle / 30).min(Duration::from_secs(60));
        let earliest = end.min(last.unwrap_or(before) + idle);
        assert!(first + touch >= earliest, "{what}: too early");
        assert!(visits > 4, "{what}: it was visited");
    }
}

/// A wrong clock of the application's machine moves nothing, because it is not read: the stores of
/// one machine have a clock that can be injected, and a server has its own.
#[test]
fn s17_no_clock_but_the_stores_is_looked_at() {
    fn collect(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                let mut code = source.lines().filter(|line| !line.trim().starts_with("//"));
                if code.any(|line| line.contains("SystemTime::now") || line.contains("SystemClock"))
                {
                    found.push(path.display().to_string());
                }
            }
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../session-runtime/src");
    let mut found = Vec::new();
    collect(&source, &mut found);
    let allowed = [
        "/clock.rs",
        "/store/mod.rs",
        "/store/memory/mod.rs",
        "/store/file/mod.rs",
    ];
    found.retain(|path| !allowed.iter().any(|allowed| path.ends_with(allowed)));
    assert_eq!(found, [""; 0]);
}

#[tokio::test]
async fn s19_an_expired_cookie_is_refused_whatever_its_age_says() {
    for driver in drivers().await {
        let what = driver.name();
        let (idle, lifetime) = (driver.minutes(5), driver.minutes(900));
        let (mut visitor, id, ..) = short_lived(&driver, idle, lifetime).await;
        let token = visitor.token().unwrap();
        let lives = async || driver.look(&id).await.is_some();
        driver.lasts(driver.minutes(1), lives).await;
        for age in [
            "",
            "; Max-Age=99999999",
            "; Expires=Fri, 31 Dec 2100 00:00:00 GMT",
        ] {
            let recorder = Recorder::start();
            visitor.set_token(&format!("{token}{age}"));
            assert_eq!(cart(&mut visitor).await, 0, "{what}: {age}");
            assert!(recorder.take_events().contains(&"unknown-token".to_owned()));
        }
    }
}

/// With the last activity at x, the session ends within (x + idle - t, x + idle].
#[tokio::test]
async fn s20_the_error_of_the_idle_timeout_is_one_sided() {
    for driver in drivers().await {
        // At once, inside the touch interval, and after it.
        for wait in [0, 1, 3] {
            let what = format!("{}, {wait}", driver.name());
            let (idle, lifetime) = (driver.minutes(30), driver.minutes(900));
            let touch = (idle / 30).min(Duration::from_secs(60));
            let (mut visitor, id, ..) = short_lived(&driver, idle, lifetime).await;
            driver.pass(touch * wait / 2).await;
            let before = driver.now();
            assert_eq!(cart(&mut visitor).await, 3, "{what}");
            let after = driver.now();
            let lives = async || driver.look(&id).await.is_some();
            let (last, first) = driver.lasts(touch / 2, lives).await;
            assert!(first + touch > before + idle, "{what}: too early");
            assert!(
                last.is_none_or(|last| last < after + idle),
                "{what}: never later"
            );
        }
    }
}

/// Each field has its own end, and the session goes on without it.
#[tokio::test]
async fn a_field_ends_before_its_session() {
    for driver in drivers().await {
        let what = driver.name();
        let ttl = driver.minutes(6);
        let builder = driver.builder().idle_timeout(driver.minutes(400));
        let layer = builder.lifetime(driver.minutes(900)).build().unwrap();
        let mut visitor = known(&layer).await;
        let id = id_of(&mut visitor).await;
        let before = driver.now();
        let page = move |mut session: Session<Plain>| async move {
            session.otp = Some("123456".to_owned());
            session.expire(Plain::OTP, ttl).await.unwrap();
        };
        assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
        let after = driver.now();
        let store = driver.store();
        let lives = async || super::stored(&store, &id, "shop.otp").await.is_some();
        let (last, first) = driver.lasts(driver.minutes(1), lives).await;
        assert!(first >= before + ttl, "{what}: too early");
        assert!(
            last.is_none_or(|last| last < after + ttl),
            "{what}: too late"
        );
        assert_eq!(cart(&mut visitor).await, 3, "{what}");
    }
}
