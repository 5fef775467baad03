//! Names and values as an operator sees them.

use std::collections::BTreeMap;
use std::time::Duration;

use session_runtime::store::{Action, Change, FieldTtl, Link, Outcome, Selected, Selection};
use session_runtime::{RedisStore, SessionStore};
use tests::servers::{Generation, Options, Server, available};
use tests::store_visitor::{Visitor, add, set, set_for, take};

use super::{HOUR, connect};
use crate::header::{BESIDE, Header, IDLE, LAST_COMMIT, LIFETIME, PERSISTENT, ROTATED, VERIFIER};

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
async fn values_that_look_like_deadlines_are_values() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        for value in [
            "@", "@ ", "@1 x", "@x y", "@@ z", "", " ", "@1", "x@ y", "x @1 y",
        ] {
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

/// What a session does not have takes no room, and what is noted of it in `@` is so.
#[tokio::test]
async fn nothing_is_kept_of_what_a_session_does_not_have() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        let key = visitor.key("session");
        let names = || {
            let mut names: Vec<String> = server.command(&["HKEYS", &key]);
            names.sort();
            names
        };
        assert_eq!(names(), ["@", "a.b"]);
        let header = Header::of(&server, &key);
        assert_eq!((header.part(BESIDE), &header.0[ROTATED..]), ("0", "0"));

        // A grace and a link that end at once are none.
        let (rotation, rotated) = visitor.rotation(Some(Duration::ZERO));
        store.commit(&rotation).await.unwrap();
        assert_eq!(names(), ["@", "@recent", "a.b"]);
        let header = Header::of(&server, &key);
        assert_eq!(header.part(BESIDE), "0");
        let rotated_at = header.0[ROTATED..].trim_start_matches('0');
        assert!(header.0[ROTATED..] == *"0" || header.0[ROTATED..] == *rotated_at);
        assert!(rotated.is_admitted(&store).await);

        let linked = Visitor::new();
        let mut creation = linked.creation([]);
        let link = Some(Link::new(visitor.verifier, Duration::ZERO));
        let verifier = linked.verifier;
        creation.action = Action::Create { verifier, link };
        store.commit(&creation).await.unwrap();
        let key = linked.key("session");
        assert_eq!(Header::of(&server, &key).part(BESIDE), "0");
        assert_eq!(server.command::<u64>(&["HLEN", &key]), 1);
    }
}

/// Fields of any number are found, told apart, and evicted.
#[tokio::test]
async fn a_bound_may_have_thousands_of_fields() {
    const FIELDS: usize = 9000;
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = RedisStore::builder().url(server.url());
        let store = store.command_deadline(Duration::from_secs(10));
        let store = store.connect().await.unwrap();
        let changes = (0..FIELDS).map(|number| Change::Set {
            name: format!("e/{number}").into(),
            value: number.to_string().into(),
            ttl: (number % 2 == 0).then(|| FieldTtl::restarting(HOUR)),
            only_if_absent: false,
        });
        let visitor = Visitor::create(&store, changes).await;
        let found = async || {
            let prefixes = ["e/"];
            let selection = Selection::default().with_prefixes(&prefixes);
            let loaded = store.load(&visitor.session, &selection).await.unwrap();
            loaded.unwrap().prefixed
        };
        let all = found().await;
        assert_eq!(all.len(), FIELDS);
        for (name, field) in &all {
            assert_eq!(name.as_bytes()[2..], field.value[..], "{name}");
        }
        let bound = Change::Bound {
            prefix: "e/".into(),
            max: 10,
            evict: true,
        };
        let outcome = store.commit(&visitor.update([bound])).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
        assert_eq!(found().await.len(), 10);
    }
}

/// The header is no field, and a name comes after its own beginning.
#[tokio::test]
async fn a_bound_of_all_fields_leaves_the_header() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let fields = ["e/11", "e/1", "e/111", "e/2"].map(|name| set(name, "1"));
        let visitor = Visitor::create(&store, fields).await;
        store
            .commit(&visitor.update([set("e/3", "1")]))
            .await
            .unwrap();
        let mut labelled = visitor.update([]);
        labelled.label = Some("Firefox on Linux".into());
        store.commit(&labelled).await.unwrap();
        let names = ["e/1", "e/11", "e/111", "e/2", "e/3"];
        for left in (1..=4).rev() {
            let bound = Change::Bound {
                prefix: "".into(),
                max: left,
                evict: true,
            };
            let outcome = store.commit(&visitor.update([bound])).await.unwrap();
            assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
            let values = visitor.values(&store, &names).await;
            assert_eq!(values.into_keys().collect::<Vec<_>>(), names[5 - left..]);
            let loaded = visitor.load(&store, &[]).await.unwrap().unwrap();
            assert_eq!(loaded.header.label.as_deref(), Some("Firefox on Linux"));
        }
    }
}

/// A load by the script tells the server's time to the millisecond.
#[tokio::test]
async fn a_load_with_deadlines_tells_the_time() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        let selected = [Selected::with_deadline("a.b")];
        for _ in 0..3 {
            let before = server.now();
            let selection = Selection::fields(&selected);
            let loaded = store.load(&visitor.session, &selection).await.unwrap();
            let now = loaded.unwrap().now.as_millis();
            assert!((before..=server.now()).contains(&now), "{before} {now}");
            store
                .commit(&visitor.update([add("a.n", 1)]))
                .await
                .unwrap();
            let seen = Header::of(&server, &visitor.key("session")).seen();
            assert!((now..=server.now()).contains(&seen), "{now} {seen}");
        }
    }
}
