//! Tests of the derive: accepted structs, and the schemas made of them.

// For `accepted::lints`: it can only be said here.
#![deny(future_incompatible)]

pub mod accepted;
mod schemas;
