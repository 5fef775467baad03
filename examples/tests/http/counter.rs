use crate::program::Program;
use crate::visitor::Visitor;

/// Browsers and curl keep one jar for all ports of a host.
#[test]
fn two_programs_on_one_host_keep_their_visitors_apart() {
    let start = || Program::start(env!("CARGO_BIN_EXE_counter"));
    let (one, other) = (start(), start());
    let ada = Visitor::of(&one);
    let ada_at_the_other = ada.at(&other);
    for visit in 1..=3 {
        let expected = format!("visit number {visit}\n");
        assert_eq!(ada.get("/").body, expected);
        assert_eq!(ada_at_the_other.get("/").body, expected);
    }
    assert_ne!(ada.cookie(), ada_at_the_other.cookie());
}

/// Signing out at one removes its own cookie, and the other's session lives on.
#[test]
fn a_removal_at_one_program_leaves_the_other_alone() {
    let start = || Program::start(env!("CARGO_BIN_EXE_websocket"));
    let (one, other) = (start(), start());
    let ada = Visitor::of(&one);
    let ada_at_the_other = ada.at(&other);
    for visitor in [&ada, &ada_at_the_other] {
        visitor.post("/sign-in", &[]);
    }
    let answer = ada.post("/sign-out", &[]);
    let removal = format!("{}=;", one.cookie_name());
    let [cookie] = &answer.set_cookie[..] else {
        panic!("one cookie was expected: {:?}", answer.set_cookie)
    };
    assert!(cookie.starts_with(&removal), "{cookie}");
    assert_eq!(ada.cookie(), None);
    assert!(ada_at_the_other.cookie().is_some());
}

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
