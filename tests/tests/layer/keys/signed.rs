//! Signed cookies: what was not signed here never reaches the store.

use session_runtime::{Session, SessionLayer};
use tests::events::Recorder;
use tests::visitor::{COOKIE, Visitor};

use super::{Store, builder, keys, moved, store};

fn signing<const N: usize>(store: &Store, bytes: [u8; N]) -> SessionLayer {
    builder(store).signing_keys(keys(bytes)).build().unwrap()
}

#[tokio::test]
async fn a_signed_cookie_opens_its_session() {
    let store = store();
    let mut visitor = Visitor::new(&signing(&store, [1]));
    let count = |mut session: Session<Cart>| async move {
        session.items += 1;
        session.items.to_string()
    };
    visitor.visit(count).await;
    let cookie = visitor.token().unwrap();
    let (token, signature) = cookie.split_once('.').unwrap();
    assert_eq!((token.len(), signature.len()), (43, 43));
    assert_eq!(visitor.visit(count).await.body, "2");
    assert_eq!(visitor.token(), Some(cookie), "sent once");
}

#[derive(Session, Default)]
struct Cart {
    items: u32,
}

async fn items(session: Session<Cart>) -> String {
    session.items.to_string()
}

async fn add_item(mut session: Session<Cart>) {
    session.items += 1;
}

/// A store call is what only a cookie of ours can cause.
#[tokio::test]
async fn s04_a_forged_cookie_never_reaches_the_store() {
    let store = store();
    let layer = signing(&store, [1]);
    let mut visitor = Visitor::new(&layer);
    visitor.visit(add_item).await;
    let cookie = visitor.token().unwrap();
    let (token, signature) = cookie.split_once('.').unwrap();
    let mut neighbour = Visitor::new(&layer);
    neighbour.visit(add_item).await;
    let neighbours = neighbour.token().unwrap();
    let (_, neighbours) = neighbours.split_once('.').unwrap();
    let of_other_key = {
        let mut visitor = Visitor::new(&signing(&store, [2]));
        visitor.visit(add_item).await;
        visitor.token().unwrap()
    };
    let of_other_cookie = {
        let layer = builder(&store)
            .signing_keys(keys([1]))
            .cookie_name("__Host-b");
        let mut visitor = Visitor::new(&layer.build().unwrap());
        visitor.visit(add_item).await;
        visitor.browser().cookie("__Host-b").unwrap().to_owned()
    };
    store.take_counts();

    let recorder = Recorder::start();
    for forged in [
        token,
        &format!("{token}."),
        &format!("{token}.{neighbours}"),
        &format!("{token}.{}", "A".repeat(43)),
        &format!("{token}.{signature}A"),
        &format!("{token}.{signature}."),
        &of_other_key,
        &of_other_cookie,
    ] {
        let mut visitor = Visitor::new(&layer);
        visitor.set_token(forged);
        assert_eq!(visitor.visit(items).await.body, "0", "{forged}");
        assert_eq!(store.take_counts(), (0, 0), "{forged}");
        assert_eq!(recorder.take_events(), ["forged-cookie"], "{forged}");
        assert_eq!(visitor.token().as_deref(), Some(forged), "it is left alone");
    }
    for garbage in ["", ".", "garbage", signature, &format!(".{signature}")] {
        let mut visitor = Visitor::new(&layer);
        visitor.set_token(garbage);
        assert_eq!(visitor.visit(items).await.body, "0", "{garbage}");
        assert_eq!(store.take_counts(), (0, 0), "{garbage}");
    }
    // A forged cookie does not harm the real one beside it.
    recorder.take();
    let mut visitor = Visitor::new(&layer);
    visitor.set_token(&format!("{token}; {COOKIE}={cookie}"));
    assert_eq!(visitor.visit(items).await.body, "1");
    assert_eq!(recorder.take_events(), ["forged-cookie"]);
    assert_eq!(store.take_counts(), (1, 0));
}

#[tokio::test]
async fn s51_cookies_move_to_a_new_key_as_they_are_sent() {
    let store = store();
    let mut visitor = Visitor::new(&signing(&store, [1]));
    visitor.visit(add_item).await;
    let (both, new) = (signing(&store, [2, 1]), signing(&store, [2]));

    let mut visitor = moved(&mut visitor, &both);
    assert_eq!(visitor.visit(items).await.body, "1");
    let mut left_behind = moved(&mut visitor, &new);
    assert_eq!(left_behind.visit(items).await.body, "0");

    // The same token, signed anew because the cookie is sent anew.
    let before = visitor.token().unwrap();
    visitor
        .visit(|mut session: Session<Cart>| async move { session.remember(true) })
        .await;
    let after = visitor.token().unwrap();
    let (old, new_signature) = (before.split_once('.'), after.split_once('.'));
    assert_eq!(old.unwrap().0, new_signature.unwrap().0);
    assert_ne!(old.unwrap().1, new_signature.unwrap().1);
    let mut visitor = moved(&mut visitor, &new);
    assert_eq!(visitor.visit(items).await.body, "1");
}

/// Signing proves that a token was issued here, not that its session lives.
#[tokio::test]
async fn a_signature_does_not_keep_a_session_alive() {
    let store = store();
    let mut visitor = Visitor::new(&signing(&store, [1]));
    visitor.visit(add_item).await;
    let cookie = visitor.token().unwrap();
    visitor
        .visit(|session: Session<Cart>| async move { session.destroy() })
        .await;
    visitor.set_token(&cookie);
    assert_eq!(visitor.visit(items).await.body, "0");
}
