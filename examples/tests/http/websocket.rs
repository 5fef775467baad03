use std::net::TcpStream;

use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

use crate::program::{PATIENCE, Program};
use crate::visitor::Visitor;

fn start() -> Program {
    Program::start(env!("CARGO_BIN_EXE_websocket"))
}

/// Opens a socket with the visitor's cookie; the status where that is refused.
fn connect(program: &Program, cookie: Option<&str>) -> Result<WebSocket<TcpStream>, u16> {
    let address = program.address();
    let mut request = format!("ws://{address}/chat")
        .into_client_request()
        .expect("a request");
    if let Some(cookie) = cookie {
        let cookie = format!("{}={cookie}", program.cookie_name());
        let cookie = cookie.parse().expect("a header's value");
        request.headers_mut().insert("cookie", cookie);
    }
    let stream = TcpStream::connect(address).expect("the program listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    match tungstenite::client(request, stream) {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
            Err(response.status().as_u16())
        }
        Err(other) => panic!("the handshake failed: {other}"),
    }
}

fn say(socket: &mut WebSocket<TcpStream>, text: &str) -> String {
    socket.send(text.into()).expect("the socket is open");
    match socket.read().expect("an answer") {
        Message::Text(text) => text.to_string(),
        other => panic!("a text was expected, not {other:?}"),
    }
}

fn reason(socket: &mut WebSocket<TcpStream>) -> String {
    match socket.read().expect("a message") {
        Message::Close(Some(CloseFrame { reason, .. })) => reason.to_string(),
        other => panic!("the socket was to be closed, not {other:?}"),
    }
}

#[test]
fn what_a_socket_changes_is_in_the_session() {
    let program = start();
    let visitor = Visitor::of(&program);
    visitor.post("/sign-in", &[]);
    let cookie = visitor.cookie();
    let mut one = connect(&program, cookie.as_deref()).expect("signed in");
    let mut other = connect(&program, cookie.as_deref()).expect("signed in");
    assert_eq!(say(&mut one, "hello"), "1 hello");
    assert_eq!(visitor.get("/").body, "1 messages\n");
    say(&mut other, "hello");
    say(&mut one, "bye");
    assert_eq!(visitor.get("/").body, "3 messages\n");
}

#[test]
fn a_socket_ends_with_its_session() {
    let program = start();
    let [ada, grace] = [Visitor::of(&program), Visitor::of(&program)];
    let [mut of_ada, mut of_grace] = [&ada, &grace].map(|visitor| {
        visitor.post("/sign-in", &[]);
        connect(&program, visitor.cookie().as_deref()).expect("signed in")
    });
    say(&mut of_ada, "hello");
    ada.post("/sign-out", &[]);
    // Without a word of the visitor.
    assert_eq!(reason(&mut of_ada), "signed out");
    assert_eq!(say(&mut of_grace, "hello"), "1 hello");
    assert_eq!(ada.get("/").body, "0 messages\n");
}

#[test]
fn who_is_not_signed_in_opens_no_socket() {
    let program = start();
    assert_eq!(connect(&program, None).err(), Some(401));
}
