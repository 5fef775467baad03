//! Durations are checked when the program is compiled.

use session_runtime::Session;

#[derive(Session)]
struct Shop {
    #[session(ttl = "")]
    empty: u32,
    #[session(ttl = "5")]
    no_unit: u32,
    #[session(ttl = "5 minuts")]
    unknown_unit: u32,
    #[session(ttl = "m")]
    no_number: u32,
    #[session(ttl = "-5m")]
    negative: u32,
    #[session(ttl = "5m,")]
    comma: u32,
    #[session(ttl = "99999999999999999999s")]
    overflow: u32,
    #[session(ttl = "0s")]
    zero: u32,
    #[session(ttl = "1500us")]
    too_fine: u32,
    #[session(ttl = "11 years")]
    too_long: u32,
    #[session(renew = "read")]
    renew_alone: u32,
    // One message only: the `ttl` is there, though wrong.
    #[session(ttl = "soon", renew = "read")]
    renew_with_wrong_ttl: u32,
}

fn main() {}
