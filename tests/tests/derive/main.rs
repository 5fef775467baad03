//! What the derive accepts and what it makes of it.

// For `accepted::lints`: it can only be said here.
#![deny(future_incompatible)]

pub mod accepted;
mod schemas;
