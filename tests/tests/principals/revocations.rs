//! Ending sessions from a list: whose, which of them, and what becomes of the current one.

use axum::extract::Path;
use http::StatusCode;
use session_runtime::{Session, SessionError, SessionId, Sessions};
use tests::events::Recorder;
use tests::visitor::Visitor;

use crate::{MINUTE, Shop, Staff, count, id_of, sign_out, signed_in, site, whoami};

#[tokio::test]
async fn s26_only_the_owner_revokes_a_session() {
    let (layer, _, _) = site();
    let sessions = layer.sessions();
    let mut seven = signed_in(&layer, 7).await;
    let mut eight = signed_in(&layer, 8).await;
    let id = id_of(&mut eight).await;

    let page = move |sessions: Sessions, Path(()): Path<()>| async move {
        let revoked = sessions.of(Shop::CUSTOMER, &7).revoke(&id).await.unwrap();
        revoked.to_string()
    };
    let page = move |sessions: Sessions| page(sessions, Path(()));
    assert_eq!(seven.visit(page).await.body, "false");
    for other in [7, 0, 88, 80] {
        assert!(
            !sessions
                .of(Shop::CUSTOMER, &other)
                .revoke(&id)
                .await
                .unwrap()
        );
    }
    let clerk = "8".to_owned();
    assert!(!sessions.of(Staff::CLERK, &clerk).revoke(&id).await.unwrap());
    let unknown = SessionId::generate().unwrap();
    assert!(
        !sessions
            .of(Shop::CUSTOMER, &8)
            .revoke(&unknown)
            .await
            .unwrap()
    );
    assert_eq!(whoami(&mut eight).await, "8");

    assert!(sessions.of(Shop::CUSTOMER, &8).revoke(&id).await.unwrap());
    assert_eq!(whoami(&mut eight).await, "nobody");
    assert!(!sessions.of(Shop::CUSTOMER, &8).revoke(&id).await.unwrap());
    assert_eq!(count(&layer, 8).await, 0);
    assert_eq!(whoami(&mut seven).await, "7");
}

#[tokio::test]
async fn s25_revoking_the_others_leaves_exactly_the_current_one() {
    let (layer, _, _) = site();
    let page = |sessions: Sessions, session: Session<Shop>| async move {
        let customer = session.customer.unwrap();
        let revoked = sessions.of(Shop::CUSTOMER, &customer).revoke_others().await;
        revoked.unwrap().to_string()
    };
    let alone = |sessions: Sessions| async move {
        let revoked = sessions.of(Shop::CUSTOMER, &7).revoke_others().await;
        revoked.unwrap().to_string()
    };
    for without_session in [false, true] {
        let mut own = signed_in(&layer, 7).await;
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(signed_in(&layer, 7).await);
        }
        let mut stranger = signed_in(&layer, 8).await;
        let answer = match without_session {
            false => own.visit(page).await,
            true => own.visit(alone).await,
        };
        assert_eq!(answer.body, "4");
        assert_eq!(whoami(&mut own).await, "7");
        for other in &mut others {
            assert_eq!(whoami(other).await, "nobody");
        }
        assert_eq!(whoami(&mut stranger).await, "8");
        assert_eq!(count(&layer, 7).await, 1);
        sign_out(&mut own).await;
    }
    // Outside a request nothing is current.
    signed_in(&layer, 9).await;
    let revoked = layer
        .sessions()
        .of(Shop::CUSTOMER, &9)
        .revoke_others()
        .await;
    assert_eq!(revoked.unwrap(), 1);
}

#[tokio::test]
async fn s24_revoking_all_ends_the_session_of_the_request_too() {
    let (layer, _, clock) = site();
    let mut own = signed_in(&layer, 7).await;
    let mut other = signed_in(&layer, 7).await;
    // A touch would be due, of a session that does not exist any more.
    clock.advance(2 * MINUTE);
    let page = |sessions: Sessions, session: Session<Shop>| async move {
        let revoked = sessions.of(Shop::CUSTOMER, &7).revoke_all().await.unwrap();
        assert!(session.id().is_none());
        revoked.to_string()
    };
    let answer = own.visit(page).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "2"));
    assert_eq!(own.token(), None, "the cookie is removed");
    assert_eq!(whoami(&mut other).await, "nobody");

    let mut own = signed_in(&layer, 7).await;
    let page = |sessions: Sessions, mut session: Session<Shop>| async move {
        let id = session.id().unwrap();
        assert!(sessions.of(Shop::CUSTOMER, &7).revoke(&id).await.unwrap());
        session.customer = None;
    };
    assert_eq!(own.visit(page).await.status, StatusCode::OK);
    assert_eq!(own.token(), None);
    assert_eq!(
        layer
            .sessions()
            .of(Shop::CUSTOMER, &7)
            .revoke_all()
            .await
            .unwrap(),
        0
    );
}

/// A visit that only reads is answered even if its session ends meanwhile.
#[tokio::test]
async fn a_page_that_asked_for_nothing_is_not_replaced_by_an_error() {
    let (layer, _, clock) = site();
    let mut visitor = signed_in(&layer, 7).await;
    clock.advance(2 * MINUTE);
    let sessions = layer.sessions();
    let page = |_: Session<Shop>| async move {
        sessions.of(Shop::CUSTOMER, &7).revoke_all().await.unwrap();
        "read"
    };
    let recorder = Recorder::start();
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "read")
    );
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(recorder.take_events(), ["destroyed", "gone"]);

    // The request's own changes are not lost silently.
    let mut visitor = signed_in(&layer, 7).await;
    let sessions = layer.sessions();
    let page = |mut session: Session<Shop>| async move {
        sessions.of(Shop::CUSTOMER, &7).revoke_all().await.unwrap();
        session.cart = 1;
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::CONFLICT);
}

/// An id from a list or a log does not make its holder the visitor.
#[tokio::test]
async fn s26_an_id_without_its_secret_is_not_the_visitors_own_session() {
    let (layer, _, _) = site();
    let mut owner = signed_in(&layer, 7).await;
    let token = owner.token().unwrap();
    let mut thief = Visitor::new(&layer);
    // The id is in the first 22 of 43 characters.
    let guess = if token.ends_with("AAAA") {
        "BBBA"
    } else {
        "AAAA"
    };
    thief.set_token(&format!("{}{guess}", &token[..39]));
    let page = |sessions: Sessions| async move {
        let list = sessions.of(Shop::CUSTOMER, &7).list().await?;
        assert!(!list[0].current);
        let ended = sessions.of(Shop::CUSTOMER, &7).revoke_others().await?;
        Ok::<_, SessionError>(ended.to_string())
    };
    assert_eq!(thief.visit(page).await.body, "1", "nothing is spared");
    assert_eq!(whoami(&mut owner).await, "nobody");
}
