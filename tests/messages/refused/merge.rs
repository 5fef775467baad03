//! `add`, `max` and `min` are calculated by the store.

use session_runtime::Session;

#[derive(Session)]
struct Shop {
    #[session(merge = "add", codec = session_runtime::Postcard)]
    visits: u32,
    #[session(merge = "max", encrypt)]
    best: u32,
    #[session(merge = "min")]
    least: Option<u32>,
    #[session(merge = "add", default = Some(1))]
    explicit: Option<u32>,
}

#[derive(Session)]
#[session(codec = session_runtime::Postcard)]
struct Compact {
    #[session(merge = "add")]
    visits: u32,
    #[session(merge = "add", codec = session_runtime::Json)]
    fine: u32,
}

fn main() {}
