//! The expansion allows nothing that a program forbids.

#![forbid(
    missing_docs,
    unsafe_code,
    unused,
    deprecated,
    non_upper_case_globals,
    private_bounds,
    private_interfaces,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::pedantic
)]

use session_runtime::Session;

/// A schema whose handles are unused.
#[derive(Session)]
#[session(name = "shop")]
pub struct Shop<T> {
    /// A public field.
    #[session(ttl = "5m", default = 3)]
    pub tries: u32,
    otp: Option<T>,
    list: Vec<T>,
}

/// A schema that is on its way out, in a program that forbids the use of such.
#[derive(Session)]
#[deprecated(note = "use `Shop`")]
pub struct OldShop {
    /// A public field.
    #[session(skip)]
    pub scratch: u32,
    /// Another.
    #[deprecated]
    pub tries: u32,
}

pub(super) fn check() {
    let shop: Option<Shop<u8>> = None;
    assert!(shop.is_none_or(|shop| shop.otp.is_none() && shop.list.is_empty()));
}
