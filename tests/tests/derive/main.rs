//! What the derive accepts, what it makes of it, and what it says about the rest.

mod messages;
mod schemas;
