//! A limit of sessions: who makes room, who is refused, and when a place is free again.

use http::StatusCode;
use session_runtime::{Session, SessionError, SessionLayer, WhenFull};
use tests::events::Recorder;
use tests::visitor::Visitor;

use crate::{OldShop, SECOND, Shop, count, sign_in, sign_out, signed_in, store, whoami};

/// A place is free at once, however its session ended.
#[tokio::test]
async fn ended_sessions_free_their_place_at_once() {
    for when_full in [WhenFull::Reject, WhenFull::EvictOldest] {
        let (store, _) = store();
        let layer = SessionLayer::builder(store)
            .max_sessions(Shop::CUSTOMER, 1, when_full)
            .build()
            .unwrap();
        let ways: [fn(Session<Shop>, Session<OldShop>); 3] = [
            |shop, _| shop.destroy(),
            |mut shop, _| shop.customer = None,
            |mut shop, _| shop.remove(Shop::CUSTOMER),
        ];
        for way in ways {
            let mut visitor = signed_in(&layer, 7).await;
            let page = move |shop: Session<Shop>, old: Session<OldShop>| async move {
                way(shop, old);
            };
            assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
        }
        // A handler that does not know the principal leaves a stale entry.
        let mut visitor = signed_in(&layer, 7).await;
        visitor
            .visit(|session: Session<OldShop>| async move { session.destroy() })
            .await;
        signed_in(&layer, 7).await;
        assert_eq!(count(&layer, 7).await, 1);
    }
}

#[tokio::test]
async fn s31_the_oldest_makes_room() {
    let (store, clock) = store();
    let layer = SessionLayer::builder(store)
        .max_sessions(Shop::CUSTOMER, 3, WhenFull::EvictOldest)
        .build()
        .unwrap();
    let mut visitors = Vec::new();
    for _ in 0..5 {
        visitors.push(signed_in(&layer, 7).await);
        clock.advance(SECOND);
    }
    let mut who = Vec::new();
    for visitor in &mut visitors {
        who.push(whoami(visitor).await);
    }
    assert_eq!(who, ["nobody", "nobody", "7", "7", "7"]);
    // The session's own place does not count: signing in again evicts no session.
    sign_in(&mut visitors[2], 8).await;
    sign_in(&mut visitors[2], 7).await;
    assert_eq!(count(&layer, 7).await, 3);
    assert_eq!(whoami(&mut visitors[3]).await, "7");
}

#[tokio::test]
async fn s31_a_rejected_sign_in_says_so_and_leaves_nothing() {
    let (store, _) = store();
    let layer = SessionLayer::builder(store.clone())
        .max_sessions(Shop::CUSTOMER, 1, WhenFull::Reject)
        .build()
        .unwrap();
    let mut holder = signed_in(&layer, 7).await;

    let mut visitor = Visitor::new(&layer);
    let recorder = Recorder::start();
    assert_eq!(sign_in(&mut visitor, 7).await, StatusCode::CONFLICT);
    assert_eq!(recorder.take_events(), ["limit-reached"]);
    assert_eq!(visitor.token(), None);

    let page = |mut session: Session<Shop>| async move {
        session.customer = Some(7);
        match session.save().await {
            Err(SessionError::LimitReached) => "too many devices",
            _ => "welcome",
        }
    };
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "too many devices")
    );
    assert_eq!(visitor.token(), None, "it is not tried again");
    assert_eq!(whoami(&mut holder).await, "7");
    assert_eq!(count(&layer, 7).await, 1);

    // One who has a session already keeps it as it was.
    let put = |mut session: Session<Shop>| async move { session.cart = 5 };
    visitor.visit(put).await;
    let token = visitor.token();
    assert_eq!(sign_in(&mut visitor, 7).await, StatusCode::CONFLICT);
    assert_eq!(visitor.token(), token);
    let cart = |session: Session<Shop>| async move { session.cart.to_string() };
    assert_eq!(visitor.visit(cart).await.body, "5");

    let update = |mut session: Session<Shop>| async move {
        session.update(|shop| shop.customer = Some(7)).await
    };
    assert_eq!(visitor.visit(update).await.status, StatusCode::CONFLICT);
    sign_out(&mut holder).await;
    assert_eq!(visitor.visit(update).await.status, StatusCode::OK);
    assert_eq!(count(&layer, 7).await, 1);
}

/// Two limits are asked in one commit, and only one of them is reached.
#[tokio::test]
async fn s31_each_limit_counts_its_own_principal() {
    #[derive(Session, Default)]
    struct Office {
        #[session(principal)]
        clerk: Option<u32>,
    }
    let (store, _) = store();
    let layer = SessionLayer::builder(store)
        .max_sessions(Shop::CUSTOMER, 1, WhenFull::EvictOldest)
        .max_sessions(Office::CLERK, 1, WhenFull::Reject)
        .build()
        .unwrap();
    let page = |mut office: Session<Office>, mut shop: Session<Shop>| async move {
        office.clerk = Some(7);
        drop(office);
        shop.customer = Some(7);
    };
    let mut first = Visitor::new(&layer);
    assert_eq!(first.visit(page).await.status, StatusCode::OK);
    let second = Visitor::new(&layer).visit(page).await;
    assert_eq!(second.status, StatusCode::CONFLICT);
    assert_eq!(whoami(&mut first).await, "7", "no session made room");
}

/// The age of the session counts, and not the time since the sign-in.
#[tokio::test]
async fn s31_the_oldest_session_makes_room_whenever_it_signed_in() {
    let (store, clock) = store();
    let layer = SessionLayer::builder(store)
        .max_sessions(Shop::CUSTOMER, 2, WhenFull::EvictOldest)
        .build()
        .unwrap();
    let mut oldest = Visitor::new(&layer);
    let page = |mut session: Session<Shop>| async move { session.cart = 1 };
    oldest.visit(page).await;
    clock.advance(SECOND);
    let mut second = signed_in(&layer, 7).await;
    clock.advance(SECOND);
    sign_in(&mut oldest, 7).await;
    clock.advance(SECOND);
    signed_in(&layer, 7).await;
    assert_eq!(whoami(&mut oldest).await, "nobody");
    assert_eq!(whoami(&mut second).await, "7");
}
