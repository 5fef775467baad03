use crate::program::Program;
use crate::visitor::Visitor;

#[test]
fn share_one_session() {
    let program = Program::start(env!("CARGO_BIN_EXE_two_apps"));
    let visitor = Visitor::of(&program);
    visitor.post("/basket/tea", &[]);
    let before = visitor.cookie().expect("a cookie");
    let answer = visitor.post("/login", &[("name", "ada")]);
    assert_eq!(answer.set_cookie.len(), 1);
    assert_ne!(visitor.cookie(), Some(before.clone()));
    assert_eq!(visitor.get("/").body, "ada\n");
    assert_eq!(visitor.get("/basket").body, "[\"tea\"]\n");
    assert_eq!(
        Visitor::with_cookie(&program, &before).get("/basket").body,
        "[]\n"
    );

    visitor.post("/basket/cup", &[]);
    let before = visitor.cookie().expect("a cookie");
    visitor.post("/logout", &[]);
    let late = Visitor::with_cookie(&program, &before);
    assert_eq!(late.get("/").body, "a guest\n");
    assert_eq!(late.get("/basket").body, "[]\n");
}
