//! Each field has a time to live of its own.

use http::StatusCode;
use session_runtime::{ReadSession, Session, SessionError, Ttl};
use tests::visitor::Visitor;

use super::{IDLE, MILLISECOND, MINUTE, SECOND, Shop, read, site};

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
