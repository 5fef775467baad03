//! Sign-ins and revocations at the same time, on stores that work in one step, in memory and in
//! files, and on one that works in several.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use session_runtime::store::{Action, Commit, IndexChange, PrincipalKey, Timeouts};
use session_runtime::test_kit::ManualClock;
use session_runtime::{
    CommitId, FileStore, MemoryStore, ReadSession, Session, SessionError, SessionId, SessionLayer,
    SessionStore, Verifier, WhenFull,
};
use tempfile::TempDir;
use tests::faulty::{Fault, FaultyStore};
use tests::gate::Gate;
use tests::stepped::SteppedMemory;
use tests::visitor::Visitor;
use tokio::sync::Barrier;

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
}

async fn sign_in(visitor: &mut Visitor, customer: u32) -> StatusCode {
    let page = move |mut session: Session<Shop>| async move { session.customer = Some(customer) };
    visitor.visit(page).await.status
}

/// Whether the visitor is signed in as 7.
async fn is_signed_in(visitor: &mut Visitor) -> bool {
    let page =
        |session: ReadSession<Shop>| async move { (session.customer == Some(7)).to_string() };
    visitor.visit(page).await.body == "true"
}

async fn count(layer: &SessionLayer, customer: u32) -> usize {
    let sessions = layer.sessions();
    sessions
        .list(Shop::CUSTOMER, &customer)
        .await
        .unwrap()
        .len()
}

/// All of them empty; the files are in this folder.
fn stores(folder: &TempDir) -> [(&'static str, Arc<dyn SessionStore>); 3] {
    [
        ("one step", Arc::new(MemoryStore::new())),
        ("files", Arc::new(FileStore::open(folder.path()).unwrap())),
        ("steps", Arc::new(SteppedMemory::new(ManualClock::new()))),
    ]
}

/// A hundred sign-ins at the same moment, and which of the visitors are signed in afterwards.
async fn hundred_sign_ins(layer: &SessionLayer) -> (Vec<StatusCode>, usize) {
    let barrier = Arc::new(Barrier::new(100));
    let mut tasks = Vec::new();
    for racer in 0..100 {
        let (layer, barrier) = (layer.clone(), barrier.clone());
        tasks.push(tokio::spawn(async move {
            let mut visitor = Visitor::new(&layer);
            barrier.wait().await;
            let status = if racer % 2 == 0 {
                sign_in(&mut visitor, 7).await
            } else {
                let page = |mut session: Session<Shop>| async move {
                    session.customer = Some(7);
                    match session.save().await {
                        Err(SessionError::LimitReached) => StatusCode::TOO_MANY_REQUESTS,
                        Err(SessionError::Gone) => StatusCode::CONFLICT,
                        saved => {
                            saved.unwrap();
                            StatusCode::OK
                        }
                    }
                };
                visitor.visit(page).await.status
            };
            (status, visitor)
        }));
    }
    let mut statuses = Vec::new();
    let mut visitors = Vec::new();
    for task in tasks {
        let (status, visitor) = task.await.unwrap();
        statuses.push(status);
        visitors.push(visitor);
    }
    let mut live = 0;
    for visitor in &mut visitors {
        live += usize::from(is_signed_in(visitor).await);
    }
    (statuses, live)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s31_of_a_hundred_simultaneous_sign_ins_three_succeed() {
    let folder = tempfile::tempdir().unwrap();
    for (name, store) in stores(&folder) {
        let layer = SessionLayer::builder(store)
            .max_sessions(Shop::CUSTOMER, 3, WhenFull::Reject)
            .store_deadline(Duration::from_secs(60))
            .build()
            .unwrap();
        let (statuses, live) = hundred_sign_ins(&layer).await;
        let ok = statuses.iter().filter(|status| **status == StatusCode::OK);
        assert_eq!((ok.count(), live), (3, 3), "{name}");
        assert_eq!(count(&layer, 7).await, 3, "{name}");
        for (racer, status) in statuses.iter().enumerate() {
            let refused = [StatusCode::CONFLICT, StatusCode::TOO_MANY_REQUESTS][racer % 2];
            assert!(
                [StatusCode::OK, refused].contains(status),
                "{name}: {status}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s31_of_a_hundred_simultaneous_sign_ins_three_stay() {
    let folder = tempfile::tempdir().unwrap();
    for (name, store) in stores(&folder) {
        let layer = SessionLayer::builder(store)
            .max_sessions(Shop::CUSTOMER, 3, WhenFull::EvictOldest)
            .store_deadline(Duration::from_secs(60))
            .build()
            .unwrap();
        let (statuses, live) = hundred_sign_ins(&layer).await;
        assert_eq!((live, count(&layer, 7).await), (3, 3), "{name}");
        // In steps, one may be evicted before it has quite arrived.
        let evicted = |status: &&StatusCode| name == "steps" && **status == StatusCode::CONFLICT;
        let others = statuses.iter().filter(|status| !evicted(status));
        let others: Vec<_> = others.filter(|status| **status != StatusCode::OK).collect();
        assert!(others.is_empty(), "{name}: {others:?}");
    }
}

/// Whoever was answered before the revocation was asked for is dead, and all others are dead or
/// listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s24_revoking_all_races_with_sign_ins() {
    for round in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        for (name, store) in stores(&folder) {
            let layer = SessionLayer::builder(store)
                .store_deadline(Duration::from_secs(60))
                .build()
                .unwrap();
            let mut before = Vec::new();
            for _ in 0..3 {
                let mut visitor = Visitor::new(&layer);
                sign_in(&mut visitor, 7).await;
                before.push(visitor);
            }
            let barrier = Arc::new(Barrier::new(9));
            let mut tasks = Vec::new();
            for _ in 0..8 {
                let (layer, barrier) = (layer.clone(), barrier.clone());
                tasks.push(tokio::spawn(async move {
                    let mut visitor = Visitor::new(&layer);
                    barrier.wait().await;
                    let status = sign_in(&mut visitor, 7).await;
                    assert!([StatusCode::OK, StatusCode::CONFLICT].contains(&status));
                    visitor
                }));
            }
            barrier.wait().await;
            layer
                .sessions()
                .revoke_all(Shop::CUSTOMER, &7)
                .await
                .unwrap();
            for visitor in &mut before {
                assert!(!is_signed_in(visitor).await, "{name}, round {round}");
            }
            let mut live = 0;
            for task in tasks {
                live += usize::from(is_signed_in(&mut task.await.unwrap()).await);
            }
            assert_eq!(
                count(&layer, 7).await,
                live,
                "{name}, round {round}: all are listed"
            );
            layer
                .sessions()
                .revoke_all(Shop::CUSTOMER, &7)
                .await
                .unwrap();
            assert_eq!(count(&layer, 7).await, 0);
        }
    }
}

/// A sign-in that comes while the sessions before it are being ended is found as well.
#[tokio::test]
async fn s24_a_sign_in_during_a_revocation_is_ended_too() {
    let store = FaultyStore::new(MemoryStore::new());
    let layer = SessionLayer::builder(store.clone())
        .store_deadline(Duration::from_secs(60))
        .build()
        .unwrap();
    let mut first = Visitor::new(&layer);
    sign_in(&mut first, 7).await;

    let gate = Gate::new();
    store.on_commit(Fault::WaitBefore(gate.clone()));
    let sessions = layer.sessions();
    let revocation =
        tokio::spawn(async move { sessions.revoke_all(Shop::CUSTOMER, &7).await.unwrap() });
    // It has listed the first session and is about to end it.
    gate.arrivals(1).await;
    store.on_commit(Fault::None);
    let mut second = Visitor::new(&layer);
    sign_in(&mut second, 7).await;
    gate.open();
    assert_eq!(revocation.await.unwrap(), 2);
    assert!(!is_signed_in(&mut first).await && !is_signed_in(&mut second).await);
}

/// Seeded interleavings, step by step in one thread, on the store that works in steps.
#[tokio::test]
async fn s24_no_order_of_steps_hides_a_session() {
    const SEED: u64 = 24;
    println!("seed {SEED}");
    let mut random = StdRng::seed_from_u64(SEED);
    let mut outcomes = BTreeSet::new();
    for round in 0..300 {
        let layer = SessionLayer::new(SteppedMemory::new(ManualClock::new()));
        let mut visitors: Vec<_> = (0..4).map(|_| Visitor::new(&layer)).collect();
        // Two tabs of one browser sign in at the same time.
        sign_in(&mut visitors[0], 8).await;
        visitors[1] = visitors[0].clone();
        let delays: Vec<u32> = (0..6).map(|_| random.random_range(0..12)).collect();
        let wait = |steps: u32| async move {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
        };
        let mut tasks = Vec::new();
        for (mut visitor, delay) in visitors.into_iter().zip(delays.clone()) {
            tasks.push(tokio::spawn(async move {
                wait(delay).await;
                let status = sign_in(&mut visitor, 7).await;
                assert!([StatusCode::OK, StatusCode::CONFLICT].contains(&status));
                visitor
            }));
        }
        let revocations = delays[4..].iter().map(|&delay| {
            let sessions = layer.sessions();
            tokio::spawn(async move {
                wait(delay).await;
                sessions.revoke_all(Shop::CUSTOMER, &7).await.unwrap();
            })
        });
        let revocations: Vec<_> = revocations.collect();
        let mut visitors = Vec::new();
        for task in tasks {
            visitors.push(task.await.unwrap());
        }
        for revocation in revocations {
            revocation.await.unwrap();
        }
        let mut live = 0;
        for visitor in &mut visitors {
            live += usize::from(is_signed_in(visitor).await);
        }
        assert_eq!(
            count(&layer, 7).await,
            live,
            "round {round}: all are listed"
        );
        outcomes.insert(live);
        layer
            .sessions()
            .revoke_all(Shop::CUSTOMER, &7)
            .await
            .unwrap();
        assert_eq!(count(&layer, 7).await, 0, "round {round}");
    }
    assert!(
        outcomes.len() > 2,
        "the orders differ: {outcomes:?} are live"
    );
}

/// Under churn the index gives its memory back: signed out, expired or never seen again.
#[tokio::test]
async fn a_hundred_thousand_sign_ins_leave_no_index() {
    let clock = ManualClock::new();
    let store = Arc::new(MemoryStore::builder().clock(clock.clone()).build());
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
    let mut longest = 0;
    for number in 0..100_000_u32 {
        let id = SessionId::generate().unwrap();
        let verifier = Verifier::from_bytes([1; 32]);
        let commit = |action, change| {
            let mut commit = Commit::new(id, CommitId::generate().unwrap(), action);
            commit.timeouts = Some(Timeouts {
                idle: Some(30 * minute),
                lifetime: Some(day),
            });
            commit.index = vec![change];
            commit
        };
        let principal = PrincipalKey::new("owner", &(number % 1000).to_be_bytes());
        let add = IndexChange::Add {
            principal,
            keep: Some(day),
            limit: None,
        };
        let creation = commit(Action::Create { verifier }, add);
        store.commit(&creation).await.unwrap();
        let end = match number % 4 {
            0 => Some(Action::Destroy { verifier }),
            1 => Some(Action::Revoke),
            2 => Some(Action::Update {
                verifier,
                rotation: None,
            }),
            _ => None,
        };
        if let Some(end) = end {
            let end = commit(end, IndexChange::Remove { principal });
            store.commit(&end).await.unwrap();
        }
        clock.advance(minute / 10);
        longest = longest.max(entries(&store));
    }
    // An entry is kept for a day, in which there are 14,400 sign-ins; of four one stays.
    assert!((3_000..=3_700).contains(&longest), "{longest} entries");

    clock.advance(25 * 60 * minute);
    store.sweep().await.unwrap();
    assert_eq!(entries(&store), 0);
}

/// What the layer leaves behind, also where entries have no end, goes with the sessions.
#[tokio::test]
async fn a_sweep_takes_the_entries_of_ended_sessions() {
    let clock = ManualClock::new();
    let store = Arc::new(MemoryStore::builder().clock(clock.clone()).build());
    let layer = SessionLayer::builder(store.clone())
        .no_lifetime()
        .build()
        .unwrap();
    let mut last = Visitor::new(&layer);
    for number in 0..1000 {
        last = Visitor::new(&layer);
        sign_in(&mut last, number % 100).await;
    }
    assert_eq!(entries(&store), 1000);
    clock.advance(Duration::from_secs(29 * 60));
    is_signed_in(&mut last).await;
    clock.advance(Duration::from_secs(60));
    assert_eq!(entries(&store), 1000);
    store.sweep().await.unwrap();
    assert_eq!(entries(&store), 1);
    assert_eq!(count(&layer, 99).await, 1);
}

/// How many entries the index has, those included whose time is over.
fn entries(store: &MemoryStore) -> usize {
    let shown = format!("{store:?}");
    let (_, listed) = shown.split_once("listed: ").unwrap();
    let digits: String = listed.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}
