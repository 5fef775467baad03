//! The contents of the server, seen with the server's own commands.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use session_runtime::store::{
    Action, Change, Commit, Outcome, RedisConnectError, Selected, Selection,
};
use session_runtime::store::{CommitId, Tier};
use session_runtime::{RedisStore, SessionStore, Timeouts};
use tests::events::{Line, Recorder};
use tests::servers::{Generation, Options, Server, available};
use tests::store_visitor::{Visitor, add, set, set_for, take};

use crate::header::{
    BESIDE, CREATED, Header, IDLE, LAST_COMMIT, LIFETIME, PARTS, PERSISTENT, ROTATED, SEEN,
    VERIFIER,
};

const HOUR: Duration = Duration::from_secs(3600);
/// The form of one; what is in it no test looks at.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

/// With time for a busy machine.
async fn connect(server: &Server) -> RedisStore {
    let store = RedisStore::builder().url(server.url());
    let store = store.command_deadline(Duration::from_secs(5)).connect();
    store.await.unwrap()
}

/// Polls until it is so.
async fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "timed out before {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn names_and_values_are_readable() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(
            &store,
            [
                set("shop.cart", r#"{"apple":2}"#),
                set_for("shop.otp", r#""1234""#, HOUR),
                add("shop.visits", 3),
            ],
        )
        .await;
        let mut labelled = visitor.update([]);
        labelled.label = Some("Firefox on Linux".into());
        labelled.persistent = Some(true);
        store.commit(&labelled).await.unwrap();
        let kept: BTreeMap<String, String> = server.command(&["HGETALL", &visitor.key("session")]);
        assert_eq!(kept["shop.cart"], r#"{"apple":2}"#);
        assert_eq!(kept["shop.visits"], "3");
        assert_eq!(kept["@label"], "Firefox on Linux");
        assert_eq!(kept["@recent"].len(), 8);
        let header = Header(kept["@"].clone());
        assert_eq!(header.part(VERIFIER), visitor.verifier.to_string());
        assert_eq!(header.part(LAST_COMMIT), labelled.id.to_string());
        assert_eq!(header.part(PERSISTENT), "t");
        assert_eq!(header.part(BESIDE), "8", "a label and nothing else");
        assert_eq!(header.part(IDLE), "00uM", "thirty minutes");
        assert_eq!(header.part(LIFETIME), "001H");
        assert_eq!(&header.0[ROTATED..], "0");
        let (before, now) = (header.created(), server.now());
        assert!(now - before < 60_000, "{before} is not long before {now}");
        assert!((before..=now).contains(&header.seen()));
        // These fields and no more. With one value above 64 bytes the hash would be a table.
        let names: Vec<_> = kept.keys().map(String::as_str).collect();
        let (mut ours, fields) = (vec!["@", "@label", "@recent"], ["cart", "otp", "visits"]);
        if !generation.has_field_ttl() {
            ours.push("@sweep");
        }
        let fields = fields.map(|field| format!("shop.{field}"));
        ours.extend(fields.iter().map(String::as_str));
        assert_eq!(names, ours);
        assert!(header.0.len() <= 64, "{header:?}");
        let key = visitor.key("session");
        let encoding: String = server.command(&["OBJECT", "ENCODING", &key]);
        assert!(encoding.starts_with("listpack") || generation == Generation::Valkey9);
        if generation.has_field_ttl() {
            assert_eq!(kept["shop.otp"], r#""1234""#);
        } else {
            assert!(kept["shop.otp"].starts_with('@') && kept["shop.otp"].ends_with(r#" "1234""#));
        }
        println!("{}: {kept:#?}", generation.name());
    }
}

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

/// The commits before the last one, as they are kept.
fn remembered(server: &Server, key: &str) -> String {
    server.command(&["HGET", key, "@recent"])
}

/// A commit that only writes takes a shorter way through the script than a creation.
#[tokio::test]
async fn a_plain_write_keeps_the_key_and_remembers_little() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let builder = RedisStore::builder().url(server.url());
        let store = builder.tier(Tier::Compatible).connect().await.unwrap();
        let visitor = Visitor::create(&store, []).await;
        let key = visitor.key("session");
        let sweep = || server.command::<u64>(&["HGET", &key, "@sweep"]);
        let seen = || Header::of(&server, &key).seen();

        server.command::<()>(&["PEXPIRE", &key, "10000"]);
        let mut ids = Vec::new();
        for _ in 0..9 {
            let write = visitor.update([set("a.b", "1")]);
            store.commit(&write).await.unwrap();
            ids.push(write.id.to_string());
        }
        let ends: u64 = server.command(&["PEXPIRETIME", &key]);
        assert_eq!(ends, seen() + 1_800_000);
        let last = Header::of(&server, &key).part(LAST_COMMIT).to_owned();
        assert_eq!(remembered(&server, &key), ids[1..8].concat());
        assert_eq!(last, ids[8]);
        // A touch is not remembered, and changes when the session was seen, nothing else.
        let header = Header::of(&server, &key);
        store.commit(&visitor.update([])).await.unwrap();
        let touched = Header::of(&server, &key);
        assert_eq!(touched, header.with(SEEN, touched.part(SEEN)));
        assert_eq!(remembered(&server, &key), ids[1..8].concat());

        // The next to end is noted, whichever comes first.
        let changes = [set_for("a.c", "1", 2 * HOUR), set_for("a.d", "1", HOUR)];
        store.commit(&visitor.update(changes)).await.unwrap();
        assert_eq!(sweep(), seen() + 3_600_000);
        let later = [set_for("a.e", "1", 3 * HOUR)];
        let noted = sweep();
        store.commit(&visitor.update(later)).await.unwrap();
        assert_eq!(sweep(), noted);

        // The end stays where it is.
        let header = Header::of(&server, &key);
        header.with(LIFETIME, "001M").write(&server, &key);
        store.commit(&visitor.update([])).await.unwrap();
        let ends: u64 = server.command(&["PEXPIRETIME", &key]);
        assert_eq!(ends, header.created() + 60_000);
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

/// However long a session lives, what is kept for commits that arrive twice stays small.
#[tokio::test]
async fn what_is_kept_for_repeated_commits_is_bounded() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        let key = visitor.key("session");
        for _ in 0..20 {
            store
                .commit(&visitor.update([add("a.c", 1)]))
                .await
                .unwrap();
        }
        assert_eq!(remembered(&server, &key).len(), 7 * 8);

        let taking = visitor.update([take("a.b")]);
        store.commit(&taking).await.unwrap();
        let header = Header::of(&server, &key);
        assert_eq!(header.part(BESIDE), "4");
        let forgotten = header.seen() + 30_000;
        let taken: String = server.command(&["HGET", &key, "@taken"]);
        let id = taking.id;
        assert_eq!(taken, format!("@{forgotten} {id} {forgotten} 3 1 a.b1"));
        if store.tier() == Tier::Native {
            let words = ["HPEXPIRETIME", &key, "FIELDS", "1", "@taken"];
            assert_eq!(server.command::<Vec<u64>>(&words), [forgotten]);
        }
        // It goes with the commit that took it.
        let is_kept = || server.command::<bool>(&["HEXISTS", &key, "@taken"]);
        for _ in 0..7 {
            store
                .commit(&visitor.update([set("a.c", "1")]))
                .await
                .unwrap();
            assert!(is_kept());
        }
        store
            .commit(&visitor.update([set("a.c", "1")]))
            .await
            .unwrap();
        assert!(!is_kept());
        assert_eq!(Header::of(&server, &key).part(BESIDE), "0");
    }
}

#[tokio::test]
async fn the_server_removes_fields_while_no_program_runs() {
    for generation in available() {
        if !generation.has_field_ttl() {
            continue;
        }
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        assert_eq!(store.tier(), Tier::Native);
        let ttl = Duration::from_millis(300);
        let visitor = Visitor::create(&store, [set_for("a.b", "1", ttl), set("a.c", "2")]).await;
        drop(store);
        let key = visitor.key("session");
        let before: u64 = server.command(&["HLEN", &key]);
        // HLEN counts what the server has not removed yet, and reads nothing.
        wait_for("the server removes the field", || {
            server.command::<u64>(&["HLEN", &key]) == before - 1
        })
        .await;
        assert_eq!(
            server.command::<Option<String>>(&["HGET", &key, "a.b"]),
            None
        );
    }
}

#[tokio::test]
async fn deadlines_survive_other_writes_rotation_and_a_crash() {
    for generation in available() {
        let mut server = Server::start(
            generation,
            &Options {
                append_only: true,
                ..Options::default()
            },
        );
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, [set_for("a.b", "1", HOUR), set("a.c", "2")]).await;
        let selected = [Selected::with_deadline("a.b")];
        let deadline = async |store: &RedisStore| {
            let loaded = store
                .load(&visitor.session, &Selection::fields(&selected))
                .await
                .unwrap();
            loaded.unwrap().fields[0].as_ref().unwrap().deadline
        };
        let at_first = deadline(&store).await;
        assert!(at_first.is_some());

        store
            .commit(&visitor.update([set("a.c", "3")]))
            .await
            .unwrap();
        let (rotation, rotated) = visitor.rotation(Some(HOUR));
        store.commit(&rotation).await.unwrap();
        let at_rotation = Header::of(&server, &rotated.key("session"));
        assert_eq!(at_rotation.rotated(), at_rotation.seen());
        store
            .commit(&rotated.update([add("a.d", 1)]))
            .await
            .unwrap();
        assert_eq!(deadline(&store).await, at_first);

        server.kill();
        server.restart();
        assert_eq!(deadline(&store).await, at_first);
        let loaded = visitor.load(&store, &["a.b"]).await.unwrap().unwrap();
        assert_eq!(loaded.header.verifier, rotated.verifier);
        let previous = loaded.header.previous.unwrap();
        assert_eq!(previous.verifier, visitor.verifier);
        let rotated = at_rotation.rotated();
        assert_eq!(previous.until.as_millis(), rotated + 3_600_000);
        assert_eq!(loaded.header.rotated.as_millis(), rotated);
    }
}

#[tokio::test]
async fn a_server_without_field_deadlines_forgets_them_with_the_next_commit() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = RedisStore::builder()
            .url(server.url())
            .tier(Tier::Compatible)
            .connect()
            .await
            .unwrap();
        let ttl = Duration::from_millis(50);
        let visitor = Visitor::create(
            &store,
            [set_for("a.b", "1", ttl), set_for("a.c", "2", HOUR)],
        )
        .await;
        tokio::time::sleep(2 * ttl).await;
        let key = visitor.key("session");
        assert!(visitor.values(&store, &["a.b"]).await.is_empty());
        assert!(server.command::<bool>(&["HEXISTS", &key, "a.b"]));
        store.commit(&visitor.update([])).await.unwrap();
        assert!(!server.command::<bool>(&["HEXISTS", &key, "a.b"]));
        assert_eq!(visitor.values(&store, &["a.c"]).await["a.c"], "2");
    }
}

/// A commit that has read all fields knows when that is worth while again.
#[tokio::test]
async fn a_sweep_notes_which_field_ends_next() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let builder = RedisStore::builder().url(server.url());
        let store = builder.tier(Tier::Compatible).connect().await.unwrap();
        let changes = [
            set_for("a.over", "1", HOUR),
            set_for("a.later", "2", 3 * HOUR),
            set_for("a.next", "3", 2 * HOUR),
            set_for("a.last", "4", 4 * HOUR),
        ];
        let visitor = Visitor::create(&store, changes).await;
        let key = visitor.key("session");
        let created = Header::of(&server, &key).created();
        server.command::<()>(&["HSET", &key, "a.over", "@1000 1", "@sweep", "1000"]);
        store.commit(&visitor.update([])).await.unwrap();
        assert!(!server.command::<bool>(&["HEXISTS", &key, "a.over"]));
        let next: u64 = server.command(&["HGET", &key, "@sweep"]);
        assert_eq!(next, created + 2 * 3_600_000);

        // With the last of them there is nothing to look for any more.
        for name in ["a.later", "a.next", "a.last"] {
            server.command::<()>(&["HSET", &key, name, "@1000 1"]);
        }
        server.command::<()>(&["HSET", &key, "@sweep", "1000"]);
        store.commit(&visitor.update([])).await.unwrap();
        assert!(!server.command::<bool>(&["HEXISTS", &key, "@sweep"]));
    }
}

#[tokio::test]
async fn values_that_look_like_deadlines_are_values() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        for value in ["@", "@ ", "@1 x", "@x y", "@@ z", "", " ", "@1"] {
            let visitor = Visitor::create(&store, [set("a.b", value)]).await;
            assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], value);
            let taken = store.commit(&visitor.update([take("a.b")])).await.unwrap();
            let Outcome::Applied(applied) = taken else {
                panic!("{taken:?}");
            };
            assert_eq!(applied.values[0].as_deref(), Some(value.as_bytes()));
        }
    }
}

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
        for tier in [Tier::Compatible, Tier::Native] {
            if tier == Tier::Native && !generation.has_field_ttl() {
                continue;
            }
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

#[tokio::test]
async fn a_commit_may_have_thousands_of_changes() {
    const FIELDS: usize = 9000;
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = RedisStore::builder()
            .url(server.url())
            .command_deadline(Duration::from_secs(10))
            .connect()
            .await
            .unwrap();
        let change = |number: usize, change: fn(String) -> Change| change(format!("a.f{number}"));
        let lasting = |name: String| Change::Set {
            name: name.into(),
            value: "1".into(),
            ttl: None,
            only_if_absent: false,
        };
        let ending = |name: String| Change::Set {
            name: name.into(),
            value: "1".into(),
            ttl: Some(session_runtime::store::FieldTtl::restarting(HOUR)),
            only_if_absent: false,
        };
        let changes = (0..FIELDS).map(|n| change(n, if n % 2 == 0 { lasting } else { ending }));
        let visitor = Visitor::create(&store, changes).await;
        let key = visitor.key("session");
        let fields = || {
            let names: Vec<String> = server.command(&["HKEYS", &key]);
            names.iter().filter(|name| name.starts_with("a.")).count()
        };
        assert_eq!(fields(), FIELDS);
        let removal = |name: String| Change::Remove { name: name.into() };
        let changes = (0..FIELDS).map(|n| change(n, removal));
        let outcome = store.commit(&visitor.update(changes)).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied(_)));
        assert_eq!(fields(), 0);
    }
}

#[tokio::test]
async fn a_connection_of_the_application_is_enough() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let client = redis::Client::open(server.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        let store = RedisStore::builder()
            .connection(connection)
            .connect()
            .await
            .unwrap();
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], "1");
    }
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_and_never_shown() {
    let refused = async |builder: session_runtime::store::RedisStoreBuilder| {
        let shown = format!("{builder:?}");
        let error = builder.connect().await.unwrap_err();
        let shown = format!("{shown} {error} {error:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("shop.example"),
            "{shown}"
        );
        error
    };
    let builder = RedisStore::builder;
    let error = refused(builder()).await;
    assert!(matches!(error, RedisConnectError::NoServer));
    for url in [
        "",
        "hunter2",
        "http://shop:hunter2@shop.example",
        "redis://shop:hunter2@[::",
    ] {
        let error = refused(builder().url(url)).await;
        assert!(
            matches!(error, RedisConnectError::InvalidUrl),
            "{url}: {error:?}"
        );
    }
    for prefix in ["", "a{b}"] {
        let url = "redis://shop:hunter2@127.0.0.1:1";
        let error = refused(builder().url(url).prefix(prefix)).await;
        assert!(matches!(error, RedisConnectError::InvalidPrefix));
    }
    for url in [
        "redis://shop@shop.example",
        "redis://shop:@shop.example",
        "rediss://shop@shop.example",
    ] {
        let error = refused(builder().url(url)).await;
        assert!(matches!(error, RedisConnectError::NoPassword), "{url}");
        let error = refused(builder().cluster([url])).await;
        assert!(matches!(error, RedisConnectError::NoPassword), "{url}");
        let error = refused(builder().sentinel("master", [url])).await;
        assert!(matches!(error, RedisConnectError::NoPassword), "{url}");
    }
    for url in [
        "redis://shop%20.example",
        "redis://shop!.example",
        "redis://",
    ] {
        let error = refused(builder().url(url)).await;
        assert!(
            matches!(error, RedisConnectError::InvalidUrl),
            "{url}: {error:?}"
        );
    }
    let plain = "redis://shop.example";
    let with_user = "redis://other:secret@shop.example/3";
    for contradiction in [
        builder().url(with_user).user("shop", "hunter2"),
        builder().user("shop", "hunter2").url(with_user),
        builder().url(with_user).database(5),
        builder().database(5).url(with_user),
        builder().cluster([plain]).database(1),
        builder().cluster(["redis://shop.example/1"]),
        builder().sentinel("master", ["redis://shop.example/1"]),
        builder().url(plain).root_certificates(CERTIFICATE),
        builder().root_certificates(CERTIFICATE).cluster([plain]),
        builder().cluster([plain, "rediss://shop.example"]),
    ] {
        let error = refused(contradiction).await;
        assert!(
            matches!(error, RedisConnectError::Contradiction(_)),
            "{error:?}"
        );
    }
    let encrypted = "rediss://shop.example";
    for certificates in [
        builder().url(encrypted).root_certificates("hunter2"),
        builder()
            .root_certificates("")
            .sentinel("master", [encrypted]),
        builder()
            .url(encrypted)
            .client_certificate("hunter2", "hunter2"),
        builder()
            .url(encrypted)
            .client_certificate(CERTIFICATE, "hunter2"),
    ] {
        let error = refused(certificates).await;
        assert!(
            matches!(error, RedisConnectError::InvalidCertificate(_)),
            "{error:?}"
        );
    }
    let start = Instant::now();
    let error = refused(builder().url("redis://shop:hunter2@127.0.0.1:1")).await;
    assert!(
        matches!(error, RedisConnectError::Unavailable(_)),
        "{error:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// Settings given beside a URL count, in any order.
#[tokio::test]
async fn user_and_database_are_applied_in_any_order() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        server.allow_application("shop", "secret", "session");
        let _: String = server.command(&["ACL", "SETUSER", "shop", "+select"]);
        for store in [
            RedisStore::builder()
                .url(server.url())
                .user("shop", "secret")
                .database(5),
            RedisStore::builder()
                .database(5)
                .user("shop", "secret")
                .url(server.url()),
        ] {
            let store = store.connect().await.unwrap();
            let visitor = Visitor::create(&store, []).await;
            assert!(!server.command::<bool>(&["EXISTS", &visitor.key("session")]));
            let users: String = server.command(&["CLIENT", "LIST"]);
            assert!(
                users.contains("db=5") && users.contains("user=shop"),
                "{users}"
            );
        }
    }
}

#[tokio::test]
async fn prefixes_do_not_see_each_other() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = |prefix| {
            RedisStore::builder()
                .url(server.url())
                .prefix(prefix)
                .connect()
        };
        let (shop, blog) = (store("shop").await.unwrap(), store("blog").await.unwrap());
        let visitor = Visitor::create(&shop, [set("a.b", "1")]).await;
        assert!(visitor.load(&blog, &["a.b"]).await.unwrap().is_none());
        let gone = blog.commit(&visitor.destruction()).await.unwrap();
        assert_eq!(gone, Outcome::Gone);
        assert!(visitor.is_admitted(&shop).await);
    }
}

#[tokio::test]
async fn the_recorded_layout_wins_over_a_newer_server() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let builder = || RedisStore::builder().url(server.url());
        let compatible = builder().tier(Tier::Compatible).connect().await.unwrap();
        let visitor = Visitor::create(&compatible, [set_for("a.b", "1", HOUR)]).await;

        let later = builder().connect().await.unwrap();
        assert_eq!(later.tier(), Tier::Compatible);
        assert_eq!(visitor.values(&later, &["a.b"]).await["a.b"], "1");
        let refused = builder().tier(Tier::Native).connect().await.unwrap_err();
        match refused {
            RedisConnectError::OtherLayout { recorded, .. } if generation.has_field_ttl() => {
                assert_eq!(recorded, Tier::Compatible);
            }
            RedisConnectError::NoFieldDeadlines if !generation.has_field_ttl() => {}
            other => panic!("{other:?}"),
        }

        let _: u64 = server.command(&["HSET", "session:@layout", "tier", "native-2"]);
        let native = builder().connect().await;
        match native {
            Ok(store) => assert!(generation.has_field_ttl() && store.tier() == Tier::Native),
            Err(RedisConnectError::OtherLayout { recorded, .. }) => {
                assert!(!generation.has_field_ttl() && recorded == Tier::Native);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn layouts_of_other_versions_are_refused_in_words() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let connect = || RedisStore::connect(server.url());
        for tier in ["native", "compatible"] {
            let _: u64 = server.command(&["HSET", "session:@layout", "tier", tier]);
            let refused = connect().await.unwrap_err();
            assert!(
                matches!(refused, RedisConnectError::EarlierLayout { .. }),
                "{refused:?}"
            );
            let said = refused.to_string();
            assert!(said.contains("`session:@layout`"), "{said}");
            assert!(
                said.contains("use another prefix, or remove that key"),
                "{said}"
            );
            // Nothing was changed, for the program that still uses these sessions.
            let kept: String = server.command(&["HGET", "session:@layout", "tier"]);
            assert_eq!(kept, tier);
        }
        let _: u64 = server.command(&["HSET", "session:@layout", "tier", "native-3"]);
        let refused = connect().await.unwrap_err();
        assert!(
            matches!(refused, RedisConnectError::UnknownLayout { .. }),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_right_is_named() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let mut commands = vec![
            "hmget",
            "hget",
            "hgetall",
            "hkeys",
            "hdel",
            "exists",
            "del",
            "pexpireat",
            "persist",
            "time",
            "eval",
            "evalsha",
            "hset",
        ];
        if generation.has_field_ttl() {
            commands.extend(["hsetex", "hpexpiretime"]);
        }
        for command in commands {
            server.allow_application("shop", "secret", "session");
            let _: String = server.command(&["ACL", "SETUSER", "shop", &format!("-{command}")]);
            let url = format!("redis://shop:secret@127.0.0.1:{}", server.port());
            let refused = RedisStore::connect(url).await.unwrap_err();
            match &refused {
                RedisConnectError::MissingRight { command: named } => {
                    assert_eq!(named.to_lowercase(), command);
                }
                other => panic!("{command}: {other:?}"),
            }
        }
        let url = format!("redis://shop:wrong-password@127.0.0.1:{}", server.port());
        let refused = RedisStore::connect(url).await.unwrap_err();
        assert!(matches!(refused, RedisConnectError::NotAuthenticated));
        assert!(!format!("{refused:?} {refused}").contains("wrong-password"));
    }
}

/// The server's count of every command, those inside scripts included.
fn calls(server: &Server) -> BTreeMap<String, u64> {
    let text: String = server.command(&["INFO", "commandstats"]);
    text.lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let ours = ["info", "config|resetstat"].contains(&name);
            let count = rest.split(',').next()?.parse().ok()?;
            (!ours).then(|| (name.to_owned(), count))
        })
        .collect()
}

/// How many requests reached the server since the last call, and with how many system calls.
fn requests(server: &Server) -> u64 {
    server
        .info("stats", "total_reads_processed")
        .and_then(|count| count.parse().ok())
        .unwrap()
}

#[tokio::test]
async fn each_call_takes_one_trip_and_these_commands() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let native = store.tier() == Tier::Native;
        let visitor = Visitor::create(&store, [set_for("a.b", "1", HOUR)]).await;
        // All scripts are known from here on.
        let with_deadline = [Selected::with_deadline("a.b")];
        let with_deadline = Selection::fields(&with_deadline);
        let prefixes = ["a."];
        let by_prefix = Selection::default().with_prefixes(&prefixes);
        store.load(&visitor.session, &with_deadline).await.unwrap();
        store.load(&visitor.session, &by_prefix).await.unwrap();

        let measure = |what: &'static str, expected: &'static str| {
            let _: String = server.command(&["CONFIG", "RESETSTAT"]);
            let before = requests(&server);
            let server = &server;
            move || {
                // Two requests are the test's own: the one before and this one.
                let trips = requests(server) - before - 1;
                let calls = calls(server);
                let shown: Vec<_> = calls
                    .iter()
                    .map(|(name, n)| format!("{name} {n}"))
                    .collect();
                let shown = shown.join(", ");
                println!("{:9} {what:28} {trips} trip: {shown}", generation.name());
                assert_eq!(trips, 1, "{what}");
                assert_eq!(shown, expected, "{what}");
            }
        };

        // The server removes what has ended, and the time is an estimate.
        let check = measure("load", if native { "hmget 1" } else { "hmget 1, time 1" });
        visitor.load(&store, &["a.b", "a.c"]).await.unwrap();
        check();

        let check = measure(
            "load with deadlines",
            if native {
                "evalsha 1, hmget 1, hpexpiretime 1, time 1"
            } else {
                "hmget 1, time 1"
            },
        );
        store.load(&visitor.session, &with_deadline).await.unwrap();
        check();

        let expected = "evalsha 1, hkeys 1, hmget 2, time 1";
        let check = measure("load by prefix", expected);
        let loaded = store.load(&visitor.session, &by_prefix).await.unwrap();
        assert_eq!(loaded.unwrap().prefixed.len(), 1);
        check();

        let check = measure("touch", "evalsha 1, hmget 1, hset 1, pexpireat 1, time 1");
        store.commit(&visitor.update([])).await.unwrap();
        check();

        let check = measure(
            "write of 3 fields, 2 deadlines",
            if native {
                "evalsha 1, hmget 1, hset 1, hsetex 2, pexpireat 1, time 1"
            } else {
                "evalsha 1, hmget 1, hset 2, pexpireat 1, time 1"
            },
        );
        let changes = [
            set("a.c", "1"),
            set_for("a.b", "2", HOUR),
            set_for("a.d", "2", 2 * HOUR),
        ];
        store.commit(&visitor.update(changes)).await.unwrap();
        check();

        let check = measure(
            "rotation",
            if native {
                "evalsha 1, hmget 1, hset 1, hsetex 1, pexpireat 1, time 1"
            } else {
                "evalsha 1, hget 1, hmget 1, hset 1, pexpireat 1, time 1"
            },
        );
        let (rotation, rotated) = visitor.rotation(Some(HOUR));
        store.commit(&rotation).await.unwrap();
        check();

        let check = measure("destruction", "del 1, evalsha 1, hmget 1, time 1");
        store.commit(&rotated.destruction()).await.unwrap();
        check();

        // Looked at twice: the short way through the script leaves it to the long one.
        let check = measure("late write", "evalsha 1, hmget 2, time 1");
        let gone = store.commit(&rotated.update([set("a.b", "1")])).await;
        assert_eq!(gone.unwrap(), Outcome::Gone);
        check();

        let check = measure(
            "creation",
            if native {
                "evalsha 1, exists 1, hmget 1, hset 1, hsetex 1, pexpireat 1, time 1"
            } else {
                "evalsha 1, exists 1, hget 1, hmget 1, hset 1, pexpireat 1, time 1"
            },
        );
        Visitor::create(&store, [set_for("a.b", "1", HOUR)]).await;
        check();
    }
}

#[tokio::test]
async fn destruction_leaves_nothing_behind() {
    for generation in available() {
        let server = Server::start(
            generation,
            &Options {
                settings: vec!["rdbcompression no".to_owned()],
                ..Options::default()
            },
        );
        let store = connect(&server).await;
        let secret = "a-value-that-is-found-here-only";
        let visitor = Visitor::create(&store, [set("a.b", secret), set("a.c", secret)]).await;
        store.commit(&visitor.update([take("a.c")])).await.unwrap();
        let _: String = server.command(&["SAVE"]);
        let contains = |bytes: &[u8]| {
            bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes())
        };
        assert!(contains(&server.files()), "the test finds what is there");
        store.commit(&visitor.destruction()).await.unwrap();
        let _: String = server.command(&["SAVE"]);
        assert!(!contains(&server.files()));
        assert_eq!(
            server.command::<Vec<String>>(&["KEYS", "*"]),
            ["session:@layout"]
        );
    }
}

/// Bytes a session, ours against a hash of the same fields written by hand; printed, not judged.
#[tokio::test]
async fn memory_of_a_session() {
    const SESSIONS: usize = 2000;
    let names = [
        "shop.customer",
        "shop.otp",
        "shop.failed",
        "shop.cart",
        "shop.theme",
    ];
    for generation in available() {
        let value = "x".repeat(50);
        let used = |server: &Server| -> usize {
            server
                .info("memory", "used_memory")
                .unwrap()
                .parse()
                .unwrap()
        };
        let by_hand = {
            let server = Server::start(generation, &Options::default());
            let before = used(&server);
            for number in 0..SESSIONS {
                let key = format!("session:{number:022}");
                let mut words = vec!["HSET", &key];
                for name in names {
                    words.extend([name, &value]);
                }
                let _: u64 = server.command(&words);
                let _: u64 = server.command(&["EXPIRE", &key, "1800"]);
            }
            (used(&server) - before) / SESSIONS
        };
        let ours = async |with_ttl: bool| {
            let server = Server::start(generation, &Options::default());
            let store = connect(&server).await;
            let before = used(&server);
            for _ in 0..SESSIONS {
                let changes = names.iter().enumerate().map(|(index, name)| match index {
                    0 | 1 if with_ttl => set_for(name, &value, HOUR),
                    _ => set(name, &value),
                });
                Visitor::create(&store, changes.collect::<Vec<Change>>()).await;
            }
            (used(&server) - before) / SESSIONS
        };
        println!(
            "{}: 5 fields of 50 bytes: by hand {by_hand}, ours {}, ours with 2 deadlines {}",
            generation.name(),
            ours(false).await,
            ours(true).await,
        );
    }
}

#[test]
fn every_generation_is_what_it_says() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let name = if generation == Generation::Valkey9 {
            "valkey_version"
        } else {
            "redis_version"
        };
        let version = server.info("server", name).unwrap();
        println!("{}: {version}", generation.name());
        assert!(version.starts_with(&generation.name()[generation.name().len() - 1..]));
    }
}
