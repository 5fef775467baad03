//! Which settings contradict, and that the error says so.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use session_runtime::{
    ConfigError, MemoryStore, SameSite, Session, SessionLayer, SessionLayerBuilder, SessionStore,
};
use tests::events::{Recorder, install};
use tests::visitor::Visitor;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Session, Default)]
struct Patient {
    #[session(ttl = "2d")]
    basket: Vec<u32>,
}

#[derive(Session, Default)]
struct Sealed {
    #[session(encrypt)]
    secret: Option<String>,
}

fn builder() -> SessionLayerBuilder {
    install();
    SessionLayer::builder(MemoryStore::new())
}

/// The builder's error, having checked that it names all of this.
fn refusal(builder: SessionLayerBuilder, names: &[&str]) -> ConfigError {
    let error = builder.build().expect_err("the settings contradict");
    let text = error.to_string();
    for name in names {
        assert!(
            text.contains(&format!("`{name}")),
            "{text} does not name {name}"
        );
    }
    error
}

#[test]
fn s35_a_host_cookie_has_no_domain() {
    for name in ["__Host-id", "__host-id", "__HOST-x"] {
        let builder = builder().cookie_name(name).domain("shop.example");
        let error = refusal(builder, &["domain", "cookie_name"]);
        assert_eq!(error, ConfigError::HostPrefixWithDomain);
    }
    builder()
        .cookie_name("__Secure-id")
        .domain("shop.example")
        .build()
        .unwrap();
}

#[test]
fn s38_s46_what_needs_secure_is_refused_without() {
    let insecure = || builder().insecure_for_development();
    let names = ["same_site", "insecure_for_development"];
    refusal(insecure().same_site(SameSite::None), &names);
    refusal(
        insecure().partitioned(),
        &["partitioned", "insecure_for_development"],
    );
    insecure().build().unwrap();
    builder()
        .same_site(SameSite::None)
        .partitioned()
        .build()
        .unwrap();
}

#[test]
fn s40_no_cookie_is_meant_to_live_beyond_400_days() {
    let long = |idle, lifetime| builder().persistent().idle_timeout(idle).lifetime(lifetime);
    refusal(long(401 * DAY, 500 * DAY), &["persistent", "idle_timeout"]);
    let unvisited = builder().persistent().no_idle_timeout().lifetime(401 * DAY);
    refusal(unvisited, &["persistent", "lifetime"]);
    long(400 * DAY, 500 * DAY).build().unwrap();
    builder()
        .idle_timeout(401 * DAY)
        .lifetime(500 * DAY)
        .build()
        .unwrap();
}

#[test]
fn timeouts_contradict_though_only_one_was_set() {
    for builder in [
        builder().idle_timeout(25 * Duration::from_secs(3600)),
        builder().lifetime(Duration::from_secs(29 * 60)),
    ] {
        refusal(builder, &["idle_timeout", "lifetime"]);
    }
    builder()
        .idle_timeout(2 * DAY)
        .no_lifetime()
        .build()
        .unwrap();
    builder()
        .no_idle_timeout()
        .lifetime(Duration::from_secs(60))
        .build()
        .unwrap();
    builder().idle_timeout(DAY).lifetime(DAY).build().unwrap();
}

#[test]
fn durations_are_not_zero() {
    let zero = Duration::from_micros(999);
    refusal(builder().idle_timeout(zero), &["idle_timeout"]);
    refusal(builder().no_idle_timeout().lifetime(zero), &["lifetime"]);
    refusal(
        builder().store_deadline(Duration::ZERO),
        &["store_deadline"],
    );
    let error = refusal(builder().rotate_every(zero), &["rotate_every"]);
    let expected = "`rotate_every` is 999µs, expected at least a millisecond";
    assert_eq!(error.to_string(), expected);
}

/// The longest duration is no limit, and none is too long.
#[tokio::test]
async fn every_longer_duration_is_accepted() {
    let almost = Duration::MAX - Duration::from_nanos(1);
    for long in [Duration::MAX, almost] {
        let layer = builder()
            .idle_timeout(long)
            .lifetime(long)
            .rotate_every(long)
            .store_deadline(long)
            .build()
            .unwrap();
        let mut visitor = Visitor::new(&layer);
        for expected in ["1", "2"] {
            let page = |mut session: Session<Patient>| async move {
                session.basket.push(1);
                session.basket.len().to_string()
            };
            let answer = visitor.visit(page).await;
            assert_eq!((answer.status, &*answer.body), (StatusCode::OK, expected));
        }
    }
    // No limit on the idle time contradicts nothing.
    let builder = builder().idle_timeout(Duration::MAX);
    builder.lifetime(DAY).build().unwrap();
}

#[test]
fn a_field_fits_into_its_session() {
    let builder = builder().max_session_bytes(1_000).max_field_bytes(1_001);
    refusal(builder, &["max_field_bytes", "max_session_bytes"]);
    refusal(self::builder().max_field_bytes(0), &["max_field_bytes"]);
    let builder = self::builder().max_field_bytes(1).max_session_bytes(0);
    let error = refusal(builder, &["max_session_bytes"]);
    let expected = "`max_session_bytes` is zero, expected at least one byte";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn names_and_domains_are_checked() {
    for name in [
        "", "a b", "a=b", "a;b", "a\r\nb", "é", "a,b", "\"a\"", "a/b",
    ] {
        refusal(builder().cookie_name(name), &["cookie_name"]);
    }
    refusal(
        builder().cookie_name("__Host-").insecure_for_development(),
        &["cookie_name"],
    );
    for domain in [
        "",
        "a b",
        "a;b",
        "a\r\nb",
        "é.example",
        "a,b",
        "a..b",
        ".example.com",
        "-x.example",
        "127.0.0.1",
        "[::1]",
        "example.com:8080",
        "https://example.com",
    ] {
        refusal(builder().cookie_name("id").domain(domain), &["domain"]);
    }
}

#[test]
fn a_schema_that_the_settings_cannot_serve_is_refused() {
    refusal(
        builder().schema::<Patient>(),
        &["patient.basket", "lifetime"],
    );
    refusal(builder().schema::<Sealed>(), &["sealed.secret", "encrypt"]);
    builder()
        .lifetime(3 * DAY)
        .schema::<Patient>()
        .build()
        .unwrap();
}

#[tokio::test]
async fn a_schema_that_was_not_named_is_found_at_its_first_use() {
    let recorder = Recorder::start();
    let mut visitor = Visitor::new(&SessionLayer::new(MemoryStore::new()));
    let answer = visitor
        .visit(|session: Session<Sealed>| async move { session.secret.clone().unwrap_or_default() })
        .await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);

    recorder.take();
    for _ in 0..3 {
        let answer = visitor
            .visit(|mut session: Session<Patient>| async move { session.basket.push(1) })
            .await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "the field works all the same"
        );
    }
    let warnings = recorder.take_events();
    let warnings = warnings.iter();
    let warnings = warnings.filter(|event| *event == "ttl-exceeds-lifetime");
    assert_eq!(warnings.count(), 1);
}

#[test]
fn insecure_drops_secure_and_the_prefix_and_warns() {
    let recorder = Recorder::start();
    builder().build().unwrap();
    assert_eq!(recorder.take_events(), [""; 0]);
    builder().insecure_for_development().build().unwrap();
    assert_eq!(recorder.take_events(), ["insecure"]);
}

#[tokio::test]
async fn the_insecure_cookie_has_a_name_that_browsers_take() {
    for (name, expected) in [
        ("__Host-id", "id="),
        ("__Secure-shop", "shop="),
        ("sid", "sid="),
    ] {
        let layer = builder()
            .cookie_name(name)
            .insecure_for_development()
            .build()
            .unwrap();
        let mut visitor = Visitor::new(&layer);
        let answer = visitor
            .visit(|mut session: Session<Patient>| async move { session.basket.push(1) })
            .await;
        let cookies = answer.set_cookies();
        assert!(cookies[0].starts_with(expected), "{cookies:?}");
        assert!(!cookies[0].contains("Secure") && cookies[0].contains("HttpOnly"));
        let answer = visitor
            .visit(|session: Session<Patient>| async move { session.basket.len().to_string() })
            .await;
        assert_eq!(answer.body, "1");
    }
}

#[tokio::test]
async fn a_program_may_choose_its_store_at_run_time() {
    let store: Arc<dyn SessionStore> = Arc::new(MemoryStore::new());
    let mut visitor = Visitor::new(&SessionLayer::new(store));
    visitor
        .visit(|mut session: Session<Patient>| async move { session.basket.push(1) })
        .await;
    assert!(visitor.token().is_some());
}
