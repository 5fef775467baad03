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
