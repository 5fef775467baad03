use crate::program::Program;
use crate::visitor::Visitor;

/// That the store keeps its promises is tested beside it.
#[test]
fn the_layer_works_with_it() {
    let program = Program::start(env!("CARGO_BIN_EXE_custom_store"));
    let visitor = Visitor::of(&program);
    assert_eq!(visitor.get("/").body, "visit number 1\n");
    assert_eq!(visitor.get("/").body, "visit number 2\n");
    assert_eq!(Visitor::of(&program).get("/").body, "visit number 1\n");
}
