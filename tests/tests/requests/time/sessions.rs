//! When sessions end, and which requests move that.

use std::time::Duration;

use http::StatusCode;
use session_runtime::{Session, SessionLayer, SessionLayerBuilder, Timeouts};
use tests::visitor::Visitor;

use super::{DAY, IDLE, MILLISECOND, MINUTE, SECOND, Shop, is_dead, max_age, read, site, write};

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
