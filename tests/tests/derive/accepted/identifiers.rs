//! Raw identifiers, and letters beyond ASCII.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "what counts is that it compiles"
)]

use session_runtime::schema::Field;
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

macro_rules! options {
    ($ttl:literal, $merge:expr, $codec:ty) => {
        #[derive(Session)]
        struct Options {
            #[session(ttl = $ttl, merge = $merge, codec = $codec)]
            field: u32,
        }
    };
}

options!("5m", "add", session_runtime::Json);

#[derive(Session, serde::Serialize, serde::Deserialize)]
struct Tree<T> {
    children: Vec<Self>,
    parent: Option<Box<Self>>,
    value: Option<T>,
}

pub(super) fn check() {
    assert_eq!(r#match::NAME, "match");
    assert_eq!(r#match::TYPE.name(), "match.type");
    assert_eq!(r#match::FN.name(), "match.fn");
    assert_eq!(r#match::GRÖSSE.name(), "match.größe");
    assert_eq!(r#match::_HIDDEN.name(), "match._hidden");
    assert_eq!(FromMacro::VISITS.name(), "from_macro.visits");
    let _: Field<Optional, Option<u8>, u8> = Optional::FIELD;
    assert_eq!(
        Options::FIELDS[0].ttl,
        Some(std::time::Duration::from_secs(300))
    );
    assert_eq!(Tree::<u8>::CHILDREN.name(), "tree.children");
}
