//! Rust's own default field values, which are not stable yet.

use session_runtime::Session;

#[derive(Session)]
struct Shop {
    visits: u32 = 3,
}

fn main() {}
