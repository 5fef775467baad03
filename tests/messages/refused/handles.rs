//! A handle's name is the field's in upper case.

use session_runtime::Session;

#[derive(Session)]
#[allow(non_snake_case)]
struct Two {
    otp: Option<String>,
    Otp: Option<String>,
}

#[derive(Session)]
struct Taken {
    limit: u32,
}

impl Taken {
    const LIMIT: u32 = 3;
}

fn main() {}
