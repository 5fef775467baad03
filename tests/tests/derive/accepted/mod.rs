//! Structs that the derive accepts: compiling the files is most of the test.
//!
//! They are public, so that lints take them for an interface.

pub mod all_options;
pub mod every_lint;
pub mod forbidden_lints;
pub mod generics;
pub mod identifiers;
pub mod lints;
pub mod no_prelude;
pub mod reexported_crate;
pub mod visibility;

macro_rules! accepted {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            $name::check();
        }
    )*};
}

accepted! {
    all_options
    every_lint
    forbidden_lints
    generics
    identifiers
    lints
    no_prelude
    reexported_crate
    visibility
}
