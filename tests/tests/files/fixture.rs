//! A store in a folder of its own, and ways to look into it.

use std::fs;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::Poll;

use session_runtime::FileStore;
use session_runtime::test_kit::ManualClock;
use tempfile::TempDir;

/// A store whose time stands still, and where it is.
pub(crate) struct Fixture {
    pub(crate) store: FileStore,
    pub(crate) clock: ManualClock,
    pub(crate) folder: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = ManualClock::new();
        let store = FileStore::builder()
            .clock(clock.clone())
            .without_background_sweep()
            .open(folder.path())
            .unwrap();
        Self {
            store,
            clock,
            folder,
        }
    }

    /// The files that were set aside.
    pub(crate) fn damaged(&self) -> Vec<PathBuf> {
        match fs::read_dir(self.folder.path().join("damaged")) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Begins a call and leaves it, as a request does whose client goes away.
pub(crate) async fn abandon(call: impl Future, random: &mut fastrand::Rng) {
    let mut call: Pin<Box<_>> = Box::pin(call);
    for _ in 0..random.usize(1..4) {
        let once =
            std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_ready()));
        if once.await {
            return;
        }
        tokio::task::yield_now().await;
    }
}
