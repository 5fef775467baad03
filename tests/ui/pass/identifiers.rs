//! Raw identifiers, and letters beyond ASCII.

use session_runtime::{Session, SessionSchema};

#[derive(Session)]
#[allow(non_camel_case_types)]
struct r#match {
    r#type: Option<String>,
    #[session(default = 1)]
    r#fn: u32,
    #[session(skip)]
    r#loop: u32,
    größe: u32,
    _hidden: u32,
}

macro_rules! schema {
    ($name:ident { $($field:ident: $ty:ty = $default:expr),* }) => {
        #[derive(Session)]
        struct $name {
            $(#[session(default = $default)] $field: $ty,)*
            optional: Option<u8>,
        }
    };
}

schema!(FromMacro { visits: u32 = 1 + 2, name: Option<String> = None });

macro_rules! optional {
    ($name:ident, $ty:ty) => {
        #[derive(Session)]
        struct $name {
            field: $ty,
        }
    };
}

optional!(Optional, Option<u8>);

fn main() {
    assert_eq!(r#match::NAME, "match");
    assert_eq!(r#match::TYPE.name(), "match.type");
    assert_eq!(r#match::FN.name(), "match.fn");
    assert_eq!(r#match::GRÖSSE.name(), "match.größe");
    assert_eq!(r#match::_HIDDEN.name(), "match._hidden");
    assert_eq!(FromMacro::VISITS.name(), "from_macro.visits");
    let _: session_runtime::Field<Optional, Option<u8>, u8> = Optional::FIELD;
}
