//! The shop on stores that outlive it.

use tests::servers::{Options, Server, available};

use crate::program::{Program, run};
use crate::visitor::{Answer, Visitor};

const SHOP: &str = env!("CARGO_BIN_EXE_shop");
const ADA: [(&str, &str); 2] = [("name", "ada"), ("password", "lovelace")];

fn open(store: &str) -> Program {
    Program::start_with(SHOP, &["--listen", "127.0.0.1:0", "--store", store])
}

/// The token in the cookie of this answer.
fn token(shop: &Program, answer: &Answer) -> String {
    let name = format!("{}=", shop.cookie_name());
    let cookie = answer
        .set_cookie
        .iter()
        .find_map(|cookie| cookie.strip_prefix(&name));
    let value = cookie.and_then(|cookie| cookie.split(';').next());
    value.expect("the answer sets the cookie").to_owned()
}

/// Signs in with something in the cart; answers the token.
fn sign_in_with_a_cart(shop: &Program) -> String {
    let visitor = Visitor::of(shop);
    assert_eq!(visitor.post("/cart/tea/add", &[]).status, 303);
    let answer = visitor.post("/sign-in", &ADA);
    assert_eq!(answer.status, 303);
    token(shop, &answer)
}

fn assert_is_still_there(shop: &Program, token: &str) {
    let visitor = Visitor::with_cookie(shop, token);
    assert!(visitor.get("/cart").body.contains("data-sku=\"tea\">× 1"));
    assert_eq!(visitor.get("/account").element("name"), Some("ada"));
    assert!(visitor.get("/devices").body.contains("this one"));
}

#[test]
fn files_survive_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = format!("file:{}", folder.path().join("sessions").display());
    let shop = open(&store);
    let token = sign_in_with_a_cart(&shop);
    assert!(shop.terminate().success());

    let shop = open(&store);
    assert_is_still_there(&shop, &token);
    drop(shop); // killed
    assert_is_still_there(&open(&store), &token);
}

#[test]
fn two_instances_share_sessions_and_one_may_die() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let (first, second) = (open(&server.url()), open(&server.url()));
        let token = sign_in_with_a_cart(&first);
        assert_is_still_there(&second, &token);
        drop(first); // killed
        assert_is_still_there(&second, &token);

        let visitor = Visitor::with_cookie(&second, &token);
        assert_eq!(visitor.post("/sign-out", &[]).status, 303);
        let page = Visitor::with_cookie(&open(&server.url()), &token).get("/cart");
        assert!(page.body.contains("nothing in it"), "{generation:?}");
    }
}

#[test]
fn a_store_that_is_down_is_an_answer_and_comes_back() {
    for generation in available() {
        let mut server = Server::start(generation, &Options::default());
        let shop = open(&server.url());
        let token = sign_in_with_a_cart(&shop);
        let visitor = Visitor::with_cookie(&shop, &token);
        server.kill();
        let answer = visitor.get("/cart");
        assert_eq!(answer.status, 503, "{generation:?}");
        assert_eq!(answer.set_cookie, [""; 0], "never a new visitor");
        server.restart();
        // The server kept nothing, so the visitor has no session any more.
        crate::program::wait_for("the shop to reach its store", || {
            let answer = Visitor::of(&shop).post("/cart/tea/add", &[]);
            (answer.status == 303).then_some(())
        });
    }
}

#[test]
fn an_unknown_store_is_refused_in_words() {
    for store in ["postgres://127.0.0.1", "file:", "memcached", "redis"] {
        let output = run(SHOP, &["--store", store]);
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("expected `memory`, `file:FOLDER` or"),
            "{said}"
        );
    }
}
