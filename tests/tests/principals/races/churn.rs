//! Lists under churn: memory that is not needed any more is given back.

use std::sync::Arc;
use std::time::Duration;

use session_runtime::store::{Action, Commit, FieldName, ListChange, PrincipalKey, Timeouts};
use session_runtime::store::{CommitId, Verifier};
use session_runtime::test_kit::ManualClock;
use session_runtime::{MemoryStore, SessionId, SessionLayer, SessionStore};
use tests::visitor::Visitor;

use super::{count, is_signed_in, sign_in};

/// Under churn the index gives its memory back: signed out, expired or never seen again.
#[tokio::test]
async fn a_hundred_thousand_sign_ins_leave_no_index() {
    let clock = ManualClock::new();
    let store = Arc::new(MemoryStore::builder().clock(clock.clone()).build());
    let (minute, day) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
    let mut longest = 0;
    for number in 0..100_000_u32 {
        let id = SessionId::generate().unwrap();
        let verifier = Verifier::from_bytes([1; 16]);
        let commit = |action, change| {
            let mut commit = Commit::new(id, CommitId::generate().unwrap(), action);
            commit.timeouts = Some(Timeouts::new(30 * minute, day).unwrap());
            commit.lists = vec![change];
            commit
        };
        let principal = PrincipalKey::new("owner", &(number % 1000).to_be_bytes());
        let field: FieldName = "shop.customer".into();
        let add = ListChange::Add {
            field: field.clone(),
            principal,
            keep: Some(day),
            limit: None,
        };
        let creation = commit(
            Action::Create {
                verifier,
                link: None,
            },
            add,
        );
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
            let end = commit(end, ListChange::Remove { field, principal });
            store.commit(&end).await.unwrap();
        }
        clock.advance(minute / 10);
        longest = longest.max(entries(&store));
    }
    // An entry goes with its session, which ends after half an hour; in that time there are 300
    // sign-ins, of which one in four stays.
    assert!((70..=200).contains(&longest), "{longest} entries");

    clock.advance(25 * 60 * minute);
    store.sweep().await.unwrap();
    assert_eq!(entries(&store), 0);
}

/// Entries that the layer leaves behind go with the sessions, also where they have no end.
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
