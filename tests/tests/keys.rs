//! Keys: signed cookies, sealed fields, and what happens when keys change.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use session_runtime::store::{Action, Change, Commit, Outcome, Selected};
use session_runtime::{
    CommitId, ConfigError, Key, KeyRing, MemoryStore, Session, SessionError, SessionId,
    SessionLayer, SessionLayerBuilder, SessionStore, Ttl,
};
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::visitor::{COOKIE, Visitor};

type Store = CountingStore<MemoryStore>;

const ADDRESS: &str = "12 Main Street";
const PHONE: &str = "555-0100";

#[derive(Session, Debug, Default)]
#[session(name = "shop")]
struct Shop {
    #[session(encrypt)]
    address: Option<String>,
    #[session(encrypt, ttl = "1h")]
    phone: Option<String>,
    cart: u32,
}

#[derive(Session, Default)]
#[session(name = "desk")]
struct Desk {
    #[session(encrypt)]
    address: Option<String>,
}

fn ring<const N: usize>(keys: [u8; N]) -> KeyRing {
    KeyRing::new(keys.map(|byte| Key::from_bytes([byte; 32])))
}

fn store() -> Store {
    CountingStore::new(MemoryStore::new())
}

fn builder(store: &Store) -> SessionLayerBuilder {
    SessionLayer::builder(store.clone())
}

fn sealing<const N: usize>(store: &Store, keys: [u8; N]) -> SessionLayer {
    let builder = builder(store).encryption_keys(ring(keys));
    builder.build().unwrap()
}

fn signing<const N: usize>(store: &Store, keys: [u8; N]) -> SessionLayer {
    builder(store).signing_keys(ring(keys)).build().unwrap()
}

async fn fill(mut session: Session<Shop>) -> Result<String, SessionError> {
    session.address = Some(ADDRESS.to_owned());
    session.phone = Some(PHONE.to_owned());
    session.cart = 3;
    session.save().await?;
    Ok(session.id().unwrap().to_string())
}

async fn show(session: Session<Shop>) -> String {
    let Shop {
        address,
        phone,
        cart,
    } = &*session;
    format!("{address:?} {phone:?} {cart}")
}

fn shown(address: Option<&str>, phone: Option<&str>) -> String {
    format!("{address:?} {phone:?} 3")
}

/// A visitor whose session holds what `fill` writes, and the session's id.
async fn filled(layer: &SessionLayer) -> (Visitor, SessionId) {
    let mut visitor = Visitor::new(layer);
    let answer = visitor.visit(fill).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    (visitor, answer.body.parse().unwrap())
}

/// The same browser at a site with other settings.
fn moved(visitor: &mut Visitor, layer: &SessionLayer) -> Visitor {
    let mut other = Visitor::new(layer);
    other.set_token(&visitor.token().unwrap());
    other
}

async fn stored(store: &Store, session: &SessionId, name: &'static str) -> Option<Bytes> {
    let deadline = false;
    let selected = [Selected { name, deadline }];
    let loaded = store.inner().load(session, &selected).await.unwrap();
    let [field] = loaded.unwrap().fields.try_into().unwrap();
    field.map(|field| field.value)
}

/// Writes behind the layer's back.
async fn put(store: &Store, session: &SessionId, name: &'static str, value: Bytes) {
    let loaded = store.inner().load(session, &[]).await.unwrap().unwrap();
    let verifier = loaded.header.verifier;
    let rotation = None;
    let action = Action::Update { verifier, rotation };
    let mut commit = Commit::new(*session, CommitId::generate().unwrap(), action);
    commit.changes.push(Change::Set {
        name: name.into(),
        value,
        ttl: None,
        only_if_absent: false,
    });
    let outcome = store.inner().commit(&commit).await.unwrap();
    assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
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

#[derive(Session, Default)]
#[session(name = "ledger")]
struct Ledger {
    #[session(encrypt, merge = "reject")]
    entry: Option<String>,
    #[session(encrypt, merge = "first")]
    opened_by: Option<String>,
}

/// What a `reject` field was loaded as is compared as it is stored, in later commits of the same
/// request too.
#[tokio::test]
async fn reject_compares_what_is_stored() {
    let store = store();
    let mut visitor = Visitor::new(&sealing(&store, [1]));
    let write = |mut session: Session<Ledger>| async move {
        for entry in ["a", "b"] {
            session.entry = Some(entry.to_owned());
            session.save().await?;
        }
        session
            .update(|ledger| ledger.entry = Some("c".to_owned()))
            .await?;
        session.entry = None;
        session.save().await?;
        session.entry = Some("d".to_owned());
        Ok::<_, SessionError>(())
    };
    for _ in 0..2 {
        let answer = visitor.visit(write).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }

    let other_tab = visitor.clone();
    let race = move |mut session: Session<Ledger>| {
        let mut other_tab = other_tab.clone();
        async move {
            let same = |mut session: Session<Ledger>| async move {
                session.entry = Some("meanwhile".to_owned());
            };
            assert_eq!(other_tab.visit(same).await.status, StatusCode::OK);
            session.entry = Some("too late".to_owned());
        }
    };
    assert_eq!(visitor.visit(race).await.status, StatusCode::CONFLICT);
    let show = |session: Session<Ledger>| async move { format!("{:?}", session.entry) };
    assert_eq!(visitor.visit(show).await.body, "Some(\"meanwhile\")");
}

#[tokio::test]
async fn merges_replace_what_does_not_open() {
    let store = store();
    let mut visitor = Visitor::new(&sealing(&store, [1]));
    let write = |mut session: Session<Ledger>| async move {
        session.entry = Some("a".to_owned());
        session.opened_by = Some("b".to_owned());
        session.save().await?;
        Ok::<_, SessionError>(session.id().unwrap().to_string())
    };
    let session = visitor.visit(write).await.body.parse().unwrap();
    for name in ["ledger.entry", "ledger.opened_by"] {
        put(&store, &session, name, "nonsense".into()).await;
        assert_eq!(visitor.visit(write).await.status, StatusCode::OK);
        let sealed = stored(&store, &session, name).await.unwrap();
        assert!(sealed.starts_with(b"v1."), "{name}");
    }
    // What is there already stays, though a new sealing of it differs.
    let sealed = stored(&store, &session, "ledger.opened_by").await;
    let late = |mut session: Session<Ledger>| async move {
        session.opened_by = Some("too late".to_owned());
    };
    assert_eq!(visitor.visit(late).await.status, StatusCode::OK);
    assert_eq!(stored(&store, &session, "ledger.opened_by").await, sealed);
}

#[derive(Session, Default)]
#[session(name = "shop")]
struct Renamed {
    #[session(encrypt, alias = "address", merge = "reject")]
    home: Option<String>,
}

#[tokio::test]
async fn a_value_under_an_older_name_opens_and_moves() {
    let store = store();
    let layer = sealing(&store, [1]);
    let show = |session: Session<Renamed>| async move { format!("{:?}", session.home) };
    let take = |mut session: Session<Renamed>| async move {
        let taken = session.take(Renamed::HOME).await?;
        Ok::<_, SessionError>(format!("{taken:?}"))
    };
    let (mut visitor, session) = filled(&layer).await;
    assert_eq!(visitor.visit(show).await.body, "Some(\"12 Main Street\")");
    let change = |mut session: Session<Renamed>| async move {
        session.home = Some("1 Side Street".to_owned());
    };
    assert_eq!(visitor.visit(change).await.status, StatusCode::OK);
    assert_eq!(visitor.visit(show).await.body, "Some(\"1 Side Street\")");
    assert_eq!(stored(&store, &session, "shop.address").await, None);

    let (mut visitor, _) = filled(&layer).await;
    assert_eq!(visitor.visit(take).await.body, "Some(\"12 Main Street\")");
}

/// The envelope is larger than the value, which is the layer's affair and not the application's.
#[tokio::test]
async fn limits_are_about_the_value() {
    let store = store();
    let builder = builder(&store).encryption_keys(ring([1]));
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

#[derive(Session, Default)]
struct Lasting {
    #[session(encrypt, ttl = "2d")]
    secret: Option<String>,
}

#[tokio::test]
async fn without_keys_nothing_is_stored() {
    let store = store();
    let error = builder(&store).schema::<Shop>().build().unwrap_err();
    let field = "shop.address";
    assert_eq!(error, ConfigError::NoEncryptionKeys { field });

    let mut visitor = Visitor::new(&SessionLayer::new(store.clone()));
    let answer = visitor.visit(fill).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    // Its ttl beyond the lifetime is a smaller problem, which must not hide the larger one.
    let write = |mut session: Session<Lasting>| async move {
        session.secret = Some("secret".to_owned());
    };
    let read = |session: Session<Lasting>| async move { session.secret.is_some().to_string() };
    for answer in [visitor.visit(write).await, visitor.visit(read).await] {
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
    assert_eq!(store.take_counts(), (0, 0));
}

#[test]
fn rings_are_checked_when_the_layer_is_built() {
    let sign = |ring| builder(&store()).signing_keys(ring).build().unwrap_err();
    let seal = |ring| builder(&store()).encryption_keys(ring).build().unwrap_err();
    let key = Key::from_bytes;

    let setting = "signing_keys";
    let error = sign(KeyRing::new([]));
    assert_eq!(error, ConfigError::EmptyKeyRing { setting });
    let setting = "encryption_keys";
    let error = seal(KeyRing::new([]));
    assert_eq!(error, ConfigError::EmptyKeyRing { setting });
    for length in [0, 16, 31, 33, 64] {
        let ring = || KeyRing::new([key(vec![1; 32]), key(vec![2; length])]);
        for (error, setting) in [
            (sign(ring()), "signing_keys"),
            (seal(ring()), "encryption_keys"),
        ] {
            let text = format!("key 2 of `{setting}` has {length} bytes, expected 32");
            assert_eq!(error.to_string(), text);
        }
    }
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
            .signing_keys(ring([1]))
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
        assert_eq!(visitor.token(), None, "a useless cookie is removed");
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

#[tokio::test]
async fn s07_nothing_secret_of_the_keys_is_shown() {
    let recorder = Recorder::start();
    let store = store();
    let secret = "a key that nobody must ever see!";
    let keys = KeyRing::new([Key::from_bytes(secret)]);
    let builder = builder(&store);
    let builder = builder
        .signing_keys(keys.clone())
        .encryption_keys(keys.clone());
    let mut shown = format!("{:?} {keys:?} {builder:?}", Key::from_bytes(secret));
    let layer = builder.build().unwrap();
    shown += &format!("{layer:?}");

    let (mut visitor, session) = filled(&layer).await;
    shown += &visitor
        .visit(|session: Session<Shop>| async move { format!("{session:?}") })
        .await
        .body;
    put(&store, &session, "shop.address", "garbage".into()).await;
    visitor.visit(show).await;
    let cookie = visitor.token().unwrap();
    visitor.set_token(&cookie[..43]);
    visitor.visit(show).await;

    let lines = recorder.take();
    for event in ["created", "decode-failed", "forged-cookie"] {
        assert!(lines.iter().any(|line| line.event == event), "{event}");
    }
    for line in lines {
        shown += &line.text;
    }
    let (token, signature) = cookie.split_once('.').unwrap();
    let bytes = format!("{:?}", secret.as_bytes());
    for secret in [secret, &bytes[1..20], token, signature, ADDRESS, PHONE] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
