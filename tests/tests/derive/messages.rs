//! The messages of the derive about structs that it does not accept.
//!
//! After a message changed, `TRYBUILD=overwrite cargo test -p tests --test derive` writes the new ones;
//! read them before you commit them.

#[test]
fn derive() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("ui/fail/*.rs");
}
