//! Keys that hold something else, and sessions that someone has damaged.

use session_runtime::store::{Action, Commit, CommitId, Outcome, Selected, Selection};
use session_runtime::{RedisStore, SessionStore};
use tests::events::{Line, Recorder};
use tests::servers::{Options, Server, available};
use tests::store_visitor::{Visitor, add, set, set_for, take};

use super::{HOUR, connect};
use crate::header::{
    BESIDE, CREATED, Header, IDLE, LAST_COMMIT, LIFETIME, PARTS, PERSISTENT, ROTATED, SEEN,
    VERIFIER,
};

#[tokio::test]
async fn a_key_of_a_foreign_type_is_no_session_and_stays() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let contents: [&[&str]; 4] = [
            &["SET", "KEY", "precious"],
            &["HSET", "KEY", "precious", "1"],
            &["HSET", "KEY", "@", "nonsense", "@recent", "1"],
            &["HSET", "KEY", "@", "", "@recent", "inf", "@taken", "nan"],
        ];
        for content in contents {
            let visitor = Visitor::new();
            let key = visitor.key("session");
            let words: Vec<&str> = content
                .iter()
                .map(|&word| if word == "KEY" { key.as_str() } else { word })
                .collect();
            let _: redis::Value = server.command(&words);
            let before: Vec<u8> = server.command(&["DUMP", &key]);
            for selected in [Selected::value("a.b"), Selected::with_deadline("a.b")] {
                let selected = [selected];
                let loaded = store
                    .load(&visitor.session, &Selection::fields(&selected))
                    .await;
                assert!(matches!(loaded, Ok(None)), "{content:?}: {loaded:?}");
            }
            for (commit, expected) in [
                (visitor.creation([set("a.b", "1")]), Outcome::IdTaken),
                (visitor.update([set("a.b", "1")]), Outcome::Gone),
                (visitor.destruction(), Outcome::Gone),
            ] {
                let outcome = store.commit(&commit).await.unwrap();
                assert_eq!(outcome, expected, "{content:?}");
            }
            assert_eq!(server.command::<Vec<u8>>(&["DUMP", &key]), before);
        }
    }
}

/// An operator learns of a key that is in the way, and of nothing else.
#[tokio::test]
async fn a_commit_reports_a_foreign_key_and_only_that() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let recorder = Recorder::start();
        let warnings = || {
            let lines = recorder.take();
            let ours = |line: &&Line| line.text.contains("holds something else");
            lines.iter().filter(ours).count()
        };
        let living = Visitor::create(&store, []).await;
        let absent = Visitor::new();
        let ended = Visitor::create(&store, []).await;
        let key = ended.key("session");
        let header = Header::of(&server, &key).aged(3_600_000, 0);
        header.write(&server, &key);
        server.command::<()>(&["PERSIST", &key]);
        for (commit, expected) in [
            (ended.update([]), Outcome::Gone),
            (living.creation([]), Outcome::IdTaken),
            (absent.update([]), Outcome::Gone),
            (absent.destruction(), Outcome::Gone),
        ] {
            assert_eq!(store.commit(&commit).await.unwrap(), expected);
            assert_eq!(warnings(), 0);
        }
        for content in [["SET", "KEY", "1"].as_slice(), &["HSET", "KEY", "@", "1"]] {
            let visitor = Visitor::new();
            let key = visitor.key("session");
            let words = content
                .iter()
                .map(|&word| if word == "KEY" { &key } else { word });
            let _: redis::Value = server.command(&words.collect::<Vec<_>>());
            for (commit, expected) in [
                (visitor.creation([]), Outcome::IdTaken),
                (visitor.update([]), Outcome::Gone),
            ] {
                assert_eq!(store.commit(&commit).await.unwrap(), expected);
                assert_eq!(warnings(), 1, "{content:?}");
            }
        }
    }
}

/// Whatever a hash holds, a session is there or not: no error, and nothing falls over.
#[tokio::test]
async fn damaged_sessions_are_absent_or_whole() {
    /// The hash fields that damage a session, from its header.
    type Damage<'a> = &'a dyn Fn(&str) -> Vec<(&'static str, Vec<u8>)>;
    const DAMAGE: [&[u8]; 18] = [
        b"",
        b"0",
        b"-1",
        b"+5",
        b"inf",
        b"nan",
        b"0x10",
        b"1e400",
        b"18446744073709551616",
        b"99999999999999",
        b"@",
        b"@ ",
        b"@1 x",
        b"@99999999999999999999 x",
        b"@70368744177664 x",
        b"@70368744177663 AAAAAAAA 99999999999999999999 3 1 a.b1",
        b"AAAAAAAA",
        b"\xff\xfe",
    ];
    let fields = [
        "@",
        "@recent",
        "@principals",
        "@label",
        "@previous",
        "@link",
        "@taken",
        "@sweep",
        "a.b",
    ];
    for generation in available() {
        for &tier in generation.tiers() {
            let server = Server::start(generation, &Options::default());
            let builder = RedisStore::builder().url(server.url()).tier(tier);
            let store = builder.connect().await.unwrap();
            let selected = [Selected::with_deadline("a.b"), Selected::value("a.b")];
            let check = async |damage: Damage<'_>, what: &str| {
                let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
                let key = visitor.key("session");
                let kept = Header::of(&server, &key);
                let mut command = redis::cmd("HSET");
                command.arg(&key);
                for (name, value) in damage(&kept.0) {
                    command.arg(name).arg(value);
                }
                command.exec(&mut connect_plainly(&server)).unwrap();
                for selected in [&selected[..], &selected[1..]] {
                    let selection = Selection::fields(selected);
                    let loaded = store.load(&visitor.session, &selection).await;
                    assert!(loaded.is_ok(), "{tier} {what}: {loaded:?}");
                }
                let (rotation, rotated) = visitor.rotation(Some(HOUR));
                for commit in [
                    visitor.update([]),
                    visitor.update([set("a.d", "1")]),
                    visitor.update([set_for("a.c", "1", HOUR), add("a.b", 1)]),
                    rotation,
                    rotated.update([take("a.b")]),
                ] {
                    let outcome = store.commit(&commit).await;
                    assert!(outcome.is_ok(), "{tier} {what}: {outcome:?}");
                }
            };
            for field in fields {
                for damage in DAMAGE {
                    let what = format!("{field} {}", damage.escape_ascii());
                    // As it is, and where `@` says that it is there.
                    check(&|_| vec![(field, damage.to_vec())], &what).await;
                    let there = |header: &str| {
                        let header = Header(header.to_owned()).with(BESIDE, "f");
                        vec![("@", header.0.into_bytes()), (field, damage.to_vec())]
                    };
                    check(&there, &what).await;
                }
            }
            for (part, place) in PARTS {
                for damage in DAMAGE {
                    let what = format!("{part} {}", damage.escape_ascii());
                    let damaged = |header: &str| {
                        let mut bytes = header.as_bytes().to_vec();
                        bytes.splice(place.clone(), damage.iter().copied());
                        vec![("@", bytes)]
                    };
                    check(&damaged, &what).await;
                }
            }
        }
    }
}

/// A connection that asks for nothing but what it is told.
fn connect_plainly(server: &Server) -> redis::Connection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_connection().unwrap()
}

/// Loads and commits agree on what makes a session.
#[tokio::test]
async fn a_session_with_a_ruined_header_is_none() {
    let ruins = [
        (VERIFIER, "nonsense nonsense nons"),
        (VERIFIER, ""),
        (LAST_COMMIT, ""),
        (BESIDE, "g"),
        (CREATED, ""),
        (CREATED, "nine.nine"),
        (CREATED, "-23456789"),
        (CREATED, "  3456789"),
        (SEEN, "x"),
        (SEEN, "0000000."),
        (IDLE, "00uX"),
        (IDLE, "nine"),
        (IDLE, "full"),
        (LIFETIME, "-01H"),
        (ROTATED..ROTATED + 1, ""),
    ];
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        for ruin in std::iter::once(None).chain(ruins.clone().map(Some)) {
            let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
            let key = visitor.key("session");
            let what = format!("{}: {ruin:?}", generation.name());
            match ruin {
                Some((part, value)) => {
                    let header = Header::of(&server, &key);
                    header.with(part, value).write(&server, &key);
                }
                None => server.command(&["HDEL", &key, "@"]),
            }
            assert!(visitor.load(&store, &[]).await.unwrap().is_none(), "{what}");
            let id = CommitId::generate().unwrap();
            for commit in [
                visitor.update([]),
                visitor.update([set("a.b", "2")]),
                visitor.update([add("a.b", 1)]),
                visitor.rotation(Some(HOUR)).0,
                visitor.destruction(),
                Commit::new(visitor.session, id, Action::Revoke),
            ] {
                let outcome = store.commit(&commit).await.unwrap();
                assert_eq!(outcome, Outcome::Gone, "{what}");
            }
            let kept: String = server.command(&["HGET", &key, "a.b"]);
            assert_eq!(kept, "1", "{what}: it is left for the operator to look at");
        }
    }
}

/// Damage in parts that nothing depends on costs nothing.
#[tokio::test]
async fn a_session_survives_damage_to_its_last_commit_its_cookie_and_its_rotation() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        for (place, text) in [
            (LAST_COMMIT, "AAAA+AAA"),
            (PERSISTENT, "x"),
            (ROTATED..ROTATED + 1, "."),
            (ROTATED..ROTATED + 1, "x?"),
            (ROTATED..ROTATED + 1, "9999999999999999"),
        ] {
            let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
            let key = visitor.key("session");
            let header = Header::of(&server, &key);
            header.with(place, text).write(&server, &key);
            assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], "1", "{text}");
            for changes in [vec![set("a.b", "2")], vec![add("a.c", 1)]] {
                let outcome = store.commit(&visitor.update(changes)).await.unwrap();
                assert!(
                    matches!(outcome, Outcome::Applied(_)),
                    "{text}: {outcome:?}"
                );
            }
        }
    }
}
