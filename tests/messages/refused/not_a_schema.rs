//! A struct without the derive.

use session_runtime::SessionSchema;

struct Shop {
    visits: u32,
}

fn schema<S: SessionSchema>() {}

fn main() {
    schema::<Shop>();
}
