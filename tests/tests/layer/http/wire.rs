//! A client that speaks to a router over a real socket, in either version of HTTP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Body;
use http::header::{COOKIE, HOST};
use http::request::Builder;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::ext::Protocol;
use hyper::rt::Executor;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tests::browser::{Answer, Jar};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

/// The name of the cookie in these tests.
pub(crate) const COOKIE_NAME: &str = "__Host-id";

/// How requests travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    /// Without TLS, by prior knowledge.
    Http2,
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::Http1, Self::Http2];
}

/// Serves the app on a free port for as long as the test runs.
pub(crate) async fn serve(app: &Router) -> SocketAddr {
    tests::events::install();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let app = app.clone();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A visitor's connection, with the visitor's cookies.
pub(crate) struct Client {
    address: SocketAddr,
    sender: Sender,
    connection: Connection,
    pub(crate) jar: Jar,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// The tasks of one connection. Clones are the same connection.
#[derive(Clone, Default)]
pub(crate) struct Connection(Arc<Mutex<JoinSet<()>>>);

impl Connection {
    /// Drops the socket, whatever is on its way.
    pub(crate) fn reset(&self) {
        self.tasks().abort_all();
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.0.lock().expect("no task panics with the lock")
    }
}

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Connection {
    fn execute(&self, task: F) {
        self.tasks().spawn(async move { drop(task.await) });
    }
}

impl Client {
    /// A visitor without cookies of an app that is served from now on. The version is in the output
    /// of a test that fails.
    pub(crate) async fn of(app: &Router, version: Version) -> Self {
        println!("{version:?}");
        Self::connect(serve(app).await, version).await
    }

    pub(crate) async fn connect(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        // Who goes away says no farewell: the other side sees a reset.
        stream.set_zero_linger().expect("an open socket");
        let stream = TokioIo::new(stream);
        let connection = Connection::default();
        let sender = match version {
            Version::Http1 => {
                let (sender, driver) = http1::handshake(stream).await.expect("http");
                connection.execute(driver.with_upgrades());
                Sender::Http1(sender)
            }
            Version::Http2 => {
                let handshake = http2::handshake(connection.clone(), stream).await;
                let (sender, driver) = handshake.expect("http");
                connection.execute(driver);
                Sender::Http2(sender)
            }
        };
        Self {
            address,
            sender,
            connection,
            jar: Jar::default(),
        }
    }

    /// Another connection of the same visitor.
    pub(crate) async fn tab(&self) -> Self {
        let mut tab = Self::connect(self.address, self.version()).await;
        tab.jar = self.jar.clone();
        tab
    }

    pub(crate) fn connection(&self) -> Connection {
        self.connection.clone()
    }

    pub(crate) fn version(&self) -> Version {
        match self.sender {
            Sender::Http1(_) => Version::Http1,
            Sender::Http2(_) => Version::Http2,
        }
    }

    /// A request as this version of the protocol has it, without cookies.
    pub(crate) fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method);
        match self.version() {
            Version::Http1 => request.uri(path).header(HOST, "localhost"),
            Version::Http2 => request.uri(format!("http://localhost{path}")),
        }
    }

    /// With the visitor's cookies: in one header, or each in its own where the protocol allows it.
    fn with_cookies(&self, request: Builder) -> Builder {
        let headers = match self.version() {
            Version::Http1 => Vec::from_iter(self.jar.header()),
            Version::Http2 => self.jar.crumbs(),
        };
        let headers = headers.into_iter();
        headers.fold(request, |request, cookies| request.header(COOKIE, cookies))
    }

    /// Sends this request; answers when the head of the response is there.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.expect("an open connection");
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.expect("an open connection");
                sender.send_request(request).await
            }
        };
        let response = response.expect("an answer");
        self.jar.keep(response.headers());
        response
    }

    /// Sends this request with the visitor's cookies, and reads the response to its end.
    pub(crate) async fn send_as_visitor(&mut self, request: Builder) -> Answer {
        let request = self.with_cookies(request).body(Body::empty());
        read(self.send(request.expect("a request")).await).await
    }

    /// Visits a page; answers when the head of the response is there.
    pub(crate) async fn open(&mut self, method: Method, path: &str) -> Response<Incoming> {
        let request = self.with_cookies(self.request(method, path));
        self.send(request.body(Body::empty()).expect("a request"))
            .await
    }

    /// Visits a page to its end.
    pub(crate) async fn visit(&mut self, method: Method, path: &str) -> Answer {
        self.send_as_visitor(self.request(method, path)).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.visit(Method::GET, path).await
    }

    pub(crate) async fn post(&mut self, path: &str) -> Answer {
        self.visit(Method::POST, path).await
    }

    /// Opens a WebSocket: by an upgrade, or by an extended `CONNECT` (RFC 8441). Over HTTP/2 the
    /// server must have said that it takes one, as it does before its first answer.
    pub(crate) async fn websocket(&mut self, path: &str) -> WebSocketStream<TokioIo<Upgraded>> {
        let request = match self.version() {
            Version::Http1 => self
                .request(Method::GET, path)
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-key", "6D69KGBOr4Re+Nj6zx9aQA=="),
            Version::Http2 => self
                .request(Method::CONNECT, path)
                .extension(Protocol::from_static("websocket")),
        };
        let request = request.header("sec-websocket-version", "13");
        let request = self.with_cookies(request).body(Body::empty());
        let mut response = self.send(request.expect("a request")).await;
        let accepted = match self.version() {
            Version::Http1 => 101,
            Version::Http2 => 200,
        };
        assert_eq!(response.status(), accepted);
        let upgraded = hyper::upgrade::on(&mut response).await;
        let stream = TokioIo::new(upgraded.expect("an upgrade"));
        WebSocketStream::from_raw_socket(stream, Role::Client, None).await
    }
}

/// Reads a response to its end.
pub(crate) async fn read(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("the body ends").to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    }
}
