//! Two programs on one host while developing: the cookie's name takes the port, and only then.

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, Request, StatusCode};
use session_runtime::{Key, MemoryStore, Session, SessionError, SessionLayer, Sessions};
use tests::browser::{Jar, send};

#[derive(Session)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    visits: u32,
}

fn program(
    change: impl FnOnce(session_runtime::SessionLayerBuilder) -> session_runtime::SessionLayerBuilder,
) -> Router {
    let layer = change(SessionLayer::builder(MemoryStore::new()));
    let visit = |mut session: Session<Shop>| async move {
        session.visits += 1;
        session.visits.to_string()
    };
    let sign_in = |mut session: Session<Shop>| async move { session.customer = Some(7) };
    let devices = |sessions: Sessions| async move {
        let theirs = sessions.of(Shop::CUSTOMER, &7);
        let list = theirs.list().await?;
        let current = list.iter().filter(|info| info.current).count();
        let ended = theirs.revoke_others().await?;
        Ok::<_, SessionError>(format!("{} {current} {ended}", list.len()))
    };
    Router::new()
        .route("/", get(visit))
        .route("/sign-in", get(sign_in))
        .route("/devices", get(devices))
        .route(
            "/leave",
            get(|session: Session<Shop>| async move { session.destroy() }),
        )
        .layer(layer.build().expect("nothing contradicts"))
}

/// One request of a browser that keeps one jar for all ports. `authority` is HTTP/2's way to say it.
async fn go(
    app: &Router,
    jar: &mut Jar,
    host: &str,
    path: &str,
    authority: bool,
) -> (String, HeaderMap) {
    let uri = match authority {
        true => format!("http://{host}{path}"),
        false => path.to_owned(),
    };
    let mut request = Request::get(uri);
    if !authority {
        request = request.header(HOST, host);
    }
    if let Some(cookies) = jar.header() {
        request = request.header(COOKIE, cookies);
    }
    let answer = send(app, request.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    jar.keep(&answer.headers);
    (answer.body, answer.headers)
}

#[tokio::test]
async fn two_programs_on_two_ports_share_a_jar() {
    for host in ["localhost", "127.0.0.1", "[::1]", "devbox"] {
        for authority in [false, true] {
            let programs = [
                program(|layer| layer.insecure_for_development()),
                program(|layer| {
                    layer
                        .insecure_for_development()
                        .signing_keys([Key::from([7; 32])])
                }),
            ];
            let ports = ["3000", "3001"];
            let mut jar = Jar::default();
            for visit in 1..=3 {
                for (app, port) in programs.iter().zip(ports) {
                    let host = format!("{host}:{port}");
                    let (body, _) = go(app, &mut jar, &host, "/", authority).await;
                    assert_eq!(body, visit.to_string(), "{host}");
                }
            }
            let names = ["id-3000", "id-3001"];
            assert_eq!(jar.crumbs().len(), 2);
            assert!(names.iter().all(|name| jar.get(name).is_some()));

            // A new token, a list that knows its own session, and a removal have the same name.
            let [app, other] = &programs;
            let here = format!("{host}:3000");
            let before = jar.get("id-3000").map(str::to_owned);
            go(app, &mut jar, &here, "/sign-in", authority).await;
            assert_ne!(jar.get("id-3000").map(str::to_owned), before);
            let (body, _) = go(app, &mut jar, &here, "/devices", authority).await;
            assert_eq!(body, "1 1 0");
            let (_, headers) = go(app, &mut jar, &here, "/leave", authority).await;
            let removal = headers["set-cookie"].to_str().expect("a text");
            assert!(removal.starts_with("id-3000=;"), "{removal}");
            assert_eq!(jar.get("id-3000"), None);
            let there = format!("{host}:3001");
            assert_eq!(go(other, &mut jar, &there, "/", authority).await.0, "4");
        }
    }
}

#[tokio::test]
async fn a_name_of_ones_own_and_a_secure_cookie_stay_as_they_are() {
    for (app, host, expected) in [
        (program(|layer| layer), "shop.example:8443", "__Host-id"),
        (
            program(|layer| layer.insecure_for_development()),
            "localhost",
            "id",
        ),
        (
            program(|layer| layer.insecure_for_development().cookie_name("__Host-shop")),
            "localhost:3000",
            "shop",
        ),
        (
            program(|layer| layer.cookie_name("__Host-id").insecure_for_development()),
            "localhost:3000",
            "id",
        ),
        (
            program(|layer| layer.cookie_name("shop")),
            "localhost:3000",
            "shop",
        ),
    ] {
        let mut jar = Jar::default();
        for visit in ["1", "2"] {
            assert_eq!(go(&app, &mut jar, host, "/", false).await.0, visit);
        }
        assert!(jar.get(expected).is_some(), "{expected}");
        assert_eq!(jar.crumbs().len(), 1, "{expected}");
    }
}

/// The cookie of another port, and one under the bare name, are not ours.
#[tokio::test]
async fn a_token_under_another_name_opens_nothing() {
    let app = program(|layer| layer.insecure_for_development());
    let mut jar = Jar::default();
    go(&app, &mut jar, "localhost:3000", "/", false).await;
    let token = jar.get("id-3000").expect("a cookie").to_owned();
    for name in ["id", "id-3001", "id-03000", "id-3000x", "ID-3000"] {
        let mut jar = Jar::default();
        jar.insert(name, &token);
        assert_eq!(
            go(&app, &mut jar, "localhost:3000", "/", false).await.0,
            "1",
            "{name}"
        );
    }
}
