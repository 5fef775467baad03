use crate::program::Program;
use crate::visitor::Visitor;

#[test]
fn counts_the_visits_of_each_visitor() {
    let counter = Program::start(env!("CARGO_BIN_EXE_counter"));
    let ada = Visitor::of(&counter);
    assert_eq!(ada.get("/").body, "visit number 1\n");
    assert_eq!(ada.get("/").body, "visit number 2\n");

    let grace = Visitor::of(&counter);
    assert_eq!(grace.get("/").body, "visit number 1\n");
    assert_eq!(ada.get("/").body, "visit number 3\n");
}
