//! `add`, `max` and `min` need an integer that stores can calculate with.

use session_runtime::Session;

#[derive(Session)]
struct Shop {
    #[session(merge = "add")]
    text: String,
    #[session(merge = "max")]
    float: f64,
    #[session(merge = "min", default = true)]
    flag: bool,
}

fn main() {}
