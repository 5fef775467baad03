//! Tests of the derive: accepted structs, the schemas made of them, and the messages about the rest.

// For `accepted::lints`: it can only be said here.
#![deny(future_incompatible)]

pub mod accepted;
mod messages;
mod schemas;
