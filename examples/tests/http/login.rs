use crate::program::Program;
use crate::visitor::{Answer, Visitor};

fn start() -> Program {
    Program::start(env!("CARGO_BIN_EXE_login"))
}

fn sign_in(visitor: &Visitor<'_>, more: &[(&str, &str)]) -> Answer {
    let form = [&[("name", "ada"), ("password", "lovelace")], more].concat();
    let answer = visitor.post("/sign-in", &form);
    assert_eq!(answer.body, "welcome, ada\n");
    answer
}

#[test]
fn sign_in_gives_another_cookie_and_keeps_the_rest() {
    let login = start();
    let visitor = Visitor::of(&login);
    assert_eq!(visitor.get("/").body, "a guest, visit 1\n");
    let planted = visitor.cookie().expect("a cookie");
    sign_in(&visitor, &[]);
    assert_ne!(visitor.cookie().as_ref(), Some(&planted));
    assert_eq!(visitor.get("/").body, "ada, visit 2\n");

    let thief = Visitor::with_cookie(&login, &planted);
    assert_eq!(thief.get("/").status, 409);
}

#[test]
fn sign_out_ends_the_session() {
    let login = start();
    let visitor = Visitor::of(&login);
    sign_in(&visitor, &[]);
    let before = visitor.cookie().expect("a cookie");
    visitor.post("/sign-out", &[]);
    assert_eq!(visitor.cookie(), None);
    let late = Visitor::with_cookie(&login, &before);
    assert_eq!(late.get("/").body, "a guest, visit 1\n");
}

#[test]
fn remembers_who_asks_for_it() {
    let login = start();
    let [desk, phone] = [Visitor::of(&login), Visitor::of(&login)];
    let cookie_of = |answer: Answer| answer.set_cookie.join("\n");
    assert!(!cookie_of(sign_in(&desk, &[])).contains("Max-Age"));
    let remembered = cookie_of(sign_in(&phone, &[("remember", "on")]));
    assert!(remembered.contains("; Max-Age=1209600"), "{remembered}");
}

#[test]
fn signs_out_everywhere() {
    let login = start();
    let [desk, phone, stranger] = [0; 3].map(|_| Visitor::of(&login));
    sign_in(&desk, &[]);
    sign_in(&phone, &[("remember", "on")]);
    assert_eq!(
        stranger.post("/sign-out-everywhere", &[]).body,
        "ended: 0\n"
    );
    assert_eq!(desk.post("/sign-out-everywhere", &[]).body, "ended: 2\n");
    for visitor in [desk, phone] {
        assert_eq!(visitor.get("/").body, "a guest, visit 1\n");
    }
}

#[test]
fn refuses_a_wrong_password() {
    let program = start();
    let visitor = Visitor::of(&program);
    let form = [("name", "ada"), ("password", "byron")];
    assert_eq!(visitor.post("/sign-in", &form).status, 401);
    assert_eq!(visitor.cookie(), None);
}
