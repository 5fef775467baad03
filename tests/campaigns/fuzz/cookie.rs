//! Any bytes in the `Cookie` header: never a panic, and a store call for each thing that is a token
//! and for nothing else.
//!
//! `SESSION_FUZZ_INPUTS` says how many inputs, `SESSION_FUZZ_SEED` which.

use std::collections::HashSet;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::header::COOKIE;
use http::{HeaderValue, Request, StatusCode};
use session_runtime::{Key, MemoryStore, ReadSession, Session, SessionLayer, SessionLayerBuilder};
use tests::browser::{Browser, send};
use tests::counting::CountingStore;
use tests::fuzz;

const NAME: &[u8] = b"__Host-id";

#[derive(Session, Default)]
struct Shop {
    visits: u32,
}

/// The values of our cookies in a header, by the words of the standard and not by the layer's code.
fn values(header: &[u8]) -> Vec<Vec<u8>> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c);
    let trim = |bytes: &[u8]| -> Vec<u8> {
        let begin = bytes.iter().position(|byte| !is_space(byte));
        let end = bytes.iter().rposition(|byte| !is_space(byte));
        match (begin, end) {
            (Some(begin), Some(end)) => bytes[begin..=end].to_vec(),
            _ => Vec::new(),
        }
    };
    let mut found = Vec::new();
    for pair in header.split(|&byte| byte == b';') {
        let Some(equals) = pair.iter().position(|&byte| byte == b'=') else {
            continue;
        };
        let mut value = trim(&pair[equals + 1..]);
        if value.len() >= 2 && value.starts_with(b"\"") && value.ends_with(b"\"") {
            value = value[1..value.len() - 1].to_vec();
        }
        if trim(&pair[..equals]) == NAME {
            found.push(value);
        }
    }
    found
}

fn is_token(value: &[u8]) -> bool {
    let digit = |byte: &u8| {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        alphabet.iter().position(|digit| digit == byte)
    };
    let digits: Option<Vec<_>> = value.iter().map(digit).collect();
    // 43 digits are 258 bits: the last two must be zero.
    digits.is_some_and(|digits| digits.len() == 43 && digits[42] % 4 == 0)
}

#[tokio::test]
async fn s04_any_cookie_header_is_answered_and_costs_what_its_tokens_cost() {
    check(SessionLayer::builder, |value, _| is_token(value)).await;
}

/// Of all there is to show, only the cookie that was given is one.
#[tokio::test]
async fn s04_where_cookies_are_signed_only_ours_are_looked_up() {
    let signing = |store| {
        let keys = [Key::from([1; 32])];
        SessionLayer::builder(store).signing_keys(keys)
    };
    check(signing, |value, given| value == given).await;
}

/// Sends headers that look like something, to a layer that looks these values up.
async fn check(
    builder: impl Fn(CountingStore<MemoryStore>) -> SessionLayerBuilder,
    is_looked_up: impl Fn(&[u8], &[u8]) -> bool,
) {
    let store = CountingStore::new(MemoryStore::new());
    let app = Router::new()
        .route(
            "/read",
            get(|session: ReadSession<Shop>| async move { session.visits.to_string() }),
        )
        .route(
            "/write",
            post(|mut session: Session<Shop>| async move { session.visits = 7 }),
        )
        .layer(builder(store.clone()).build().unwrap());
    let mut owner = Browser::new(&app);
    owner.post("/write").await;
    let live = owner.cookie("__Host-id").unwrap().to_owned();
    let other = "B".repeat(42) + "A";
    let examples: Vec<_> = include_str!("../corpus/cookies.txt")
        .lines()
        .map(|line| line.replace("{token}", &live).replace("{other}", &other))
        .map(String::into_bytes)
        .collect();
    store.take_counts();

    let mut random = fuzz::random();
    let (mut with_token, mut opened) = (0, 0);
    let inputs = fuzz::inputs(20_000);
    for _ in 0..inputs {
        let mut request = Request::get("/read");
        let mut expected = Vec::new();
        for _ in 0..random.usize(1..=2) {
            let bytes = fuzz::mutated(&mut random, &examples);
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let values = values(&bytes).into_iter();
                expected.extend(values.filter(|value| is_looked_up(value, live.as_bytes())));
                request = request.header(COOKIE, value);
            }
        }
        let sent = request.body(Body::empty()).unwrap();
        let shown = format!("{:?}", sent.headers());
        let answer = send(&app, sent).await;

        let mut seen = HashSet::new();
        expected.retain(|token| seen.insert(token.clone()));
        expected.truncate(4);
        with_token += usize::from(!expected.is_empty());
        assert_eq!(answer.status, StatusCode::OK, "{shown}");
        assert_eq!(store.take_counts(), (expected.len(), 0), "{shown}");
        let is_live = expected.iter().any(|token| token == live.as_bytes());
        opened += usize::from(is_live);
        assert_eq!(answer.body, if is_live { "7" } else { "0" }, "{shown}");
    }
    println!("{inputs} inputs, {with_token} with a token, {opened} opened the session");
    assert!(
        with_token > inputs / 20 && with_token < inputs,
        "{with_token}"
    );
}
