//! A schema is a struct with named fields that owns its data.

use session_runtime::Session;

#[derive(Session)]
struct Tuple(u32, String);

#[derive(Session)]
struct Unit;

#[derive(Session)]
#[session(nam = "choice")]
enum Choice {
    #[session(rename = "yes")]
    Yes,
    No,
}

#[derive(Session)]
union Either {
    signed: i32,
    unsigned: u32,
}

#[derive(Session)]
struct Borrowed<'a> {
    name: &'a str,
}

fn main() {}
