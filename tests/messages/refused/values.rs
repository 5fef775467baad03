//! Values that are missing, superfluous or of the wrong kind.

use session_runtime::Session;

#[derive(Session)]
#[session]
struct NoList {}

#[derive(Session)]
#[session = "shop"]
struct NotAList {}

#[derive(Session)]
#[session { name = "shop" }]
struct Braces {}

#[derive(Session)]
#[session(name, crate = "session_runtime", codec = "Json")]
struct OnTheStruct {}

#[derive(Session)]
struct OnFields {
    #[session(ttl, renew = never, ttl = 5)]
    a: u32,
    #[session(ttl = , rename("b"), alias = b)]
    b: u32,
    #[session(skip = true)]
    c: u32,
    #[session(principal("d"), sensitive = "yes", encrypt = false)]
    d: Option<u32>,
    #[session(default =, codec, merge)]
    e: u32,
    #[session("5m", ttl = "5m" "6m", 7)]
    f: u32,
    #[session(ttl = "5m"; renew = "read")]
    g: u32,
    #[session(codec = Json, default = 1 +, sensitiv)]
    h: u32,
}

fn main() {}
