//! The derive macro behind `#[derive(Session)]`.
//!
//! Name `session-runtime` in your `Cargo.toml`, not this crate: it re-exports the derive, and its
//! documentation of `Session` lists every option.
//!
//! The way through this crate: `attr` parses the options, `ast` puts struct and options together,
//! `valid` checks what only shows there, `generics` decides the bounds, `expand` writes the
//! implementation. All of them report to one `ctxt`; when it holds an error, `fallback` writes the
//! implementation instead.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod ast;
mod attr;
mod ctxt;
mod expand;
mod fallback;
mod generics;
mod ttl;
mod valid;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

#[proc_macro_derive(Session, attributes(session))]
#[expect(
    missing_docs,
    reason = "documented where session-runtime re-exports it"
)]
pub fn derive_session(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::derive(&input).into()
}
