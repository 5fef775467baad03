//! Over a real socket, and with the methods and statuses that are treated specially.

use std::future::Ready;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{get, post};
use http::header::{CONTENT_LENGTH, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};
use tests::visitor::Visitor;
use tokio::net::{TcpListener, TcpStream};
use tower::{Layer, Service, ServiceExt};

#[derive(Session, Default)]
struct Shop {
    visits: u32,
    cart: Vec<String>,
}

async fn write(mut session: Session<Shop>) -> String {
    session.visits += 1;
    session.visits.to_string()
}

async fn read(session: ReadSession<Shop>) -> String {
    session.visits.to_string()
}

/// A service that has no room for requests at the moment.
#[derive(Clone)]
struct Busy;

impl Service<Request<Body>> for Busy {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Err("busy"))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        unreachable!("nobody calls a service that is not ready")
    }
}

#[tokio::test]
async fn the_layer_is_ready_when_what_it_wraps_is() {
    let mut wrapped = SessionLayer::new(MemoryStore::new()).layer(Busy);
    assert_eq!(wrapped.ready().await.err(), Some("busy"));
}

/// Serves the app on a free port for as long as the test runs.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// One connection with a cookie.
struct Client {
    connection: SendRequest<Body>,
    cookie: Option<String>,
}

impl Client {
    async fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("it listens");
        let (connection, driver) = handshake(TokioIo::new(stream)).await.expect("http");
        tokio::spawn(driver);
        Self {
            connection,
            cookie: None,
        }
    }

    async fn send(&mut self, method: Method, path: &str) -> Response<Incoming> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost");
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let request = request.body(Body::empty()).expect("a request");
        self.connection
            .ready()
            .await
            .expect("the connection is open");
        let response = self
            .connection
            .send_request(request)
            .await
            .expect("an answer");
        for cookie in response.headers().get_all(SET_COOKIE) {
            let cookie = cookie.to_str().expect("text");
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        response
    }
}

async fn text(response: Response<Incoming>) -> String {
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

/// The response must not leave before its commit: who follows it at once sees what it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p5_a_redirect_that_is_followed_at_once_never_shows_the_past() {
    let add = |mut session: Session<Shop>| async move {
        session.visits += 1;
        Redirect::to("/cart")
    };
    let app = Router::new()
        .route("/add", post(add))
        .route("/cart", get(read))
        .layer(SessionLayer::new(MemoryStore::new()));
    let address = serve(app).await;
    let mut client = Client::new(address).await;
    let mut follower = Client::new(address).await;
    for round in 1..=300 {
        let response = client.send(Method::POST, "/add").await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER);
        // The head of the response is enough; its body is not waited for.
        let to = response.headers()[LOCATION].to_str().unwrap().to_owned();
        follower.cookie.clone_from(&client.cookie);
        let shown = follower.send(Method::GET, &to).await;
        assert_eq!(text(shown).await, round.to_string());
        text(response).await;
    }
}

#[tokio::test]
async fn head_is_treated_as_get() {
    let app = Router::new()
        .route("/", get(write))
        .layer(SessionLayer::new(MemoryStore::new()));
    let address = serve(app).await;
    let mut client = Client::new(address).await;
    let response = client.send(Method::HEAD, "/").await;
    assert_eq!(response.headers().get_all(SET_COOKIE).iter().count(), 1);
    assert_eq!(response.headers()[CONTENT_LENGTH], "1");
    assert_eq!(text(response).await, "");
    let response = client.send(Method::GET, "/").await;
    assert_eq!(text(response).await, "2");
}

#[tokio::test]
async fn lengths_and_bodies_are_the_handlers() {
    let app = Router::new()
        .route(
            "/",
            get(|_: ReadSession<Shop>| async { "x".repeat(100_000) }),
        )
        .layer(SessionLayer::new(MemoryStore::new()));
    let address = serve(app).await;
    let response = Client::new(address).await.send(Method::GET, "/").await;
    assert_eq!(response.headers()[CONTENT_LENGTH], "100000");
    assert_eq!(text(response).await.len(), 100_000);
}

#[tokio::test]
async fn statuses_without_a_body_carry_the_cookie() {
    let layer = SessionLayer::new(MemoryStore::new());
    for status in [
        StatusCode::NO_CONTENT,
        StatusCode::NOT_MODIFIED,
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::TEMPORARY_REDIRECT,
    ] {
        let page = move |mut session: Session<Shop>| async move {
            session.visits += 1;
            (status, [(LOCATION, "/elsewhere")])
        };
        let mut visitor = Visitor::new(&layer);
        let answer = visitor.visit(page).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.set_cookies().len(), 1);
        assert_eq!(answer.headers[LOCATION], "/elsewhere");
        assert_eq!(visitor.visit(read).await.body, "1");
    }
}

#[tokio::test]
async fn s30_a_get_that_changes_nothing_has_no_cookie() {
    let layer = SessionLayer::new(MemoryStore::new());
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
        let app = tests::visitor::page(&layer, read);
        visitor.browser().go_to(&app);
        let answer = visitor.browser().request(method, "/").await;
        assert_eq!(answer.set_cookies(), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_many_connections_of_one_visitor_lose_nothing() {
    #[derive(Session, Default)]
    struct Wide {
        zero: u32,
        one: u32,
        two: u32,
        three: u32,
        #[session(merge = "add")]
        all: u32,
    }
    async fn bump(
        axum::extract::Path(field): axum::extract::Path<u32>,
        mut session: Session<Wide>,
    ) -> impl IntoResponse {
        let session = &mut *session;
        session.all += 1;
        *match field {
            0 => &mut session.zero,
            1 => &mut session.one,
            2 => &mut session.two,
            _ => &mut session.three,
        } += 1;
    }
    let show = |session: ReadSession<Wide>| async move {
        let Wide {
            zero,
            one,
            two,
            three,
            all,
        } = &*session;
        format!("{zero} {one} {two} {three} {all}")
    };
    let app = Router::new()
        .route("/bump/{field}", post(bump))
        .route("/", get(show))
        .layer(SessionLayer::new(MemoryStore::new()));
    let address = serve(app).await;
    let mut first = Client::new(address).await;
    text(first.send(Method::POST, "/bump/0").await).await;
    let cookie = first.cookie.clone();

    // Each connection has a field of its own, all share the sum.
    let clients = (0..4).map(|field| {
        let cookie = cookie.clone();
        tokio::spawn(async move {
            let mut client = Client::new(address).await;
            client.cookie = cookie;
            for _ in 0..50 {
                let response = client.send(Method::POST, &format!("/bump/{field}")).await;
                assert_eq!(response.status(), StatusCode::OK);
                assert!(response.headers().get(SET_COOKIE).is_none());
                text(response).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert_eq!(
        text(first.send(Method::GET, "/").await).await,
        "51 50 50 50 201"
    );
}

#[tokio::test]
async fn the_handlers_headers_stay() {
    let layer = SessionLayer::new(MemoryStore::new());
    let page = |mut session: Session<Shop>| async move {
        session.cart.push("pear".to_owned());
        let mut response = "body".into_response();
        let headers = response.headers_mut();
        headers.insert("x-custom", HeaderValue::from_static("kept"));
        headers.insert("etag", HeaderValue::from_static("\"1\""));
        response
    };
    let answer = Visitor::new(&layer).visit(page).await;
    assert_eq!(answer.headers["x-custom"], "kept");
    assert_eq!(answer.headers["etag"], "\"1\"");
    assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
}
