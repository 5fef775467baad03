//! Stores that fail, hang, are cut off, or may do no more than they must.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use redis::{ConnectionLike, RedisResult, Value};
use session_runtime::store::StoreErrorKind;
use session_runtime::{ReadSession, Session, SessionLayer, Sessions};
use tests::browser::Answer;
use tests::drivers::{drivers, drivers_that_keep_files, patient};
use tests::faulty::{Fault, FaultyStore};
use tests::proxy::{Behavior, Cut, Proxy};
use tests::servers::{Options, Server, application_rights, available};
use tests::visitor::Visitor;

use super::{Plain, cart, destroy, known, put, sign_in};

/// The time that a busy machine may need on top of a deadline.
const SLACK: Duration = Duration::from_secs(10);

/// A page that says that all is well, and changes nothing.
async fn show(visitor: &mut Visitor) -> Answer {
    let page =
        |session: ReadSession<Plain>| async move { format!("all is well: {}", session.cart) };
    visitor.visit(page).await
}

/// A page that says that all is well, and changes something.
async fn promise(visitor: &mut Visitor) -> Answer {
    let page = |mut session: Session<Plain>| async move {
        session.cart += 1;
        (StatusCode::CREATED, [("x-done", "yes")], "all is well")
    };
    visitor.visit(page).await
}

fn assert_unavailable(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{what}");
    assert_eq!(answer.set_cookies(), [""; 0], "{what}");
    assert!(!answer.body.contains("well"), "{what}: {}", answer.body);
    assert!(!answer.headers.contains_key("x-done"), "{what}");
}

#[tokio::test]
async fn s57_a_store_that_fails_is_never_an_anonymous_visitor() {
    for driver in drivers().await {
        let faulty = FaultyStore::new(driver.store());
        let layer = patient(Arc::new(faulty.clone())).build().unwrap();
        let mut visitor = known(&layer).await;
        let token = visitor.token();
        for kind in [
            StoreErrorKind::Unavailable,
            StoreErrorKind::OutcomeUnknown,
            StoreErrorKind::Full,
            StoreErrorKind::Misconfigured,
            StoreErrorKind::Corrupt,
        ] {
            let what = format!("{}: {kind:?}", driver.name());
            faulty.on_load(Fault::Fail(kind));
            assert_unavailable(&promise(&mut visitor).await, &what);
            assert_unavailable(&show(&mut visitor).await, &what);
            faulty.on_load(Fault::None);
            faulty.on_commit(Fault::Fail(kind));
            assert_unavailable(&promise(&mut visitor).await, &what);
            assert_unavailable(&promise(&mut Visitor::new(&layer)).await, &what);
            assert_unavailable(&destroy(&mut visitor).await, &what);
            faulty.on_commit(Fault::None);
            assert_eq!(visitor.token(), token, "{what}: the cookie stays");
            assert_eq!(cart(&mut visitor).await, 3, "{what}");
        }
    }
}

/// A folder that is not there, and a server that does not run.
#[tokio::test]
async fn s57_a_store_that_is_really_down_is_an_answer_too() {
    for driver in drivers_that_keep_files().await {
        let what = driver.name();
        let builder = SessionLayer::builder(driver.store());
        let impatient = builder.store_deadline(Duration::from_millis(400));
        let impatient = impatient.build().unwrap();
        let mut visitor = known(&driver.layer()).await;
        let token = visitor.token();
        visitor.move_to(&impatient);
        let folder = driver.folder().map(|folder| folder.join("sessions"));
        let go_down = || match (driver.server(), &folder) {
            (Some(server), _) => server.pause(),
            (_, folder) => {
                let folder = folder.as_ref().unwrap();
                std::fs::rename(folder, folder.with_extension("away")).unwrap();
            }
        };
        let come_back = || match (driver.server(), &folder) {
            (Some(server), _) => server.resume(),
            (_, folder) => {
                let folder = folder.as_ref().unwrap();
                std::fs::rename(folder.with_extension("away"), folder).unwrap();
            }
        };
        go_down();
        assert_unavailable(&show(&mut visitor).await, what);
        assert_unavailable(&promise(&mut visitor).await, what);
        assert_unavailable(&promise(&mut Visitor::new(&impatient)).await, what);
        come_back();
        assert_eq!(visitor.token(), token, "{what}");
        visitor.move_to(&driver.layer());
        assert_eq!(cart(&mut visitor).await, 3, "{what}");
    }
}

#[tokio::test]
async fn s58_a_store_that_hangs_ends_the_request_at_the_deadline() {
    let deadline = Duration::from_millis(300);
    for driver in drivers().await {
        let what = driver.name();
        let faulty = FaultyStore::new(driver.store());
        let builder = SessionLayer::builder(faulty.clone()).store_deadline(deadline);
        let mut visitor = known(&driver.layer()).await;
        visitor.move_to(&builder.build().unwrap());
        for at_commit in [false, true] {
            let (load, commit) = match at_commit {
                false => (Fault::Hang, Fault::None),
                true => (Fault::None, Fault::Hang),
            };
            faulty.on_load(load);
            faulty.on_commit(commit);
            let start = Instant::now();
            assert_unavailable(&promise(&mut visitor).await, what);
            let took = start.elapsed();
            assert!(
                (deadline..deadline + SLACK).contains(&took),
                "{what}: {took:?}"
            );
        }
        visitor.move_to(&driver.layer());
        assert_eq!(cart(&mut visitor).await, 3, "{what}");
    }
}

/// The connection stays and nothing comes any more.
#[tokio::test]
async fn s58_a_black_hole_ends_the_request_at_the_deadline() {
    let deadline = Duration::from_millis(300);
    for driver in drivers().await {
        let Some(server) = driver.server() else {
            continue;
        };
        let what = driver.name();
        let proxy = Proxy::start(server.port());
        let store = driver.through(proxy.port()).await.unwrap();
        let builder = SessionLayer::builder(store).store_deadline(deadline);
        let mut visitor = known(&driver.layer()).await;
        visitor.move_to(&builder.build().unwrap());
        proxy.behave(Behavior::SwallowAll);
        for _ in 0..3 {
            let start = Instant::now();
            assert_unavailable(&show(&mut visitor).await, what);
            let took = start.elapsed();
            assert!(
                (deadline..deadline + SLACK).contains(&took),
                "{what}: {took:?}"
            );
        }
        visitor.move_to(&driver.layer());
        assert_eq!(cart(&mut visitor).await, 3, "{what}");
    }
}

#[derive(Session, Default)]
#[session(name = "shop")]
struct Counted {
    #[session(merge = "add")]
    sum: i64,
}

/// Every answer is lost: a request is sent again, not for ever, and it takes effect once.
#[tokio::test]
async fn s58_a_request_is_sent_five_times_at_most_and_takes_effect_once() {
    for driver in drivers().await {
        let Some(server) = driver.server() else {
            continue;
        };
        let what = driver.name();
        let proxy = Arc::new(Proxy::start(server.port()));
        let lossy = patient(driver.through(proxy.port()).await.unwrap());
        let lossy = lossy.build().unwrap();
        let mut visitor = Visitor::new(&driver.layer());
        let add = |mut session: Session<Counted>| async move { session.sum += 1 };
        let sum = |session: ReadSession<Counted>| async move { session.sum.to_string() };
        visitor.visit(add).await;

        let mut lost = visitor.clone();
        lost.move_to(&lossy);
        let losing = Arc::clone(&proxy);
        let page = move |mut session: Session<Counted>| async move {
            losing.behave(Behavior::CutEach(Cut::BeforeClient));
            session.sum += 1;
        };
        let answer = lost.visit(page).await;
        assert_unavailable(&answer, what);
        assert!(answer.body.contains("may have been saved"), "{what}");
        assert_eq!(proxy.cuts(), 5, "{what}: how often the commit was sent");
        assert_eq!(visitor.visit(sum).await.body, "2", "{what}: it counts once");

        assert_unavailable(&lost.visit(sum).await, what);
        assert_eq!(proxy.cuts(), 10, "{what}: how often the load was sent");
        proxy.behave(Behavior::Forward);
        assert_eq!(lost.visit(sum).await.body, "2", "{what}");
    }
}

/// All tests here, the conformance suite and the histories run with these rights, which are read
/// from the README.
#[tokio::test]
async fn s59_the_rights_in_the_readme_are_enough_and_few() {
    let rights = application_rights();
    for dangerous in [
        "config",
        "keys",
        "scan",
        "flush",
        "subscribe",
        "@",
        "monitor",
        "acl",
    ] {
        // `hkeys` names the fields of one key.
        let is_granted = |right: &&str| right.contains(dangerous) && **right != *"+hkeys";
        let is_granted = rights.iter().any(is_granted);
        assert!(!is_granted, "{dangerous} in {rights:?}");
    }
    let documented = include_str!("../../../../session-runtime/src/store/redis/store.rs");
    let (_, documented) = documented.split_once("resetchannels -@all").unwrap();
    let (documented, _) = documented.split_once("```").unwrap();
    let words = documented.split_whitespace().filter(|word| *word != "///");
    assert_eq!(
        words.collect::<Vec<_>>(),
        rights,
        "the driver's documentation"
    );

    for generation in available() {
        let what = generation.name();
        let server = Server::start(generation, &Options::default());
        server.allow_application("shop", "secret", "session");
        let url = format!("redis://shop:secret@127.0.0.1:{}", server.port());
        let store = session_runtime::RedisStore::connect(&*url).await.unwrap();
        let store = Arc::new(store);
        let layer = patient(store.clone()).build().unwrap();
        let mut visitor = known(&layer).await;
        for customer in [1, 2] {
            assert!(
                sign_in(&mut visitor, customer).await.status.is_success(),
                "{what}"
            );
        }
        put(&mut visitor, 4).await;
        let lists = |sessions: Sessions| async move {
            let listed = sessions.of(Plain::CUSTOMER, &2).list().await.unwrap().len();
            let ended = sessions.of(Plain::CUSTOMER, &2).revoke_all().await.unwrap();
            format!("{listed} {ended}")
        };
        assert_eq!(visitor.visit(lists).await.body, "1 1", "{what}");
        let _: String = server.command(&["SCRIPT", "FLUSH"]);
        let mut visitor = known(&layer).await;
        destroy(&mut visitor).await;
        session_runtime::SessionStore::len(&*store).await.unwrap();
        let refused: Vec<Value> = server.command(&["ACL", "LOG"]);
        assert_eq!(refused, [], "{what}: nothing was refused");

        let client = redis::Client::open(url).unwrap();
        let mut connection = client.get_connection().unwrap();
        for command in [
            "CONFIG GET maxmemory",
            "KEYS *",
            "SCAN 0",
            "FLUSHALL",
            "FLUSHDB",
            "PSUBSCRIBE *",
            "SUBSCRIBE __keyevent@0__:expired",
            "MONITOR",
            "HGETALL another:key",
        ] {
            let mut words = redis::Cmd::new();
            words.arg(command.split(' ').collect::<Vec<_>>());
            let answer: RedisResult<Value> = connection.req_command(&words);
            let code = match answer {
                Err(error) => error.code().map(str::to_owned),
                Ok(Value::ServerError(error)) => Some(error.code().to_owned()),
                Ok(value) => panic!("{what}: {command} is allowed: {value:?}"),
            };
            assert_eq!(code.as_deref(), Some("NOPERM"), "{what}: {command}");
        }
    }
}
