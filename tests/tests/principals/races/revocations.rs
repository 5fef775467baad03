//! A revocation ends all that was there, and hides nothing of what comes meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use session_runtime::test_kit::ManualClock;
use session_runtime::{MemoryStore, SessionLayer};
use tests::faulty::{Fault, FaultyStore};
use tests::gate::Gate;
use tests::stepped::SteppedMemory;
use tests::visitor::Visitor;
use tokio::sync::Barrier;

use super::{Shop, count, is_signed_in, places, sign_in};

/// A sign-in that was answered before the revocation began is dead, and all others are dead or
/// listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn s24_revoking_all_races_with_sign_ins() {
    for place in places().await {
        let layer = SessionLayer::builder(Arc::clone(&place.store))
            .store_deadline(Duration::from_secs(120))
            .build()
            .unwrap();
        for round in 0..place.rounds {
            let what = format!("{}, round {round}", place.name);
            let mut before = Vec::new();
            for _ in 0..3 {
                let mut visitor = Visitor::new(&layer);
                assert_eq!(sign_in(&mut visitor, 7).await, StatusCode::OK, "{what}");
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
            let sessions = layer.sessions();
            sessions.of(Shop::CUSTOMER, &7).revoke_all().await.unwrap();
            for visitor in &mut before {
                assert!(!is_signed_in(visitor).await, "{what}");
            }
            let mut live = 0;
            for task in tasks {
                live += usize::from(is_signed_in(&mut task.await.unwrap()).await);
            }
            assert_eq!(count(&layer, 7).await, live, "{what}: all are listed");
            sessions.of(Shop::CUSTOMER, &7).revoke_all().await.unwrap();
            assert_eq!(count(&layer, 7).await, 0, "{what}");
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
        tokio::spawn(async move { sessions.of(Shop::CUSTOMER, &7).revoke_all().await.unwrap() });
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
                sessions.of(Shop::CUSTOMER, &7).revoke_all().await.unwrap();
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
            .of(Shop::CUSTOMER, &7)
            .revoke_all()
            .await
            .unwrap();
        assert_eq!(count(&layer, 7).await, 0, "round {round}");
    }
    assert!(
        outcomes.len() > 2,
        "the orders differ: {outcomes:?} are live"
    );
}
