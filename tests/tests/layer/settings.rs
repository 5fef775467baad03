//! Every setting of the layer's builder, and of the embedded stores, with the least, the most, no and
//! repeated values: used as it was given, or refused by name.

use std::time::Duration;

use http::StatusCode;
use session_runtime::store::{CapacityPolicy, MemoryStoreBuilder};
use session_runtime::{
    ConfigError, FileStore, Key, MemoryStore, SameSite, Session, SessionLayer, SessionLayerBuilder,
    SessionStore, Timeouts, WhenFull,
};
use tests::clock::ManualClock;
use tests::orders::orders;
use tests::visitor::Visitor;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const NANOSECOND: Duration = Duration::from_nanos(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// The least and the longest, and what is about where integers end.
const DURATIONS: [Duration; 14] = [
    Duration::ZERO,
    NANOSECOND,
    Duration::from_nanos(999_999),
    MILLISECOND,
    Duration::from_secs(1),
    MINUTE,
    DAY,
    Duration::from_secs(u32::MAX as u64),
    Duration::from_nanos(u64::MAX),
    Duration::from_millis(i64::MAX as u64),
    Duration::from_millis(u64::MAX),
    Duration::from_secs(i64::MAX as u64),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

#[derive(Session, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    visits: u32,
    #[session(ttl = "1h", renew = "read")]
    cart: Vec<u32>,
}

fn over(store: impl SessionStore) -> SessionLayerBuilder {
    SessionLayer::builder(store)
}

fn builder() -> SessionLayerBuilder {
    over(MemoryStore::new())
}

async fn write(mut session: Session<Shop>) -> String {
    session.visits += 1;
    session.cart.push(1);
    session.visits.to_string()
}

async fn read(session: Session<Shop>) -> String {
    session.visits.to_string()
}

/// A first visit, writes, reads, a renewal of the token, and the end, some time apart.
async fn is_used(layer: &SessionLayer, clock: &ManualClock, what: &str) {
    let mut visitor = Visitor::new(layer);
    for step in [Duration::ZERO, Duration::ZERO, 20 * MINUTE] {
        clock.advance(step);
        let answer = visitor.visit(write).await;
        assert_eq!(answer.status, StatusCode::OK, "{what}");
        assert_eq!(visitor.visit(read).await.status, StatusCode::OK, "{what}");
    }
    let remember = |mut session: Session<Shop>| async move {
        session.visits = 1;
        session.remember(true);
        session.rotate();
    };
    let answer = visitor.visit(remember).await;
    assert_eq!(answer.status, StatusCode::OK, "{what}");
    for cookie in answer.set_cookies() {
        let age = cookie
            .split("; ")
            .find_map(|part| part.strip_prefix("Max-Age="));
        let age: u64 = age.expect("a persistent cookie").parse().expect("a number");
        assert!((1..=400 * 24 * 60 * 60).contains(&age), "{what}: {cookie}");
    }
    let end = |session: Session<Shop>| async move { session.destroy() };
    assert_eq!(visitor.visit(end).await.status, StatusCode::OK, "{what}");
}

#[tokio::test]
async fn every_duration_is_used_or_refused_by_name() {
    type Setter = fn(SessionLayerBuilder, Duration) -> SessionLayerBuilder;
    let setters: [(&str, Setter); 4] = [
        ("idle_timeout", |it, time| {
            it.no_lifetime().idle_timeout(time)
        }),
        ("lifetime", |it, time| it.no_idle_timeout().lifetime(time)),
        ("store_deadline", SessionLayerBuilder::store_deadline),
        ("rotate_every", SessionLayerBuilder::rotate_every),
    ];
    let (mut used, mut refused) = (0, 0);
    for (name, set) in setters {
        for duration in DURATIONS {
            let what = format!("{name}({duration:?})");
            let clock = ManualClock::new();
            let store = MemoryStore::builder().clock(clock.clone()).build();
            match set(over(store), duration).build() {
                Ok(layer) => {
                    assert!(duration >= MILLISECOND, "{what}");
                    // A deadline in real time is as short as it was asked for.
                    if name != "store_deadline" || duration >= Duration::from_secs(1) {
                        is_used(&layer, &clock, &what).await;
                    }
                    used += 1;
                }
                Err(error) => {
                    assert!(duration < MILLISECOND, "{what}: {error}");
                    assert!(
                        error.to_string().starts_with(&format!("`{name}` is ")),
                        "{error}"
                    );
                    refused += 1;
                }
            }
        }
    }
    println!("{used} durations are used, {refused} are refused");
}

/// Both timeouts of one session, set by a handler.
#[tokio::test]
async fn every_pair_of_timeouts_is_used_or_refused() {
    let (mut used, mut refused) = (0, 0);
    for idle in DURATIONS.map(Some).into_iter().chain([None]) {
        for lifetime in DURATIONS.map(Some).into_iter().chain([None]) {
            let what = format!("{idle:?}, {lifetime:?}");
            let limit = |time: Option<Duration>| time.filter(|time| *time != Duration::MAX);
            let is_too_short = |time: Option<Duration>| time.is_some_and(|time| time < MILLISECOND);
            let contradict = match (limit(idle), limit(lifetime)) {
                (Some(idle), Some(lifetime)) => idle > lifetime,
                _ => false,
            };
            let timeouts = match Timeouts::new(idle, lifetime) {
                Ok(timeouts) => timeouts,
                Err(error) => {
                    assert!(
                        is_too_short(idle) || is_too_short(lifetime) || contradict,
                        "{what}"
                    );
                    let named = ["`idle_timeout`", "`lifetime`"];
                    let text = error.to_string();
                    assert!(named.iter().any(|name| text.contains(name)), "{text}");
                    refused += 1;
                    continue;
                }
            };
            assert!(
                !is_too_short(idle) && !is_too_short(lifetime) && !contradict,
                "{what}"
            );
            let store = MemoryStore::builder().clock(ManualClock::new()).build();
            let layer = over(store).persistent().build().unwrap();
            let mut visitor = Visitor::new(&layer);
            let page = move |mut session: Session<Shop>| async move {
                session.visits += 1;
                session.set_timeouts(timeouts);
            };
            for _ in 0..2 {
                let answer = visitor.visit(page).await;
                assert_eq!(answer.status, StatusCode::OK, "{what}");
            }
            used += 1;
        }
    }
    println!("{used} pairs are used, {refused} are refused");
}

/// The time of one field, set by a handler.
#[tokio::test]
async fn every_duration_is_a_fields_time() {
    for duration in DURATIONS {
        let mut visitor = Visitor::new(&builder().build().unwrap());
        visitor.visit(write).await;
        let page = move |mut session: Session<Shop>| async move {
            session.expire(Shop::VISITS, duration).await.unwrap();
            session.expire(Shop::CART, duration).await.unwrap();
            format!("{:?}", session.ttl(Shop::VISITS).await.unwrap())
        };
        let answer = visitor.visit(page).await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{duration:?}: {}",
            answer.body
        );
        if duration >= MINUTE {
            assert_ne!(answer.body, "Missing", "{duration:?}");
            assert_eq!(visitor.visit(read).await.body, "1", "{duration:?}");
        }
        assert_eq!(
            visitor.visit(write).await.status,
            StatusCode::OK,
            "{duration:?}"
        );
    }
}

/// The derive refuses more than ten years.
#[tokio::test]
async fn the_longest_ttl_is_used() {
    #[derive(Session, Default)]
    struct Archive {
        #[session(ttl = "3650d", renew = "read")]
        read: u32,
        #[session(ttl = "87600h")]
        written: u32,
        #[session(ttl = "315360000000ms", renew = "never")]
        never: u32,
    }
    let clock = ManualClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    let layer = over(store)
        .no_lifetime()
        .schema::<Archive>()
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Archive>| async move {
        session.read += 1;
        session.written += 1;
        session.never += 1;
        format!("{} {} {}", session.read, session.written, session.never)
    };
    for expected in ["1 1 1", "2 2 2", "3 3 3"] {
        assert_eq!(visitor.visit(page).await.body, expected);
        clock.advance(20 * MINUTE);
    }
}

#[test]
fn what_means_nothing_is_refused_by_name() {
    let long = "n".repeat(1025);
    let label = "l".repeat(64);
    let host = [
        &*"a".repeat(63),
        &"b".repeat(63),
        &"c".repeat(63),
        &"d".repeat(62),
    ]
    .join(".");
    let key = || Key::from([7; 32]);
    let named = |name: &str| builder().cookie_name(name);
    let insecure = |name: &str| named(name).insecure_for_development();
    let at = |domain: &str| named("id").domain(domain);
    let mut count = 0;
    for (expected, builders) in [
        (
            "`cookie_name`",
            vec![
                named(""),
                named(" "),
                named(" id"),
                named("id "),
                named("a b"),
                named("a=b"),
                named("a;b"),
                named("a,b"),
                named("a\"b"),
                named("a\\b"),
                named("a/b"),
                named("a:b"),
                named("a(b)"),
                named("a[b]"),
                named("a{b}"),
                named("a@b"),
                named("a?b"),
                named("<a>"),
                named("\r\nSet-Cookie: x"),
                named("a\0"),
                named("a\u{7f}"),
                named("\u{e9}"),
                named(&long),
                named("__Host-"),
                named("__Secure-"),
                named("__HOST-"),
                named("__Http-"),
                insecure(""),
                insecure("__Host-"),
                insecure("__secure-"),
                insecure("__Host-__Secure-"),
            ],
        ),
        (
            "`domain`",
            vec![
                at(""),
                at("."),
                at(".."),
                at(".com"),
                at("example.com."),
                at("a..b"),
                at(" "),
                at(" example.com"),
                at("example.com "),
                at("a b.example"),
                at("example.com;x"),
                at("example.com, other.example"),
                at("a\r\nb"),
                at("-"),
                at("-a.example"),
                at("a-.example"),
                at("*.example.com"),
                at("127.0.0.1"),
                at("127.1"),
                at("0x7f.1"),
                at("2130706433"),
                at("::1"),
                at("[::1]"),
                at("example.com:80"),
                at("http://a.example"),
                at("a.example/"),
                at("\u{e9}.example"),
                at(&format!("{label}.example")),
                at(&host),
            ],
        ),
        (
            "`domain` contradicts",
            vec![
                builder().domain("a.example"),
                builder().domain("a.example").cookie_name("__host-x"),
            ],
        ),
        (
            "`max_sessions`",
            vec![
                builder().max_sessions(Shop::CUSTOMER, 0, WhenFull::Reject),
                builder().max_sessions(Shop::CUSTOMER, 0, WhenFull::EvictOldest),
                builder()
                    .max_sessions(Shop::CUSTOMER, 5, WhenFull::Reject)
                    .max_sessions(Shop::CUSTOMER, 0, WhenFull::Reject),
                builder().max_sessions(Shop::VISITS, 3, WhenFull::Reject),
            ],
        ),
        (
            "`max_field_bytes`",
            vec![
                builder().max_field_bytes(0),
                builder().max_field_bytes(usize::MAX),
                builder().max_session_bytes(1),
                builder().max_field_bytes(2).max_session_bytes(1),
            ],
        ),
        (
            "`max_session_bytes` is zero",
            vec![builder().max_field_bytes(1).max_session_bytes(0)],
        ),
        (
            "was given no keys",
            vec![builder().signing_keys([]), builder().encryption_keys([])],
        ),
        (
            "is called twice",
            vec![
                builder().signing_keys([key()]).signing_keys([key()]),
                builder().signing_keys([]).signing_keys([key()]),
                builder().encryption_keys([key()]).encryption_keys([key()]),
            ],
        ),
        (
            "`insecure_for_development`",
            vec![
                builder()
                    .insecure_for_development()
                    .same_site(SameSite::None),
                builder()
                    .same_site(SameSite::None)
                    .insecure_for_development(),
                builder().insecure_for_development().partitioned(),
                builder().partitioned().insecure_for_development(),
            ],
        ),
        (
            "`persistent`",
            vec![
                builder().persistent().idle_timeout(401 * DAY).no_lifetime(),
                builder().lifetime(401 * DAY).no_idle_timeout().persistent(),
                builder()
                    .persistent()
                    .idle_timeout(Duration::from_secs(u64::MAX))
                    .no_lifetime(),
            ],
        ),
    ] {
        for builder in builders {
            let error = builder.build().expect_err(expected).to_string();
            assert!(
                error.contains(expected),
                "`{error}` does not say `{expected}`"
            );
            count += 1;
        }
    }
    println!("{count} builders are refused");
}

#[tokio::test]
async fn settings_are_applied_in_every_order() {
    let steps: [fn(SessionLayerBuilder) -> SessionLayerBuilder; 6] = [
        SessionLayerBuilder::insecure_for_development,
        |builder| builder.cookie_name("shop"),
        |builder| builder.domain("shop.example"),
        SessionLayerBuilder::persistent,
        |builder| builder.idle_timeout(2 * DAY),
        |builder| builder.lifetime(3 * DAY),
    ];
    let orders = orders(&steps);
    assert_eq!(orders.len(), 720);
    for order in orders {
        let builder = order
            .into_iter()
            .fold(builder(), |builder, step| step(builder));
        let answer = Visitor::new(&builder.build().unwrap()).visit(write).await;
        let cookie = answer.set_cookies()[0].to_owned();
        let (token, attributes) = cookie.split_once("; ").unwrap();
        assert!(token.starts_with("shop="), "{token}");
        assert_eq!(
            attributes,
            "HttpOnly; SameSite=Lax; Path=/; Domain=shop.example; Max-Age=172800"
        );
    }
}

/// Another call of the same setting replaces the one before.
#[tokio::test]
async fn the_last_call_of_a_setting_counts() {
    let clock = ManualClock::new();
    let layer = over(MemoryStore::builder().clock(clock.clone()).build())
        .cookie_name("a b")
        .domain(".")
        .idle_timeout(Duration::ZERO)
        .lifetime(Duration::ZERO)
        .store_deadline(Duration::ZERO)
        .rotate_every(Duration::ZERO)
        .max_field_bytes(0)
        .max_session_bytes(0)
        .max_sessions(Shop::CUSTOMER, 0, WhenFull::Reject)
        .same_site(SameSite::None)
        .schema::<Shop>()
        .schema::<Shop>()
        .cookie_name("shop")
        .domain("shop.example")
        .no_idle_timeout()
        .idle_timeout(10 * MINUTE)
        .no_lifetime()
        .lifetime(2 * DAY)
        .store_deadline(MINUTE)
        .rotate_every(Duration::MAX)
        .max_field_bytes(1000)
        .max_session_bytes(2000)
        .max_sessions(Shop::CUSTOMER, 1, WhenFull::EvictOldest)
        .same_site(SameSite::Strict)
        .persistent()
        .persistent()
        .build()
        .unwrap();
    let sign_in = |mut session: Session<Shop>| async move { session.customer = Some(7) };
    let mut visitors = [Visitor::new(&layer), Visitor::new(&layer)];
    let answer = visitors[0].visit(sign_in).await;
    let cookie = answer.set_cookies()[0].to_owned();
    for part in [
        "shop=",
        "Domain=shop.example",
        "SameSite=Strict",
        "Max-Age=600",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    // The limit of one session evicts the first.
    assert_eq!(visitors[1].visit(sign_in).await.status, StatusCode::OK);
    let who = |session: Session<Shop>| async move { format!("{:?}", session.customer) };
    assert_eq!(visitors[0].visit(who).await.body, "None");
    clock.advance(10 * MINUTE);
    assert_eq!(
        visitors[1].visit(who).await.body,
        "None",
        "it ended by the last idle timeout"
    );
}

/// Names that browsers take only with `Secure` lose what makes them so.
#[tokio::test]
async fn no_prefix_stays_in_an_insecure_name() {
    for (name, expected) in [
        ("__Host-id", "id="),
        ("__host-ID", "ID="),
        ("__Secure-id", "id="),
        ("__Http-id", "id="),
        ("__Host-Http-id", "Http-id="),
        ("__Host-__Secure-id", "id="),
        ("__Secure-__HOST-__http-id", "id="),
        ("_Host-id", "_Host-id="),
        ("id__Host-", "id__Host-="),
    ] {
        let layer = builder()
            .cookie_name(name)
            .insecure_for_development()
            .build()
            .unwrap();
        let answer = Visitor::new(&layer).visit(write).await;
        assert!(
            answer.set_cookies()[0].starts_with(expected),
            "{name}: {:?}",
            answer.set_cookies()
        );
    }
}

#[test]
fn keys_are_made_or_refused() {
    let whole = "A".repeat(43);
    let mut count = 0;
    for text in [
        "",
        " ",
        "A",
        "hunter2",
        "=",
        "====",
        "AAAA AAAA",
        "A\0",
        "\u{e9}",
        "+_",
        &"A".repeat(42),
        &"A".repeat(44),
        &"A".repeat(86),
        &whole.replace('A', "*"),
        &format!("{whole}\n{whole}"),
        &format!("{whole}=="),
        &"0".repeat(64),
    ] {
        let error = Key::from_base64(text).expect_err(text).to_string();
        assert!(
            error.contains("expected 32 bytes") || error.contains("expected 32 as"),
            "{error}"
        );
        assert!(text.len() < 7 || !error.contains(text), "{error}");
        count += 1;
    }
    for text in [
        whole.clone(),
        format!("{whole}="),
        format!(" \t{whole}=\r\n"),
    ] {
        Key::from_base64(&text).unwrap();
    }
    for length in [0, 1, 16, 31, 33, 64, 1 << 20] {
        assert!(Key::from_bytes(vec![1; length]).is_err());
        count += 1;
    }
    println!("{count} keys are refused");
}

#[tokio::test]
async fn the_least_and_the_most_of_the_embedded_stores_are_used() {
    type Setter = fn(MemoryStoreBuilder) -> MemoryStoreBuilder;
    let memory: [(&str, Setter, bool); 6] = [
        ("none", |it| it.capacity(0), false),
        (
            "none, evicting",
            |it| it.capacity(0).when_full(CapacityPolicy::EvictSoonestEnding),
            false,
        ),
        ("one", |it| it.capacity(1), true),
        ("the last", |it| it.capacity(0).capacity(usize::MAX), true),
        (
            "any order",
            |it| it.when_full(CapacityPolicy::EvictSoonestEnding).capacity(1),
            true,
        ),
        ("most", |it| it.capacity(usize::MAX), true),
    ];
    for (what, set, works) in memory {
        let layer = over(set(MemoryStore::builder()).build()).build().unwrap();
        let status = Visitor::new(&layer).visit(write).await.status;
        assert_eq!(status == StatusCode::OK, works, "{what}: {status}");
    }
    for concurrency in [0, 1, usize::MAX] {
        for interval in [None].into_iter().chain(DURATIONS.map(Some)) {
            let folder = tempfile::tempdir().unwrap();
            let files = FileStore::builder().concurrency(concurrency);
            let files = match interval {
                Some(interval) => files.without_background_sweep().sweep_every(interval),
                None => files.sweep_every(DAY).without_background_sweep(),
            };
            let layer = over(files.open(folder.path()).unwrap()).build().unwrap();
            let mut visitor = Visitor::new(&layer);
            for expected in ["1", "2", "3"] {
                let answer = visitor.visit(write).await;
                assert_eq!(answer.body, expected, "{concurrency}, {interval:?}");
            }
        }
    }
    let _: Result<SessionLayer, ConfigError> = builder().build();
}
