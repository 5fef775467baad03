//! Random concurrent programs, and whether one order of their calls explains all answers.
//!
//! 1. A program is what a few tasks do to a few sessions; a seed determines it.
//! 2. A run writes down each call and answer, and which call was over before another one began.
//! 3. The history is right if the calls can be put in an order that respects real time and in
//!    which a model, one call after the other, gives the same answers: if it is linearizable.
//! 4. The model shares no code with the drivers.
//! 5. A program that fails is made smaller as long as it fails.

mod linearize;
mod model;
mod program;
mod run;
mod show;
mod shrink;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fastrand::Rng;

use self::program::{Author, Program};
use self::run::{History, Run};
use super::check::Contract;
use super::visitor::{Kit, timeouts};
use super::{Harness, Pace};
use crate::clock::Timestamp;
use crate::store::{Action, Commit, Selection, SessionStore};
use crate::token::{CommitId, SessionId, Verifier};

pub(super) const CONTRACT: Contract = Contract("linearizability");

/// How often a smaller program gets the chance to fail.
const TRIES: usize = 20;

/// How many runs are spent on making a program smaller.
const SHRINKING_RUNS: usize = 4_000;

/// Runs so many random concurrent programs on one store and looks for an order of the calls that
/// explains every answer.
///
/// The programs are determined by the seed; how their tasks meet is not.
///
/// # Errors
///
/// Answers a history that no order explains, of a program that was made as small as possible.
///
/// # Panics
///
/// Panics when the store answers with an error.
pub async fn check_histories(
    harness: impl Harness,
    seed: u64,
    histories: usize,
) -> Result<CheckedHistories, Counterexample> {
    let harness: Arc<dyn Harness> = Arc::new(harness);
    let store = harness.store().await;
    Laboratory::new(store, harness)
        .await
        .check(seed, histories)
        .await
}

/// The amount of work that [`check_histories`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckedHistories {
    /// How many histories are explained.
    pub histories: usize,
    /// How many calls they have.
    pub calls: usize,
    /// How many of these began while another one was not answered.
    pub overlapping: usize,
}

/// A history that no order of its calls explains. `Display` shows it.
#[derive(Debug, Clone)]
pub struct Counterexample {
    text: String,
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Counterexample {}

pub(super) async fn concurrent_histories_are_linearizable(kit: Kit) {
    let histories = if kit.is_exact() { 100 } else { 40 };
    let seed = kit.random().u64(..);
    let laboratory = Laboratory::new(kit.store.clone(), kit.harness().clone()).await;
    if let Err(counterexample) = laboratory.check(seed, histories).await {
        kit.broken(counterexample);
    }
}

/// One program whose tasks a scheduler runs in an order of its choice, on a store of its own.
#[cfg(all(test, shuttle))]
pub(crate) struct Interleaved {
    run: Run,
    tasks: usize,
    start: Timestamp,
}

#[cfg(all(test, shuttle))]
impl Interleaved {
    pub(crate) async fn new(
        seed: u64,
        store: Arc<dyn SessionStore>,
        harness: Arc<dyn Harness>,
    ) -> Self {
        let laboratory = Laboratory::new(store, harness).await;
        let program = laboratory.program(seed);
        let start = now(&laboratory.store, &laboratory.clock).await;
        let run = Run::new(laboratory.store, laboratory.harness, &program);
        run.task(0).await;
        Self {
            run,
            tasks: program.tasks.len(),
            start,
        }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.tasks
    }

    pub(crate) async fn task(&self, number: usize) {
        self.run.task(number).await;
    }

    pub(crate) async fn explain(&self) -> Result<(), Counterexample> {
        let history = self.run.finish(self.start, true).await;
        linearize::explain(&history).map_err(|unexplained| Counterexample {
            text: show::Shown(&history, &unexplained).to_string(),
        })
    }
}

/// A store on which programs run.
struct Laboratory {
    store: Arc<dyn SessionStore>,
    harness: Arc<dyn Harness>,
    /// A session that tells the store's time.
    clock: SessionId,
}

impl Laboratory {
    async fn new(store: Arc<dyn SessionStore>, harness: Arc<dyn Harness>) -> Self {
        let clock = create_clock(&store).await;
        Self {
            store,
            harness,
            clock,
        }
    }

    async fn check(&self, seed: u64, count: usize) -> Result<CheckedHistories, Counterexample> {
        let mut checked = CheckedHistories::default();
        for number in 0..count {
            let program = self.program(seed.wrapping_add(number as u64));
            let history = self.run(&program).await;
            if linearize::explain(&history).is_err() {
                let text = self.shrink(program, history).await;
                let text = format!("program {number} of seed {seed}, made smaller\n{text}");
                return Err(Counterexample { text });
            }
            checked.histories += 1;
            checked.calls += history.calls.len();
            checked.overlapping += history.overlapping();
        }
        Ok(checked)
    }

    fn program(&self, seed: u64) -> Program {
        let mut random = Rng::with_seed(seed);
        let has_lists = self.harness.are_lists_atomic();
        let (unit, can_pass) = match self.harness.pace() {
            Pace::Manual => (Duration::from_millis(250), true),
            Pace::Real { unit } => (unit * 10_000, false),
        };
        Author::new(&mut random, unit, can_pass, has_lists).write()
    }

    async fn run(&self, program: &Program) -> History {
        let start = now(&self.store, &self.clock).await;
        let run = Run::new(self.store.clone(), self.harness.clone(), program);
        let run = Arc::new(run);
        run.task(0).await;
        let waiting = Arc::new(AtomicUsize::new(program.tasks.len()));
        let tasks: Vec<_> = (1..=program.tasks.len())
            .map(|number| {
                let (run, waiting) = (run.clone(), waiting.clone());
                tokio::spawn(async move {
                    // Not a barrier: the first task that it wakes would be done before the others wake.
                    waiting.fetch_sub(1, Ordering::SeqCst);
                    while waiting.load(Ordering::SeqCst) > 0 {
                        tokio::task::yield_now().await;
                    }
                    run.task(number).await;
                })
            })
            .collect();
        for task in tasks {
            if let Err(failed) = task.await {
                std::panic::resume_unwind(failed.into_panic());
            }
        }
        run.finish(start, self.harness.pace() == Pace::Manual).await
    }

    /// A smaller program that fails too, and how it failed.
    async fn shrink(&self, mut program: Program, mut history: History) -> String {
        let mut runs = 0;
        'smaller: while runs < SHRINKING_RUNS {
            for candidate in shrink::smaller(&program) {
                for _ in 0..TRIES {
                    runs += 1;
                    let tried = self.run(&candidate).await;
                    if linearize::explain(&tried).is_err() {
                        (program, history) = (candidate, tried);
                        continue 'smaller;
                    }
                }
            }
            break;
        }
        match linearize::explain(&history) {
            Err(unexplained) => show::Shown(&history, &unexplained).to_string(),
            Ok(()) => unreachable!("only histories that nothing explains are kept"),
        }
    }
}

/// A session that never ends, to ask the store for its time.
async fn create_clock(store: &Arc<dyn SessionStore>) -> SessionId {
    let random = "the system has random bytes";
    let session = SessionId::generate().expect(random);
    let verifier = Verifier::from_bytes([0; 16]);
    let id = CommitId::generate().expect(random);
    let mut creation = Commit::new(
        session,
        id,
        Action::Create {
            verifier,
            link: None,
        },
    );
    creation.timeouts = Some(timeouts(None, None));
    let outcome = store.commit(&creation).await;
    outcome.expect("a store without sessions takes one");
    session
}

async fn now(store: &Arc<dyn SessionStore>, clock: &SessionId) -> Timestamp {
    let loaded = store.load(clock, &Selection::default()).await;
    let loaded = loaded.expect("the store answers");
    loaded.expect("a session without timeouts does not end").now
}
