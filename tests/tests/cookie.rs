//! Which cookies are believed, and what the responses say about ours.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Body;
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use http::header::{CACHE_CONTROL, COOKIE, LOCATION, SET_COOKIE, VARY};
use http::{HeaderValue, Request, StatusCode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use session_runtime::store::Selected;
use session_runtime::{
    Key, KeyRing, MemoryStore, ReadSession, SameSite, Session, SessionError, SessionId,
    SessionLayer, SessionStore,
};
use tests::browser::{Answer, send};
use tests::clock::ManualClock;
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::visitor::{COOKIE as NAME, Visitor, page};

#[derive(Session, Default)]
struct Shop {
    visits: u32,
}

async fn write(mut session: Session<Shop>) -> String {
    session.visits += 1;
    session.visits.to_string()
}

async fn read(session: ReadSession<Shop>) -> String {
    session.visits.to_string()
}

fn counted() -> (SessionLayer, CountingStore<MemoryStore>) {
    let store = CountingStore::new(MemoryStore::new());
    (SessionLayer::new(store.clone()), store)
}

/// The answer to a request with exactly these `Cookie` headers.
async fn read_with(layer: &SessionLayer, cookies: &[&[u8]]) -> Answer {
    let mut request = Request::new(Body::empty());
    for cookie in cookies {
        let value = HeaderValue::from_bytes(cookie).expect("bytes that http can carry");
        request.headers_mut().append(COOKIE, value);
    }
    send(&page(layer, read), request).await
}

/// A visitor with a session, and its token.
async fn signed_in(layer: &SessionLayer) -> (Visitor, String) {
    let mut visitor = Visitor::new(layer);
    visitor.visit(write).await;
    let token = visitor.token().expect("a write gives a cookie");
    (visitor, token)
}

async fn id_of(visitor: &mut Visitor) -> SessionId {
    let page = |session: ReadSession<Shop>| async move {
        session.id().map(|id| id.to_string()).unwrap_or_default()
    };
    let answer = visitor.visit(page).await;
    answer.body.parse().expect("the session has an id")
}

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
        builder().signing_keys(KeyRing::new([Key::from_bytes([1; 32])])),
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
        visitor.token(),
        None,
        "a cookie that opens nothing is removed"
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
    let fields: [Selected<'_>; 0] = [];
    let record = store.load(&id, &fields).await.unwrap().unwrap();
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
async fn s44_two_live_sessions_are_nobody() {
    let (layer, _) = counted();
    let (_, first) = signed_in(&layer).await;
    let (_, second) = signed_in(&layer).await;
    let recorder = Recorder::start();
    for (first, second) in [(&first, &second), (&second, &first)] {
        let header = format!("{NAME}={first}; {NAME}={second}");
        let answer = read_with(&layer, &[header.as_bytes()]).await;
        assert_eq!(answer.body, "0");
        assert_eq!(recorder.take_events(), ["ambiguous-cookies"]);
        let cookies = answer.set_cookies();
        assert_eq!(cookies.len(), 1);
        assert!(cookies[0].starts_with("__Host-id=;"), "{cookies:?}");
    }
    // Neither was harmed.
    for token in [&first, &second] {
        let header = format!("{NAME}={token}");
        assert_eq!(read_with(&layer, &[header.as_bytes()]).await.body, "1");
    }
}

#[tokio::test]
async fn s44_at_most_two_tokens_are_looked_up() {
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
    assert_eq!(store.take_counts(), (2, 0));
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
