//! Random concurrent programs on each store, explained by one order of their calls.
//!
//! The conformance suite runs some on every store. `campaigns/run/histories` runs this for longer:
//! `SESSION_HISTORIES` says how many, `SESSION_TEST_KIT_SEED` from which seed.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_core::future::BoxFuture;
use session_runtime::store::Durability;
use session_runtime::store::{Tier, Timestamp};
use session_runtime::test_kit::{Harness, ManualTime, Pace, check_histories};
use session_runtime::{FileStore, MemoryStore, SessionStore};
use tests::on_servers::{OnCluster, OnServer};
use tests::remote::{ClockFile, Processes};
use tests::servers::Generation;
use tests::stepped::SteppedMemory;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// One of `cheaper` histories is run where a store takes that much longer.
async fn check(harness: impl Harness, cheaper: u64) {
    if let Some(reason) = harness.skip() {
        eprintln!("NOT TESTED: {reason}");
        return;
    }
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
    check(ManualTime::new(memory).with_atomic_lists(), 1).await;
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

/// Three processes on one folder; each call goes to another one.
struct ThreeProcesses(tempfile::TempDir);

impl ThreeProcesses {
    fn clock(&self) -> ClockFile {
        ClockFile::at(self.0.path().join("clock"))
    }
}

impl Harness for ThreeProcesses {
    fn store(&self) -> BoxFuture<'_, Arc<dyn SessionStore>> {
        self.clock().set(Timestamp::from_millis(1_700_000_000_000));
        let (folder, clock) = (self.0.path().join("sessions"), self.0.path().join("clock"));
        let program = Path::new(env!("CARGO_BIN_EXE_file_store_process"));
        let arguments = [Path::new("serve"), &folder, &clock];
        let processes = Processes::start(program, &arguments, 3);
        Box::pin(async { Arc::new(processes) as Arc<dyn SessionStore> })
    }

    fn pace(&self) -> Pace {
        Pace::Manual
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        self.clock().advance(time);
        Box::pin(async {})
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn file_in_three_processes() {
    check(ThreeProcesses(tempfile::tempdir().unwrap()), 20).await;
}

macro_rules! on_servers {
    ($($name:ident: $harness:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name() {
            check($harness, 20).await;
        }
    )*};
}

on_servers! {
    redis_7: OnServer::new(Generation::Redis7, Tier::Compatible, "resp3");
    redis_8: OnServer::new(Generation::Redis8, Tier::Native, "resp2");
    valkey_9: OnServer::new(Generation::Valkey9, Tier::Native, "resp3");
    valkey_9_compatible: OnServer::new(Generation::Valkey9, Tier::Compatible, "resp3");
    cluster: OnCluster::new(Generation::Redis8);
}
