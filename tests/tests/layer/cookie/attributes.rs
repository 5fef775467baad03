//! The attributes of our cookie, when it is set and when it is removed.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Request;
use session_runtime::{Key, MemoryStore, SameSite, Session, SessionLayer};
use tests::browser::send;
use tests::visitor::{Visitor, page};

use super::{Shop, counted, signed_in, write};

fn attributes(cookie: &str) -> BTreeSet<&str> {
    cookie.split(';').skip(1).map(str::trim).collect()
}

#[tokio::test]
async fn s35_s37_s38_s41_the_default_cookie_is_a_strict_one() {
    let layer = SessionLayer::new(MemoryStore::new());
    let answer = Visitor::new(&layer).visit(write).await;
    let [cookie] = &answer.set_cookies()[..] else {
        panic!("one cookie: {:?}", answer.set_cookies());
    };
    let (name, value) = cookie
        .split(';')
        .next()
        .and_then(|pair| pair.split_once('='))
        .expect("a cookie is a pair");
    assert_eq!(name, "__Host-id");
    assert_eq!(value.len(), 43);
    assert_eq!(
        attributes(cookie),
        BTreeSet::from(["HttpOnly", "Secure", "SameSite=Lax", "Path=/"]),
        "neither `Domain` nor `Max-Age` nor `Expires`"
    );
}

/// There is no setting for it, and no other setting takes it away.
#[tokio::test]
async fn s37_nothing_removes_http_only() {
    let builder = || SessionLayer::builder(MemoryStore::new());
    for builder in [
        builder(),
        builder().persistent(),
        builder().partitioned(),
        builder().same_site(SameSite::None),
        builder().cookie_name("id").domain("shop.example"),
        builder().insecure_for_development(),
        builder().signing_keys([Key::from([1; 32])]),
    ] {
        let mut visitor = Visitor::new(&builder.build().unwrap());
        let remember = |mut session: Session<Shop>| async move {
            session.visits += 1;
            session.remember(true);
        };
        let rotate = |mut session: Session<Shop>| async move { session.rotate() };
        let logout = |session: Session<Shop>| async move { session.destroy() };
        let answers = [
            visitor.visit(write).await,
            visitor.visit(remember).await,
            visitor.visit(rotate).await,
            visitor.visit(logout).await,
        ];
        for answer in answers {
            let cookies = answer.set_cookies();
            assert_eq!(cookies.len(), 1, "{cookies:?}");
            assert!(attributes(&cookies[0]).contains("HttpOnly"), "{cookies:?}");
        }
    }
}

#[tokio::test]
async fn s36_secure_never_depends_on_the_request() {
    let layer = SessionLayer::new(MemoryStore::new());
    for (uri, forwarded) in [
        ("http://localhost/", "http"),
        ("https://shop.example/", "https"),
        ("/", "http"),
    ] {
        let request = Request::get(uri)
            .header("x-forwarded-proto", forwarded)
            .header("forwarded", format!("proto={forwarded}"))
            .header("host", "localhost")
            .body(Body::empty())
            .unwrap();
        let answer = send(&page(&layer, write), request).await;
        let cookies = answer.set_cookies();
        assert!(attributes(&cookies[0]).contains("Secure"), "{cookies:?}");
        assert!(cookies[0].starts_with("__Host-"), "{cookies:?}");
    }
}

#[tokio::test]
async fn s27_the_removal_has_the_attributes_of_the_cookie() {
    let store = MemoryStore::new();
    for layer in [
        SessionLayer::new(MemoryStore::new()),
        SessionLayer::builder(store)
            .cookie_name("sid")
            .domain("shop.example")
            .same_site(SameSite::None)
            .partitioned()
            .build()
            .unwrap(),
        SessionLayer::builder(MemoryStore::new())
            .insecure_for_development()
            .build()
            .unwrap(),
    ] {
        let mut visitor = Visitor::new(&layer);
        let given = visitor.visit(write).await.set_cookies();
        let logout = |session: Session<Shop>| async move { session.destroy() };
        let removed = visitor.visit(logout).await.set_cookies();
        assert_eq!((given.len(), removed.len()), (1, 1));

        let (name, value) = removed[0]
            .split_once(';')
            .unwrap()
            .0
            .split_once('=')
            .unwrap();
        assert!(given[0].starts_with(&format!("{name}=")));
        assert_eq!(value, "");
        let mut expected = attributes(&given[0]);
        expected.extend(["Max-Age=0", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"]);
        assert_eq!(attributes(&removed[0]), expected);
    }
}

#[tokio::test]
async fn s53_the_cookie_decodes_to_random_bytes_only() {
    let (layer, _) = counted();
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        let (mut visitor, token) = signed_in(&layer).await;
        assert!(
            token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        let rotate = |mut session: Session<Shop>| async move { session.rotate() };
        visitor.visit(rotate).await;
        let rotated = visitor.token().unwrap();
        // The id names the record and stays, the secret is another one in every character.
        assert_eq!(rotated[..21], token[..21]);
        let same = token[22..]
            .bytes()
            .zip(rotated[22..].bytes())
            .filter(|(a, b)| a == b)
            .count();
        assert!(same < 8, "{same} of 21 characters stayed");
        assert!(seen.insert(token[..21].to_owned()) && seen.insert(token[22..].to_owned()));
        assert!(seen.insert(rotated[22..].to_owned()));
    }
}
