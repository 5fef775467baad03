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
#[cfg(test)]
mod fuzz;
mod generics;
mod quiet;
mod ttl;
mod valid;

use proc_macro2::TokenStream;

#[proc_macro_derive(Session, attributes(session))]
#[expect(
    missing_docs,
    reason = "documented where session-runtime re-exports it"
)]
pub fn derive_session(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    derive(input.into()).into()
}

/// The derive, outside the compiler too.
fn derive(input: TokenStream) -> TokenStream {
    match syn::parse2(input) {
        Ok(input) => expand::derive(&input),
        Err(error) => error.into_compile_error(),
    }
}
