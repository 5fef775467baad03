//! What the derive accepts, what it makes of it, and what it says about the rest.

// For `accepted::lints`: it can only be said here.
#![deny(future_incompatible)]

pub mod accepted;
mod messages;
mod schemas;
