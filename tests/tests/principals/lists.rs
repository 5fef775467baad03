//! The contents of a list, and the cost of asking for it.

use std::time::SystemTime;

use http::StatusCode;
use session_runtime::store::Clock;
use session_runtime::test_kit::ManualClock;
use session_runtime::{
    Session, SessionId, SessionInfo, SessionLayer, Sessions, Timeouts, WhenFull,
};
use tests::visitor::Visitor;

use crate::{
    MINUTE, OldShop, SECOND, Shop, Staff, count, id_of, list, sign_in, signed_in, site, store,
    whoami,
};

fn time(clock: &ManualClock) -> SystemTime {
    clock.now().into()
}

#[tokio::test]
async fn s26_the_list_shows_each_session_as_it_is() {
    let (layer, _, clock) = site();
    let mut first = signed_in(&layer, 7).await;
    let first_created = time(&clock);
    first
        .visit(|mut session: Session<Shop>| async move { session.set_label("Firefox") })
        .await;
    clock.advance(MINUTE);
    let mut second = signed_in(&layer, 7).await;
    let second_created = time(&clock);
    signed_in(&layer, 8).await;

    let infos = list(&layer, 7).await;
    let ids = [id_of(&mut first).await, id_of(&mut second).await];
    assert_eq!([infos[0].id, infos[1].id], ids, "the oldest first");
    // `id_of` was a visit after the touch interval.
    let infos_now = list(&layer, 7).await;
    assert_eq!(infos[0].last_seen, first_created);
    assert_eq!(infos_now[0].last_seen, time(&clock));
    assert_eq!(infos_now[0].created, first_created);
    assert_eq!(infos_now[1].created, second_created);
    assert_eq!(infos_now[0].label.as_deref(), Some("Firefox"));
    assert_eq!(infos_now[1].label, None);
    assert!(
        infos_now.iter().all(|info| !info.current),
        "no request asks"
    );

    // Within the touch interval a visit is not written, so the time is at most that old.
    clock.advance(MINUTE - SECOND);
    whoami(&mut first).await;
    assert_eq!(
        list(&layer, 7).await[0].last_seen,
        time(&clock) - (MINUTE - SECOND)
    );
    clock.advance(SECOND);
    whoami(&mut first).await;
    assert_eq!(list(&layer, 7).await[0].last_seen, time(&clock));
}

/// How many sessions the page lists, and whether exactly one is the visitor's.
fn shown(infos: &[SessionInfo], id: Option<SessionId>) -> String {
    let current: Vec<_> = infos.iter().filter(|info| info.current).collect();
    let is_own = current.len() == 1 && id.is_none_or(|id| current[0].id == id);
    format!("{} {is_own}", infos.len())
}

#[tokio::test]
async fn s26_the_list_knows_the_current_session() {
    let (layer, _, _) = site();
    let mut visitor = signed_in(&layer, 7).await;
    signed_in(&layer, 7).await;

    let with_session = |sessions: Sessions, session: Session<Shop>| async move {
        let infos = sessions.of(Shop::CUSTOMER, &7).list().await.unwrap();
        shown(&infos, session.id())
    };
    assert_eq!(visitor.visit(with_session).await.body, "2 true");

    let alone = |sessions: Sessions| async move {
        let infos = sessions.of(Shop::CUSTOMER, &7).list().await.unwrap();
        shown(&infos, None)
    };
    let answer = visitor.visit(alone).await;
    assert_eq!(answer.body, "2 true");
    assert_eq!(answer.headers["vary"], "cookie", "the flag depends on it");

    let rotated = |sessions: Sessions, mut session: Session<Shop>| async move {
        session.rotate();
        session.save().await.unwrap();
        let infos = sessions.of(Shop::CUSTOMER, &7).list().await.unwrap();
        shown(&infos, session.id())
    };
    assert_eq!(visitor.visit(rotated).await.body, "2 true");

    let new = |sessions: Sessions, mut session: Session<Shop>| async move {
        session.customer = Some(7);
        session.save().await.unwrap();
        let infos = sessions.of(Shop::CUSTOMER, &7).list().await.unwrap();
        shown(&infos, session.id())
    };
    assert_eq!(Visitor::new(&layer).visit(new).await.body, "3 true");
    let mut stranger = Visitor::new(&layer);
    assert_eq!(stranger.visit(alone).await.body, "3 false");
}

#[tokio::test]
async fn expired_sessions_and_principals_are_not_listed() {
    let (store, clock) = store();
    let layer = SessionLayer::builder(store.clone())
        .idle_timeout(4 * 60 * MINUTE)
        .max_sessions(Shop::CUSTOMER, 2, WhenFull::Reject)
        .build()
        .unwrap();
    let mut expiring = signed_in(&layer, 7).await;
    signed_in(&layer, 7).await;
    assert_eq!(
        sign_in(&mut Visitor::new(&layer), 7).await,
        StatusCode::CONFLICT
    );

    // The principal goes on its own after two hours; the session stays.
    clock.advance(2 * 60 * MINUTE);
    assert_eq!(count(&layer, 7).await, 0);
    assert_eq!(whoami(&mut expiring).await, "nobody");
    let before = expiring.clone();
    assert_eq!(sign_in(&mut expiring, 7).await, StatusCode::OK);
    assert_ne!(expiring.token(), before.token());
    signed_in(&layer, 7).await;
    assert_eq!(count(&layer, 7).await, 2);

    // The limit works without a call of `list` in between.
    clock.advance(2 * 60 * MINUTE);
    signed_in(&layer, 7).await;
    signed_in(&layer, 7).await;
    assert_eq!(
        sign_in(&mut Visitor::new(&layer), 7).await,
        StatusCode::CONFLICT
    );
    clock.advance(5 * 60 * MINUTE);
    assert_eq!(count(&layer, 7).await, 0, "sessions that ended");
}

/// The entry must outlast the session, also one whose life was prolonged in a handler that knows
/// nothing of principals.
#[tokio::test]
async fn a_longer_life_is_a_longer_listing() {
    let (layer, _, clock) = site();
    let day = 24 * 60 * MINUTE;
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Staff>| async move { session.clerk = Some("eve".to_owned()) };
    visitor.visit(page).await;
    let page = move |mut session: Session<OldShop>| async move {
        session.set_timeouts(Timeouts::new(None, 10 * day).unwrap());
        session.cart = 1;
    };
    visitor.visit(page).await;
    clock.advance(9 * day);
    let sessions = layer.sessions();
    let eve = "eve".to_owned();
    assert_eq!(
        sessions.of(Staff::CLERK, &eve).list().await.unwrap().len(),
        1
    );
    assert_eq!(
        sessions.of(Staff::CLERK, &eve).revoke_all().await.unwrap(),
        1
    );

    // Set before the sign-in, it holds for the entry as well.
    let mut visitor = Visitor::new(&layer);
    let page = move |mut session: Session<Staff>| async move {
        session.set_timeouts(Timeouts::new(None, None).unwrap());
        session.clerk = Some("eve".to_owned());
    };
    visitor.visit(page).await;
    clock.advance(1_000 * day);
    assert_eq!(
        sessions.of(Staff::CLERK, &eve).list().await.unwrap().len(),
        1
    );
}

/// A call costs by the principal's own sessions, however many others there are.
#[tokio::test]
async fn a_list_costs_by_its_own_sessions() {
    let (layer, store, _) = site();
    for customer in 0..200 {
        signed_in(&layer, customer).await;
    }
    signed_in(&layer, 7).await;
    store.take_counts();
    store.take_list_count();
    assert_eq!(count(&layer, 7).await, 2);
    assert_eq!((store.take_counts(), store.take_list_count()), ((2, 0), 1));
    assert_eq!(
        layer
            .sessions()
            .of(Shop::CUSTOMER, &7)
            .revoke_all()
            .await
            .unwrap(),
        2
    );
    assert_eq!((store.take_counts(), store.take_list_count()), ((2, 2), 2));
}
