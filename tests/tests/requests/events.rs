//! The `tracing` events: each one once where it belongs, and never with a secret in it.

use std::time::Duration;

use http::StatusCode;
use session_runtime::store::CommitId;
use session_runtime::store::{Action, Change, Commit, Selection, StoreErrorKind};
use session_runtime::{
    MemoryStore, ReadSession, Session, SessionError, SessionId, SessionLayer, SessionStore,
};
use tests::browser::Answer;
use tests::clock::ManualClock;
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::visitor::Visitor;

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    visits: u32,
    #[session(sensitive)]
    pin: Option<String>,
    plain: String,
    #[session(merge = "reject")]
    guarded: u32,
    #[session(merge = "add")]
    small: u8,
}

const PIN: &str = "pin-4711-sensitive";
const PLAIN: &str = "value-of-a-field";

struct Site {
    layer: SessionLayer,
    store: FaultyStore<MemoryStore>,
    clock: ManualClock,
    recorder: Recorder,
}

fn site() -> Site {
    let recorder = Recorder::start();
    let clock = ManualClock::new();
    let store = FaultyStore::new(MemoryStore::builder().clock(clock.clone()).build());
    let layer = SessionLayer::new(store.clone());
    Site {
        layer,
        store,
        clock,
        recorder,
    }
}

impl Site {
    async fn visitor(&self) -> Visitor {
        let mut visitor = Visitor::new(&self.layer);
        visitor.visit(write).await;
        self.recorder.take();
        visitor
    }

    fn events(&self) -> Vec<String> {
        self.recorder.take_events()
    }
}

async fn write(mut session: Session<Shop>) {
    session.visits += 1;
}

async fn read(session: ReadSession<Shop>) -> String {
    session.visits.to_string()
}

async fn id_of(visitor: &mut Visitor) -> Option<SessionId> {
    let page = |session: ReadSession<Shop>| async move {
        session.id().map(|id| id.to_string()).unwrap_or_default()
    };
    visitor.visit(page).await.body.parse().ok()
}

async fn verifier_of(site: &Site, id: &SessionId) -> session_runtime::store::Verifier {
    let loaded = site
        .store
        .inner()
        .load(id, &Selection::default())
        .await
        .expect("the store works");
    loaded.expect("the session lives").header.verifier
}

async fn plant(site: &Site, id: &SessionId, name: &'static str, value: &'static str) {
    let verifier = verifier_of(site, id).await;
    let update = Action::Update {
        verifier,
        rotation: None,
    };
    let mut commit = Commit::new(*id, CommitId::generate().expect("random bytes"), update);
    commit.changes.push(Change::Set {
        name: name.into(),
        value: value.into(),
        ttl: None,
        only_if_absent: false,
    });
    site.store
        .inner()
        .commit(&commit)
        .await
        .expect("the store works");
}

#[tokio::test]
async fn s54_each_event_is_said_once_where_it_belongs() {
    let site = site();
    let mut visitor = Visitor::new(&site.layer);
    visitor.visit(write).await;
    assert_eq!(site.events(), ["created"]);
    visitor.visit(write).await;
    visitor.visit(read).await;
    assert_eq!(site.events(), [""; 0], "the ordinary is not worth a word");

    let login = |mut session: Session<Shop>| async move { session.customer = Some(1) };
    visitor.visit(login).await;
    assert_eq!(site.events(), ["rotated"]);

    let id = id_of(&mut visitor).await.unwrap();
    plant(&site, &id, "shop.visits", "nonsense").await;
    visitor.visit(read).await;
    assert_eq!(site.events(), ["decode-failed"]);
    let twice = |_: Session<Shop>, _: Session<Shop>, _: ReadSession<Shop>| async {};
    visitor.visit(twice).await;
    assert_eq!(site.events(), ["decode-failed"], "once a request");

    visitor.visit(write).await;
    assert_eq!(site.events(), ["decode-failed"], "mended now");
    let stale = visitor.clone();
    let logout = |session: Session<Shop>| async move { session.destroy() };
    visitor.visit(logout).await;
    assert_eq!(site.events(), ["destroyed"]);
    stale.clone().visit(read).await;
    assert_eq!(site.events(), ["unknown-token"]);

    let mut visitor = site.visitor().await;
    site.store.on_load(Fault::Fail(StoreErrorKind::Unavailable));
    visitor.visit(read).await;
    assert_eq!(site.events(), ["store-failed"]);
    site.store.on_load(Fault::None);
    site.store.on_commit(Fault::Fail(StoreErrorKind::Full));
    visitor.visit(write).await;
    assert_eq!(site.events(), ["store-failed"]);
    site.store.on_commit(Fault::None);

    let mut other = visitor.clone();
    let conflict = move |mut session: Session<Shop>| async move {
        session.guarded = 1;
        other
            .visit(|mut session: Session<Shop>| async move { session.guarded = 2 })
            .await;
    };
    let answer = visitor.visit(conflict).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    assert_eq!(site.events(), ["conflict"]);

    let mut other = visitor.clone();
    let late = move |mut session: Session<Shop>| async move {
        session.visits += 1;
        other
            .visit(|session: Session<Shop>| async move { session.destroy() })
            .await;
    };
    visitor.visit(late).await;
    assert_eq!(site.events(), ["destroyed", "gone"]);
}

#[tokio::test]
async fn s54_an_expired_session_is_told_from_one_that_was_never_there() {
    let site = site();
    let mut visitor = site.visitor().await;
    site.clock.advance(Duration::from_secs(30 * 60));
    visitor.visit(read).await;
    assert_eq!(site.events(), ["expired", "unknown-token"]);
}

#[tokio::test]
async fn s54_handles_report_a_session_that_is_gone_as_gone() {
    let site = site();
    let mut visitor = site.visitor().await;
    let mut other = visitor.clone();
    let page = move |mut session: Session<Shop>| async move {
        other
            .visit(|session: Session<Shop>| async move { session.destroy() })
            .await;
        assert!(session.update(|shop| shop.visits += 1).await.is_err());
        assert!(session.reload().await.is_err());
        assert!(session.ttl(Shop::PIN).await.is_err());
    };
    visitor.visit(page).await;
    assert_eq!(site.events(), ["destroyed", "gone", "gone", "gone"]);
}

/// A whole walk with everything that could go wrong, listened to at the finest level.
#[tokio::test]
async fn s07_no_secret_is_ever_said() {
    let site = site();
    let mut secrets = vec![PIN.to_owned(), PLAIN.to_owned()];
    let mut said = String::new();
    let mut visitor = Visitor::new(&site.layer);
    let mut look = async |visitor: &mut Visitor, answer: Answer| {
        said.push_str(&answer.body);
        said.push_str(&format!("{:?}", answer.headers));
        if let (Some(token), Some(id)) = (visitor.token(), id_of(visitor).await) {
            let verifier = verifier_of(&site, &id).await;
            secrets.push(verifier.to_string());
            secrets.push(format!("{:?}", verifier.as_bytes()));
            secrets.push(token[22..].to_owned());
            secrets.push(id.to_string());
            // All of the id but the few characters that tell sessions apart in a log.
            secrets.push(id.to_string()[6..].to_owned());
            secrets.push(token);
        }
    };

    let fill = |mut session: Session<Shop>| async move {
        session.pin = Some(PIN.to_owned());
        session.plain = PLAIN.to_owned();
        session.guarded = 1;
    };
    let answer = visitor.visit(fill).await;
    look(&mut visitor, answer).await;
    let login = |mut session: Session<Shop>| async move { session.customer = Some(1) };
    let answer = visitor.visit(login).await;
    look(&mut visitor, answer).await;

    let id = id_of(&mut visitor).await.unwrap();
    plant(&site, &id, "shop.visits", "\"value-of-a-field\"").await;
    let answer = visitor.visit(read).await;
    look(&mut visitor, answer).await;
    let debug = |session: Session<Shop>| async move {
        let mut shown = format!("{session:?}");
        // `Debug` shows what is not sensitive; only that is taken out.
        shown = shown.replace(PLAIN, "");
        shown
    };
    let answer = visitor.visit(debug).await;
    look(&mut visitor, answer).await;

    for kind in [
        StoreErrorKind::Unavailable,
        StoreErrorKind::OutcomeUnknown,
        StoreErrorKind::Corrupt,
    ] {
        site.store.on_commit(Fault::Fail(kind));
        let answer = visitor.visit(write).await;
        site.store.on_commit(Fault::None);
        look(&mut visitor, answer).await;
        site.store.on_load(Fault::Fail(kind));
        let answer = visitor.visit(write).await;
        site.store.on_load(Fault::None);
        look(&mut visitor, answer).await;
    }
    let too_large = |mut session: Session<Shop>| async move {
        session.plain = PLAIN.repeat(64 * 1024);
    };
    let answer = visitor.visit(too_large).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    look(&mut visitor, answer).await;
    let errors = |mut session: Session<Shop>| async move {
        session.plain = PLAIN.repeat(64 * 1024);
        let large = session.save().await.expect_err("too large");
        let range = session.add(Shop::SMALL, 1_000).await.expect_err("too much");
        Err::<(), _>(format!("{large} {large:?} {range} {range:?}"))
    };
    let answer = visitor.visit(errors).await;
    look(&mut visitor, answer).await;

    let mut stale = visitor.clone();
    let mut other = visitor.clone();
    let late = move |mut session: Session<Shop>| async move {
        session.plain = "other".to_owned();
        other
            .visit(|mut session: Session<Shop>| async move { session.rotate() })
            .await;
        let error = session.save().await.expect_err("too late");
        format!("{error} {error:?}")
    };
    let answer = visitor.visit(late).await;
    look(&mut stale, answer).await;
    let answer = stale.visit(write).await;
    look(&mut stale, answer).await;
    let logout = |session: Session<Shop>| async move { session.destroy() };
    let answer = stale.visit(logout).await;
    look(&mut stale, answer).await;

    let lines = site.recorder.take();
    assert!(lines.len() > 10, "there was something to listen to");
    for line in lines {
        said.push_str(&line.text);
        said.push('\n');
    }
    for secret in secrets {
        let shown = said.contains(&secret);
        assert!(!shown, "`{secret}` was said in\n{said}");
    }
}

#[tokio::test]
async fn s07_a_drivers_own_words_are_passed_on_with_the_event() {
    use session_runtime::store::StoreError;
    let error = StoreError::with_source(StoreErrorKind::Unavailable, "connection refused");
    let error = SessionError::from(error);
    assert_eq!(error.to_string(), "the session store is unavailable");
    let source = std::error::Error::source(&error).expect("the driver's error");
    assert_eq!(source.to_string(), "connection refused");
}
