use crate::program::{Program, wait_for};
use crate::visitor::Visitor;

fn start() -> Program {
    Program::start(env!("CARGO_BIN_EXE_wizard"))
}

#[test]
fn leads_from_step_to_step() {
    let program = start();
    let visitor = Visitor::of(&program);
    assert_eq!(visitor.get("/").body, "tickets: [], choose a seat\n");
    assert_eq!(visitor.post("/confirm", &[]).status, 409);
    assert_eq!(
        visitor.post("/seat", &[("seat", "12A")]).body,
        "say your name\n"
    );
    assert_eq!(visitor.post("/name", &[("name", "Ada")]).body, "confirm\n");
    assert_eq!(visitor.post("/confirm", &[]).body, "booked: 12A for Ada\n");
    let booked = "tickets: [\"12A for Ada\"], choose a seat\n";
    assert_eq!(visitor.get("/").body, booked);
    assert_eq!(visitor.post("/confirm", &[]).status, 409);
}

#[test]
fn only_the_step_that_ran_out_is_repeated() {
    let program = start();
    let visitor = Visitor::of(&program);
    visitor.post("/name", &[("name", "Ada")]);
    visitor.post("/seat", &[("seat", "12A")]);
    let held = visitor.get("/").body;
    assert!(held.starts_with("tickets: [], seat held for "), "{held}");
    assert!(held.ends_with(" s more, confirm\n"), "{held}");

    wait_for("the seat to be given up", || {
        (!visitor.get("/").body.contains("held")).then_some(())
    });
    let late = visitor.post("/confirm", &[]);
    assert_eq!((late.status, &*late.body), (409, "choose a seat\n"));
    assert_eq!(visitor.post("/seat", &[("seat", "14C")]).body, "confirm\n");
    assert_eq!(visitor.post("/confirm", &[]).body, "booked: 14C for Ada\n");
}

#[test]
fn of_confirmations_at_once_one_gets_the_ticket() {
    let program = start();
    let visitor = Visitor::of(&program);
    visitor.post("/name", &[("name", "Ada")]);
    visitor.post("/seat", &[("seat", "12A")]);
    let answers = visitor.post_at_once(8, "/confirm", &[]);
    let booked = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(booked, 1, "{answers:?}");
}
