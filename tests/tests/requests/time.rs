//! How long sessions, fields and cookies live, on a clock that the test moves.

use std::time::Duration;

use http::StatusCode;
use session_runtime::{
    MemoryStore, ReadSession, Session, SessionError, SessionLayer, SessionLayerBuilder, Timeouts,
    Ttl,
};
use tests::browser::Answer;
use tests::clock::ManualClock;
use tests::counting::CountingStore;
use tests::visitor::Visitor;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_secs(30 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Session, Debug, Default)]
struct Shop {
    visits: u32,
    #[session(ttl = "30m", renew = "read")]
    customer: Option<u32>,
    #[session(ttl = "5m")]
    otp: Option<u32>,
    #[session(ttl = "10m", renew = "never", merge = "add")]
    failures: u32,
    #[session(ttl = "100s", renew = "read")]
    brief: Option<u32>,
}

struct Site {
    layer: SessionLayer,
    store: CountingStore<MemoryStore>,
    clock: ManualClock,
}

fn site(settings: impl FnOnce(SessionLayerBuilder) -> SessionLayerBuilder) -> Site {
    let clock = ManualClock::new();
    let store = CountingStore::new(MemoryStore::builder().clock(clock.clone()).build());
    let layer = settings(SessionLayer::builder(store.clone())).build();
    let layer = layer.expect("the settings are sound");
    Site {
        layer,
        store,
        clock,
    }
}

impl Site {
    async fn visitor(&self) -> Visitor {
        let mut visitor = Visitor::new(&self.layer);
        visitor.visit(write).await;
        self.store.take_counts();
        visitor
    }
}

async fn write(mut session: Session<Shop>) {
    session.visits += 1;
}

async fn read(session: ReadSession<Shop>) -> String {
    session.visits.to_string()
}

async fn is_anonymous(session: ReadSession<Shop>) -> String {
    session.is_new().to_string()
}

async fn is_dead(visitor: &Visitor) -> bool {
    visitor.clone().visit(is_anonymous).await.body == "true"
}

/// The `Max-Age` of the one cookie that the answer sets.
fn max_age(answer: &Answer) -> Option<u64> {
    let cookies = answer.set_cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let age = cookies[0]
        .split("; ")
        .find_map(|attribute| attribute.strip_prefix("Max-Age="))?;
    Some(age.parse().expect("seconds"))
}

#[tokio::test]
async fn s16_a_session_ends_without_visits() {
    let site = site(|builder| builder);
    let visitor = site.visitor().await;
    site.clock.advance(IDLE - MILLISECOND);
    assert!(!is_dead(&visitor).await);
    let site = self::site(|builder| builder);
    let mut visitor = site.visitor().await;
    site.clock.advance(IDLE);
    let answer = visitor.visit(read).await;
    assert_eq!(answer.body, "0");
    assert!(
        visitor.token().is_some(),
        "only an end by this request removes the cookie"
    );
}

#[tokio::test]
async fn s17_activity_does_not_move_the_absolute_end() {
    let site = site(|builder| builder);
    let mut visitor = site.visitor().await;
    let rotate = |mut session: Session<Shop>| async move { session.rotate() };
    let mut lived = Duration::ZERO;
    for round in 0.. {
        let step = 10 * MINUTE;
        if lived + step >= DAY {
            break;
        }
        site.clock.advance(step);
        lived += step;
        let answer = match round % 3 {
            0 => visitor.visit(read).await,
            1 => visitor.visit(write).await,
            _ => visitor.visit(rotate).await,
        };
        assert_eq!(answer.status, StatusCode::OK);
        assert!(visitor.token().is_some(), "after {lived:?}");
    }
    site.clock.advance(DAY - lived - MILLISECOND);
    assert!(!is_dead(&visitor).await);
    site.clock.advance(MILLISECOND);
    assert!(is_dead(&visitor).await);
    visitor.visit(write).await;
    assert_eq!(visitor.visit(read).await.body, "1", "a new session");
}

#[tokio::test]
async fn s17_a_commit_after_the_end_changes_nothing() {
    let site = site(|builder| builder);
    for (step, limit) in [(IDLE, "idle"), (DAY, "lifetime")] {
        let visitor = site.visitor().await;
        let clock = site.clock.clone();
        let page = move |mut session: Session<Shop>| async move {
            clock.advance(step);
            session.visits += 1;
        };
        let answer = visitor.clone().visit(page).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{limit}");
        assert_eq!(answer.set_cookies(), [""; 0]);
        assert_eq!(site.store.sessions().await, 0);
    }
}

#[tokio::test]
async fn s19_an_expired_cookie_is_refused_whatever_its_age_says() {
    let site = site(SessionLayerBuilder::persistent);
    let mut visitor = site.visitor().await;
    let token = visitor.token().unwrap();
    site.clock.advance(IDLE);
    assert_eq!(visitor.visit(read).await.body, "0");
    let attributes = [
        "",
        "; Max-Age=99999999",
        "; Expires=Fri, 31 Dec 2100 00:00:00 GMT",
    ];
    for attribute in attributes {
        visitor.set_token(&format!("{token}{attribute}"));
        assert_eq!(visitor.visit(read).await.body, "0");
    }
}

#[tokio::test]
async fn s20_the_error_of_the_idle_timeout_is_one_sided() {
    let touch = MINUTE;
    for last_activity in [
        Duration::ZERO,
        SECOND,
        touch - MILLISECOND,
        touch,
        touch + MILLISECOND,
        7 * MINUTE,
    ] {
        let site = site(|builder| builder);
        let mut visitor = site.visitor().await;
        site.clock.advance(last_activity);
        assert_eq!(visitor.visit(read).await.body, "1");
        let (_, commits) = site.store.take_counts();
        assert_eq!(
            commits,
            usize::from(last_activity >= touch),
            "{last_activity:?}"
        );
        // Alive at x + idle - t, dead at x + idle.
        site.clock.advance(IDLE - touch);
        // A look at the store, because a visit would touch the session.
        assert_eq!(site.store.sessions().await, 1, "{last_activity:?}");
        site.clock.advance(touch);
        assert!(is_dead(&visitor).await, "{last_activity:?}");
    }
}

#[tokio::test]
async fn p6_inside_the_touch_interval_a_read_writes_nothing() {
    for (idle, interval) in [
        (IDLE, MINUTE),
        (12 * Duration::from_secs(3600), MINUTE),
        (15 * MINUTE, 30 * SECOND),
        (30 * SECOND, SECOND),
    ] {
        let site = site(|builder| builder.idle_timeout(idle));
        let mut visitor = site.visitor().await;
        for _ in 0..3 {
            site.clock.advance(interval - MILLISECOND);
            let answer = visitor.visit(read).await;
            assert_eq!(answer.set_cookies(), [""; 0]);
            assert_eq!(site.store.take_counts(), (1, 0), "{idle:?}");
            site.clock.advance(MILLISECOND);
            let answer = visitor.visit(read).await;
            assert_eq!(answer.set_cookies(), [""; 0], "a touch has no cookie");
            assert_eq!(site.store.take_counts(), (1, 1), "{idle:?}");
        }
    }
}

#[tokio::test]
async fn untouched_requests_and_writes_need_no_touch() {
    let site = site(|builder| builder);
    let mut visitor = site.visitor().await;
    site.clock.advance(10 * MINUTE);
    visitor.visit(|| async {}).await;
    assert_eq!(site.store.take_counts(), (0, 0));
    visitor.visit(write).await;
    assert_eq!(site.store.take_counts(), (1, 1), "one commit is both");
    let page = |mut session: Session<Shop>| async move {
        session.visits += 1;
        session.save().await
    };
    site.clock.advance(10 * MINUTE);
    visitor.visit(page).await;
    assert_eq!(site.store.take_counts(), (1, 1), "the save was the touch");
}

#[tokio::test]
async fn a_session_may_be_without_limits() {
    let site = site(|builder| builder.no_idle_timeout().no_lifetime().persistent());
    let mut visitor = Visitor::new(&site.layer);
    let answer = visitor.visit(write).await;
    assert_eq!(max_age(&answer), Some(400 * 24 * 60 * 60));
    site.clock.advance(10_000 * DAY);
    assert_eq!(visitor.visit(read).await.body, "1");
}

#[tokio::test]
async fn p4_each_field_has_its_own_time() {
    let site = site(|builder| builder);
    let mut visitor = site.visitor().await;
    let fill = |mut session: Session<Shop>| async move {
        session.otp = Some(1);
        session.failures = 1;
    };
    visitor.visit(fill).await;
    let state = async |visitor: &Visitor| {
        let page = |session: ReadSession<Shop>| async move {
            format!("{:?} {} {}", session.otp, session.failures, session.visits)
        };
        visitor.clone().visit(page).await.body
    };
    site.clock.advance(4 * MINUTE);
    // Written again: one starts anew, the window does not.
    let again = |mut session: Session<Shop>| async move {
        session.otp = Some(2);
        session.failures += 1;
    };
    visitor.visit(again).await;
    site.clock.advance(5 * MINUTE - MILLISECOND);
    assert_eq!(state(&visitor).await, "Some(2) 2 1");
    site.clock.advance(MILLISECOND);
    assert_eq!(state(&visitor).await, "None 2 1");
    site.clock.advance(MINUTE - MILLISECOND);
    assert_eq!(state(&visitor).await, "None 2 1");
    site.clock.advance(MILLISECOND);
    assert_eq!(state(&visitor).await, "None 0 1");
    visitor.visit(again).await;
    assert_eq!(state(&visitor).await, "Some(2) 1 1", "a new window");
}

#[tokio::test]
async fn p4_the_same_value_again_renews_nothing() {
    let site = site(|builder| builder);
    let mut visitor = site.visitor().await;
    let set = |mut session: Session<Shop>| async move { session.otp = Some(1) };
    visitor.visit(set).await;
    site.clock.advance(4 * MINUTE);
    visitor.visit(set).await;
    site.clock.advance(MINUTE);
    let page = |session: ReadSession<Shop>| async move { format!("{:?}", session.otp) };
    assert_eq!(visitor.visit(page).await.body, "None");
}

#[tokio::test]
async fn p4_a_field_that_slides_is_renewed_by_reading_and_throttled() {
    let site = site(|builder| builder);
    let mut visitor = site.visitor().await;
    let fill = |mut session: Session<Shop>| async move { session.brief = Some(1) };
    visitor.visit(fill).await;
    site.store.take_counts();
    let remaining = async |visitor: &Visitor| {
        let page = |session: ReadSession<Shop>| async move {
            match session.ttl(Shop::BRIEF).await? {
                Ttl::Remaining(remaining) => Ok(remaining.as_millis().to_string()),
                other => Ok::<_, SessionError>(format!("{other:?}")),
            }
        };
        visitor.clone().visit(page).await.body
    };

    // A tenth of 100 s is less than the touch interval.
    site.clock.advance(10 * SECOND - MILLISECOND);
    visitor.visit(read).await;
    assert_eq!(site.store.take_counts(), (1, 0), "throttled");
    site.clock.advance(MILLISECOND);
    visitor.visit(read).await;
    assert_eq!(site.store.take_counts(), (1, 1), "renewed");
    assert_eq!(remaining(&visitor).await, "100000");
    for _ in 0..10 {
        site.clock.advance(90 * SECOND);
        assert_eq!(visitor.visit(read).await.body, "1");
    }
    assert_eq!(remaining(&visitor).await, "100000");

    // A session that has ended is not brought back.
    site.clock.advance(100 * SECOND);
    visitor.visit(read).await;
    assert_eq!(remaining(&visitor).await, "Missing");
}

#[tokio::test]
async fn p4_what_a_handler_renewed_itself_is_not_renewed_again() {
    let site = site(|builder| builder);
    let mut visitor = site.visitor().await;
    visitor
        .visit(|mut session: Session<Shop>| async move { session.customer = Some(7) })
        .await;
    site.clock.advance(10 * MINUTE);
    site.store.take_counts();
    let page = |mut session: Session<Shop>| async move {
        session.renew(Shop::CUSTOMER);
        session.save().await
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    assert_eq!(site.store.take_counts(), (1, 1));
}

#[tokio::test]
async fn p4_a_long_sliding_field_follows_the_touch_interval() {
    let site = site(|builder| builder);
    let mut visitor = site.visitor().await;
    let login = |mut session: Session<Shop>| async move { session.customer = Some(1) };
    visitor.visit(login).await;
    site.store.take_counts();
    site.clock.advance(MINUTE - MILLISECOND);
    visitor.visit(read).await;
    assert_eq!(site.store.take_counts(), (1, 0));
    site.clock.advance(MILLISECOND);
    visitor.visit(read).await;
    assert_eq!(
        site.store.take_counts(),
        (1, 1),
        "touch and renewal are one commit"
    );
    let page = |session: ReadSession<Shop>| async move {
        assert_eq!(session.ttl(Shop::CUSTOMER).await?, Ttl::Remaining(IDLE));
        Ok::<_, SessionError>(())
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_persistent_cookie_never_outlives_the_record() {
    let site = site(|builder| builder.persistent().lifetime(60 * MINUTE));
    let mut visitor = Visitor::new(&site.layer);
    let answer = visitor.visit(write).await;
    assert_eq!(max_age(&answer), Some(30 * 60), "the idle timeout");

    site.clock.advance(MINUTE - MILLISECOND);
    let answer = visitor.visit(read).await;
    assert_eq!(answer.set_cookies(), [""; 0], "not inside the interval");
    site.clock.advance(MILLISECOND);
    assert_eq!(
        max_age(&visitor.visit(read).await),
        Some(30 * 60),
        "with a touch"
    );
    assert_eq!(
        max_age(&visitor.visit(write).await),
        Some(30 * 60),
        "with a change"
    );

    // The end of the lifetime is nearer than the idle timeout.
    for passed in [29, 50, 59] {
        let step = Duration::from_secs(60 * passed) - elapsed(&site, &mut visitor).await;
        site.clock.advance(step);
        let age = max_age(&visitor.visit(write).await).unwrap();
        let record = 60 * 60 - 60 * passed;
        assert!(age <= record.min(30 * 60), "{age} after {passed} minutes");
        assert!(
            age + 2 > record.min(30 * 60),
            "{age} after {passed} minutes"
        );
    }
    let step = 60 * MINUTE - elapsed(&site, &mut visitor).await - MILLISECOND;
    site.clock.advance(step);
    assert_eq!(
        max_age(&visitor.visit(write).await),
        Some(1),
        "never below one"
    );
}

/// How old the visitor's session is.
async fn elapsed(site: &Site, visitor: &mut Visitor) -> Duration {
    use session_runtime::store::Clock;
    use session_runtime::store::Selection;
    use session_runtime::{SessionId, SessionStore};
    let page = |session: ReadSession<Shop>| async move {
        session.id().map(|id| id.to_string()).unwrap_or_default()
    };
    let id: SessionId = visitor.visit(page).await.body.parse().expect("an id");
    let loaded = site
        .store
        .inner()
        .load(&id, &Selection::default())
        .await
        .expect("the store works");
    let created = loaded.expect("the session lives").header.created;
    site.clock.now().saturating_since(created)
}

#[tokio::test]
async fn remember_is_kept_by_later_writes_of_any_layer() {
    let site = site(|builder| builder);
    let mut visitor = Visitor::new(&site.layer);
    assert_eq!(max_age(&visitor.visit(write).await), None);
    let remember = |mut session: Session<Shop>| async move { session.remember(true) };
    assert_eq!(max_age(&visitor.visit(remember).await), Some(30 * 60));
    assert_eq!(max_age(&visitor.visit(write).await), Some(30 * 60));
    let rotate = |mut session: Session<Shop>| async move { session.rotate() };
    assert_eq!(max_age(&visitor.visit(rotate).await), Some(30 * 60));
    let forget = |mut session: Session<Shop>| async move { session.remember(false) };
    assert_eq!(
        max_age(&visitor.visit(forget).await),
        None,
        "sent without an age"
    );
    assert_eq!(visitor.visit(write).await.set_cookies(), [""; 0]);
    assert_eq!(max_age(&visitor.visit(rotate).await), None);

    // And the other way round.
    let site = self::site(SessionLayerBuilder::persistent);
    let mut visitor = Visitor::new(&site.layer);
    visitor.visit(write).await;
    assert_eq!(max_age(&visitor.visit(forget).await), None);
    assert_eq!(visitor.visit(write).await.set_cookies(), [""; 0]);
}

#[tokio::test]
async fn remember_waits_until_there_is_a_session() {
    let site = site(|builder| builder);
    let mut visitor = Visitor::new(&site.layer);
    let remember = |mut session: Session<Shop>| async move { session.remember(true) };
    assert_eq!(visitor.visit(remember).await.set_cookies(), [""; 0]);
    assert_eq!(site.store.take_counts(), (0, 0));
    let both = |mut session: Session<Shop>| async move {
        session.remember(true);
        session.save().await?;
        session.visits += 1;
        Ok::<_, SessionError>(())
    };
    assert_eq!(max_age(&visitor.visit(both).await), Some(30 * 60));
}

#[tokio::test]
async fn timeouts_of_a_session_are_kept_by_later_writes() {
    let site = site(|builder| builder);
    let mut visitor = Visitor::new(&site.layer);
    let longer = |mut session: Session<Shop>| async move {
        session.set_timeouts(Timeouts::new(2 * DAY, 10 * DAY).unwrap());
        session.remember(true);
        session.visits += 1;
    };
    assert_eq!(max_age(&visitor.visit(longer).await), Some(2 * 86_400));
    for _ in 0..4 {
        site.clock.advance(2 * DAY - MILLISECOND);
        assert_eq!(max_age(&visitor.visit(write).await), Some(2 * 86_400));
    }
    // The lifetime counts from the creation.
    site.clock.advance(2 * DAY);
    assert!(is_dead(&visitor).await);

    let mut visitor = site.visitor().await;
    let shorter = |mut session: Session<Shop>| async move {
        session.set_timeouts(Timeouts::new(SECOND, MINUTE).unwrap())
    };
    visitor.visit(shorter).await;
    site.clock.advance(SECOND - MILLISECOND);
    assert_eq!(visitor.visit(write).await.status, StatusCode::OK);
    site.clock.advance(SECOND);
    assert!(is_dead(&visitor).await);

    let mut visitor = site.visitor().await;
    let endless = |mut session: Session<Shop>| async move {
        session.set_timeouts(Timeouts::new(None, None).unwrap())
    };
    visitor.visit(endless).await;
    site.clock.advance(1_000 * DAY);
    assert!(!is_dead(&visitor).await);
}

#[tokio::test]
async fn timeouts_of_the_layer_do_not_change_older_sessions() {
    let site = site(|builder| builder);
    let visitor = site.visitor().await;
    let short = SessionLayer::builder(site.store.clone())
        .idle_timeout(SECOND)
        .build()
        .unwrap();
    let mut other = Visitor::new(&short);
    other.set_token(&visitor.token().unwrap());
    other.visit(write).await;
    site.clock.advance(10 * MINUTE);
    assert_eq!(other.visit(read).await.body, "2");
}
