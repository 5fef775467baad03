//! A type that cannot be stored is reported once, at the field.

use session_runtime::{Postcard, Session};

struct Plain;

#[derive(Default)]
struct WithDefault;

struct Wrapper<T>(T);

#[derive(Session)]
struct Shop {
    optional: Option<Plain>,
    value: WithDefault,
    #[session(default = WithDefault, ttl = "5m", codec = Postcard)]
    explicit: WithDefault,
    inside: Vec<WithDefault>,
    fine: u32,
}

#[derive(Session)]
struct Generic<T> {
    wrapped: Option<Wrapper<T>>,
}

fn main() {}
