use std::thread;
use std::time::Duration;

use crate::program::{Program, wait_for};
use crate::visitor::Visitor;

#[test]
fn asks_for_the_password_again_after_a_while() {
    let program = Program::start(env!("CARGO_BIN_EXE_step_up"));
    let visitor = Visitor::of(&program);
    let transfer = || visitor.post("/transfer", &[]);
    assert_eq!(
        visitor.post("/confirm", &[("password", "lovelace")]).status,
        403
    );
    visitor.post("/sign-in", &[]);
    assert_eq!(transfer().status, 403);
    assert_eq!(
        visitor.post("/confirm", &[("password", "byron")]).status,
        403
    );

    let before = visitor.cookie().expect("a cookie");
    assert_eq!(
        visitor.post("/confirm", &[("password", "lovelace")]).status,
        200
    );
    assert_eq!(transfer().body, "ada has paid\n");
    let thief = Visitor::with_cookie(&program, &before);
    assert_eq!(thief.post("/transfer", &[]).status, 403);

    wait_for("the confirmation to run out", || {
        (transfer().status == 403).then_some(())
    });
    // Still signed in: the password is enough.
    visitor.post("/confirm", &[("password", "lovelace")]);
    assert_eq!(transfer().status, 200);
}

#[test]
fn confirming_again_restarts_the_time() {
    /// More than half of the time that a confirmation lasts.
    const LATER: Duration = Duration::from_secs(8);

    let program = Program::start(env!("CARGO_BIN_EXE_step_up"));
    let visitor = Visitor::of(&program);
    let confirm = || visitor.post("/confirm", &[("password", "lovelace")]);
    visitor.post("/sign-in", &[]);
    assert_eq!(confirm().status, 200);
    thread::sleep(LATER);
    assert_eq!(confirm().status, 200);
    // The first confirmation alone would be over.
    thread::sleep(LATER);
    assert_eq!(visitor.post("/transfer", &[]).body, "ada has paid\n");
}
