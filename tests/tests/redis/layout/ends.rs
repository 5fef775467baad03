//! When keys and sessions end.

use std::time::Duration;

use session_runtime::store::{Action, Link, Outcome, Selected, Selection};
use session_runtime::{SessionStore, Timeouts};
use tests::servers::{Options, Server, available};
use tests::store_visitor::{Visitor, add, set, take};

use super::{HOUR, connect, wait_for};
use crate::header::{CREATED, Header, IDLE, LIFETIME, SEEN, digits};

#[tokio::test]
async fn the_key_ends_with_the_session() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, []).await;
        let key = visitor.key("session");
        let ends: u64 = server.command(&["PEXPIRETIME", &key]);
        let seen = Header::of(&server, &key).seen();
        assert_eq!(ends, seen + 1_800_000);
        // Whichever comes first: a while after the creation that is the lifetime's end.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut brief = visitor.update([]);
        brief.timeouts = Some(Timeouts::new(HOUR / 2, HOUR / 2).unwrap());
        store.commit(&brief).await.unwrap();
        let header = Header::of(&server, &key);
        let (seen, created) = (header.seen(), header.created());
        let ends: u64 = server.command(&["PEXPIRETIME", &key]);
        assert!(seen > created, "{seen}");
        assert_eq!(header.part(IDLE), "00uM");
        assert_eq!(header.part(LIFETIME), "00uM");
        assert_eq!(ends, created + 1_800_000);
        // Without limits the key has none either, and a later limit counts from the creation.
        let mut unlimited = visitor.update([]);
        unlimited.timeouts = Some(Timeouts::new(None, None).unwrap());
        store.commit(&unlimited).await.unwrap();
        assert_eq!(server.command::<i64>(&["PTTL", &key]), -1);
        let header = Header::of(&server, &key);
        assert_eq!((header.part(IDLE), header.part(LIFETIME)), ("none", "none"));
        store.commit(&visitor.update([])).await.unwrap();
        assert_eq!(server.command::<i64>(&["PTTL", &key]), -1, "a touch");
        let loaded = visitor.load(&store, &[]).await.unwrap().unwrap();
        assert_eq!(loaded.header.deadline(), None);
    }
}

/// A key may outlive its session, by PERSIST or from a backup: the session's own end counts.
#[tokio::test]
async fn a_session_ends_though_its_key_is_kept() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        // By its idle timeout, and by its lifetime; a load may be a minute late to say so.
        const MINUTE: u64 = 60_000;
        let kept = async |visitor: &Visitor, [age, seen]: [u64; 2]| {
            let key = visitor.key("session");
            let header = Header::of(&server, &key).aged(age, seen);
            header.write(&server, &key);
            server.command::<()>(&["PERSIST", &key]);
            assert!(visitor.load(&store, &[]).await.unwrap().is_none());
            let selected = [Selected::with_deadline("a.b")];
            let selection = Selection::fields(&selected);
            let loaded = store.load(&visitor.session, &selection).await.unwrap();
            assert!(loaded.is_none());
            key
        };
        let over = [[40 * MINUTE, 5 * MINUTE], [62 * MINUTE, 61 * MINUTE]];
        for (destroys, over) in [false, true]
            .into_iter()
            .zip(over)
            .chain([(false, over[1])])
        {
            let visitor = Visitor::create(&store, [set("a.b", "old")]).await;
            let key = kept(&visitor, over).await;
            let commit = match destroys {
                true => visitor.destruction(),
                false => visitor.update([]),
            };
            let outcome = store.commit(&commit).await.unwrap();
            assert_eq!(outcome, Outcome::Gone);
            assert!(!server.command::<bool>(&["EXISTS", &key]), "it is removed");
        }
        let visitor = Visitor::create(&store, [set("a.b", "old")]).await;
        kept(&visitor, over[0]).await;
        let creation = visitor.creation([set("a.c", "new")]);
        let outcome = store.commit(&creation).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied(_)), "its id is free");
        assert_eq!(visitor.values(&store, &["a.b", "a.c"]).await.len(), 1);
    }
}

/// Whatever unit a timeout is kept in, and by either way through the script, the key ends when the
/// session does.
#[tokio::test]
async fn a_timeout_of_any_unit_ends_the_key() {
    let ms = Duration::from_millis;
    let pairs = [
        (ms(20_500), ms(40_500)),
        (ms(45_000), ms(90_000)),
        (ms(30 * 60_000), ms(90 * 60_000)),
        (HOUR, 5 * HOUR),
        (24 * HOUR, 30 * 24 * HOUR),
        (HOUR + ms(1), 2 * HOUR + ms(2)),
        (HOUR, 2 * HOUR + ms(2)),
        (HOUR + ms(1), 3 * HOUR),
    ];
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        for (idle, lifetime) in pairs {
            let what = format!("{}: {idle:?}, {lifetime:?}", generation.name());
            let visitor = Visitor::new();
            let mut creation = visitor.creation([set("a.b", "1")]);
            creation.timeouts = Some(Timeouts::new(idle, lifetime).unwrap());
            store.commit(&creation).await.unwrap();
            let key = visitor.key("session");
            let [idle, lifetime] = [idle, lifetime].map(|time| time.as_millis() as u64);
            let ends = || {
                let header = Header::of(&server, &key);
                let ends = (header.seen() + idle).min(header.created() + lifetime);
                assert_eq!(
                    server.command::<u64>(&["PEXPIRETIME", &key]),
                    ends,
                    "{what}"
                );
                ends - header.created()
            };
            assert_eq!(ends(), idle, "{what}");
            let old = Header::of(&server, &key).aged(lifetime - idle / 2, lifetime - idle / 2);
            for changes in [vec![], vec![set("a.b", "2")], vec![add("a.n", 1)]] {
                // First the idle timeout ends it, then the lifetime.
                let outcome = store.commit(&visitor.update(changes.clone())).await;
                assert!(
                    matches!(outcome, Ok(Outcome::Applied(_))),
                    "{what}: {outcome:?}"
                );
                assert!(ends() < lifetime, "{what}");
                let young = Header::of(&server, &key);
                old.write(&server, &key);
                let outcome = store.commit(&visitor.update(changes)).await;
                assert!(
                    matches!(outcome, Ok(Outcome::Applied(_))),
                    "{what}: {outcome:?}"
                );
                assert_eq!(ends(), lifetime, "{what}");
                young.write(&server, &key);
            }
        }
    }
}

/// A touch moves the end of the key, also to none.
#[tokio::test]
async fn a_touch_moves_the_end_of_the_key() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, []).await;
        let key = visitor.key("session");
        server.command::<()>(&["PEXPIRE", &key, "10000"]);
        let before = Header::of(&server, &key).seen();
        wait_for("a millisecond is over", || server.now() > before).await;
        store.commit(&visitor.update([])).await.unwrap();
        let seen = Header::of(&server, &key).seen();
        assert!(seen > before, "a touch is a visit");
        let ends: u64 = server.command(&["PEXPIRETIME", &key]);
        assert_eq!(ends, seen + 1_800_000);

        let mut unlimited = visitor.update([]);
        unlimited.timeouts = Some(Timeouts::new(None, None).unwrap());
        store.commit(&unlimited).await.unwrap();
        server.command::<()>(&["PEXPIRE", &key, "10000"]);
        store.commit(&visitor.update([])).await.unwrap();
        assert_eq!(server.command::<i64>(&["PTTL", &key]), -1);
    }
}

/// A commit whose timeouts are over at once leaves no key behind.
#[tokio::test]
async fn a_session_that_is_over_at_once_leaves_no_key() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        let key = visitor.key("session");
        Header::of(&server, &key)
            .aged(60_000, 60_000)
            .write(&server, &key);
        let mut brief = visitor.update([]);
        let second = Duration::from_secs(1);
        brief.timeouts = Some(Timeouts::new(second, second).unwrap());
        let outcome = store.commit(&brief).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
        assert!(!server.command::<bool>(&["EXISTS", &key]));
    }
}

/// A server's clock may be set back: until it has caught up, no time has passed since the creation.
#[tokio::test]
async fn a_clock_that_was_set_back_counts_as_standing() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        let key = visitor.key("session");
        let header = Header::of(&server, &key);
        let later = digits(header.created() + 60_000, CREATED.len());
        for changes in [vec![], vec![set("a.b", "2")], vec![add("a.n", 1)]] {
            let commit = visitor.update(changes);
            header.with(CREATED, &later).write(&server, &key);
            let outcome = store.commit(&commit).await.unwrap();
            assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
            assert_eq!(Header::of(&server, &key).part(SEEN), "00000000");
            assert!(visitor.is_admitted(&store).await);
        }
    }
}

/// A commit that is not about the link leaves it open.
#[tokio::test]
async fn a_link_outlives_other_commits() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let (visitor, linked) = (Visitor::new(), Visitor::new().verifier);
        let mut creation = visitor.creation([set("a.b", "1")]);
        let (verifier, link) = (visitor.verifier, Some(Link::new(linked, HOUR)));
        creation.action = Action::Create { verifier, link };
        store.commit(&creation).await.unwrap();
        let created = Header::of(&server, &visitor.key("session")).created();
        let (rotation, rotated) = visitor.rotation(Some(HOUR));
        for commit in [
            visitor.update([]),
            visitor.update([set("a.b", "2")]),
            visitor.update([add("a.n", 1)]),
            rotation,
            rotated.update([take("a.b")]),
        ] {
            let outcome = store.commit(&commit).await.unwrap();
            assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
            let loaded = rotated.load(&store, &[]).await.unwrap().unwrap();
            let link = loaded.header.link.expect("the link is open");
            assert_eq!(link.verifier, linked);
            assert_eq!(link.until.as_millis(), created + 3_600_000);
        }
    }
}
