//! A process of its own that gives one visitor a new token, again and again without end, and prints
//! each token that it was given on a line: `files FOLDER TOKEN` or `server PORT PREFIX TOKEN`, as
//! [`tests::drivers`] makes them.

use std::io::Write;

use session_runtime::{Session, SessionLayer};
use tests::drivers::node;
use tests::visitor::Visitor;

/// Any schema of the session.
#[derive(Session)]
#[session(name = "shop")]
struct Shop {
    cart: u32,
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (token, place) = arguments.split_last().expect("a token");
    let layer = SessionLayer::new(node(place).await);
    let mut visitor = Visitor::new(&layer);
    visitor.set_token(token);
    loop {
        let page = |mut session: Session<Shop>| async move {
            session.rotate();
            session.cart.to_string()
        };
        let answer = visitor.visit(page).await;
        assert!(answer.status.is_success(), "{answer:?}");
        let mut output = std::io::stdout().lock();
        let token = visitor.token().expect("a new token");
        writeln!(output, "{token}").expect("a reader");
        output.flush().expect("a reader");
    }
}
