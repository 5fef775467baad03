//! The store under a scheduler that decides at every lock and counter who goes next.
//!
//! `tests/campaigns/run/shuttle` runs it. A schedule that fails is printed; `shuttle::replay` follows it.

use std::sync::Arc;

use shuttle::future::block_on;
use shuttle::thread;

use crate::MemoryStore;
use crate::store::{Action, CapacityPolicy, Commit, Count, Outcome, SessionStore, Timeouts};
use crate::test_kit::{Harness, Interleaved, ManualTime};
use crate::token::{CommitId, SessionId, Verifier};

/// How many programs, and how many schedules of each.
const PROGRAMS: u64 = 400;
const SCHEDULES: usize = 60;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn harness() -> Arc<dyn Harness> {
    let memory = ManualTime::new(|clock| MemoryStore::builder().clock(clock).build());
    Arc::new(memory.with_atomic_lists())
}

/// Runs a program's tasks as threads of the scheduler.
fn run(seed: u64) {
    let harness = harness();
    let program = Interleaved::new(seed, block_on(harness.store()), harness);
    let program = Arc::new(block_on(program));
    let threads: Vec<_> = (1..=program.tasks())
        .map(|number| {
            let program = program.clone();
            thread::spawn(move || block_on(program.task(number)))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    if let Err(counterexample) = block_on(program.explain()) {
        panic!("{counterexample}");
    }
}

#[test]
fn every_schedule_is_explained_by_one_order_of_its_calls() {
    let seed = number("SESSION_TEST_KIT_SEED").unwrap_or(1);
    let programs = number("SESSION_HISTORIES").unwrap_or(PROGRAMS);
    for seed in seed..seed + programs {
        shuttle::check_random(move || run(seed), SCHEDULES);
        // Few changes of whose turn it is, at the worst places: finds what needs a long pause.
        shuttle::check_pct(move || run(seed), SCHEDULES, 3);
    }
    println!(
        "{} schedules of {programs} programs",
        programs * SCHEDULES as u64 * 2
    );
}

fn creation() -> Commit {
    let verifier = Verifier::from_bytes([1; 16]);
    let session = SessionId::generate().unwrap();
    let id = CommitId::generate().unwrap();
    let action = Action::Create {
        verifier,
        link: None,
    };
    let mut creation = Commit::new(session, id, action);
    creation.timeouts = Some(Timeouts::new(None, None).unwrap());
    creation
}

#[test]
fn no_schedule_exceeds_the_capacity_or_loses_a_slot() {
    for policy in [CapacityPolicy::Refuse, CapacityPolicy::EvictSoonestEnding] {
        let race = move || {
            let store = MemoryStore::builder().capacity(2).when_full(policy);
            let store = Arc::new(store.build());
            let threads: Vec<_> = (0..3)
                .map(|racer| {
                    let store = store.clone();
                    thread::spawn(move || {
                        let creation = creation();
                        let outcome = block_on(store.commit(&creation));
                        if racer == 0 && matches!(outcome, Ok(Outcome::Applied(_))) {
                            let verifier = Verifier::from_bytes([1; 16]);
                            let destroy = Action::Destroy { verifier };
                            let id = CommitId::generate().unwrap();
                            let end = Commit::new(creation.session, id, destroy);
                            block_on(store.commit(&end)).unwrap();
                        }
                        let len = block_on(store.len()).unwrap();
                        assert!(matches!(len, Count::Exact(0..=2)), "{len:?}");
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            // As many fit as before the race: no slot was lost and none was found.
            for _ in 0..2 {
                let _ = block_on(store.commit(&creation()));
            }
            assert_eq!(block_on(store.len()).unwrap(), Count::Exact(2));
        };
        shuttle::check_random(race, 3_000);
        shuttle::check_pct(race, 3_000, 3);
    }
}
