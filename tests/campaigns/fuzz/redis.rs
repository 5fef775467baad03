//! A server that answers anything: no panic, every call ends in time, memory is bounded, the
//! server's words are not passed on, and no visitor gets another one's session.
//!
//! `SESSION_FUZZ_INPUTS` says how many calls (fifty inputs are one), `SESSION_FUZZ_SEED` which lies.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::{get, post};
use fastrand::Rng;
use http::StatusCode;
use session_runtime::store::{Outcome, StoreErrorKind};
use session_runtime::{ReadSession, RedisStore, Session, SessionLayer, SessionStore};
use tests::browser::Browser;
use tests::events::Recorder;
use tests::fuzz::{self, Memory};
use tests::lying::{
    Answers, CALLS, Called, Dialect, GOSSIP, LyingServer, PREFIX, Reply, Sessions, TOKENS,
    TREASURES, Words, call, key_of, kind_of, lie,
};
use tests::visitor::COOKIE;

const CONNECT: Duration = Duration::from_millis(100);
const COMMAND: Duration = Duration::from_millis(50);
/// Both, and what a busy machine needs on top.
const LONGEST_CALL: Duration = Duration::from_millis(150 + 2_000);
/// How many calls are made over one store.
const ROUND: usize = 12;

/// The fields of `tests::lying`, in the same order.
#[derive(Session, Debug, Default)]
struct Shop {
    owner: Option<String>,
    #[session(ttl = "1h")]
    otp: Option<String>,
    #[session(merge = "add")]
    visits: u32,
    cart: Option<BTreeMap<String, u32>>,
}

/// The server's answers.
struct Liar {
    answers: Answers,
    dialect: Dialect,
    random: Rng,
    is_lying: bool,
    /// The key of the session that is not asked for.
    foreign: String,
    /// Everything that it has said to the present store.
    said: Vec<u8>,
}

impl Liar {
    fn reply(&mut self, words: &Words) -> Reply {
        let truth = self.answers.to(self.dialect, words).to_vec();
        let reply = if self.is_lying && self.random.u8(0..10) < 4 {
            let own = self.answers.all(self.dialect, &self.foreign);
            let all = self.answers.all(self.dialect, "");
            lie(&mut self.random, words, &truth, &own, &all)
        } else {
            Reply::Send(truth)
        };
        let (Reply::Send(bytes) | Reply::SendAndClose(bytes)) = &reply;
        self.said.extend_from_slice(bytes);
        reply
    }
}

/// Fails if the text holds anything that only the server, a value or a key can have brought in.
fn expect_discreet(text: &str) {
    let sessions = Sessions::new();
    let keys = sessions.0.map(|visitor| visitor.key(PREFIX));
    let verifiers = sessions.0.map(|visitor| visitor.verifier.to_string());
    let treasures = TREASURES.map(|treasure| treasure.trim_matches('"').to_owned());
    let others = [GOSSIP.to_owned(), "428117".to_owned()];
    for secret in keys
        .iter()
        .chain(&verifiers)
        .chain(&treasures)
        .chain(&others)
    {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
}

fn expect_discreet_error(error: &(dyn Error + 'static)) {
    let mut next = Some(error);
    while let Some(error) = next {
        expect_discreet(&format!("{error} {error:?}"));
        next = error.source();
    }
}

struct Fixture {
    liar: Arc<Mutex<Liar>>,
    server: LyingServer,
    sessions: Sessions,
    random: Rng,
    heard: BTreeMap<&'static str, usize>,
}

impl Fixture {
    fn new() -> Self {
        let mut random = fuzz::random();
        let liar = Arc::new(Mutex::new(Liar {
            answers: Answers::recorded(),
            dialect: Dialect::ALL[0],
            random: random.fork(),
            is_lying: false,
            foreign: String::new(),
            said: Vec::new(),
        }));
        let answering = Arc::clone(&liar);
        let server = LyingServer::start(move |words| answering.lock().unwrap().reply(words));
        Self {
            liar,
            server,
            sessions: Sessions::new(),
            random,
            heard: BTreeMap::new(),
        }
    }

    fn heard(&mut self, what: &'static str) {
        *self.heard.entry(what).or_default() += 1;
    }

    /// Connects to a server that lies, or to one that begins to lie afterwards.
    async fn connect(&mut self) -> Option<Arc<RedisStore>> {
        let dialect = Dialect::ALL[self.random.usize(0..Dialect::ALL.len())];
        let lies_from_the_start = self.random.u8(0..5) == 0;
        {
            let mut liar = self.liar.lock().unwrap();
            liar.dialect = dialect;
            liar.is_lying = lies_from_the_start;
            liar.said.clear();
        }
        let began = Instant::now();
        let store = RedisStore::builder()
            .url(self.server.url(dialect))
            .prefix(PREFIX)
            .connect_deadline(CONNECT)
            .command_deadline(COMMAND)
            .connect();
        let store = store.await;
        // Greeting, probing and asking for the layout.
        assert!(began.elapsed() < 3 * LONGEST_CALL, "{:?}", began.elapsed());
        match store {
            Ok(store) => {
                self.liar.lock().unwrap().is_lying = true;
                expect_discreet(&format!("{store:?}"));
                self.heard(if lies_from_the_start {
                    "connected to a liar"
                } else {
                    "connected"
                });
                Some(Arc::new(store))
            }
            Err(error) => {
                expect_discreet_error(&error);
                self.heard("no connection");
                None
            }
        }
    }

    /// One call of the store for one of the sessions.
    async fn call(&mut self, store: &RedisStore) {
        let (which, number) = (self.random.usize(0..2), self.random.usize(0..CALLS));
        self.ask_for(which);
        let began = Instant::now();
        let answer = call(store, number, &self.sessions.0[which]).await;
        assert!(
            began.elapsed() < LONGEST_CALL,
            "call {number}: {:?}",
            began.elapsed()
        );
        match answer {
            Ok(called) => {
                expect_discreet(&format!("{called:?}"));
                self.examine(called);
            }
            Err(error) => {
                expect_discreet_error(&error);
                if matches!(number, 2 | 3) && error.kind() == StoreErrorKind::Corrupt {
                    // It says that nothing was applied. Only a refusal can know that.
                    let reason = error.source().unwrap().to_string();
                    assert_eq!(reason, "the key holds something else than a hash");
                }
                self.heard("a store error");
            }
        }
    }

    fn ask_for(&self, which: usize) {
        let foreign = self.sessions.0[1 - which].key(PREFIX);
        self.liar.lock().unwrap().foreign = foreign;
    }

    fn examine(&mut self, called: Called) {
        match called {
            Called::Load(None) => self.heard("no session"),
            Called::Load(Some(loaded)) => {
                assert_eq!(loaded.fields.len(), 4);
                let liar = self.liar.lock().unwrap();
                let mut said = vec![loaded.header.verifier.to_string().into_bytes()];
                let values = loaded.fields.into_iter().flatten();
                said.extend(values.map(|field| field.value.to_vec()));
                for bytes in said {
                    let is_said = bytes.is_empty()
                        || liar.said.windows(bytes.len()).any(|window| window == bytes);
                    assert!(is_said, "no answer held {}", bytes.escape_ascii());
                }
                drop(liar);
                self.heard("a session");
            }
            Called::Commit(changes, Outcome::Applied(applied)) => {
                assert_eq!(applied.values.len(), changes);
                self.heard("applied");
            }
            Called::Commit(..) => self.heard("not applied"),
            Called::List(_) => self.heard("a list"),
            Called::Len(_) => self.heard("a number"),
            Called::RemoveStale | Called::Sweep => self.heard("done"),
        }
    }

    /// The first visitor visits a page.
    async fn visit(&mut self, store: &Arc<RedisStore>) {
        let app = Router::new()
            .route(
                "/",
                get(async |shop: ReadSession<Shop>| shop.owner.clone().unwrap_or_default()),
            )
            .route("/", post(async |mut shop: Session<Shop>| shop.visits += 1))
            .layer(SessionLayer::new(Arc::clone(store)));
        self.ask_for(0);
        let mut browser = Browser::new(&app);
        browser.set_cookie(COOKIE, TOKENS[0]);
        let began = Instant::now();
        let answer = match self.random.bool() {
            true => browser.get("/").await,
            false => browser.post("/").await,
        };
        assert!(began.elapsed() < 3 * LONGEST_CALL, "{:?}", began.elapsed());
        expect_discreet(&answer.body.replace("treasure of the first", ""));
        match answer.status {
            StatusCode::OK if answer.body == "treasure of the first" => self.heard("a treasure"),
            StatusCode::OK => self.heard("a page"),
            status => {
                assert!(
                    status.is_server_error() || status == StatusCode::CONFLICT,
                    "{status}"
                );
                let cookies = answer.set_cookies();
                assert!(
                    cookies.is_empty() || status == StatusCode::CONFLICT,
                    "{status}: {cookies:?}"
                );
                self.heard("an error page");
            }
        }
    }

    /// A server that tells the truth again is believed again. Answers too many that make sense go
    /// when nothing is under way; until then they are those of another session, which the visitor's
    /// token does not open.
    async fn recover(&mut self, store: &RedisStore) {
        self.liar.lock().unwrap().is_lying = false;
        let began = Instant::now();
        let mut right = 0;
        while right < 4 {
            assert!(began.elapsed() < Duration::from_secs(30), "no recovery");
            tokio::time::sleep(Duration::from_millis(5)).await;
            let which = right % 2;
            let visitor = &self.sessions.0[which];
            let loaded = visitor.load(
                store,
                &["shop.owner", "shop.otp", "shop.visits", "shop.cart"],
            );
            match loaded.await {
                Ok(Some(loaded))
                    if loaded.header.verifier == visitor.verifier
                        && loaded.fields[0]
                            .as_ref()
                            .is_some_and(|field| field.value == TREASURES[which]) =>
                {
                    right += 1;
                }
                Ok(_) => right = 0,
                // A busy machine.
                Err(_) => {}
            }
        }
        self.heard("recovered");
    }
}

#[tokio::test]
async fn whatever_a_server_answers() {
    let panics = fuzz::count_panics();
    let events = Recorder::start();
    let mut fixture = Fixture::new();
    let memory = Memory::watch();
    let calls = fuzz::inputs(6_000) / 50;
    let mut made = 0;
    while made < calls {
        made += 1;
        let Some(store) = fixture.connect().await else {
            continue;
        };
        for _ in 0..ROUND {
            made += 1;
            if fixture.random.u8(0..3) == 0 {
                fixture.visit(&store).await;
            } else {
                fixture.call(&store).await;
            }
            for line in events.take() {
                expect_discreet(&line.text);
            }
        }
        fixture.recover(&store).await;
    }
    println!("{made} calls: {:?}", fixture.heard);
    assert_eq!(panics.load(Ordering::SeqCst), 0, "something panicked");
    // Which of the truths are heard in time depends on the machine.
    let truths = ["a session", "a treasure", "applied"];
    assert!(truths.iter().any(|truth| fixture.heard.contains_key(truth)));
    assert!(fixture.heard.contains_key("a store error"));
    memory.expect_bounded();
}

/// The commands that the fuzz test answers are those that the store sends: an unknown one would
/// have panicked in the server, and no lie would have been heard.
#[tokio::test]
async fn the_recorded_answers_are_those_of_a_working_server() {
    for dialect in Dialect::ALL {
        let answers = Answers::recorded();
        let server = LyingServer::start(move |words| {
            assert!(!key_of(words).contains(GOSSIP));
            Reply::Send(answers.to(dialect, words).to_vec())
        });
        let store = RedisStore::builder()
            .url(server.url(dialect))
            .prefix(PREFIX);
        let store = store.connect().await.unwrap();
        assert_eq!(store.tier(), dialect.tier());
        for visitor in &Sessions::new().0 {
            for number in 0..CALLS {
                let called = call(&store, number, visitor).await.unwrap();
                let is_as_expected = match called {
                    Called::Load(loaded) => loaded.is_some_and(|loaded| {
                        loaded.header.verifier == visitor.verifier && loaded.fields[0].is_some()
                    }),
                    Called::Commit(_, outcome) => matches!(outcome, Outcome::Applied(_)),
                    Called::List(list) => list.entries.len() == 2,
                    _ => true,
                };
                assert!(is_as_expected, "call {number} in {dialect:?}");
            }
        }
        assert_eq!(store.sweep().await.unwrap(), 0);
    }
}

/// One answer too many shifts all that follow by one place. On the same connection they would stay
/// shifted for as long as there is always a request under way.
#[tokio::test]
async fn an_answer_too_many_is_not_the_answer_to_all_later_requests() {
    const TASKS: usize = 16;
    for dialect in Dialect::ALL {
        let answers = Answers::recorded();
        let (mut commands, mut held_back) = (0, None);
        let server = LyingServer::start(move |words| {
            let answer = match kind_of(words).as_str() {
                "AUTH" => b"+OK\r\n".to_vec(),
                _ => answers.to(dialect, words).to_vec(),
            };
            commands += 1;
            if ["AUTH", "HELLO"].contains(&kind_of(words).as_str()) {
                // A new connection.
                held_back = None;
            } else if commands == 1_000 {
                held_back = Some(answer.clone());
            }
            // From then on each answer comes with the next command, so one is always missing.
            match &mut held_back {
                Some(before) => Reply::Send(std::mem::replace(before, answer)),
                None => Reply::Send(answer),
            }
        });
        // With a password, so that each connection begins with a handshake in both protocols.
        let url = server.url(dialect).replace("://", "://:password@");
        let store = RedisStore::builder().url(url).prefix(PREFIX);
        let store = Arc::new(store.connect().await.unwrap());
        let tasks = (0..TASKS).map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let visitor = Sessions::new().0[task % 2];
                let mut failed = 0;
                for _ in 0..100 {
                    match call(&*store, 0, &visitor).await {
                        Ok(Called::Load(Some(loaded)))
                            if loaded.header.verifier == visitor.verifier => {}
                        _ => failed += 1,
                    }
                }
                failed
            })
        });
        let mut failed = 0;
        for task in tasks.collect::<Vec<_>>() {
            failed += task.await.unwrap();
        }
        println!("{dialect:?}: {failed} of {} loads failed", TASKS * 100);
        assert!(failed > 0, "nothing was shifted");
        assert!(failed <= 2 * TASKS, "{failed} loads failed");
    }
}
