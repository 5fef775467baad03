//! Sealed fields: unreadable in the store, and readable in their place only.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use session_runtime::{Session, SessionError, SessionId, Ttl};
use tests::events::Recorder;
use tests::visitor::Visitor;

use super::{
    ADDRESS, PHONE, Shop, Store, builder, fill, filled, keys, moved, put, sealing, show, shown,
    store, stored,
};

#[derive(Session, Default)]
#[session(name = "desk")]
struct Desk {
    #[session(encrypt)]
    address: Option<String>,
}

/// The id of the key under which a field is sealed.
async fn key_of(store: &Store, session: &SessionId, name: &'static str) -> String {
    let sealed = stored(store, session, name).await.unwrap();
    let text = std::str::from_utf8(&sealed).unwrap();
    text.split('.').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_sealed_value_is_unreadable_in_the_store_and_plain_in_the_handler() {
    let store = store();
    let (mut visitor, session) = filled(&sealing(&store, [1])).await;
    assert_eq!(
        visitor.visit(show).await.body,
        shown(Some(ADDRESS), Some(PHONE))
    );
    for (name, value) in [("shop.address", ADDRESS), ("shop.phone", PHONE)] {
        let sealed = stored(&store, &session, name).await.unwrap();
        let sealed = std::str::from_utf8(&sealed).unwrap();
        assert!(sealed.starts_with("v1.") && !sealed.contains(value));
    }
    assert_eq!(stored(&store, &session, "shop.cart").await.unwrap(), "3");
}

#[tokio::test]
async fn s50_ciphertext_opens_in_its_place_only() {
    let store = store();
    let layer = sealing(&store, [1]);
    let (mut visitor, session) = filled(&layer).await;
    let (_, other_session) = filled(&layer).await;
    let of_field = stored(&store, &session, "shop.phone").await.unwrap();
    let of_session = stored(&store, &other_session, "shop.address")
        .await
        .unwrap();
    let own = stored(&store, &session, "shop.address").await.unwrap();
    let garbage = [&b"v1."[..], b"", b"null", b"\"12 Main Street\"", b"\xff"].map(Bytes::from);

    let recorder = Recorder::start();
    for wrong in [of_field, of_session].into_iter().chain(garbage) {
        put(&store, &session, "shop.address", wrong).await;
        let answer = visitor.visit(show).await;
        assert_eq!(answer.body, shown(None, Some(PHONE)));
        assert_eq!(recorder.take_events(), ["decode-failed"]);
    }
    put(&store, &session, "shop.address", own.clone()).await;
    let answer = visitor.visit(show).await;
    assert_eq!(answer.body, shown(Some(ADDRESS), Some(PHONE)));

    put(&store, &session, "desk.address", own).await;
    let desk = |session: Session<Desk>| async move { format!("{:?}", session.address) };
    assert_eq!(visitor.visit(desk).await.body, "None");
    assert_eq!(recorder.take_events(), ["decode-failed"]);
}

#[tokio::test]
async fn what_does_not_open_is_written_anew() {
    let store = store();
    let (mut visitor, session) = filled(&sealing(&store, [1])).await;
    for garbage in ["nonsense", "v1.AAAAAAAA.AAAA"] {
        put(&store, &session, "shop.address", garbage.into()).await;
        visitor.visit(fill).await;
        let answer = visitor.visit(show).await;
        assert_eq!(answer.body, shown(Some(ADDRESS), Some(PHONE)));
    }
}

#[tokio::test]
async fn s51_fields_move_to_a_new_key_as_they_are_written() {
    let store = store();
    let (mut visitor, session) = filled(&sealing(&store, [1])).await;
    let old = key_of(&store, &session, "shop.address").await;

    let mut both = moved(&mut visitor, &sealing(&store, [2, 1]));
    let answer = both.visit(show).await;
    assert_eq!(answer.body, shown(Some(ADDRESS), Some(PHONE)));
    let change = |mut session: Session<Shop>| async move {
        session.address = Some("1 Side Street".to_owned());
    };
    both.visit(change).await;
    assert_ne!(key_of(&store, &session, "shop.address").await, old);
    assert_eq!(key_of(&store, &session, "shop.phone").await, old);

    let mut new = moved(&mut visitor, &sealing(&store, [2]));
    let recorder = Recorder::start();
    let answer = new.visit(show).await;
    assert_eq!(answer.body, shown(Some("1 Side Street"), None));
    assert_eq!(recorder.take_events(), ["decode-failed"]);
}

/// Each sealing of a value differs, which must not look like a change of it.
#[tokio::test]
async fn an_unchanged_value_is_not_sealed_again() {
    let store = store();
    let (mut visitor, session) = filled(&sealing(&store, [1])).await;
    let before = stored(&store, &session, "shop.address").await;
    store.take_counts();
    visitor.visit(fill).await;
    assert_eq!(store.take_counts(), (1, 0), "the same values");
    visitor
        .visit(|mut session: Session<Shop>| async move { session.cart = 4 })
        .await;
    assert_eq!(store.take_counts(), (1, 1), "another field");
    assert_eq!(stored(&store, &session, "shop.address").await, before);
}

#[tokio::test]
async fn a_rotated_session_keeps_its_sealed_fields() {
    let (mut visitor, _) = filled(&sealing(&store(), [1])).await;
    let before = visitor.token();
    visitor
        .visit(|mut session: Session<Shop>| async move { session.rotate() })
        .await;
    assert_ne!(visitor.token(), before);
    let answer = visitor.visit(show).await;
    assert_eq!(answer.body, shown(Some(ADDRESS), Some(PHONE)));
}

#[tokio::test]
async fn handles_work_on_sealed_fields() {
    let store = store();
    let (mut visitor, session) = filled(&sealing(&store, [1])).await;
    let expire = |mut session: Session<Shop>| async move {
        session.phone = Some("555-0199".to_owned());
        session.expire(Shop::PHONE, Duration::from_secs(60)).await?;
        let Ttl::Remaining(left) = session.ttl(Shop::PHONE).await? else {
            return Ok::<_, SessionError>("no ttl".to_owned());
        };
        Ok(format!(
            "{:?} {}",
            session.phone,
            left <= Duration::from_secs(60)
        ))
    };
    assert_eq!(visitor.visit(expire).await.body, "Some(\"555-0199\") true");
    let sealed = stored(&store, &session, "shop.phone").await.unwrap();
    assert!(sealed.starts_with(b"v1."));

    let update = |mut session: Session<Shop>| async move {
        session
            .update(|shop| shop.address = shop.address.take().map(|address| address + "!"))
            .await?;
        Ok::<_, SessionError>(format!("{:?}", session.address))
    };
    assert_eq!(
        visitor.visit(update).await.body,
        "Some(\"12 Main Street!\")"
    );
    let sealed = stored(&store, &session, "shop.address").await.unwrap();
    assert!(sealed.starts_with(b"v1."));

    let take = |mut session: Session<Shop>| async move {
        let taken = session.take(Shop::ADDRESS).await?;
        Ok::<_, SessionError>(format!("{taken:?} {:?}", session.address))
    };
    assert_eq!(
        visitor.visit(take).await.body,
        "Some(\"12 Main Street!\") None"
    );
    assert_eq!(stored(&store, &session, "shop.address").await, None);

    put(&store, &session, "shop.address", sealed.slice(..20)).await;
    let recorder = Recorder::start();
    assert_eq!(visitor.visit(take).await.body, "None None");
    assert!(recorder.take_events().contains(&"decode-failed".to_owned()));
}

/// The id of the new session must be known before anything is sealed.
#[tokio::test]
async fn a_session_can_begin_with_a_sealed_field() {
    let layer = sealing(&store(), [1]);
    let expire = |mut session: Session<Shop>| async move {
        session.phone = Some(PHONE.to_owned());
        session.expire(Shop::PHONE, Duration::from_secs(60)).await
    };
    let update = |mut session: Session<Shop>| async move {
        let change = |shop: &mut Shop| shop.phone = Some(PHONE.to_owned());
        session.update(change).await
    };
    let drop = |mut session: Session<Shop>| async move { session.phone = Some(PHONE.to_owned()) };
    let phone = |session: Session<Shop>| async move { format!("{:?}", session.phone) };

    let mut visitors = [(); 3].map(|()| Visitor::new(&layer));
    visitors[0].visit(expire).await;
    visitors[1].visit(update).await;
    visitors[2].visit(drop).await;
    for visitor in &mut visitors {
        assert_eq!(visitor.visit(phone).await.body, "Some(\"555-0100\")");
    }
}

/// The envelope is larger than the value, which is the layer's affair and not the application's.
#[tokio::test]
async fn limits_are_about_the_value() {
    let store = store();
    let builder = builder(&store).encryption_keys(keys([1]));
    let builder = builder.max_field_bytes(64).max_session_bytes(64);
    let mut visitor = Visitor::new(&builder.build().unwrap());
    let write = |length: usize| {
        move |mut session: Session<Shop>| async move {
            session.address = Some("x".repeat(length));
        }
    };
    // Two are for the quotes.
    assert_eq!(visitor.visit(write(62)).await.status, StatusCode::OK);
    let answer = visitor.visit(write(63)).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(visitor.visit(write(61)).await.status, StatusCode::OK);
}
