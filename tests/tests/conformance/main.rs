//! The conformance suite over every store.

mod defects;
mod files;
mod servers;

use session_runtime::MemoryStore;
use session_runtime::test_kit::{ManualTime, conformance};
use tests::stepped::SteppedMemory;

mod memory {
    use super::*;

    conformance!(
        ManualTime::new(|clock| { MemoryStore::builder().clock(clock).build() })
            .with_atomic_lists()
    );
}

mod stepped_memory {
    use super::*;

    conformance!(ManualTime::new(SteppedMemory::new));
}
