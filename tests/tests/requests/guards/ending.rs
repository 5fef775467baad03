//! Sessions that end or get a new token: when that takes effect, and what comes after it.

use axum::extract::Request;
use http::StatusCode;
use session_runtime::{ReadSession, Session, SessionError, SessionRejection};
use tests::visitor::Visitor;

use super::{Login, Shop, destroy, read, site, write};

#[tokio::test]
async fn s23_destroy_takes_effect_with_the_commit() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let token = visitor.token().unwrap();
    store.take_counts();
    let page = |mut session: Session<Shop>| async move {
        session.name = "forgotten".to_owned();
        session.destroy();
    };
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, store.take_counts()),
        (StatusCode::OK, (1, 1))
    );
    assert_eq!(visitor.token(), None);
    visitor.set_token(&token);
    assert_eq!(visitor.visit(read).await.body, "0 ");
    assert_eq!(store.sessions().await, 0, "nothing of it remains");

    let answer = Visitor::new(&layer).visit(destroy).await;
    assert_eq!(answer.set_cookies(), [""; 0], "there was nothing");
}

#[tokio::test]
async fn data_after_destroy_is_a_new_visitors() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let old = visitor.token().unwrap();
    let page = |session: Session<Shop>, request: Request| async move {
        use axum::RequestExt;
        session.destroy();
        let mut request = request;
        let mut fresh: Session<Shop> = request.extract_parts().await?;
        assert!(fresh.is_new() && fresh.id().is_none());
        assert_eq!(fresh.visits, 0);
        fresh.name = "new".to_owned();
        Ok::<_, SessionRejection>(())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.set_cookies().len(), 1);
    let new = visitor.token().expect("the new session's cookie");
    assert_ne!(new[..21], old[..21]);
    assert_eq!(visitor.visit(read).await.body, "0 new");
    assert_eq!(store.sessions().await, 1);
}

/// Destroys, and then saves in the store at once what a new visitor does.
#[tokio::test]
async fn a_session_that_was_made_after_destroy_keeps_its_cookie() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let page = |session: Session<Shop>, request: Request| async move {
        use axum::RequestExt;
        session.destroy();
        let mut request = request;
        let mut fresh: Session<Login> = request.extract_parts().await?;
        fresh
            .add(Login::ATTEMPTS, 1)
            .await
            .map_err(|_| StatusCode::BAD_GATEWAY)
            .unwrap();
        Ok::<_, SessionRejection>(())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let page = |login: ReadSession<Login>| async move { login.attempts.to_string() };
    assert_eq!(visitor.visit(page).await.body, "1");
    assert_eq!(store.sessions().await, 1, "the old one is gone");
}

#[tokio::test]
async fn every_session_that_was_destroyed_is_removed() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let page = |session: Session<Shop>, mut request: Request| async move {
        use axum::RequestExt;
        session.destroy();
        let mut second: Session<Login> = request.extract_parts().await?;
        second.add(Login::ATTEMPTS, 1).await.unwrap();
        second.destroy();
        Ok::<_, SessionRejection>(())
    };
    visitor.visit(page).await;
    assert_eq!(visitor.token(), None);
    assert_eq!(store.sessions().await, 0);
}

#[tokio::test]
async fn destroy_now_takes_effect_now() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let behind = store.clone();
    let page = move |session: Session<Shop>| async move {
        session.destroy_now().await?;
        assert_eq!(behind.sessions().await, 0);
        Ok::<_, SessionError>(())
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    assert_eq!(visitor.token(), None);
}

#[tokio::test]
async fn s09_a_login_rotates_and_so_does_a_logout_of_the_principal() {
    let (layer, _) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let mut tokens = vec![visitor.token().unwrap()];
    let mut step = async |visitor: &mut Visitor, answer: axum::http::HeaderMap| {
        assert_eq!(answer.get_all("set-cookie").iter().count(), 1);
        let token = visitor.token().unwrap();
        assert!(!tokens.contains(&token));
        for old in &tokens {
            let mut thief = visitor.clone();
            thief.set_token(old);
            assert_eq!(thief.visit(read).await.body, "0 ", "an old token is dead");
        }
        tokens.push(token);
    };
    let login = |mut session: Session<Shop>| async move { session.customer = Some(7) };
    let answer = visitor.visit(login).await;
    step(&mut visitor, answer.headers).await;
    let other = |mut session: Session<Shop>| async move { session.customer = Some(8) };
    let answer = visitor.visit(other).await;
    step(&mut visitor, answer.headers).await;
    let logout = |mut session: Session<Shop>| async move { session.customer = None };
    let answer = visitor.visit(logout).await;
    step(&mut visitor, answer.headers).await;

    visitor.visit(login).await;
    let removal = |mut session: Session<Shop>| async move { session.remove(Shop::CUSTOMER) };
    let answer = visitor.visit(removal).await;
    step(&mut visitor, answer.headers).await;
    visitor.visit(login).await;
    let taking = |mut session: Session<Shop>| async move {
        let taken = session.take(Shop::CUSTOMER).await?;
        assert_eq!(taken, Some(7));
        Ok::<_, SessionError>(())
    };
    let answer = visitor.visit(taking).await;
    step(&mut visitor, answer.headers).await;
    visitor.visit(login).await;
    let update = |mut session: Session<Shop>| async move {
        session.update(|shop| shop.customer = Some(9)).await
    };
    let answer = visitor.visit(update).await;
    step(&mut visitor, answer.headers).await;

    // The same customer again is no change.
    let again = |mut session: Session<Shop>| async move { session.customer = Some(9) };
    assert_eq!(visitor.visit(again).await.set_cookies(), [""; 0]);
}
