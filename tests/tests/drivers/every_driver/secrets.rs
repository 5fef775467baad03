//! Secrets appear nowhere: no tokens in the store, and no tokens, verifiers and sensitive values in
//! events, errors, `Debug` and panics.

use std::any::Any;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use http::StatusCode;
use session_runtime::store::StoreErrorKind;
use session_runtime::{
    ReadSession, Session, SessionError, SessionLayer, SessionRejection, Sessions,
};
use tests::browser::Answer;
use tests::drivers::{Driver, drivers, drivers_that_keep_files, patient};
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::secrets::{Secret, contains};
use tests::servers::Monitor;
use tests::visitor::Visitor;
use tests::witness::Witness;
use tower_http::catch_panic::CatchPanicLayer;

use super::{Shop, cart, destroy, keys, plant, put, rotate, sign_in};

const NOTE: &str = "a note that is not secret";

async fn fill(visitor: &mut Visitor) -> Answer {
    let page = |mut session: Session<Vault>| async move {
        session.note = NOTE.to_owned();
        session.otp = Some("724563".to_owned());
        session.pin = Some(PIN.to_owned());
        session.address = Some(ADDRESS.to_owned());
        session.set_label("a browser");
        session.remember(true);
    };
    visitor.visit(page).await
}

/// Everything that makes a store keep or look for a token. Answers all tokens that there were.
async fn live(layer: &SessionLayer) -> Vec<Secret> {
    let mut tokens = Vec::new();
    let mut keep = |visitor: &Visitor| {
        let token = visitor.token().expect("a cookie");
        tokens.push(Secret::in_cookie(&token).expect("a token"));
    };
    let mut visitor = Visitor::new(layer);
    fill(&mut visitor).await;
    keep(&visitor);
    for customer in [1, 2] {
        sign_in(&mut visitor, customer).await;
        keep(&visitor);
        rotate(&mut visitor).await;
        keep(&visitor);
    }
    let read = |session: ReadSession<Vault>, sessions: Sessions| async move {
        sessions.of(Shop::CUSTOMER, &2).list().await.unwrap();
        session.ttl(Vault::OTP).await.unwrap();
    };
    assert_eq!(visitor.visit(read).await.status, StatusCode::OK);
    let handles = |mut session: Session<Vault>| async move {
        session.add(Vault::CART, 1).await?;
        session.take(Vault::OTP).await?;
        session.update(|vault| vault.cart += 1).await
    };
    assert_eq!(visitor.visit(handles).await.status, StatusCode::OK);
    // A dead token, one that was never issued, and a session that ends.
    let mut stranger = visitor.clone();
    rotate(&mut visitor).await;
    keep(&visitor);
    cart(&mut stranger).await;
    stranger.set_token(&"A".repeat(43));
    put(&mut stranger, 1).await;
    keep(&stranger);
    destroy(&mut stranger).await;
    tokens
}

#[tokio::test]
async fn s05_no_token_is_in_any_store() {
    let mut all = vec![Driver::memory()];
    all.extend(drivers_that_keep_files().await);
    for driver in all {
        let what = driver.name();
        let witness = Witness::new(driver.store());
        let builder = patient(Arc::new(witness.clone())).encryption_keys(keys([1]));
        // Rotations by age have two tokens at once.
        let layer = builder.rotate_every(driver.minutes(60)).build().unwrap();
        let monitor = driver.server().map(|server| Monitor::start(server));
        let mut tokens = live(&layer).await;
        let mut aging = Visitor::new(&layer);
        fill(&mut aging).await;
        driver.pass(driver.minutes(20)).await;
        cart(&mut aging).await;
        let token = aging.token().unwrap();
        tokens.push(Secret::in_cookie(&token).unwrap());
        // One who is careless shows that the search would find a token.
        let mut careless = Visitor::new(&layer);
        fill(&mut careless).await;
        let planted = careless.token().unwrap();
        let write = {
            let planted = planted.clone();
            move |mut session: Session<Vault>| async move { session.note = planted }
        };
        careless.visit(write).await;
        let planted = Secret::in_cookie(&planted).unwrap();

        let mut places = vec![("what the store was told", witness.heard())];
        if driver.server().is_some() || driver.folder().is_some() {
            places.push(("what the store keeps", driver.contents()));
        }
        if let (Some(server), Some(monitor)) = (driver.server(), monitor) {
            places.push(("MONITOR", monitor.stop(server)));
            places.push(("DUMP", driver.dumps()));
            places.push(("the append-only file", server.files()));
            server.command::<()>(&["CONFIG", "SET", "appendonly", "no"]);
            server.command::<()>(&["SAVE"]);
            let snapshot = std::fs::read(server.folder().join("dump.rdb")).unwrap();
            places.push(("the snapshot", snapshot));
        }
        for (place, bytes) in &places {
            assert!(
                contains(bytes, NOTE.as_bytes()),
                "{what}: {place} is searched"
            );
            let found = |spelling: &Vec<u8>| contains(bytes, spelling);
            assert!(planted.spellings().iter().any(found), "{what}: {place}");
            for (number, token) in tokens.iter().enumerate() {
                let is_there = token.spellings().iter().any(found);
                assert!(!is_there, "{what}: token {number} is in {place}");
            }
        }
    }
}

const PIN: &str = "pin-4711-sensitive";
const ADDRESS: &str = "12 Main Street";
const KEY: &str = "a key that must never be shown!!";

#[derive(Session, Debug, Default)]
#[session(name = "shop")]
struct Vault {
    #[session(principal)]
    customer: Option<u32>,
    cart: u32,
    small: u8,
    note: String,
    #[session(ttl = "10m")]
    otp: Option<String>,
    #[session(sensitive)]
    pin: Option<String>,
    #[session(encrypt)]
    address: Option<String>,
    #[session(merge = "reject")]
    guarded: u32,
}

/// The messages of panics in this process.
fn panics() -> &'static Mutex<String> {
    static SAID: Mutex<String> = Mutex::new(String::new());
    static LISTENING: std::sync::Once = std::sync::Once::new();
    LISTENING.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(said, "{panic}").unwrap();
            drop(said);
            before(panic);
        }));
    });
    &SAID
}

/// A visitor who does everything that can go well or wrong, and all that was seen of it.
struct Walk {
    layer: SessionLayer,
    store: FaultyStore<Witness>,
    visitor: Visitor,
    secrets: Vec<Secret>,
    shown: String,
}

impl Walk {
    fn see(&mut self, answer: &Answer) {
        write!(self.shown, "{answer:?}").unwrap();
        let token = self.visitor.token();
        self.secrets
            .extend(token.and_then(|token| Secret::in_cookie(&token)));
    }

    async fn visit<H, T>(&mut self, page: H) -> Answer
    where
        H: axum::handler::Handler<T, ()>,
        T: 'static,
    {
        let answer = self.visitor.visit(page).await;
        self.see(&answer);
        answer
    }

    async fn all_goes_well(&mut self) {
        let answer = fill(&mut self.visitor).await;
        self.see(&answer);
        for customer in [1, 2] {
            let answer = sign_in(&mut self.visitor, customer).await;
            self.see(&answer);
        }
        // All that a handler can show.
        let debug = |mut session: Session<Vault>, sessions: Sessions| async move {
            let infos = sessions.of(Vault::CUSTOMER, &2).list().await?;
            session.add(Vault::CART, 1).await?;
            let taken = session.take(Vault::OTP).await?.is_some();
            let ttl = session.ttl(Vault::OTP).await?;
            let handles = format!("{:?} {:?}", Vault::PIN, Vault::ADDRESS);
            Ok::<_, SessionError>(format!(
                "{session:?} {sessions:?} {infos:?} {taken} {ttl:?} {handles}"
            ))
        };
        let answer = self.visit(debug).await;
        assert!(answer.body.contains("redacted"), "{}", answer.body);
        let read = |session: ReadSession<Vault>, request: axum::extract::Request| async move {
            format!("{session:?} {:?}", request.extensions())
        };
        self.visit(read).await;
        let rotated = |mut session: Session<Vault>| async move {
            session.rotate();
            session.save().await.unwrap();
            session.reload().await.unwrap();
            format!("{session:?}")
        };
        self.visit(rotated).await;
    }

    async fn handlers_fail(&mut self) {
        let errors = |mut session: Session<Vault>| async move {
            session.address = Some(ADDRESS.repeat(64 * 1024));
            let large = session.save().await.unwrap_err();
            let range = session.add(Vault::SMALL, 1_000).await.unwrap_err();
            session.discard();
            Err::<(), _>(format!("{large} {large:?} {range} {range:?}"))
        };
        self.visit(errors).await;
        let too_large = |mut session: Session<Vault>| async move {
            session.pin = Some(PIN.repeat(64 * 1024));
        };
        let answer = self.visit(too_large).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);

        // The session as shown by a panic that is caught, and by one that is not.
        let panicking = |session: Session<Vault>| async move {
            if session.cart < u32::MAX {
                panic!("on purpose: {session:?}");
            }
        };
        let caught = |panic: Box<dyn Any + Send>| {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_default();
            http::Response::new(Body::from(text))
        };
        let app = Router::new().fallback(panicking);
        let app = app
            .layer(CatchPanicLayer::custom(caught))
            .layer(self.layer.clone());
        let mut tab = self.visitor.clone();
        tab.browser().go_to(&app);
        let answer = tab.browser().get("/").await;
        assert!(answer.body.contains("on purpose"), "{}", answer.body);
        self.see(&answer);
        let mut tab = self.visitor.clone();
        let uncaught = tokio::spawn(async move { tab.visit(panicking).await });
        assert!(uncaught.await.unwrap_err().is_panic());
    }

    async fn the_store_fails(&mut self) {
        for kind in [
            StoreErrorKind::Unavailable,
            StoreErrorKind::OutcomeUnknown,
            StoreErrorKind::Corrupt,
            StoreErrorKind::Misconfigured,
        ] {
            let write = |mut session: Session<Vault>| async move { session.cart += 1 };
            self.store.on_commit(Fault::Fail(kind));
            self.visit(write).await;
            self.store.on_commit(Fault::None);
            self.store.on_load(Fault::Fail(kind));
            self.visit(write).await;
            let rejected = |session: Result<Session<Vault>, SessionRejection>| async move {
                let rejection = session.unwrap_err();
                format!("{rejection} {rejection:?}")
            };
            self.visit(rejected).await;
            self.store.on_load(Fault::None);
        }
        // Stored bytes that do not decode, and ciphertext that does not open.
        let id = super::id_of(&mut self.visitor).await;
        for (name, value) in [
            ("shop.cart", format!("\"{PIN}\"")),
            ("shop.address", format!("v1.AAAAAAAA.{PIN}")),
        ] {
            plant(self.store.inner(), &id, name, value.as_bytes()).await;
        }
        let read = |session: ReadSession<Vault>| async move { format!("{session:?}") };
        self.visit(read).await;
        let mend = |mut session: Session<Vault>| async move {
            session.cart = 1;
            session.address = Some(ADDRESS.to_owned());
        };
        self.visit(mend).await;
    }

    async fn visitors_are_late(&mut self) {
        let mut other = self.visitor.clone();
        let conflict = move |mut session: Session<Vault>| async move {
            session.guarded += 1;
            let same = |mut session: Session<Vault>| async move { session.guarded += 2 };
            other.visit(same).await;
            let error = session.save().await.unwrap_err();
            format!("{error} {error:?}")
        };
        self.visit(conflict).await;
        let mut stale = self.visitor.clone();
        let mut other = self.visitor.clone();
        let (sender, receiver) = std::sync::mpsc::channel();
        let late = move |mut session: Session<Vault>| async move {
            session.pin = Some("another".to_owned());
            rotate(&mut other).await;
            sender.send(other).unwrap();
            let error = session.save().await.unwrap_err();
            format!("{error} {error:?}")
        };
        self.visit(late).await;
        self.visitor = receiver.recv().unwrap();
        let answer = put(&mut stale, 1).await;
        self.see(&answer);
        // Forged, duplicated, and never issued.
        let token = self.visitor.token().unwrap();
        let mut forger = Visitor::new(&self.layer);
        for forged in [
            &token[..43],
            &format!("{}.{}", &token[..43], "A".repeat(43)),
        ] {
            forger.set_token(forged);
            let read = |session: ReadSession<Vault>| async move { format!("{session:?}") };
            let answer = forger.visit(read).await;
            self.see(&answer);
        }
        let answer = destroy(&mut self.visitor).await;
        self.see(&answer);
        self.visitor.set_token(&token);
        cart(&mut self.visitor).await;
        self.visitor = Visitor::new(&self.layer);
    }
}

#[tokio::test]
async fn s07_no_secret_is_ever_said_or_shown() {
    let panics = panics();
    for driver in drivers().await {
        let what = driver.name();
        let recorder = Recorder::start();
        let witness = Witness::new(driver.store());
        let store = FaultyStore::new(witness.clone());
        let key = || session_runtime::Key::from_bytes(KEY).unwrap();
        let keys = [key()];
        let builder = patient(Arc::new(store.clone())).signing_keys(keys.clone());
        let builder = builder.encryption_keys(keys.clone());
        let mut shown = format!("{:?} {keys:?} {builder:?}", key());
        let layer = builder.build().unwrap();
        let mut walk = Walk {
            visitor: Visitor::new(&layer),
            layer: layer.clone(),
            store,
            secrets: Vec::new(),
            shown: String::new(),
        };
        for _ in 0..5 {
            walk.all_goes_well().await;
            walk.handlers_fail().await;
            walk.the_store_fails().await;
            walk.visitors_are_late().await;
        }
        let sessions = layer.sessions();
        write!(shown, "{layer:?} {sessions:?} {}", driver.debug()).unwrap();
        // All that a driver is given and answers.
        shown += &witness.shown();
        shown += &walk.shown;
        shown += &panics.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = recorder.take();
        assert!(lines.len() > 100, "{what}: {} events", lines.len());
        for line in lines {
            assert!(
                !line.text.contains(NOTE),
                "{what}: a value in {}",
                line.text
            );
            shown += &line.text;
            shown.push('\n');
        }

        assert!(
            walk.secrets.len() > 50 && shown.contains("on purpose"),
            "{what}"
        );
        let mut hidden: Vec<String> = [PIN, ADDRESS, KEY].map(str::to_owned).to_vec();
        hidden.push(format!("{:?}", KEY.as_bytes())[1..30].to_owned());
        for secret in &walk.secrets {
            let verifier = secret.spellings_of_the_verifier();
            let all = secret.spellings().into_iter().chain(verifier);
            hidden.extend(all.filter_map(|spelling| String::from_utf8(spelling).ok()));
        }
        println!(
            "{what}: {} spellings in {} bytes",
            hidden.len(),
            shown.len()
        );
        for hidden in hidden {
            let place = shown.find(&hidden);
            let near =
                place.map(|place| shown[..place].chars().rev().take(200).collect::<String>());
            let near = near.map(|text| text.chars().rev().collect::<String>());
            assert_eq!(near, None, "{what}: `{hidden}` was shown after this");
        }
    }
}
