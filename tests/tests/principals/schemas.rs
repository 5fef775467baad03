//! Several schemas and several versions of one: whose sessions each of them lists.

use http::StatusCode;
use session_runtime::{ReadSession, Session, SessionLayer, Timeouts};
use tests::visitor::Visitor;

use crate::{MINUTE, OldShop, Shop, Staff, count, sign_in, sign_out, signed_in, site, whoami};

#[tokio::test]
async fn two_schemas_keep_separate_lists() {
    let (layer, _, _) = site();
    let mut visitor = signed_in(&layer, 7).await;
    let clerk = |mut session: Session<Staff>| async move { session.clerk = Some("7".to_owned()) };
    visitor.visit(clerk).await;
    let sessions = layer.sessions();
    let clerks = || async {
        sessions
            .of(Staff::CLERK, &"7".to_owned())
            .list()
            .await
            .unwrap()
    };
    assert_eq!((count(&layer, 7).await, clerks().await.len()), (1, 1));
    sign_out(&mut visitor).await;
    assert_eq!((count(&layer, 7).await, clerks().await.len()), (0, 1));
    sign_in(&mut visitor, 8).await;
    assert_eq!(
        sessions
            .of(Staff::CLERK, &"7".to_owned())
            .revoke_all()
            .await
            .unwrap(),
        1
    );
    assert_eq!(count(&layer, 8).await, 0, "one session, ended for both");
}

/// Both schemas in one request: one commit, one token, two lists.
#[tokio::test]
async fn two_principals_change_in_one_commit() {
    let (layer, store, _) = site();
    let mut visitor = Visitor::new(&layer);
    let both = |mut shop: Session<Shop>, mut staff: Session<Staff>| async move {
        shop.customer = Some(7);
        staff.clerk = Some("eve".to_owned());
    };
    store.take_counts();
    visitor.visit(both).await;
    assert_eq!(store.take_counts(), (0, 1));
    let clerks = layer
        .sessions()
        .of(Staff::CLERK, &"eve".to_owned())
        .list()
        .await;
    assert_eq!((count(&layer, 7).await, clerks.unwrap().len()), (1, 1));
}

/// During a rollout one program knows the principal and the other does not.
#[tokio::test]
async fn a_program_that_knows_no_principal_shares_the_sessions() {
    let (new, store, clock) = site();
    let old = SessionLayer::new(store);
    let mut visitor = Visitor::new(&old);
    let put = |mut session: Session<OldShop>| async move { session.cart += 1 };
    visitor.visit(put).await;
    visitor.move_to(&new);
    assert_eq!(sign_in(&mut visitor, 7).await, StatusCode::OK);

    visitor.move_to(&old);
    visitor.visit(put).await;
    visitor
        .visit(|mut session: Session<OldShop>| async move { session.rotate() })
        .await;
    clock.advance(2 * MINUTE);
    visitor.visit(put).await;
    assert_eq!(count(&new, 7).await, 1, "still listed");

    visitor.move_to(&new);
    assert_eq!(whoami(&mut visitor).await, "7");
    visitor.move_to(&old);
    visitor
        .visit(|session: Session<OldShop>| async move { session.destroy() })
        .await;
    assert_eq!(count(&new, 7).await, 0, "ended by either program");

    let mut visitor = signed_in(&new, 7).await;
    assert_eq!(
        new.sessions()
            .of(Shop::CUSTOMER, &7)
            .revoke_all()
            .await
            .unwrap(),
        1
    );
    visitor.move_to(&old);
    let cart = |session: ReadSession<OldShop>| async move { session.is_new().to_string() };
    assert_eq!(visitor.visit(cart).await.body, "true");
}

/// The field was called `user` in the version before.
#[tokio::test]
async fn a_renamed_principal_is_found_under_both_names() {
    #[derive(Session, Default)]
    #[session(name = "login")]
    struct Before {
        #[session(principal)]
        user: Option<u32>,
    }
    #[derive(Session, Default)]
    #[session(name = "login")]
    struct After {
        #[session(principal, alias = "user")]
        member: Option<u32>,
    }

    let (layer, _, _) = site();
    let sessions = layer.sessions();
    let before = |mut session: Session<Before>| async move { session.user = Some(7) };
    let after = |mut session: Session<After>| async move { session.member = Some(7) };
    let mut old = Visitor::new(&layer);
    old.visit(before).await;
    let mut new = Visitor::new(&layer);
    new.visit(after).await;
    assert_eq!(
        sessions.of(After::MEMBER, &7).list().await.unwrap().len(),
        2
    );

    // Listed under the new name as well, it is still one session.
    let longer = |mut session: Session<After>| async move {
        session.set_timeouts(Timeouts::new(MINUTE, 60 * MINUTE).unwrap());
    };
    old.visit(longer).await;
    assert_eq!(
        sessions.of(After::MEMBER, &7).list().await.unwrap().len(),
        2
    );
    assert_eq!(
        sessions.of(After::MEMBER, &7).revoke_all().await.unwrap(),
        2
    );
    assert_eq!(sessions.of(After::MEMBER, &7).list().await.unwrap(), []);

    // The newer name counts: a visitor who is signed in as 8 is not revoked as 7.
    let mut visitor = Visitor::new(&layer);
    let as_eight = |mut session: Session<After>| async move { session.member = Some(8) };
    visitor.visit(as_eight).await;
    visitor.visit(before).await;
    let id = sessions.of(After::MEMBER, &8).list().await.unwrap()[0].id;
    assert!(!sessions.of(After::MEMBER, &7).revoke(&id).await.unwrap());
    assert!(sessions.of(After::MEMBER, &8).revoke(&id).await.unwrap());
}
