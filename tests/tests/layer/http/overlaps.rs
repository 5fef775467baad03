//! Requests of one visitor that overlap: what a slow one does to the cookie and to the session.

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};
use tests::clock::ManualClock;
use tests::faulty::{Fault, FaultyStore};
use tests::gate::Gate;

use super::wire::{COOKIE_NAME, Client, Version};
use super::{Shop, read, write};

const IDLE: Duration = Duration::from_secs(1);

struct Site {
    app: Router,
    clock: ManualClock,
    store: FaultyStore<MemoryStore>,
    /// Where the slow pages wait, after the session was loaded.
    gate: Gate,
}

impl Site {
    fn new() -> Self {
        let clock = ManualClock::new();
        let store = FaultyStore::new(MemoryStore::builder().clock(clock.clone()).build());
        let gate = Gate::new();
        let (reading, guarded, ending) = (gate.clone(), gate.clone(), gate.clone());
        let slow_read = move |session: ReadSession<Shop>| async move {
            reading.pass().await;
            session.visits.to_string()
        };
        let slow_guard = move |session: Session<Shop>| async move {
            guarded.pass().await;
            session.visits.to_string()
        };
        let slow_end = move |session: Session<Shop>| async move {
            ending.pass().await;
            session.destroy();
        };
        let app = Router::new()
            .route("/write", post(write))
            .route("/read", get(read))
            .route(
                "/end",
                post(|session: Session<Shop>| async move { session.destroy() }),
            )
            .route("/slow/read", get(slow_read))
            .route("/slow/guard", get(slow_guard))
            .route("/slow/end", post(slow_end))
            .layer(
                SessionLayer::builder(store.clone())
                    .idle_timeout(IDLE)
                    .persistent()
                    .build()
                    .expect("the settings are sound"),
            );
        Self {
            app,
            clock,
            store,
            gate,
        }
    }
}

/// A slow request with a cookie that is dead, or dies meanwhile, and a sign-in of the same jar
/// before it is answered.
#[tokio::test]
async fn s27_a_slow_request_never_takes_a_newer_cookie() {
    for version in Version::ALL {
        for (method, path) in [
            (Method::GET, "/slow/read"),
            (Method::GET, "/slow/guard"),
            (Method::POST, "/slow/end"),
        ] {
            for dies in ["before", "by its idle timeout", "by a sign-out"] {
                let what = format!("{version:?} {path}, dead {dies}");
                let site = Site::new();
                let mut visitor = Client::of(&site.app, version).await;
                visitor.post("/write").await;
                let first = visitor.jar.get(COOKIE_NAME).map(str::to_owned);
                if dies == "before" {
                    site.clock.advance(IDLE * 7 / 5);
                }
                let mut tab = visitor.tab().await;
                let slow_method = method.clone();
                let slow = tokio::spawn(async move { tab.visit(slow_method, path).await });
                site.gate.arrivals(1).await;
                match dies {
                    "by its idle timeout" => site.clock.advance(IDLE * 7 / 5),
                    "by a sign-out" => {
                        let answer = visitor.post("/end").await;
                        assert_eq!(answer.set_cookies().len(), 1, "{what}");
                    }
                    _ => {}
                }
                assert_eq!(visitor.post("/write").await.body, "1", "{what}");
                let second = visitor.jar.get(COOKIE_NAME).map(str::to_owned);
                assert!(second.is_some() && second != first, "{what}");
                site.gate.open();
                let answer = slow.await.expect("it is answered");
                assert_eq!(answer.set_cookies(), [""; 0], "{what}: {}", answer.status);
                visitor.jar.keep(&answer.headers);
                assert_eq!(visitor.get("/read").await.body, "1 ", "{what}");
            }
        }
    }
}

/// Begun in time, answered after the session would have ended.
#[tokio::test]
async fn s20_a_request_that_begins_in_time_keeps_the_session() {
    for version in Version::ALL {
        for path in ["/slow/read", "/slow/guard"] {
            for begins in [510, 700, 850, 990] {
                let what = format!("{version:?} {path} at {begins} ms");
                let site = Site::new();
                let mut visitor = Client::of(&site.app, version).await;
                visitor.post("/write").await;
                site.clock.advance(Duration::from_millis(begins));
                let mut tab = visitor.tab().await;
                let slow = tokio::spawn(async move { tab.get(path).await });
                site.gate.arrivals(1).await;
                site.clock.advance(Duration::from_millis(490));
                site.gate.open();
                let answer = slow.await.expect("it is answered");
                assert_eq!(
                    (answer.status, &*answer.body),
                    (StatusCode::OK, "1"),
                    "{what}"
                );
                site.clock.advance(Duration::from_millis(490));
                assert_eq!(visitor.get("/read").await.body, "1 ", "{what}");
            }
        }
    }
}

/// All of them wait at the store before the first is answered, so they are asked for at one time.
#[tokio::test]
async fn s44_four_cookies_are_looked_up_at_the_same_time() {
    for version in Version::ALL {
        for place in 0..4 {
            let what = format!("{version:?}, place {place}");
            let site = Site::new();
            let mut cookies = Vec::new();
            for _ in 0..3 {
                let mut other = Client::of(&site.app, version).await;
                other.post("/write").await;
                let dead = other.jar.get(COOKIE_NAME).expect("a cookie").to_owned();
                assert_eq!(other.post("/end").await.status, StatusCode::OK);
                cookies.push(dead);
            }
            let mut visitor = Client::of(&site.app, version).await;
            visitor.post("/write").await;
            let live = visitor.jar.get(COOKIE_NAME).expect("a cookie").to_owned();
            cookies.insert(place, live);
            let header = cookies.join(&format!("; {COOKIE_NAME}="));
            visitor.jar.insert(COOKIE_NAME, &header);
            let gate = Gate::new();
            site.store.on_load(Fault::WaitBefore(gate.clone()));
            let asking = tokio::spawn(async move { visitor.get("/read").await });
            gate.arrivals(4).await;
            gate.open();
            let answer = asking.await.expect("it is answered");
            assert_eq!(
                (answer.status, &*answer.body),
                (StatusCode::OK, "1 "),
                "{what}"
            );
        }
    }
}
