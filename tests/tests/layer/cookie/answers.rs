//! The headers that the layer adds to a response: one cookie of ours, and rules for caches.

use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE, VARY};
use session_runtime::{MemoryStore, ReadSession, Session, SessionError, SessionLayer};
use tests::browser::Answer;
use tests::visitor::Visitor;

use super::{Shop, counted, read, signed_in, write};

#[tokio::test]
async fn s08_a_token_leaves_only_in_set_cookie() {
    let (layer, _) = counted();
    let mut visitor = Visitor::new(&layer);
    let answer = visitor.visit(write).await;
    let token = visitor.token().unwrap();
    for (name, value) in &answer.headers {
        let shows = String::from_utf8_lossy(value.as_bytes()).contains(&token);
        assert_eq!(shows, name == SET_COOKIE, "{name}");
    }
    assert!(!answer.body.contains(&token));
    let shown = format!("{:?}", answer.headers);
    assert!(!shown.contains(&token), "kept out of `Debug`: {shown}");
}

#[tokio::test]
async fn s42_exactly_one_cookie_is_ours_and_foreign_ones_stay() {
    let (layer, _) = counted();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Shop>| async move {
        session.visits += 1;
        session.save().await?;
        session.rotate();
        session.save().await?;
        session.rotate();
        let cookies = AppendHeaders([
            (SET_COOKIE, "theme=dark; Path=/"),
            (SET_COOKIE, "__Host-id=forged; Path=/"),
            (SET_COOKIE, "lang=eo"),
            (SET_COOKIE, "__Host-id-of-another=1"),
        ]);
        Ok::<_, SessionError>((cookies, Redirect::to("/elsewhere")))
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.headers[LOCATION], "/elsewhere");
    let cookies = answer.set_cookies();
    assert_eq!(
        cookies[..3],
        ["theme=dark; Path=/", "lang=eo", "__Host-id-of-another=1"]
    );
    let ours: Vec<_> = cookies
        .iter()
        .filter(|cookie| cookie.starts_with("__Host-id="))
        .collect();
    assert_eq!(ours.len(), 1);
    assert!(!ours[0].contains("forged"));
    assert_eq!(visitor.visit(read).await.body, "1");
}

/// A status, an error, a redirect, a commit that fails, or an answer of the layer's own.
#[tokio::test]
async fn s42_one_cookie_at_most_however_the_handler_ends() {
    const FOREIGN: &str = "theme=dark; Path=/";
    const FORGED: &str = "__Host-id=forged; Path=/";
    let layer = SessionLayer::builder(MemoryStore::new()).max_field_bytes(4);
    let layer = layer.build().unwrap();
    let cookies = || AppendHeaders([(SET_COOKIE, FOREIGN), (SET_COOKIE, FORGED)]);
    // The answer, what it writes, and whether our cookie and the foreign one are there then.
    type Ends = (fn() -> Response, u32, usize, usize);
    let ends: [Ends; 6] = [
        (|| "fine".into_response(), 1, 1, 1),
        (|| StatusCode::NOT_FOUND.into_response(), 1, 1, 1),
        (
            || StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            1,
            1,
            1,
        ),
        (|| Redirect::to("/elsewhere").into_response(), 1, 1, 1),
        (|| SessionError::Gone.into_response(), 1, 1, 0),
        (|| "not saved".into_response(), 123_456, 0, 0),
    ];
    for (number, (end, visits, ours, foreign)) in ends.into_iter().enumerate() {
        let page = move |mut session: Session<Shop>| async move {
            session.visits = visits;
            (cookies(), end())
        };
        let set = Visitor::new(&layer).visit(page).await.set_cookies();
        let of_our_name = set.iter().filter(|cookie| cookie.starts_with("__Host-id="));
        assert_eq!(of_our_name.count(), ours, "{number}: {set:?}");
        let foreign_ones = set.iter().filter(|cookie| *cookie == FOREIGN);
        assert_eq!(foreign_ones.count(), foreign, "{number}: {set:?}");
        assert!(
            !set.iter().any(|cookie| cookie.contains("forged")),
            "{set:?}"
        );
    }
}

#[tokio::test]
async fn s42_cookies_of_others_are_untouched_where_we_say_nothing() {
    let (layer, _) = counted();
    let (mut visitor, _) = signed_in(&layer).await;
    let page = |_: ReadSession<Shop>| async {
        AppendHeaders([(SET_COOKIE, "a=1"), (SET_COOKIE, "b=2; Max-Age=5")])
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.set_cookies(), ["a=1", "b=2; Max-Age=5"]);
}

#[tokio::test]
async fn s47_a_response_with_our_cookie_is_not_stored() {
    let (layer, _) = counted();
    let given = |answer: &Answer| {
        let values = answer.headers.get_all(CACHE_CONTROL).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    for (said, expected) in [
        ("public, max-age=60", "no-store"),
        ("private", "no-store"),
        ("no-store", "no-store"),
        ("No-Store, private", "No-Store, private"),
        ("private,no-store", "private,no-store"),
    ] {
        let page = move |mut session: Session<Shop>| async move {
            session.visits += 1;
            [(CACHE_CONTROL, said)]
        };
        let answer = Visitor::new(&layer).visit(page).await;
        assert_eq!(given(&answer), [expected]);
    }

    let answer = Visitor::new(&layer).visit(write).await;
    assert_eq!(given(&answer), ["no-store"]);
    let (mut visitor, _) = signed_in(&layer).await;
    let page = |_: ReadSession<Shop>| async { [(CACHE_CONTROL, "private, max-age=60")] };
    let answer = visitor.visit(page).await;
    assert_eq!(given(&answer), ["private, max-age=60"], "no cookie, no say");

    let logout = |session: Session<Shop>| async move { session.destroy() };
    let answer = visitor.visit(logout).await;
    assert_eq!(given(&answer), ["no-store"]);
}

#[tokio::test]
async fn s47_what_read_a_session_varies_on_the_cookie() {
    let (layer, _) = counted();
    let (mut visitor, _) = signed_in(&layer).await;
    let varies = |answer: &Answer| {
        let values = answer.headers.get_all(VARY).iter();
        values
            .map(|value| value.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(varies(&visitor.visit(read).await), ["cookie"]);
    assert_eq!(varies(&visitor.visit(write).await), ["cookie"]);
    assert_eq!(varies(&Visitor::new(&layer).visit(read).await), ["cookie"]);
    assert_eq!(varies(&visitor.visit(|| async {}).await), [""; 0]);

    for (said, expected) in [
        ("accept-encoding", vec!["accept-encoding", "cookie"]),
        ("Accept, COOKIE", vec!["Accept, COOKIE"]),
        ("*", vec!["*"]),
        ("x-cookie", vec!["x-cookie", "cookie"]),
    ] {
        let page = move |_: ReadSession<Shop>| async move { [(VARY, said)] };
        assert_eq!(varies(&visitor.visit(page).await), expected);
    }
}

#[tokio::test]
async fn an_error_page_may_set_its_own_cookies() {
    let layer = SessionLayer::builder(MemoryStore::new())
        .max_field_bytes(4)
        .on_error(|error: SessionError| {
            let cookies = AppendHeaders([(SET_COOKIE, "flash=sorry")]);
            (StatusCode::IM_A_TEAPOT, cookies, error.to_string()).into_response()
        })
        .build()
        .unwrap();
    let page = |mut session: Session<Shop>| async move { session.visits = 123_456 };
    let answer = Visitor::new(&layer).visit(page).await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert_eq!(answer.set_cookies(), ["flash=sorry"]);
}
