//! Pages that only read are served, whatever a store says to the upkeep that was due.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use session_runtime::store::StoreErrorKind;
use session_runtime::{
    MemoryStore, ReadSession, RedisStore, Session, SessionLayer, SessionLayerBuilder, SessionStore,
};
use tests::clock::ManualClock;
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::servers::{Options, Server, available};
use tests::visitor::Visitor;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    visits: u32,
    #[session(ttl = "20m", renew = "read")]
    cart: u32,
}

async fn write(mut session: Session<Shop>) {
    session.customer = Some(7);
    session.visits = 3;
    session.cart = 4;
}

/// Ways to only read.
#[derive(Clone, Copy, Debug)]
enum Reading {
    ReadSession,
    Session,
    Twice,
    Discarded,
}

async fn read(visitor: &mut Visitor, reading: Reading) -> (StatusCode, String) {
    let answer = match reading {
        Reading::ReadSession => {
            let page = |session: ReadSession<Shop>| async move { session.visits.to_string() };
            visitor.visit(page).await
        }
        Reading::Session => {
            let page = |session: Session<Shop>| async move { session.visits.to_string() };
            visitor.visit(page).await
        }
        Reading::Twice => {
            let page = |first: Session<Shop>, second: ReadSession<Shop>| async move {
                first.visits.max(second.visits).to_string()
            };
            visitor.visit(page).await
        }
        Reading::Discarded => {
            let page = |mut session: Session<Shop>| async move {
                let seen = session.visits.to_string();
                session.visits = 100;
                session.discard();
                seen
            };
            visitor.visit(page).await
        }
    };
    (answer.status, answer.body)
}

/// The upkeep that is due after this time.
const DUE: [(&str, Duration); 4] = [
    ("a touch", Duration::from_secs(2 * 60)),
    ("a renewal by reading", Duration::from_secs(11 * 60)),
    ("an early touch", Duration::from_secs(16 * 60)),
    ("all of it, late", Duration::from_secs(19 * 60)),
];

#[tokio::test(start_paused = true)]
async fn a_visit_that_reads_is_served_whatever_the_store_says() {
    let mut faults: Vec<Fault> = [
        StoreErrorKind::Unavailable,
        StoreErrorKind::OutcomeUnknown,
        StoreErrorKind::Full,
        StoreErrorKind::Misconfigured,
        StoreErrorKind::Corrupt,
    ]
    .map(Fault::Fail)
    .into();
    faults.extend([Fault::Hang, Fault::LoseTheAnswer]);
    let readings = [
        Reading::ReadSession,
        Reading::Session,
        Reading::Twice,
        Reading::Discarded,
    ];
    let mut cases = 0;
    for fault in &faults {
        for (due, after) in DUE {
            for reading in readings {
                for rotates in [false, true] {
                    let what = format!("{fault:?}, {due}, {reading:?}, rotation: {rotates}");
                    let clock = ManualClock::new();
                    let memory = MemoryStore::builder().clock(clock.clone()).build();
                    let store = FaultyStore::new(memory);
                    let mut builder = SessionLayer::builder(store.clone()).persistent();
                    if rotates {
                        builder = builder.rotate_every(MINUTE);
                    }
                    let mut visitor = Visitor::new(&builder.build().unwrap());
                    visitor.visit(write).await;
                    clock.advance(after);
                    let recorder = Recorder::start();
                    store.on_commit(fault.clone());
                    let answer = read(&mut visitor, reading).await;
                    assert_eq!(answer, (StatusCode::OK, "3".to_owned()), "{what}");
                    let events = recorder.take_events();
                    let is_said = ["upkeep-failed", "rotation-unknown"];
                    assert!(
                        events.iter().any(|event| is_said.contains(&&**event)),
                        "{what}: {events:?}"
                    );
                    // And so is the next visit, and a look at the list.
                    let answer = read(&mut visitor, reading).await;
                    assert_eq!(answer, (StatusCode::OK, "3".to_owned()), "{what}");
                    store.on_commit(Fault::None);
                    let answer = read(&mut visitor, reading).await;
                    assert_eq!(answer, (StatusCode::OK, "3".to_owned()), "{what}");
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} visits");
}

fn patient(store: Arc<dyn SessionStore>) -> SessionLayerBuilder {
    SessionLayer::builder(store).store_deadline(MINUTE)
}

/// The ways in which a real server refuses writes and still answers reads.
type Refuse = (&'static str, fn(&Server));

const REFUSALS: [Refuse; 4] = [
    ("maxmemory", |server| {
        let _: String = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    }),
    ("too few replicas", |server| {
        let _: String = server.command(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    }),
    ("a replica", |server| {
        let _: String = server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    }),
    ("no right to write", |server| {
        // Loads of fields with a time run a script too.
        let mut words = vec!["ACL", "SETUSER", "default", "-hset", "-pexpireat"];
        if server.generation().has_field_ttl() {
            words.extend(["-hsetex", "-hgetex"]);
        }
        let _: String = server.command(&words);
    }),
];

#[tokio::test]
async fn a_visit_that_reads_is_served_by_a_server_that_refuses_writes() {
    // Long enough that a busy machine reads before the session ends.
    const IDLE: Duration = Duration::from_secs(9);
    for generation in available() {
        let mut sites = Vec::new();
        for &tier in generation.tiers() {
            for refusal in REFUSALS {
                let server = Server::start(generation, &Options::default());
                let store = RedisStore::builder().url(server.url()).tier(tier);
                let store: Arc<dyn SessionStore> = Arc::new(store.connect().await.unwrap());
                let layer = patient(store)
                    .idle_timeout(IDLE)
                    .persistent()
                    .build()
                    .unwrap();
                let mut visitors = [Visitor::new(&layer), Visitor::new(&layer)];
                for visitor in &mut visitors {
                    visitor.visit(write).await;
                }
                sites.push((refusal, tier, server, visitors));
            }
        }
        // A touch is due; then more than half of the time has passed.
        for (turn, pause) in [IDLE / 10, IDLE / 2].into_iter().enumerate() {
            tokio::time::sleep(pause).await;
            for ((name, refuse), tier, server, visitors) in &mut sites {
                if turn == 0 {
                    refuse(server);
                }
                let what = format!("{}, {tier}, {name}, {turn}", generation.name());
                for reading in [Reading::ReadSession, Reading::Session] {
                    let answer = read(&mut visitors[turn], reading).await;
                    assert_eq!(answer, (StatusCode::OK, "3".to_owned()), "{what}");
                }
            }
        }
    }
}
