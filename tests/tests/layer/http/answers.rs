//! Methods, statuses and headers that are treated specially.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect};
use axum::routing::{any, get, post};
use http::header::{CONTENT_LENGTH, COOKIE, ETAG, IF_NONE_MATCH, LOCATION, VARY};
use http::{HeaderMap, Method, StatusCode};
use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer};
use tests::counting::CountingStore;

use super::wire::{self, COOKIE_NAME, Client, Version};
use super::{Shop, read, write};

fn layer() -> SessionLayer {
    SessionLayer::new(MemoryStore::new())
}

#[tokio::test]
async fn head_is_treated_as_get() {
    for version in Version::ALL {
        let app = Router::new().route("/", get(write)).layer(layer());
        let mut visitor = Client::of(&app, version).await;
        let answer = visitor.visit(Method::HEAD, "/").await;
        assert_eq!(answer.set_cookies().len(), 1);
        assert_eq!(answer.headers[CONTENT_LENGTH], "1");
        assert_eq!(answer.body, "");
        assert_eq!(visitor.get("/").await.body, "2");
    }
}

#[tokio::test]
async fn lengths_and_bodies_are_the_handlers() {
    for version in Version::ALL {
        let page = |_: ReadSession<Shop>| async { "x".repeat(100_000) };
        let app = Router::new().route("/", get(page)).layer(layer());
        let answer = Client::of(&app, version).await.get("/").await;
        assert_eq!(answer.headers[CONTENT_LENGTH], "100000");
        assert_eq!(answer.body.len(), 100_000);
    }
}

#[tokio::test]
async fn statuses_without_a_body_carry_the_cookie() {
    let page = |Path(status): Path<u16>, mut session: Session<Shop>| async move {
        session.visits += 1;
        let status = StatusCode::from_u16(status).expect("a status");
        (status, [(LOCATION, "/elsewhere")])
    };
    let app = Router::new()
        .route("/", get(read))
        .route("/{status}", any(page))
        .layer(layer());
    for version in Version::ALL {
        for status in [204, 205, 301, 303, 304, 307, 308] {
            let mut visitor = Client::of(&app, version).await;
            let answer = visitor.get(&format!("/{status}")).await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.set_cookies().len(), 1);
            assert_eq!(answer.headers[LOCATION], "/elsewhere");
            assert_eq!(answer.body, "");
            assert_eq!(visitor.get("/").await.body, "1 ", "after {status}");
        }
    }
}

/// A page that has not changed is still a visit, and what the visit changes is saved.
#[tokio::test]
async fn a_304_commits_what_changed_and_costs_nothing_where_nothing_did() {
    async fn tagged(headers: &HeaderMap) -> impl IntoResponse {
        let seen = headers.get(IF_NONE_MATCH).is_some();
        let status = if seen {
            StatusCode::NOT_MODIFIED
        } else {
            StatusCode::OK
        };
        (status, [(ETAG, "\"1\"")])
    }
    let counted = |mut session: Session<Shop>, headers: HeaderMap| async move {
        session.visits += 1;
        tagged(&headers).await.into_response()
    };
    let unchanged = |_: ReadSession<Shop>, headers: HeaderMap| async move {
        tagged(&headers).await.into_response()
    };
    let store = CountingStore::new(MemoryStore::new());
    let app = Router::new()
        .route("/counted", get(counted))
        .route("/unchanged", get(unchanged))
        .route("/", get(read))
        .layer(SessionLayer::new(store.clone()));
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        for (path, calls, cookies) in [
            ("/unchanged", (0, 0), 0), // without a cookie the store is not asked
            ("/counted", (0, 1), 1),
            ("/counted", (1, 1), 0),
            ("/unchanged", (1, 0), 0),
        ] {
            store.take_counts();
            let request = visitor.request(Method::GET, path);
            let request = request.header(IF_NONE_MATCH, "\"1\"");
            let answer = visitor.send_as_visitor(request).await;
            assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
            assert_eq!(answer.headers[ETAG], "\"1\"");
            assert_eq!(answer.headers[VARY], "cookie");
            assert_eq!(store.take_counts(), calls, "{path}");
            assert_eq!(answer.set_cookies().len(), cookies, "{path}");
        }
        assert_eq!(visitor.get("/").await.body, "2 ");
    }
}

#[tokio::test]
async fn a_redirect_carries_the_cookie_to_where_it_leads() {
    let add = |mut session: Session<Shop>| async move {
        session.name.push('x');
        Redirect::to("/cart")
    };
    let app = Router::new()
        .route("/add", post(add))
        .route("/cart", get(read))
        .layer(layer());
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        let answer = visitor.post("/add").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert_eq!(answer.headers[LOCATION], "/cart");
        assert_eq!(visitor.get("/cart").await.body, "0 x");
    }
}

#[tokio::test]
async fn s30_a_get_that_changes_nothing_has_no_cookie() {
    let app = Router::new()
        .route("/write", post(write))
        .route("/", any(read))
        .layer(layer());
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        visitor.post("/write").await;
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST] {
            let answer = visitor.visit(method, "/").await;
            assert_eq!(answer.set_cookies(), [""; 0]);
        }
    }
}

/// HTTP/2 lets a client send each cookie in a header of its own, and proxies to HTTP/1.1 are known
/// to pass them on as they came.
#[tokio::test]
async fn s43_the_token_is_found_in_whichever_cookie_header_it_is() {
    let app = Router::new()
        .route("/write", post(write))
        .route("/", get(read))
        .layer(layer());
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        visitor.post("/write").await;
        let ours = visitor.jar.crumbs().remove(0);
        for place in 0..4 {
            let mut headers = vec!["theme=dark", "lang=en; consent=yes", "empty="];
            headers.insert(place, &ours);
            let request = visitor.request(Method::GET, "/");
            let request = headers
                .iter()
                .fold(request, |request, cookie| request.header(COOKIE, *cookie))
                .body(Body::empty())
                .expect("a request");
            let answer = wire::read(visitor.send(request).await).await;
            assert_eq!(answer.body, "1 ", "{headers:?}");
            assert_eq!(answer.set_cookies(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn the_handlers_headers_stay() {
    for version in Version::ALL {
        let page = |mut session: Session<Shop>| async move {
            session.name.push('x');
            let headers = [
                ("x-custom", "kept"),
                ("etag", "\"1\""),
                ("set-cookie", "theme=dark"),
            ];
            (headers, "body")
        };
        let app = Router::new().route("/", get(page)).layer(layer());
        let mut visitor = Client::of(&app, version).await;
        let answer = visitor.get("/").await;
        assert_eq!(answer.headers["x-custom"], "kept");
        assert_eq!(answer.headers["etag"], "\"1\"");
        assert_eq!(answer.headers["content-type"], "text/plain; charset=utf-8");
        assert_eq!(visitor.jar.get("theme"), Some("dark"));
        assert!(visitor.jar.get(COOKIE_NAME).is_some());
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
    async fn bump(Path(field): Path<u32>, mut session: Session<Wide>) {
        let session = &mut *session;
        session.all += 1;
        *match field {
            0 => &mut session.zero,
            1 => &mut session.one,
            2 => &mut session.two,
            _ => &mut session.three,
        } += 1;
    }
    async fn show(session: ReadSession<Wide>) -> String {
        let Wide {
            zero,
            one,
            two,
            three,
            all,
        } = &*session;
        format!("{zero} {one} {two} {three} {all}")
    }
    let app = Router::new()
        .route("/bump/{field}", post(bump))
        .route("/", get(show))
        .layer(layer());
    for version in Version::ALL {
        let mut visitor = Client::of(&app, version).await;
        visitor.post("/bump/0").await;
        // Each connection has a field of its own, all share the sum.
        let mut tabs = Vec::new();
        for field in 0..4 {
            let mut tab = visitor.tab().await;
            tabs.push(tokio::spawn(async move {
                for _ in 0..50 {
                    let answer = tab.post(&format!("/bump/{field}")).await;
                    assert_eq!(answer.status, StatusCode::OK);
                    assert_eq!(answer.set_cookies(), [""; 0]);
                }
            }));
        }
        for tab in tabs {
            tab.await.expect("no assertion fails");
        }
        assert_eq!(visitor.get("/").await.body, "51 50 50 50 201");
    }
}
