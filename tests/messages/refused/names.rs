//! Stored names have one owner, and some are not for fields.

use session_runtime::Session;

#[derive(Session)]
#[session(name = "@shop")]
struct Reserved {
    #[session(rename = "@verifier")]
    verifier: u32,
    #[session(alias = "@created")]
    created: u32,
}

#[derive(Session)]
#[session(name = "")]
struct Unusable {
    #[session(rename = "")]
    empty: u32,
    #[session(rename = "with space")]
    space: u32,
    #[session(alias = "tab\there", alias = "")]
    tab: u32,
}

#[derive(Session)]
#[session(name = "my shop")]
struct White {}

#[derive(Session)]
struct Shop {
    cart: u32,
    #[session(rename = "cart")]
    basket: u32,
    #[session(rename = "total")]
    sum: u32,
    total: u32,
    #[session(alias = "total")]
    amount: u32,
    #[session(alias = "old")]
    first: u32,
    #[session(alias = "old")]
    second: u32,
    #[session(alias = "own", alias = "twice", alias = "twice")]
    own: u32,
}

fn main() {}
