//! A codec implements `Codec`. Reported once, where it is named.

use session_runtime::Session;

struct NotACodec;

#[derive(Session)]
struct Shop {
    #[session(codec = NotACodec)]
    cart: u32,
}

#[derive(Session)]
#[session(codec = NotACodec)]
struct Whole {
    cart: u32,
    note: Option<String>,
}

fn main() {}
