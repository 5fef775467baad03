//! The derive's messages about structs that it does not accept: each program in `refused/` is
//! compiled, and rustc's output is compared with the file beside it.
//!
//! After a message changed, `TRYBUILD=overwrite cargo test -p tests-messages` writes the new ones;
//! read them before you commit them.

#[test]
fn messages() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("refused/*.rs");
}
