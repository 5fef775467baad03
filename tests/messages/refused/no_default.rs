//! A field that is not an `Option` needs a value when the session has none.

use serde::{Deserialize, Serialize};
use session_runtime::Session;

#[derive(Serialize, Deserialize)]
enum Theme {
    Light,
    Dark,
}

#[derive(Session)]
struct Shop {
    theme: Theme,
    #[session(default)]
    bare: Theme,
    #[session(skip)]
    skipped: Theme,
    fine: Option<Theme>,
    #[session(default = Theme::Light)]
    explicit: Theme,
    #[session(default = Some(Theme::Dark))]
    other: Option<Theme>,
}

#[derive(Session)]
struct WrongType {
    #[session(default = "three")]
    number: u32,
}

/// The expression stands alone: it sees nothing of the expansion.
#[derive(Session)]
struct Scope {
    #[session(default = fields)]
    number: u8,
}

fn main() {}
