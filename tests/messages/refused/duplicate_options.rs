//! Options that are given twice, in one attribute or in two.

use session_runtime::Session;

#[derive(Session)]
#[session(name = "shop", name = "store")]
#[session(codec = Json, crate = session_runtime, codec = Json, crate = session_runtime)]
struct Shop {
    #[session(ttl = "5m", ttl = "6m", renew = "read", renew = "never")]
    otp: Option<String>,
    #[session(rename = "a", default = 1)]
    #[session(rename = "b", default)]
    visits: u32,
    #[session(skip, skip)]
    scratch: u32,
    #[session(codec = Json, codec = Json, merge = "max", merge = "min", sensitive, sensitive)]
    best: u32,
    #[session(principal, principal, encrypt, encrypt)]
    customer: Option<u64>,
}

fn main() {}
