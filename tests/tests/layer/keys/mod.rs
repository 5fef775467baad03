//! Keys: signed cookies, sealed fields, and what happens when keys change.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod sealed;
mod sealed_merges;
mod signed;

use bytes::Bytes;
use http::StatusCode;
use session_runtime::store::CommitId;
use session_runtime::store::{Action, Change, Commit, Outcome, Selected, Selection};
use session_runtime::{
    ConfigError, Key, MemoryStore, Session, SessionError, SessionId, SessionLayer,
    SessionLayerBuilder, SessionStore,
};
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::visitor::Visitor;

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

fn keys<const N: usize>(bytes: [u8; N]) -> [Key; N] {
    bytes.map(|byte| Key::from([byte; 32]))
}

fn store() -> Store {
    CountingStore::new(MemoryStore::new())
}

fn builder(store: &Store) -> SessionLayerBuilder {
    SessionLayer::builder(store.clone())
}

fn sealing<const N: usize>(store: &Store, bytes: [u8; N]) -> SessionLayer {
    let builder = builder(store).encryption_keys(keys(bytes));
    builder.build().unwrap()
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
    let selected = [Selected::value(name)];
    let loaded = store
        .inner()
        .load(session, &Selection::fields(&selected))
        .await
        .unwrap();
    let [field] = loaded.unwrap().fields.try_into().unwrap();
    field.map(|field| field.value)
}

/// Writes behind the layer's back.
async fn put(store: &Store, session: &SessionId, name: &'static str, value: Bytes) {
    let loaded = store
        .inner()
        .load(session, &Selection::default())
        .await
        .unwrap()
        .unwrap();
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
fn an_empty_list_of_keys_is_refused_when_the_layer_is_built() {
    let setting = "signing_keys";
    let error = builder(&store()).signing_keys([]).build().unwrap_err();
    assert_eq!(error, ConfigError::NoKeys { setting });
    let setting = "encryption_keys";
    let error = builder(&store()).encryption_keys([]).build().unwrap_err();
    assert_eq!(error, ConfigError::NoKeys { setting });
    let expected = "`encryption_keys` was given no keys, expected at least one";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn s07_nothing_secret_of_the_keys_is_shown() {
    let recorder = Recorder::start();
    let store = store();
    let secret = "a key that must never be shown!!";
    let key = Key::from_bytes(secret).unwrap();
    let keys = [key.clone()];
    let builder = builder(&store);
    let builder = builder
        .signing_keys(keys.clone())
        .encryption_keys(keys.clone());
    let mut shown = format!("{key:?} {keys:?} {builder:?}");
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
