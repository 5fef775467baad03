//! A skipped field has no other option than its default.

use session_runtime::Session;

#[derive(Session)]
struct Shop {
    #[session(skip, ttl = "5m", renew = "read", rename = "other", alias = "older")]
    a: u32,
    #[session(codec = Json, merge = "add", skip, principal, encrypt, sensitive)]
    b: u32,
}

fn main() {}
