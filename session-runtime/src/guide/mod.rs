//! Guides, from moving over from another library to deploying.
//!
//! Every code block in them compiles.

// As in `lib.rs`: where links lead here comes first, where they lead on the web is at a page's end.

#[doc = include_str!("../links.md")]
#[doc = include_str!("coming_from_express.md")]
pub mod coming_from_express {}

#[doc = include_str!("../links.md")]
#[doc = include_str!("coming_from_tower_sessions.md")]
pub mod coming_from_tower_sessions {}

#[doc = include_str!("testing_handlers.md")]
pub mod testing_handlers {}

#[doc = include_str!("../links.md")]
#[doc = include_str!("deploying.md")]
pub mod deploying {}

#[doc = include_str!("changing_a_schema.md")]
pub mod changing_a_schema {}

#[doc = include_str!("after_the_response.md")]
pub mod after_the_response {}

#[doc = include_str!("writing_a_store.md")]
pub mod writing_a_store {}

#[doc = include_str!("../links.md")]
#[doc = include_str!("troubleshooting.md")]
pub mod troubleshooting {}

#[doc = include_str!("comparison.md")]
pub mod comparison {}
