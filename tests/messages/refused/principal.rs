//! One field says whose session it is.

use session_runtime::Session;

#[derive(Session)]
struct Two {
    #[session(principal)]
    customer: Option<u64>,
    #[session(principal)]
    operator: Option<u64>,
}

#[derive(Session)]
struct Shop {
    #[session(principal, merge = "first", default = Some(7))]
    customer: Option<u64>,
}

#[derive(Session)]
struct Always {
    #[session(principal)]
    customer: u64,
}

#[derive(Session)]
struct Added {
    #[session(principal, merge = "add")]
    customer: Option<u64>,
}

#[derive(Session)]
struct Sealed {
    #[session(encrypt, principal)]
    customer: Option<u64>,
}

fn main() {}
