//! What the derive accepts, and what it says about what it does not.
//!
//! After a message changed, `TRYBUILD=overwrite cargo test -p tests --test derive` writes the new ones;
//! read them before you commit them.

#[test]
fn derive() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*.rs");
}
