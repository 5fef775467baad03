//! Whatever changes the principal replaces the token, however a handler does it.

use http::StatusCode;
use session_runtime::{ReadSession, Session, SessionError, SessionLayer, WhenFull};
use tests::visitor::Visitor;

use crate::{MINUTE, Shop, Staff, count, id_of, signed_in, site, store, whoami};

#[tokio::test]
async fn s09_a_change_of_the_principal_replaces_the_token_at_once() {
    let (layer, _, _) = site();
    let mut visitor = Visitor::new(&layer);
    let put = |mut session: Session<Shop>| async move { session.cart = 5 };
    visitor.visit(put).await;
    let id = id_of(&mut visitor).await;
    for customer in [Some(7), Some(8), None] {
        let mut before = visitor.clone();
        let page = move |mut session: Session<Shop>| async move { session.customer = customer };
        visitor.visit(page).await;
        assert_ne!(visitor.token(), before.token());
        let page = |session: ReadSession<Shop>| async move { session.cart.to_string() };
        assert_eq!(before.visit(page).await.body, "0", "the old token is dead");
        assert_eq!(
            visitor.visit(page).await.body,
            "5",
            "the session is the same"
        );
        assert_eq!(id_of(&mut visitor).await, id);
    }
}

/// Every way in which a handler can change the principal.
#[tokio::test]
async fn s09_whatever_changes_the_principal_rotates_and_keeps_the_list() {
    let (layer, _, _) = site();

    let mut visitor = signed_in(&layer, 1).await;
    let mut before = visitor.clone();
    visitor
        .visit(|mut session: Session<Shop>| async move { session.remove(Shop::CUSTOMER) })
        .await;
    assert_eq!(whoami(&mut before).await, "nobody");
    assert_ne!(visitor.token(), before.token());
    assert_eq!(count(&layer, 1).await, 0, "removed");

    let mut visitor = signed_in(&layer, 2).await;
    let before = visitor.clone();
    let answer = visitor
        .visit(|mut session: Session<Shop>| async move {
            let taken = session.take(Shop::CUSTOMER).await.unwrap();
            format!("{taken:?} {:?}", session.customer)
        })
        .await;
    assert_eq!(answer.body, "Some(2) None");
    assert_ne!(visitor.token(), before.token());
    assert_eq!(count(&layer, 2).await, 0, "taken");

    let mut visitor = signed_in(&layer, 3).await;
    let before = visitor.clone();
    let answer = visitor
        .visit(|mut session: Session<Shop>| async move {
            session.update(|shop| shop.customer = Some(4)).await
        })
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_ne!(visitor.token(), before.token());
    assert_eq!((count(&layer, 3).await, count(&layer, 4).await), (0, 1));

    let mut visitor = signed_in(&layer, 5).await;
    let mut before = visitor.clone();
    let answer = visitor
        .visit(|mut session: Session<Shop>| async move {
            session.customer = Some(6);
            session.expire(Shop::CUSTOMER, MINUTE).await
        })
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.set_cookies().len(), 1);
    assert_eq!(whoami(&mut before).await, "nobody");
    assert_eq!(whoami(&mut visitor).await, "6");
    assert_eq!((count(&layer, 5).await, count(&layer, 6).await), (0, 1));
}

/// A failed commit takes the wish to rotate with it; what is saved later has its own.
#[tokio::test]
async fn s09_no_principal_is_saved_without_rotation_after_an_error() {
    let (store, _) = store();
    let layer = SessionLayer::builder(store)
        .max_sessions(Shop::CUSTOMER, 1, WhenFull::Reject)
        .build()
        .unwrap();
    signed_in(&layer, 7).await;
    let mut visitor = Visitor::new(&layer);
    let put = |mut session: Session<Shop>| async move { session.cart = 5 };
    visitor.visit(put).await;
    let before = visitor.clone();
    let answer = visitor
        .visit(
            |mut shop: Session<Shop>, mut staff: Session<Staff>| async move {
                staff.clerk = Some("eve".to_owned());
                staff.commit();
                shop.customer = Some(7);
                let refused = shop.expire(Shop::CUSTOMER, MINUTE).await;
                assert!(matches!(refused, Err(SessionError::LimitReached)));
            },
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_ne!(
        visitor.token(),
        before.token(),
        "the clerk's sign-in rotates"
    );
}
