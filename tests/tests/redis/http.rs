//! The layer on real servers: what each kind of request costs, and what a visitor sees when the
//! server is gone.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use session_runtime::{ReadSession, RedisStore, Session, SessionLayer};
use tests::browser::Answer;
use tests::proxy::{Behavior, Proxy};
use tests::servers::{Options, Server, available};
use tests::visitor::{COOKIE, Visitor};

/// Connecting and the command, by default, and what a busy machine needs on top.
const LONGEST_CALL: Duration = Duration::from_millis(1250 + 750);

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    visits: u32,
}

async fn layer(port: u16) -> SessionLayer {
    let store = RedisStore::connect(format!("redis://127.0.0.1:{port}"));
    SessionLayer::new(store.await.unwrap())
}

async fn write(visitor: &mut Visitor) -> Answer {
    let page = |mut session: Session<Shop>| async move {
        session.visits += 1;
        "written"
    };
    visitor.visit(page).await
}

async fn read(visitor: &mut Visitor) -> Answer {
    let page = |session: ReadSession<Shop>| async move { session.visits.to_string() };
    visitor.visit(page).await
}

async fn sign_in(visitor: &mut Visitor) -> Answer {
    let page = |mut session: Session<Shop>| async move { session.customer = Some(7) };
    visitor.visit(page).await
}

async fn sign_out(visitor: &mut Visitor) -> Answer {
    let page = |session: Session<Shop>| async move { session.destroy() };
    visitor.visit(page).await
}

/// The commands that the server has run so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Work {
    trips: u64,
    scripts: u64,
}

impl Work {
    fn of(server: &Server) -> Self {
        let calls = |name: &str| {
            let line = server.info("commandstats", name)?;
            let calls = line.strip_prefix("calls=")?.split(',').next()?;
            Some(calls.parse::<u64>().unwrap())
        };
        let reads = server.info("stats", "total_reads_processed").unwrap();
        Self {
            trips: reads.parse().unwrap(),
            scripts: calls("cmdstat_evalsha").unwrap_or(0) + calls("cmdstat_eval").unwrap_or(0),
        }
    }

    /// Trips and scripts since then.
    fn since(server: &Server, before: Self) -> (u64, u64) {
        let after = Self::of(server);
        // Looking takes three trips of the test's own.
        (
            after.trips - before.trips - 3,
            after.scripts - before.scripts,
        )
    }
}

#[tokio::test]
async fn each_kind_of_request_costs_its_round_trips() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let layer = layer(server.port()).await;
        // The first visitor brings the script.
        write(&mut Visitor::new(&layer)).await;

        let mut visitor = Visitor::new(&layer);
        let steps: [(&str, (u64, u64)); 9] = [
            ("untouched", (0, 0)),
            ("read without a cookie", (0, 0)),
            ("first write", (1, 1)),
            ("untouched", (0, 0)),
            ("read", (1, 0)),
            ("write", (2, 1)),
            ("sign in", (2, 1)),
            ("read", (1, 0)),
            ("sign out", (2, 1)),
        ];
        for (step, expected) in steps {
            let before = Work::of(&server);
            let answer = match step {
                "untouched" => visitor.visit(|| async {}).await,
                "read" | "read without a cookie" => read(&mut visitor).await,
                "write" | "first write" => write(&mut visitor).await,
                "sign in" => sign_in(&mut visitor).await,
                _ => sign_out(&mut visitor).await,
            };
            let name = generation.name();
            assert_eq!(answer.status, StatusCode::OK, "{name}, {step}");
            assert_eq!(Work::since(&server, before), expected, "{name}, {step}");
        }
        assert_eq!(visitor.token(), None);
        let mut newcomer = Visitor::new(&layer);
        let before = Work::of(&server);
        sign_in(&mut newcomer).await;
        assert_eq!(Work::since(&server, before), (1, 1), "a newcomer signs in");
    }
}

/// The visitor is told that the page did not work, gets no cookie and keeps the one it has.
fn assert_unavailable(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
    assert_eq!(answer.set_cookies(), [""; 0], "{what}");
    assert!(!answer.body.contains("written"), "{what}");
}

#[tokio::test]
async fn s57_a_dead_server_costs_visitors_nothing_but_the_time() {
    for generation in available() {
        let mut server = Server::durable(generation);
        let layer = layer(server.port()).await;
        let mut known = Visitor::new(&layer);
        write(&mut known).await;
        let token = known.token();
        assert!(token.is_some());

        server.kill();
        let answer = read(&mut known).await;
        assert_unavailable(&answer, "a visitor with a session reads");
        // The first request of a newcomer asks nothing, so the handler runs and says that it worked.
        let answer = write(&mut Visitor::new(&layer)).await;
        assert_unavailable(&answer, "a newcomer writes");

        server.restart();
        let start = Instant::now();
        while read(&mut known).await.status != StatusCode::OK {
            assert!(start.elapsed() < Duration::from_secs(20), "no recovery");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(read(&mut known).await.body, "1");
        assert_eq!(known.token(), token);
    }
}

#[tokio::test]
async fn s57_what_a_handler_says_is_replaced_when_its_commit_fails() {
    for generation in available() {
        let server = Arc::new(Server::start(generation, &Options::default()));
        let layer = layer(server.port()).await;
        let mut visitor = Visitor::new(&layer);
        write(&mut visitor).await;

        // Frozen when the session is loaded and the handler has begun.
        let freezing = Arc::clone(&server);
        let page = move |mut session: Session<Shop>| async move {
            freezing.pause();
            session.visits += 1;
            (StatusCode::CREATED, [("x-done", "yes")], "written")
        };
        let start = Instant::now();
        let answer = visitor.visit(page).await;
        assert!(start.elapsed() < LONGEST_CALL, "{:?}", start.elapsed());
        assert_unavailable(&answer, generation.name());
        assert!(!answer.headers.contains_key("x-done"));
        server.resume();
    }
}

#[tokio::test]
async fn s58_a_black_holed_connection_ends_within_the_deadline() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let proxy = Proxy::start(server.port());
        let layer = layer(proxy.port()).await;
        let mut visitor = Visitor::new(&layer);
        write(&mut visitor).await;

        proxy.behave(Behavior::SwallowAll);
        for _ in 0..5 {
            let start = Instant::now();
            let answer = read(&mut visitor).await;
            assert!(start.elapsed() < LONGEST_CALL, "{:?}", start.elapsed());
            assert_unavailable(&answer, generation.name());
        }
        proxy.behave(Behavior::Forward);
        let start = Instant::now();
        while read(&mut visitor).await.status != StatusCode::OK {
            assert!(start.elapsed() < Duration::from_secs(20), "no recovery");
        }
        assert!(visitor.browser().cookie(COOKIE).is_some());
    }
}
