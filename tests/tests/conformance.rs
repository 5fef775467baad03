//! The conformance suite over the stores that need no server.

use session_runtime::MemoryStore;
use session_runtime::test_kit::{ManualTime, conformance};

mod memory {
    use super::*;

    conformance!(ManualTime::new(|clock| {
        MemoryStore::builder().clock(clock).build()
    }));
}
