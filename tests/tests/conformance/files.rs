//! The conformance suite over `FileStore`, in both durabilities.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use session_runtime::FileStore;
use session_runtime::store::Durability;
use session_runtime::test_kit::{Harness, ManualTime, conformance};

fn harness(durability: Durability) -> impl Harness {
    let folder = tempfile::tempdir().unwrap();
    ManualTime::new(move |clock| {
        FileStore::builder()
            .durability(durability)
            .clock(clock)
            .open(folder.path().join("sessions"))
            .unwrap()
    })
}

mod process_crash {
    use super::*;

    conformance!(harness(Durability::ProcessCrash));
}

mod power_loss {
    use super::*;

    conformance!(harness(Durability::PowerLoss));
}
