//! How long the browser is told to keep the cookie.

use std::time::Duration;

use session_runtime::{ReadSession, Session, SessionError, SessionLayerBuilder};
use tests::visitor::Visitor;

use super::{MILLISECOND, MINUTE, Shop, Site, max_age, read, site, write};

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
