use std::thread;

use crate::program::Program;
use crate::visitor::Visitor;

#[test]
fn requests_at_once_lose_nothing() {
    let cart = Program::start(env!("CARGO_BIN_EXE_cart"));
    let visitor = Visitor::of(&cart);
    visitor.post("/add/tea", &[]);
    thread::scope(|scope| {
        scope.spawn(|| visitor.post_at_once(10, "/add/cup", &[]));
        scope.spawn(|| visitor.post_at_once(10, "/add/tea", &[]));
    });
    let shown = visitor.get("/").body;
    assert_eq!(shown, "{\"cup\": 10, \"tea\": 11}, 21 added, coupon none\n");
}

#[test]
fn the_first_coupon_counts() {
    let cart = Program::start(env!("CARGO_BIN_EXE_cart"));
    let visitor = Visitor::of(&cart);
    visitor.post("/coupon", &[("code", "SPRING")]);
    visitor.post("/coupon", &[("code", "AUTUMN")]);
    assert_eq!(visitor.get("/").body, "{}, 0 added, coupon SPRING\n");
}
