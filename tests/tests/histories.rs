//! Random concurrent programs on each store, explained by one order of their calls.
//!
//! The conformance suite runs some on every store. `.ci/histories` runs this for longer:
//! `SESSION_HISTORIES` says how many, `SESSION_TEST_KIT_SEED` from which seed.

use std::time::Instant;

use session_runtime::store::Durability;
use session_runtime::test_kit::{Harness, ManualTime, check_histories};
use session_runtime::{FileStore, MemoryStore};
use tests::stepped::SteppedMemory;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// One of `cheaper` histories is run where a store takes that much longer.
async fn check(harness: impl Harness, cheaper: u64) {
    let seed = number("SESSION_TEST_KIT_SEED").unwrap_or(1);
    let histories = number("SESSION_HISTORIES").unwrap_or(2_000) / cheaper;
    println!("SESSION_TEST_KIT_SEED={seed}");
    let began = Instant::now();
    let checked = check_histories(harness, seed, histories as usize).await;
    let checked = checked.unwrap_or_else(|counterexample| panic!("{counterexample}"));
    let rate = checked.histories as f64 / began.elapsed().as_secs_f64();
    println!("{checked:?}, {rate:.0} histories a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    let memory = |clock| {
        let store = MemoryStore::builder().capacity(usize::MAX);
        store.clock(clock).build()
    };
    check(ManualTime::new(memory).with_atomic_index(), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_in_steps() {
    check(ManualTime::new(SteppedMemory::new), 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    let file = move |clock| {
        let store = FileStore::builder().durability(Durability::ProcessCrash);
        store.clock(clock).open(&path).unwrap()
    };
    check(ManualTime::new(file), 10).await;
}
