//! Which cookies are believed, and what it costs to find out.

use std::time::Duration;

use axum::body::Body;
use http::header::COOKIE;
use http::{HeaderValue, Request, StatusCode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use session_runtime::store::Selection;
use session_runtime::{MemoryStore, ReadSession, Session, SessionId, SessionLayer, SessionStore};
use tests::browser::{Answer, send};
use tests::clock::ManualClock;
use tests::events::Recorder;
use tests::visitor::{COOKIE as NAME, Visitor, page};

use super::{Shop, counted, read, signed_in, write};

/// The answer to a request with exactly these `Cookie` headers.
async fn read_with(layer: &SessionLayer, cookies: &[&[u8]]) -> Answer {
    let mut request = Request::new(Body::empty());
    for cookie in cookies {
        let value = HeaderValue::from_bytes(cookie).expect("bytes that http can carry");
        request.headers_mut().append(COOKIE, value);
    }
    send(&page(layer, read), request).await
}

async fn id_of(visitor: &mut Visitor) -> SessionId {
    let page = |session: ReadSession<Shop>| async move {
        session.id().map(|id| id.to_string()).unwrap_or_default()
    };
    let answer = visitor.visit(page).await;
    answer.body.parse().expect("the session has an id")
}

#[tokio::test]
async fn s04_what_cannot_be_a_token_never_reaches_the_store() {
    let (layer, store) = counted();
    let (_, token) = signed_in(&layer).await;
    store.take_counts();
    let huge = "A".repeat(16 * 1024);
    let values = [
        "",
        "\"",
        "\"\"",
        "garbage",
        &token[..42],
        &format!("{token}A"),
        &format!("{token}="),
        &format!("\"{token}"),
        &format!("{token}\""),
        &format!("'{token}'"),
        &format!("\"\"{token}\"\""),
        &token.replace(&token[..1], "+"),
        &token.replace(&token[..1], "%41"),
        &format!("{} {}", &token[..20], &token[20..]),
        &huge,
    ];
    for value in values {
        let header = format!("{NAME}={value}");
        let answer = read_with(&layer, &[header.as_bytes()]).await;
        assert_eq!(answer.body, "0", "{value}");
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(store.take_counts(), (0, 0), "{value}");
    }
    for header in [
        format!("__host-id={token}"),
        format!("id={token}"),
        format!("a={NAME}={token}"),
        NAME.to_owned(),
        format!("{NAME}{token}"),
        format!("={token}"),
        format!("{NAME}, {token}"),
        format!("a=1, {NAME}={token}"),
    ] {
        let answer = read_with(&layer, &[header.as_bytes()]).await;
        assert_eq!(answer.body, "0", "{header}");
        assert_eq!(store.take_counts(), (0, 0), "{header}");
    }
}

#[tokio::test]
async fn s04_random_bytes_never_reach_the_store() {
    const SEED: u64 = 4;
    println!("seed {SEED}");
    let mut random = StdRng::seed_from_u64(SEED);
    let (layer, store) = counted();
    for round in 0..1_000 {
        let longest = if round % 50 == 0 { 16 * 1024 } else { 64 };
        let length = random.random_range(0..=longest);
        let mut cookie = match round % 3 {
            0 => Vec::new(),
            1 => format!("{NAME}=").into_bytes(),
            _ => format!("a=b; {NAME} = \"").into_bytes(),
        };
        // Every byte that a header can carry, separators among them.
        cookie.extend((0..length).map(|_| {
            loop {
                let byte: u8 = random.random();
                if byte == b'\t' || (byte >= 32 && byte != 127) {
                    break byte;
                }
            }
        }));
        let answer = read_with(&layer, &[&cookie]).await;
        assert_eq!(answer.status, StatusCode::OK, "seed {SEED}, round {round}");
        assert_eq!(store.take_counts(), (0, 0), "seed {SEED}, round {round}");
    }
}

#[tokio::test]
async fn a_token_is_found_between_other_bytes_and_in_quotes() {
    let (layer, _) = counted();
    let (_, token) = signed_in(&layer).await;
    for header in [
        format!("{NAME}=\"{token}\"").into_bytes(),
        format!("a=b;{NAME}={token};c").into_bytes(),
        [b"bytes=\xff\xfe; ", format!("{NAME}={token}").as_bytes()].concat(),
        format!("{NAME}=garbage; {NAME}={token}; {NAME}=").into_bytes(),
        format!("big={}; {NAME}={token}", "x".repeat(16 * 1024)).into_bytes(),
    ] {
        let answer = read_with(&layer, &[&header]).await;
        assert_eq!(answer.body, "1", "{}", String::from_utf8_lossy(&header));
    }
}

#[tokio::test]
async fn s43_cookies_split_over_several_headers_are_found() {
    let (layer, _) = counted();
    let (_, token) = signed_in(&layer).await;
    let ours = format!("{NAME}={token}");
    for headers in [
        [b"a=b".as_slice(), ours.as_bytes(), b"c=d"],
        [ours.as_bytes(), b"\xff", b"c=d"],
        [b"", b"a=b; c=d", ours.as_bytes()],
    ] {
        assert_eq!(read_with(&layer, &headers).await.body, "1");
    }
}

#[tokio::test]
async fn s03_a_token_that_was_never_issued_is_not_adopted() {
    let (layer, store) = counted();
    let recorder = Recorder::start();
    // Made by the same generator, in the same form, for another store.
    let (_, foreign) = signed_in(&SessionLayer::new(MemoryStore::new())).await;
    recorder.take();

    let mut visitor = Visitor::new(&layer);
    visitor.set_token(&foreign);
    let answer = visitor.visit(write).await;
    assert_eq!(answer.body, "1");
    let issued = visitor.token().expect("a write gives a cookie");
    assert_ne!(issued, foreign);
    assert_ne!(issued[..21], foreign[..21], "another id too");
    assert_eq!(recorder.take_events(), ["unknown-token", "created"]);
    assert_eq!(store.take_counts(), (1, 1));

    let mut visitor = Visitor::new(&layer);
    visitor.set_token(&foreign);
    let answer = visitor.visit(read).await;
    assert_eq!(answer.body, "0");
    assert_eq!(
        (answer.set_cookies().len(), visitor.token()),
        (0, Some(foreign)),
        "a sign-in may have replaced the cookie meanwhile, so it is left alone"
    );
    assert_eq!(store.take_counts(), (1, 0));
}

#[tokio::test]
async fn s02_the_store_decides_whether_a_token_is_valid() {
    let (layer, _) = counted();
    let (mut visitor, token) = signed_in(&layer).await;
    let logout = |session: Session<Shop>| async move { session.destroy() };
    visitor.visit(logout).await;
    assert_eq!(visitor.token(), None);

    visitor.set_token(&token);
    assert_eq!(visitor.visit(read).await.body, "0");

    let (mut visitor, token) = signed_in(&layer).await;
    let rotate = |mut session: Session<Shop>| async move { session.rotate() };
    visitor.visit(rotate).await;
    assert_eq!(visitor.visit(read).await.body, "1");
    visitor.set_token(&token);
    assert_eq!(visitor.visit(read).await.body, "0");
}

#[tokio::test]
async fn s05_neither_the_id_nor_the_verifier_opens_a_session() {
    let (layer, store) = counted();
    let (mut visitor, token) = signed_in(&layer).await;
    let id = id_of(&mut visitor).await;
    let record = store
        .load(&id, &Selection::default())
        .await
        .unwrap()
        .unwrap();
    let verifier = record.header.verifier.to_string();
    let id = id.to_string();
    assert_eq!(id[..21], token[..21], "the token begins with the id");

    for forged in [
        id.clone(),
        verifier.clone(),
        // As long as a token, and with the right id.
        format!("{}{}", &id[..21], &verifier[..22]),
        format!("{}{}", &token[..22], &verifier[..21]),
        format!("{}{}", &token[..22], "A".repeat(21)),
        format!("{id}{}", &id[..21]),
    ] {
        let mut thief = Visitor::new(&layer);
        thief.set_token(&forged);
        let answer = thief.visit(read).await;
        assert_eq!(answer.body, "0", "{forged}");
        assert!(!answer.body.contains(&forged));
    }
    assert_eq!(visitor.visit(read).await.body, "1", "still there");
}

#[tokio::test]
async fn s08_a_token_anywhere_but_in_the_cookie_is_ignored() {
    let (layer, store) = counted();
    let (_, token) = signed_in(&layer).await;
    store.take_counts();
    let pair = format!("{NAME}={token}");
    let request = Request::post(format!("/?{pair}&token={token}"))
        .header("authorization", format!("Bearer {token}"))
        .header("x-session", &token)
        .header("cookie2", &pair)
        .header("set-cookie", &pair)
        .header("referer", format!("https://shop.example/?{pair}"))
        .body(Body::from(pair.clone()))
        .unwrap();
    let answer = send(&page(&layer, read), request).await;
    assert_eq!(answer.body, "0");
    assert_eq!(store.take_counts(), (0, 0));
    assert!(!format!("{answer:?}").contains(&token));
}

#[tokio::test]
async fn s44_the_order_of_cookies_does_not_matter() {
    let (layer, store) = counted();
    let (_, live) = signed_in(&layer).await;
    let (mut other, dead) = signed_in(&layer).await;
    other
        .visit(|session: Session<Shop>| async move { session.destroy() })
        .await;
    store.take_counts();
    for (first, second) in [(&live, &dead), (&dead, &live), (&live, &live)] {
        let header = format!("{NAME}={first}; {NAME}={second}");
        let answer = read_with(&layer, &[header.as_bytes()]).await;
        assert_eq!(answer.body, "1");
        assert_eq!(answer.set_cookies(), [""; 0]);
        let (loads, commits) = store.take_counts();
        assert!(loads <= 2 && commits == 0);
    }
}

#[tokio::test]
async fn s44_two_live_sessions_are_anonymous() {
    let (layer, _) = counted();
    let (_, first) = signed_in(&layer).await;
    let (_, second) = signed_in(&layer).await;
    let recorder = Recorder::start();
    for (first, second) in [(&first, &second), (&second, &first)] {
        let header = format!("{NAME}={first}; {NAME}={second}");
        let answer = read_with(&layer, &[header.as_bytes()]).await;
        assert_eq!(answer.body, "0");
        assert_eq!(recorder.take_events(), ["ambiguous-cookies"]);
        assert_eq!(answer.set_cookies(), [""; 0]);
    }
    // Neither was harmed.
    for token in [&first, &second] {
        let header = format!("{NAME}={token}");
        assert_eq!(read_with(&layer, &[header.as_bytes()]).await.body, "1");
    }
}

#[tokio::test]
async fn s44_at_most_four_tokens_are_looked_up() {
    let (layer, store) = counted();
    let mut tokens = Vec::new();
    for _ in 0..4 {
        let (mut visitor, token) = signed_in(&layer).await;
        visitor
            .visit(|session: Session<Shop>| async move { session.destroy() })
            .await;
        tokens.push(format!("{NAME}={token}"));
    }
    let (_, live) = signed_in(&layer).await;
    tokens.push(format!("{NAME}={live}"));
    store.take_counts();
    let answer = read_with(&layer, &[tokens.join("; ").as_bytes()]).await;
    assert_eq!(answer.body, "0");
    assert_eq!(store.take_counts(), (4, 0));
    // The last of four is found.
    tokens.remove(0);
    let answer = read_with(&layer, &[tokens.join("; ").as_bytes()]).await;
    assert_eq!(answer.body, "1");
    assert_eq!(store.take_counts(), (4, 0));
}

/// The token before was shown by what was on its way while another tab got a new one.
#[tokio::test]
async fn a_late_request_leaves_the_new_cookie_alone() {
    let clock = ManualClock::new();
    let layer = SessionLayer::new(MemoryStore::builder().clock(clock.clone()).build());
    let (mut visitor, _) = signed_in(&layer).await;
    let mut late = visitor.clone();
    let rotate = |mut session: Session<Shop>| async move { session.rotate() };
    assert_eq!(visitor.visit(rotate).await.set_cookies().len(), 1);

    let answer = late.visit(read).await;
    assert_eq!((&*answer.body, answer.set_cookies()), ("0", vec![]));
    let answer = late.visit(write).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(answer.set_cookies(), [""; 0]);

    // Nothing takes that long on its way.
    clock.advance(Duration::from_secs(30));
    let answer = late.visit(write).await;
    assert_eq!((&*answer.body, answer.set_cookies().len()), ("1", 1));
    assert_eq!(visitor.visit(read).await.body, "1");
}
