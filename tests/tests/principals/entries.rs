//! The entries of a list as the store keeps them. A reader does not see those that are stale.

use std::time::Duration;

use http::StatusCode;
use session_runtime::store::PrincipalKey;
use session_runtime::test_kit::ManualClock;
use session_runtime::{Session, SessionLayer, SessionStore, Sessions};
use tests::stepped::SteppedMemory;
use tests::visitor::Visitor;

use crate::{MINUTE, SECOND, Shop, count, id_of, sign_in, sign_out, signed_in, site};

/// An entry goes without being looked at.
#[tokio::test]
async fn an_entry_ends_with_the_lifetime_of_its_session() {
    let (layer, store, clock) = site();
    let customer = PrincipalKey::new("shop.customer", b"7");
    let entries = async || store.list(&customer).await.unwrap().entries.len();
    signed_in(&layer, 7).await;
    clock.advance(24 * 60 * MINUTE - SECOND);
    assert_eq!(entries().await, 1);
    clock.advance(SECOND);
    assert_eq!(entries().await, 0);
}

/// The list that a reader sees skips what is stale; here it is looked at as the store keeps it.
#[tokio::test]
async fn an_entry_goes_with_the_sign_out_or_the_session() {
    let (layer, store, _) = site();
    let customer = PrincipalKey::new("shop.customer", b"7");
    let entries = async || store.list(&customer).await.unwrap().entries.len();

    let mut visitor = signed_in(&layer, 7).await;
    sign_out(&mut visitor).await;
    assert_eq!(entries().await, 0);
    sign_in(&mut visitor, 7).await;
    let page =
        |mut session: Session<Shop>| async move { session.take(Shop::CUSTOMER).await.map(drop) };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    assert_eq!(entries().await, 0);
    sign_in(&mut visitor, 7).await;
    visitor
        .visit(|session: Session<Shop>| async move { session.destroy() })
        .await;
    assert_eq!(entries().await, 0);
}

/// A sign-in of which only the entry has reached the store.
async fn half_signed_in(store: &SteppedMemory, visitor: &mut Visitor) {
    // The entry comes first, behind the load of a visitor who has a session.
    store.fail_after(1 + usize::from(visitor.token().is_some()));
    let status = sign_in(visitor, 7).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(store.recover());
}

#[tokio::test]
async fn an_entry_waits_ten_seconds_for_its_session() {
    let clock = ManualClock::new();
    let store = SteppedMemory::new(clock.clone());
    let layer = SessionLayer::new(store.clone());
    let customer = PrincipalKey::new("shop.customer", b"7");
    let entries = async || store.list(&customer).await.unwrap().entries.len();
    half_signed_in(&store, &mut Visitor::new(&layer)).await;
    for (pause, left) in [(0, 1), (9_999, 1), (1, 0)] {
        clock.advance(Duration::from_millis(pause));
        assert_eq!(count(&layer, 7).await, 0, "no session is signed in");
        assert_eq!(entries().await, left, "after another {pause} ms");
    }
}

#[tokio::test]
async fn s25_revoking_the_others_spares_an_entry_of_the_current_session() {
    let store = SteppedMemory::new(ManualClock::new());
    let layer = SessionLayer::new(store.clone());
    let customer = PrincipalKey::new("shop.customer", b"7");
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Shop>| async move { session.cart = 1 };
    visitor.visit(page).await;
    let own = id_of(&mut visitor).await;
    half_signed_in(&store, &mut visitor).await;
    half_signed_in(&store, &mut Visitor::new(&layer)).await;

    let page = |sessions: Sessions, _: Session<Shop>| async move {
        let ended = sessions.of(Shop::CUSTOMER, &7).revoke_others().await;
        ended.map(|ended| ended.to_string())
    };
    assert_eq!(visitor.visit(page).await.body, "0");
    let left = store.list(&customer).await.unwrap().entries;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].session, own);
}
