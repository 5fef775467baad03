//! What shows only above the store, seen on every driver: memory, files, and each real server.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::sync::Arc;
use std::time::Duration;

use session_runtime::store::{Action, Change, Commit, Outcome, Selected};
use session_runtime::{
    CommitId, FileStore, Key, KeyRing, MemoryStore, RedisStore, Session, SessionError, SessionId,
    SessionLayer, SessionStore, Sessions,
};
use tests::servers::{Options, Server, available};
use tests::visitor::Visitor;

#[derive(Session)]
#[session(name = "shop")]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    cart: u32,
    #[session(encrypt)]
    address: Option<String>,
    #[session(encrypt)]
    phone: Option<String>,
}

/// A driver, and what must outlive it.
struct Driver {
    name: String,
    store: Arc<dyn SessionStore>,
    _folder: Option<tempfile::TempDir>,
    _server: Option<Server>,
}

async fn drivers() -> Vec<Driver> {
    let folder = tempfile::tempdir().unwrap();
    let files = FileStore::open(folder.path().join("sessions")).unwrap();
    let driver = |name: &str, store: Arc<dyn SessionStore>| Driver {
        name: name.to_owned(),
        store,
        _folder: None,
        _server: None,
    };
    let mut all = vec![
        driver("memory", Arc::new(MemoryStore::new())),
        Driver {
            _folder: Some(folder),
            ..driver("files", Arc::new(files))
        },
    ];
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = RedisStore::connect(server.url()).await.unwrap();
        all.push(Driver {
            _server: Some(server),
            ..driver(generation.name(), Arc::new(store))
        });
    }
    all
}

fn ring<const N: usize>(keys: [u8; N]) -> KeyRing {
    KeyRing::new(keys.map(|byte| Key::from_bytes([byte; 32])))
}

fn layer<const N: usize>(driver: &Driver, keys: [u8; N]) -> SessionLayer {
    let builder = SessionLayer::builder(driver.store.clone()).encryption_keys(ring(keys));
    builder.build().unwrap()
}

async fn sign_in(visitor: &mut Visitor, customer: u32) -> SessionId {
    let page = move |mut session: Session<Shop>| async move {
        session.customer = Some(customer);
        session.cart += 1;
        session.address = Some("12 Main Street".to_owned());
        session.phone = Some("555-0100".to_owned());
        session.save().await?;
        Ok::<_, SessionError>(session.id().unwrap().to_string())
    };
    visitor.visit(page).await.body.parse().unwrap()
}

async fn show(visitor: &mut Visitor) -> String {
    let page = |session: Session<Shop>| async move {
        let (address, phone) = (session.address.is_some(), session.phone.is_some());
        format!("{:?} {} {address} {phone}", session.customer, session.cart)
    };
    visitor.visit(page).await.body
}

#[tokio::test]
async fn s9_a_sign_in_rotates_on_every_driver() {
    for driver in drivers().await {
        let mut visitor = Visitor::new(&layer(&driver, [1]));
        sign_in(&mut visitor, 1).await;
        let mut old = visitor.clone();
        sign_in(&mut visitor, 2).await;
        assert_ne!(old.token(), visitor.token(), "{}", driver.name);
        assert_eq!(
            show(&mut old).await,
            "None 0 false false",
            "{}",
            driver.name
        );
        assert_eq!(
            show(&mut visitor).await,
            "Some(2) 2 true true",
            "{}",
            driver.name
        );
    }
}

#[tokio::test]
async fn s12_an_old_token_works_within_the_grace_on_every_driver() {
    for driver in drivers().await {
        let builder = SessionLayer::builder(driver.store.clone()).encryption_keys(ring([1]));
        let interval = Duration::from_millis(300);
        let rotating = builder.rotate_every(interval).build().unwrap();
        let mut visitor = Visitor::new(&rotating);
        sign_in(&mut visitor, 1).await;
        let mut old = visitor.clone();
        // On the server's own clock: asked until it is time.
        while visitor.token() == old.token() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(
                show(&mut visitor).await,
                "Some(1) 1 true true",
                "{}",
                driver.name
            );
        }
        // Within the grace the old token is the same session and keeps being the old one; later it
        // is nobody's. Never anything between.
        let before = old.token();
        let shown = show(&mut old).await;
        let is_same = shown == "Some(1) 1 true true" && old.token() == before;
        assert!(
            is_same || shown.starts_with("None"),
            "{}: {shown}",
            driver.name
        );
        assert_eq!(
            show(&mut visitor).await,
            "Some(1) 1 true true",
            "{}",
            driver.name
        );
        loop {
            let mut late = old.clone();
            if show(&mut late).await.starts_with("None") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn s25_s26_lists_and_revocation_on_every_driver() {
    for driver in drivers().await {
        let layer = layer(&driver, [1]);
        let (mut phone, mut laptop) = (Visitor::new(&layer), Visitor::new(&layer));
        let mut stranger = Visitor::new(&layer);
        sign_in(&mut phone, 1).await;
        sign_in(&mut laptop, 1).await;
        let foreign = sign_in(&mut stranger, 2).await;

        let listed = layer.sessions().list(Shop::CUSTOMER, &1).await.unwrap();
        assert_eq!(listed.len(), 2, "{}", driver.name);
        let revoked = layer.sessions().revoke(Shop::CUSTOMER, &1, &foreign).await;
        assert!(!revoked.unwrap(), "{}", driver.name);

        let page = |session: Session<Shop>, sessions: Sessions| async move {
            let customer = session.customer.unwrap();
            let ended = sessions.revoke_others(Shop::CUSTOMER, &customer).await?;
            Ok::<_, SessionError>(ended.to_string())
        };
        assert_eq!(laptop.visit(page).await.body, "1", "{}", driver.name);
        assert_eq!(
            show(&mut phone).await,
            "None 0 false false",
            "{}",
            driver.name
        );
        assert_eq!(
            show(&mut laptop).await,
            "Some(1) 1 true true",
            "{}",
            driver.name
        );
        assert_eq!(
            show(&mut stranger).await,
            "Some(2) 1 true true",
            "{}",
            driver.name
        );
    }
}

#[tokio::test]
async fn s50_moved_ciphertext_does_not_open_on_every_driver() {
    for driver in drivers().await {
        let layer = layer(&driver, [1]);
        let (mut one, mut other) = (Visitor::new(&layer), Visitor::new(&layer));
        let (from, to) = (sign_in(&mut one, 1).await, sign_in(&mut other, 2).await);
        let selected = |name| Selected {
            name,
            deadline: false,
        };
        for (source, name) in [(from, "shop.address"), (to, "shop.phone")] {
            let loaded = driver.store.load(&source, &[selected(name)]).await.unwrap();
            let loaded = loaded.unwrap();
            let sealed = loaded.fields[0].clone().unwrap().value;
            assert!(
                !sealed.windows(4).any(|part| part == b"Main"),
                "{}",
                driver.name
            );
            let target = driver.store.load(&to, &[]).await.unwrap().unwrap();
            let action = Action::Update {
                verifier: target.header.verifier,
                rotation: None,
            };
            let mut commit = Commit::new(to, CommitId::generate().unwrap(), action);
            commit.changes.push(Change::Set {
                name: "shop.address".into(),
                value: sealed,
                ttl: None,
                only_if_absent: false,
            });
            let outcome = driver.store.commit(&commit).await.unwrap();
            assert!(matches!(outcome, Outcome::Applied(_)), "{}", driver.name);
            assert_eq!(
                show(&mut other).await,
                "Some(2) 1 false true",
                "{}",
                driver.name
            );
        }
    }
}

#[tokio::test]
async fn s51_keys_change_without_a_break_on_every_driver() {
    for driver in drivers().await {
        let mut visitor = Visitor::new(&layer(&driver, [1]));
        sign_in(&mut visitor, 1).await;
        visitor.move_to(&layer(&driver, [2, 1]));
        assert_eq!(
            show(&mut visitor).await,
            "Some(1) 1 true true",
            "{}",
            driver.name
        );
        let page = |mut session: Session<Shop>| async move { session.phone = Some("1".to_owned()) };
        visitor.visit(page).await;
        visitor.move_to(&layer(&driver, [2]));
        assert_eq!(
            show(&mut visitor).await,
            "Some(1) 1 false true",
            "{}",
            driver.name
        );
    }
}

/// The files of a server hold all that it was told: the append-only file each command, the snapshot
/// each value.
#[tokio::test]
async fn s5_no_token_is_in_the_files_of_a_server() {
    for generation in available() {
        let options = Options {
            append_only: true,
            ..Options::default()
        };
        let server = Server::start(generation, &options);
        let store = RedisStore::connect(server.url()).await.unwrap();
        let layer = SessionLayer::builder(store).encryption_keys(ring([1]));
        let mut visitor = Visitor::new(&layer.build().unwrap());
        sign_in(&mut visitor, 1).await;
        let first = visitor.token().unwrap();
        let session = sign_in(&mut visitor, 2).await.to_string();
        let second = visitor.token().unwrap();
        server.command::<()>(&["SAVE"]);

        let files = server.files();
        let holds = |text: &str| {
            files
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        assert!(
            holds(&session),
            "the id is in the files, so the search finds what is there"
        );
        for token in [first, second] {
            // The first 21 characters are the id's alone.
            assert!(!holds(&token) && !holds(&token[22..]), "{generation:?}");
        }
    }
}
