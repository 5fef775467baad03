//! A suite that tries to break each guarantee of [`SessionStore`] on any store.
//!
//! A store that can be given a clock needs one line in an integration test:
//!
//! ```
//! use session_runtime::MemoryStore;
//! use session_runtime::test_kit::{ManualTime, conformance};
//!
//! conformance!(ManualTime::new(|clock| MemoryStore::builder().clock(clock).build()));
//! # fn main() {}
//! ```
//!
//! Any other store implements [`Harness`], which says how to get an empty store and how time
//! passes for it:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use futures_core::future::BoxFuture;
//! use session_runtime::SessionStore;
//! use session_runtime::test_kit::{Harness, Pace};
//!
//! struct OnServer;
//!
//! impl Harness for OnServer {
//!     fn store(&self) -> BoxFuture<'_, Arc<dyn SessionStore>> {
//!         Box::pin(async { connect_with_a_prefix_of_its_own().await })
//!     }
//!
//!     fn pace(&self) -> Pace {
//!         Pace::Real { unit: Duration::from_millis(250) }
//!     }
//!
//!     fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
//!         Box::pin(tokio::time::sleep(time))
//!     }
//! }
//! # async fn connect_with_a_prefix_of_its_own() -> Arc<dyn SessionStore> { loop {} }
//! ```
//!
//! [`conformance!`] makes one `#[test]` of each check; [`run`] runs them one after the other in the
//! caller's runtime. Where a check fails it panics, naming the guarantee by its number in the
//! documentation of [`SessionStore`] and what was expected.
//!
//! Everything but the scheduling of tasks is determined by a seed that is printed. The environment
//! variable `SESSION_TEST_KIT_SEED` sets it.

mod absence;
mod atomicity;
mod bounds;
mod changes;
mod check;
mod clock;
mod deadlines;
mod every_check;
mod existence;
mod fields;
mod foreign_fields;
mod guards;
mod histories;
mod housekeeping;
mod links;
mod list_entries;
mod list_limits;
mod lists;
mod merges;
mod once;
mod prefixes;
mod principals;
mod races;
mod restores;
mod sequences;
mod time;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;

pub use self::clock::ManualClock;
use self::every_check::CHECKS;
#[cfg(all(test, shuttle))]
pub(crate) use self::histories::Interleaved;
pub use self::histories::{CheckedHistories, Counterexample, check_histories};
use self::visitor::Kit;
#[doc(inline)]
pub use crate::conformance;
use crate::store::SessionStore;

/// How the suite gets a store to break.
pub trait Harness: Send + Sync + 'static {
    /// A store without sessions. Each check asks once and uses no other.
    fn store(&self) -> BoxFuture<'_, Arc<dyn SessionStore>>;

    /// The store's time: a clock to set, or real time.
    fn pace(&self) -> Pace;

    /// Returns when so much time has passed on the store's clock, or more if the pace is real.
    fn pass(&self, time: Duration) -> BoxFuture<'_, ()>;

    /// Why this machine cannot run the suite, such as a missing server; `None` when it can. The
    /// reason is printed, and nothing is checked.
    fn skip(&self) -> Option<String> {
        None
    }

    /// Whether a commit changes lists and its session in one step, at one moment, and every call
    /// judges by the time of that moment. If not, random histories leave lists alone, because
    /// between two steps there is something to see that no order explains, and take any time since a
    /// call began for the one that it judged by.
    fn are_lists_atomic(&self) -> bool {
        false
    }
}

/// The time of a store under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pace {
    /// Time stands still except in [`Harness::pass`], which is exact to the millisecond.
    Manual,
    /// Time passes by itself. What depends on a single millisecond is not checked.
    Real {
        /// The checks let times differ by at least this much wherever the difference matters. It
        /// must be longer than any pause of the machine; most checks wait for a few units.
        unit: Duration,
    },
}

/// The harness of a store that takes its time from a clock.
pub struct ManualTime<F> {
    clock: ManualClock,
    open: F,
    are_lists_atomic: bool,
}

impl<S, F> ManualTime<F>
where
    S: SessionStore,
    F: Fn(ManualClock) -> S + Send + Sync + 'static,
{
    /// `open` makes an empty store that takes its time from this clock.
    pub fn new(open: F) -> Self {
        Self {
            clock: ManualClock::new(),
            open,
            are_lists_atomic: false,
        }
    }

    /// For a store whose commits change lists and a session in one step; see
    /// [`Harness::are_lists_atomic`].
    #[must_use]
    pub fn with_atomic_lists(mut self) -> Self {
        self.are_lists_atomic = true;
        self
    }
}

impl<F> std::fmt::Debug for ManualTime<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManualTime")
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

impl<S, F> Harness for ManualTime<F>
where
    S: SessionStore,
    F: Fn(ManualClock) -> S + Send + Sync + 'static,
{
    fn store(&self) -> BoxFuture<'_, Arc<dyn SessionStore>> {
        Box::pin(async { Arc::new((self.open)(self.clock.clone())) as Arc<dyn SessionStore> })
    }

    fn pace(&self) -> Pace {
        Pace::Manual
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        self.clock.advance(time);
        Box::pin(async {})
    }

    fn are_lists_atomic(&self) -> bool {
        self.are_lists_atomic
    }
}

/// Runs every check, one after the other, on a store of its own.
///
/// # Panics
///
/// Panics at the first check that fails.
pub async fn run(harness: impl Harness) {
    let harness: Arc<dyn Harness> = Arc::new(harness);
    if let Some(reason) = harness.skip() {
        eprintln!("NOT CHECKED: {reason}");
        return;
    }
    for check in CHECKS {
        check.run(&harness).await;
    }
}

/// Makes one `#[test]` of each check of the suite, in a module for each part of the contract.
///
/// The argument is an expression that makes a [`Harness`]; each test evaluates it once, inside a
/// multi-threaded Tokio runtime of its own.
#[macro_export]
macro_rules! conformance {
    ($harness:expr) => {
        $crate::__every_check! { [$crate::__conformance_tests] $harness }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ({ $harness:expr } $($part:ident { $($check:ident)* })*) => {
        $(
            mod $part {
                #[allow(unused_imports)]
                use super::*;
                $(
                    #[test]
                    fn $check() {
                        $crate::test_kit::__run_one(stringify!($part), stringify!($check), || $harness);
                    }
                )*
            }
        )*
    };
}

/// Runs one test of [`conformance!`].
#[doc(hidden)]
pub fn __run_one<H: Harness>(part: &str, name: &str, harness: impl FnOnce() -> H) {
    let check = CHECKS
        .iter()
        .find(|check| check.part == part && check.name == name)
        .expect("the tests are made from the same list");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a Tokio runtime starts");
    runtime.block_on(async {
        let harness: Arc<dyn Harness> = Arc::new(harness());
        if let Some(reason) = harness.skip() {
            eprintln!("NOT CHECKED: {reason}");
            return;
        }
        check.run(&harness).await;
    });
}
