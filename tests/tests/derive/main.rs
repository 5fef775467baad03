//! Tests of the derive: accepted structs, and the schemas made of them.

// For `accepted::lints` and `accepted::every_lint`: it can only be said here.
#![deny(future_incompatible, rust_2021_compatibility, rust_2024_compatibility)]

pub mod accepted;
mod schemas;
