//! Promises of `MemoryStore` beyond the contract of every store.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::time::Duration;

use bytes::Bytes;
use session_runtime::store::{
    Action, CapacityPolicy, Change, Commit, Count, ListChange, MemoryStoreBuilder, Outcome,
    PrincipalKey, Selection, StoreError, StoreErrorKind, Timeouts,
};
use session_runtime::store::{CommitId, Verifier};
use session_runtime::test_kit::ManualClock;
use session_runtime::{MemoryStore, SessionId, SessionStore};

/// A store for ten sessions, and its clock.
fn store_of_ten(policy: CapacityPolicy) -> (MemoryStore, ManualClock) {
    let clock = ManualClock::new();
    let store = with_clock(&clock).capacity(10).when_full(policy).build();
    (store, clock)
}

fn with_clock(clock: &ManualClock) -> MemoryStoreBuilder {
    MemoryStore::builder().clock(clock.clone())
}

fn verifier() -> Verifier {
    Verifier::from_bytes([1; 16])
}

fn commit(session: SessionId, action: Action) -> Commit {
    Commit::new(session, CommitId::generate().unwrap(), action)
}

/// Creates a session that ends after so many seconds without a touch, or never.
fn creation(idle: Option<u64>) -> Commit {
    let session = SessionId::generate().unwrap();
    let verifier = verifier();
    let mut creation = commit(
        session,
        Action::Create {
            verifier,
            link: None,
        },
    );
    creation.timeouts = Some(Timeouts::new(idle.map(Duration::from_secs), None).unwrap());
    creation
}

fn touch(session: SessionId) -> Commit {
    let verifier = verifier();
    let rotation = None;
    commit(session, Action::Update { verifier, rotation })
}

fn destruction(session: SessionId) -> Commit {
    let verifier = verifier();
    commit(session, Action::Destroy { verifier })
}

async fn create(store: &MemoryStore, idle: Option<u64>) -> Result<SessionId, StoreErrorKind> {
    let creation = creation(idle);
    let outcome = store.commit(&creation).await;
    match outcome.map_err(|error: StoreError| error.kind())? {
        Outcome::Applied(_) => Ok(creation.session),
        refused => panic!("{refused:?}"),
    }
}

async fn exists(store: &MemoryStore, session: &SessionId) -> bool {
    store
        .load(session, &Selection::default())
        .await
        .unwrap()
        .is_some()
}

async fn len(store: &MemoryStore) -> u64 {
    match store.len().await.unwrap() {
        Count::Exact(sessions) => sessions,
        other => panic!("a memory store counts exactly: {other:?}"),
    }
}

#[tokio::test]
async fn a_full_store_refuses_and_keeps_what_it_has() {
    let (store, _clock) = store_of_ten(CapacityPolicy::Refuse);
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(create(&store, Some(60)).await.unwrap());
    }
    for _ in 0..3 {
        let refused = create(&store, Some(60)).await;
        assert_eq!(refused, Err(StoreErrorKind::Full));
    }
    for session in &sessions {
        assert!(exists(&store, session).await);
        let touched = store.commit(&touch(*session)).await.unwrap();
        assert!(matches!(touched, Outcome::Applied(_)), "{touched:?}");
    }
    assert_eq!(len(&store).await, 10);
}

#[tokio::test]
async fn a_full_store_has_room_again_after_a_destruction() {
    let (store, _clock) = store_of_ten(CapacityPolicy::Refuse);
    let mut session = create(&store, Some(60)).await.unwrap();
    for _ in 1..10 {
        create(&store, Some(60)).await.unwrap();
    }
    for _ in 0..100 {
        store.commit(&destruction(session)).await.unwrap();
        session = create(&store, Some(60)).await.unwrap();
        let refused = create(&store, Some(60)).await;
        assert_eq!(refused, Err(StoreErrorKind::Full));
    }
}

#[tokio::test]
async fn a_full_store_drops_ended_sessions_first() {
    for policy in [CapacityPolicy::Refuse, CapacityPolicy::EvictSoonestEnding] {
        let (store, clock) = store_of_ten(policy);
        let mut living = Vec::new();
        for n in 0..10 {
            let idle = if n % 2 == 0 { 60 } else { 3_600 };
            let session = create(&store, Some(idle)).await.unwrap();
            if n % 2 == 1 {
                living.push(session);
            }
        }
        clock.advance(Duration::from_secs(60));
        for _ in 0..5 {
            living.push(create(&store, Some(3_600)).await.unwrap());
        }
        for session in &living {
            assert!(exists(&store, session).await, "{policy:?}");
        }
        assert_eq!(len(&store).await, 10);
    }
}

#[tokio::test]
async fn a_failed_creation_takes_no_room() {
    let (store, clock) = store_of_ten(CapacityPolicy::Refuse);
    for _ in 0..9 {
        create(&store, Some(60)).await.unwrap();
    }
    for _ in 0..100 {
        let mut conflicting = creation(Some(60));
        let condition = session_runtime::store::Condition::Field {
            name: "a".into(),
            value: Some(Bytes::from("1")),
        };
        conflicting.conditions.push(condition);
        let outcome = store.commit(&conflicting).await.unwrap();
        assert!(matches!(outcome, Outcome::Conflict { .. }), "{outcome:?}");
    }
    create(&store, Some(60)).await.unwrap();
    let refused = create(&store, Some(60)).await;
    assert_eq!(refused, Err(StoreErrorKind::Full));

    // Nor does one that finds an ended session under its id.
    clock.advance(Duration::from_secs(60));
    for _ in 0..10 {
        create(&store, Some(60)).await.unwrap();
    }
}

#[tokio::test]
async fn a_creation_that_arrives_twice_needs_no_room() {
    let (store, _clock) = store_of_ten(CapacityPolicy::Refuse);
    let first = creation(Some(60));
    store.commit(&first).await.unwrap();
    for _ in 1..10 {
        create(&store, Some(60)).await.unwrap();
    }
    let again = store.commit(&first).await.unwrap();
    assert!(matches!(again, Outcome::Applied(_)), "{again:?}");
}

#[tokio::test]
async fn the_session_that_ends_soonest_is_evicted() {
    let (store, clock) = store_of_ten(CapacityPolicy::EvictSoonestEnding);
    let mut sessions = Vec::new();
    for n in 0..10 {
        sessions.push(create(&store, Some(100 + n)).await.unwrap());
    }
    clock.advance(Duration::from_secs(10));
    store.commit(&touch(sessions[0])).await.unwrap();

    create(&store, Some(3_600)).await.unwrap();
    create(&store, Some(3_600)).await.unwrap();
    let mut existing = Vec::new();
    for session in &sessions {
        existing.push(exists(&store, session).await);
    }
    let (touched, evicted, kept) = (&existing[..1], &existing[1..3], &existing[3..]);
    assert_eq!(touched, [true]);
    assert_eq!(evicted, [false, false]);
    assert_eq!(kept, [true; 7]);
    assert_eq!(len(&store).await, 10);
}

#[tokio::test]
async fn of_sessions_that_never_end_the_longest_unseen_is_evicted() {
    let (store, clock) = store_of_ten(CapacityPolicy::EvictSoonestEnding);
    let mut sessions = Vec::new();
    for _ in 0..10 {
        clock.advance(Duration::from_secs(1));
        sessions.push(create(&store, None).await.unwrap());
    }
    clock.advance(Duration::from_secs(1));
    store.commit(&touch(sessions[0])).await.unwrap();
    create(&store, None).await.unwrap();
    assert!(exists(&store, &sessions[0]).await);
    assert!(!exists(&store, &sessions[1]).await);
    assert!(exists(&store, &sessions[2]).await);
}

#[tokio::test]
async fn a_store_without_room_refuses_under_any_policy() {
    for policy in [CapacityPolicy::Refuse, CapacityPolicy::EvictSoonestEnding] {
        let store = MemoryStore::builder().capacity(0).when_full(policy).build();
        let refused = create(&store, Some(60)).await;
        assert_eq!(refused, Err(StoreErrorKind::Full));
    }
}

#[tokio::test]
async fn ended_sessions_leave_without_being_asked_for() {
    let clock = ManualClock::new();
    let store = with_clock(&clock).build();
    let visitor = create(&store, Some(3_600)).await.unwrap();
    for _ in 0..2_000 {
        create(&store, Some(60)).await.unwrap();
    }
    clock.advance(Duration::from_secs(60));
    // One visitor's loads and touches are enough; the others do not come back.
    for _ in 0..2_000 {
        assert!(exists(&store, &visitor).await);
        store.commit(&touch(visitor)).await.unwrap();
    }
    assert_eq!(store.sweep().await.unwrap(), 0, "sessions left for a sweep");
    assert_eq!(len(&store).await, 1);
}

#[tokio::test]
async fn a_sweep_takes_all_that_has_ended() {
    let clock = ManualClock::new();
    let store = with_clock(&clock).build();
    for n in 0..3_000 {
        create(&store, Some(60 + n % 3)).await.unwrap();
    }
    clock.advance(Duration::from_secs(61));
    assert_eq!(store.sweep().await.unwrap(), 2_000);
    assert_eq!(store.sweep().await.unwrap(), 0);
    assert_eq!(len(&store).await, 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_creations_never_exceed_the_capacity() {
    for policy in [CapacityPolicy::Refuse, CapacityPolicy::EvictSoonestEnding] {
        let store = MemoryStore::builder().capacity(50).when_full(policy);
        let store = std::sync::Arc::new(store.build());
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut created = 0;
                    for _ in 0..100 {
                        created += u64::from(create(&store, Some(60)).await.is_ok());
                        assert!(len(&store).await <= 50);
                    }
                    created
                })
            })
            .collect();
        let mut created = 0;
        for task in tasks {
            created += task.await.unwrap();
        }
        assert_eq!(len(&store).await, 50);
        match policy {
            CapacityPolicy::Refuse => assert_eq!(created, 50),
            _ => assert_eq!(created, 800),
        }
    }
}

#[tokio::test]
async fn debug_shows_nothing_of_the_sessions() {
    let store = MemoryStore::new();
    let mut creation = creation(Some(60));
    creation.changes.push(Change::Set {
        name: "shop.customer".into(),
        value: Bytes::from("treasure"),
        ttl: None,
        only_if_absent: false,
    });
    store.commit(&creation).await.unwrap();
    let shown = format!("{store:?} {:?}", MemoryStore::builder());
    assert!(shown.contains("held: 1"), "{shown}");
    assert!(!shown.contains("treasure"), "{shown}");
    assert!(!shown.contains("customer"), "{shown}");
    assert!(!shown.contains(&creation.session.to_string()), "{shown}");
}

#[tokio::test]
async fn entries_of_ended_sessions_leave_without_being_asked_for() {
    let clock = ManualClock::new();
    let store = with_clock(&clock).build();
    let visitor = create(&store, Some(3_600)).await.unwrap();
    let listed = || {
        let shown = format!("{store:?}");
        let (_, count) = shown.split_once("listed: ").unwrap();
        count.split(',').next().unwrap().parse::<usize>().unwrap()
    };
    for _ in 0..300 {
        let mut creation = creation(Some(60));
        creation.lists = vec![ListChange::Add {
            field: "shop.customer".into(),
            principal: PrincipalKey::new("shop.customer", b"7"),
            keep: Some(Duration::from_secs(60)),
            limit: None,
        }];
        store.commit(&creation).await.unwrap();
    }
    clock.advance(Duration::from_secs(60));
    assert_eq!(listed(), 300);
    // Each load looks at one of the 64 shards, and takes four ended sessions with their entries.
    for _ in 0..64 {
        assert!(exists(&store, &visitor).await);
    }
    assert!(listed() < 150, "{} entries", listed());
    for _ in 0..64 * 10 {
        assert!(exists(&store, &visitor).await);
    }
    assert_eq!(listed(), 0);
}
