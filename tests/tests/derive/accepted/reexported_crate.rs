//! `crate = path` names the crate where another one re-exports it.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "what counts is that it compiles"
)]

mod framework {
    pub mod sessions {
        pub use session_runtime::*;
    }
}

#[derive(framework::sessions::Session)]
#[session(crate = crate::accepted::reexported_crate::framework::sessions, codec = framework::sessions::Json)]
struct Reexported {
    #[session(ttl = "5m", merge = "add")]
    visits: u32,
    note: Option<String>,
}

#[derive(framework::sessions::Session)]
#[session(crate = framework::sessions)]
struct Relative {
    visits: u32,
}

pub(super) fn check() {
    assert_eq!(Reexported::NOTE.name(), "reexported.note");
    assert_eq!(Relative::VISITS.name(), "relative.visits");
}
