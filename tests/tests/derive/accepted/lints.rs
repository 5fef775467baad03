//! The expansion is silent where a program denies everything.

#![deny(
    warnings,
    missing_docs,
    unused,
    unreachable_pub,
    unsafe_code,
    rust_2018_idioms,
    nonstandard_style,
    let_underscore,
    missing_debug_implementations,
    missing_copy_implementations,
    trivial_casts,
    trivial_numeric_casts,
    single_use_lifetimes,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]

use session_runtime::{Session, SessionSchema};

/// A public schema.
#[derive(Session, Debug, Clone)]
#[session(name = "shop")]
pub struct Shop<T> {
    /// A public field.
    #[session(ttl = "5m")]
    pub otp: Option<T>,
    /// Another.
    #[session(default = 3)]
    pub tries: u32,
    /// One that is on its way out.
    #[deprecated]
    pub old: u32,
    private: u32,
    local: Option<Local>,
    wrapped: Wrapped<T>,
}

#[derive(serde::Serialize, serde::Deserialize, Debug, Clone, Default)]
struct Wrapped<T>(Option<T>);

impl<T> Shop<T> {
    /// Uses the private fields.
    pub fn total(&self) -> u32 {
        self.private
            + self.local.as_ref().map_or(0, |local| local.0)
            + u32::from(self.wrapped.0.is_some())
    }
}

#[derive(serde::Serialize, serde::Deserialize, Debug, Clone)]
struct Local(u32);

mod private {
    use session_runtime::Session;

    #[derive(Session, Debug, Clone, Copy)]
    pub(crate) struct Schema {
        pub(crate) visits: u32,
        pub(super) last: Option<u32>,
    }

    #[derive(Session, Debug, Clone, Copy)]
    pub(crate) struct Empty {}
}

fn schema<S: SessionSchema>() -> &'static str {
    S::NAME
}

pub(super) fn check() {
    assert_eq!(schema::<Shop<u8>>(), "shop");
    assert_eq!(schema::<private::Schema>(), "schema");
    assert_eq!(schema::<private::Empty>(), "empty");
}
