//! Random concurrent programs on a store, explained by one order of their calls.
//!
//! The conformance suite runs a few hundred on every store. `.ci/histories` runs this for longer:
//! `SESSION_HISTORIES` says how many, `SESSION_TEST_KIT_SEED` from which seed.

use std::time::Instant;

use session_runtime::MemoryStore;
use session_runtime::test_kit::{ManualTime, check_histories};

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory() {
    let seed = number("SESSION_TEST_KIT_SEED").unwrap_or(1);
    let histories = number("SESSION_HISTORIES").unwrap_or(3_000);
    println!("SESSION_TEST_KIT_SEED={seed}");
    let harness = ManualTime::new(|clock| {
        MemoryStore::builder()
            .capacity(usize::MAX)
            .clock(clock)
            .build()
    });
    let began = Instant::now();
    let checked = check_histories(harness, seed, histories as usize).await;
    let checked = checked.unwrap_or_else(|counterexample| panic!("{counterexample}"));
    let rate = checked.histories as f64 / began.elapsed().as_secs_f64();
    println!("{checked:?}, {rate:.0} histories a second");
}
