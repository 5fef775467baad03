//! Sessions and lists that this version of the layouts in Redis wrote are read by all later ones,
//! and written as before; those of the first version are refused. Never change a line of the golden
//! files: add one.
//!
//! A golden file has a line `key`, name and deadline for each key, and below it the fields of the
//! hash with deadline and value; `-` is none, `<now+1000>` a moment, and `<now+1000 in base 36>` one
//! in nine digits of that base. `campaigns/corpus/golden` has one for each layout and version. They
//! are put on real servers with plain commands.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Connection;
use session_runtime::store::{
    Action, Applied, Change, Commit, Condition, Credential, FieldTtl, Link, ListChange, Loaded,
    Outcome, Principal, PrincipalKey, RedisConnectError, Rotation, Selected, Selection,
};
use session_runtime::store::{Tier, Timestamp, Verifier};
use session_runtime::{
    ReadSession, RedisStore, Session, SessionId, SessionLayer, SessionStore, Timeouts,
};
use tests::lying::{Sessions, TOKENS};
use tests::servers::{Options, Server, available};
use tests::sessions::set;
use tests::visitor::Visitor;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    cart: BTreeMap<String, u32>,
    #[session(ttl = "5m")]
    otp: Option<String>,
}

/// The layout of this version.
fn golden(tier: Tier) -> &'static str {
    match tier {
        Tier::Native => include_str!("../../campaigns/corpus/golden/redis-native-2"),
        _ => include_str!("../../campaigns/corpus/golden/redis-compatible-2"),
    }
}

/// That of the first version: ten header fields, and a record that does not say so.
fn earlier(tier: Tier) -> &'static str {
    match tier {
        Tier::Native => include_str!("../../campaigns/corpus/golden/redis-native-1"),
        _ => include_str!("../../campaigns/corpus/golden/redis-compatible-1"),
    }
}

/// Each server with each layout that it knows.
fn servers() -> Vec<(Server, Tier)> {
    let mut servers = Vec::new();
    for generation in available() {
        let start = || Server::start(generation, &Options::default());
        servers.push((start(), Tier::Compatible));
        if generation.has_field_ttl() {
            servers.push((start(), Tier::Native));
        }
    }
    servers
}

/// With time for a busy machine.
async fn open(server: &Server, tier: Option<Tier>) -> RedisStore {
    let mut store = RedisStore::builder().url(server.url());
    if let Some(tier) = tier {
        store = store.tier(tier);
    }
    let store = store.connect_deadline(Duration::from_secs(5));
    let store = store.command_deadline(Duration::from_secs(5)).connect();
    store.await.unwrap()
}

fn connect(server: &Server) -> Connection {
    let client = redis::Client::open(server.url()).unwrap();
    client.get_connection().unwrap()
}

/// The text with moments in the place of `<now+1000>`.
fn at(now: u64, text: &str) -> String {
    let mut parts = text.split("<now");
    let mut result = parts.next().unwrap().to_owned();
    for part in parts {
        let (offset, rest) = part.split_once('>').unwrap();
        let (offset, is_short) = match offset.strip_suffix(" in base 36") {
            Some(offset) => (offset, true),
            None => (offset, false),
        };
        let offset: i64 = offset.parse().unwrap();
        let moment = now.checked_add_signed(offset).unwrap();
        result.push_str(&match is_short {
            true => base36(moment),
            false => moment.to_string(),
        });
        result.push_str(rest);
    }
    result
}

/// Nine digits.
fn base36(mut moment: u64) -> String {
    let mut digits = Vec::new();
    for _ in 0..9 {
        let digit = u32::try_from(moment % 36).unwrap();
        digits.push(char::from_digit(digit, 36).unwrap());
        moment /= 36;
    }
    digits.into_iter().rev().collect()
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut parts = text.split("\\x");
    bytes.extend(parts.next().unwrap().bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].bytes());
    }
    bytes
}

/// Puts a golden file on a server, and answers what its `<now>` is.
fn put(server: &Server, golden: &str) -> u64 {
    let mut connection = connect(server);
    let now = server.now();
    let mut key = "";
    let mut key_deadline = "";
    let run = |connection: &mut Connection, command: &mut redis::Cmd| {
        let _: redis::Value = command.query(connection).unwrap();
    };
    for line in golden.lines() {
        let [name, deadline, value] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        if name == "key" {
            (key, key_deadline) = (deadline, value);
            continue;
        }
        let value = unescaped(&at(now, value));
        run(
            &mut connection,
            redis::cmd("HSET").arg(key).arg(name).arg(value),
        );
        if deadline != "-" {
            let mut command = redis::cmd("HPEXPIREAT");
            command.arg(key).arg(at(now, deadline));
            run(&mut connection, command.arg("FIELDS").arg(1).arg(name));
        }
        if key_deadline != "-" {
            let at = at(now, key_deadline);
            run(&mut connection, redis::cmd("PEXPIREAT").arg(key).arg(at));
        }
    }
    now
}

fn previous() -> Verifier {
    Verifier::from_bytes([1; 16])
}

fn customer() -> PrincipalKey {
    PrincipalKey::new("shop.customer", b"7")
}

fn commit(session: SessionId, id: &str, action: Action) -> Commit {
    Commit::new(session, id.parse().unwrap(), action)
}

/// A session with a link.
fn linked() -> (SessionId, Verifier, Verifier) {
    let [verifier, link] = [3, 4].map(|number| Verifier::from_bytes([number; 16]));
    (SessionId::from_bytes([3; 16]), verifier, link)
}

/// Longer than a day, and no whole number of any unit.
const ODD: Duration = Duration::from_millis(90_061_001);

/// The commit that followed the creation of the golden sessions a minute later.
fn rotation() -> Commit {
    let visitor = Sessions::new().0[0];
    let update = Action::Update {
        verifier: previous(),
        rotation: Some(Rotation::new(visitor.verifier, Some(MINUTE))),
    };
    let mut rotation = commit(visitor.session, "BBBBBBBB", update);
    let name = "shop.state".into();
    rotation.changes.push(Change::Take { name });
    rotation
}

fn creations() -> [Commit; 3] {
    let [first, second] = Sessions::new().0;
    let create = |verifier| Action::Create {
        verifier,
        link: None,
    };
    let listed = |keep| ListChange::Add {
        field: "shop.customer".into(),
        principal: customer(),
        keep,
        limit: None,
    };
    let mut rich = commit(first.session, "AAAAAAAA", create(previous()));
    rich.timeouts = Some(Timeouts::new(30 * MINUTE, 24 * 60 * MINUTE).unwrap());
    rich.persistent = Some(true);
    rich.label = Some("Firefox on Linux".into());
    rich.changes = vec![
        set("shop.at", "@x"),
        set("shop.cart", r#"{"pear":2}"#),
        set("shop.compact", &[0, 1, 0xff, 2][..]),
        set("shop.customer", "7"),
        set("shop.state", "\"gone\""),
        Change::Set {
            name: "shop.otp".into(),
            value: "\"428117\"".into(),
            ttl: Some(FieldTtl::restarting(5 * MINUTE)),
            only_if_absent: false,
        },
    ];
    rich.lists.push(listed(Some(24 * 60 * MINUTE)));

    let mut plain = commit(second.session, "CCCCCCCC", create(second.verifier));
    plain.timeouts = Some(Timeouts::new(None, None).unwrap());
    plain.changes.push(set("shop.customer", "7"));
    plain.lists.push(listed(None));

    let (session, verifier, link) = linked();
    let link = Some(Link::new(link, 60 * MINUTE));
    let mut linked = commit(session, "FFFFFFFF", Action::Create { verifier, link });
    linked.timeouts = Some(Timeouts::new(ODD, 30 * 24 * 60 * MINUTE).unwrap());
    linked.changes.push(set("shop.cart", r#"{"fig":1}"#));
    [rich, plain, linked]
}

async fn load_all(store: &RedisStore, session: &SessionId) -> Loaded {
    let names = [
        "shop.cart",
        "shop.otp",
        "shop.compact",
        "shop.at",
        "shop.state",
    ];
    let selected = names.map(Selected::with_deadline);
    store
        .load(session, &Selection::fields(&selected))
        .await
        .unwrap()
        .unwrap()
}

/// The hashes of a server, with the deadlines of their keys and fields.
fn everything(server: &Server) -> BTreeMap<String, Vec<u8>> {
    let keys: Vec<String> = server.command(&["KEYS", "*"]);
    let dump = |key: String| {
        let mut dump: Vec<u8> = server.command(&["DUMP", &key]);
        dump.extend(server.command::<i64>(&["PEXPIRETIME", &key]).to_be_bytes());
        (key, dump)
    };
    keys.into_iter().map(dump).collect()
}

#[tokio::test]
async fn sessions_of_the_first_version_are_refused_in_words_and_left_alone() {
    for (server, tier) in servers() {
        put(&server, earlier(tier));
        let before = everything(&server);
        for asked in [None, Some(tier)] {
            let mut store = RedisStore::builder().url(server.url());
            if let Some(tier) = asked {
                store = store.tier(tier);
            }
            let store = store.connect_deadline(Duration::from_secs(5));
            let refused = store.connect().await.unwrap_err();
            let is_named = matches!(
                &refused,
                RedisConnectError::EarlierLayout { key } if key == "session:@layout"
            );
            assert!(is_named, "{refused:?}");
            assert_eq!(
                refused.to_string(),
                "`session:@layout` says that the sessions are in the layout of an earlier version \
                 of `session-runtime`, which this version does not read; use another prefix, or \
                 remove that key once these sessions have ended"
            );
        }
        assert!(everything(&server) == before, "{tier}: something changed");
        // Another prefix is free.
        let store = RedisStore::builder().url(server.url()).prefix("other");
        let store = store.connect_deadline(Duration::from_secs(5)).connect();
        assert!(store.await.is_ok());
    }
}

#[tokio::test]
async fn sessions_of_the_second_version_are_read() {
    for (server, tier) in servers() {
        let now = put(&server, golden(tier));
        let moment = |offset: i64| Timestamp::from_millis(now.checked_add_signed(offset).unwrap());
        // The recorded layout decides, not the server's abilities.
        let store = open(&server, None).await;
        assert_eq!(store.tier(), tier);
        let [first, second] = Sessions::new().0;

        let loaded = load_all(&store, &first.session).await;
        let values = loaded.fields.iter().map(|field| {
            let field = field.as_ref()?;
            Some((&field.value[..], field.deadline))
        });
        let expected: [Option<(&[u8], _)>; 5] = [
            Some((br#"{"pear":2}"#, None)),
            Some((br#""428117""#, Some(moment(240_000)))),
            Some((&[0, 1, 0xff, 2], None)),
            Some((b"@x", None)),
            None,
        ];
        assert_eq!(values.collect::<Vec<_>>(), expected);
        let header = loaded.header;
        assert_eq!(header.verifier, first.verifier);
        let expected = Credential::new(previous(), moment(59_000));
        assert_eq!(header.previous, Some(expected));
        assert_eq!(header.link, None);
        let expected = Principal::new("shop.customer", customer());
        assert_eq!(header.principals, [expected]);
        assert_eq!(header.created, moment(-3_600_000));
        assert_eq!(header.rotated, moment(-1_000));
        assert_eq!(header.seen, moment(-1_000));
        assert_eq!(header.idle, Some(30 * MINUTE));
        assert_eq!(header.end, Some(moment(82_800_000)));
        assert_eq!(header.persistent, Some(true));
        assert_eq!(header.label.as_deref(), Some("Firefox on Linux"));
        assert_eq!(header.last_commit, "BBBBBBBB".parse().ok());

        let header = load_all(&store, &second.session).await.header;
        assert_eq!(header.verifier, second.verifier);
        assert_eq!(header.deadline(), None);
        assert_eq!(
            (header.previous, header.persistent, header.label),
            (None, None, None)
        );

        let (session, verifier, link) = linked();
        let loaded = load_all(&store, &session).await;
        assert_eq!(loaded.fields[0].as_ref().unwrap().value, r#"{"fig":1}"#);
        let header = loaded.header;
        assert_eq!(header.verifier, verifier);
        assert_eq!(header.link, Some(Credential::new(link, moment(3_595_000))));
        assert_eq!(header.previous, None);
        assert_eq!(header.created, moment(-5_000));
        assert_eq!(header.rotated, moment(-5_000));
        assert_eq!(header.idle, Some(ODD));
        assert_eq!(header.end, Some(moment(-5_000) + 30 * 24 * 60 * MINUTE));
        assert!(header.principals.is_empty());

        // It remembers what it has done.
        assert_eq!(store.commit(&rotation()).await.unwrap(), again_taken());
        let [creation, ..] = creations();
        let again = store.commit(&creation).await.unwrap();
        assert!(matches!(again, Outcome::Applied(_)), "{again:?}");
        assert_eq!(
            load_all(&store, &first.session).await.header.seen,
            moment(-1_000)
        );

        // Both credentials open it, and the listed principal is a condition.
        let update = |verifier| Action::Update {
            verifier,
            rotation: None,
        };
        let applies = async |commit: &Commit| {
            let outcome = store.commit(commit).await.unwrap();
            assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
        };
        applies(&commit(session, "GGGGGGGG", update(link))).await;
        let mut by_previous = commit(first.session, "HHHHHHHH", update(previous()));
        by_previous.conditions.push(Condition::Principal {
            field: "shop.customer".into(),
            principal: customer(),
        });
        by_previous.changes.push(set("shop.cart", "{}"));
        applies(&by_previous).await;
        let header = load_all(&store, &first.session).await.header;
        assert_eq!(header.last_commit, "HHHHHHHH".parse().ok());
        assert_eq!(header.label.as_deref(), Some("Firefox on Linux"));
        assert_eq!(header.end, Some(moment(82_800_000)));
        assert_eq!(store.commit(&rotation()).await.unwrap(), again_taken());
    }
}

/// The answer to the rotation, once more.
fn again_taken() -> Outcome {
    Outcome::Applied(Applied::new(vec![Some("\"gone\"".into())]))
}

#[tokio::test]
async fn lists_of_the_second_version_are_read() {
    for (server, tier) in servers() {
        let now = put(&server, golden(tier));
        let store = open(&server, None).await;
        let entries = async |principal| {
            let listed = store.list(&principal).await.unwrap();
            let entries = listed.entries.iter().map(|entry| {
                let age = now - entry.added.as_millis();
                (entry.session, (entry.mark.to_string(), age, entry.arriving))
            });
            entries.collect::<BTreeMap<_, _>>()
        };
        let [first, second] = Sessions::new().0.map(|visitor| visitor.session);
        let entry = |mark: &str, age, arriving| (mark.to_owned(), age, arriving);
        let expected = [
            (first, entry("AAAAAAAA", 3_600_000, false)),
            (second, entry("CCCCCCCC", 5_000, false)),
        ];
        assert_eq!(entries(customer()).await, BTreeMap::from(expected));
        // Of a Cluster, while a commit was on its way.
        let arriving = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
        let arriving = arriving.parse().unwrap();
        let expected = [
            (first, entry("DDDDDDDD", 1_000, true)),
            (second, entry("EEEEEEEE", 1_000, true)),
        ];
        assert_eq!(entries(arriving).await, BTreeMap::from(expected));
    }
}

#[tokio::test]
async fn visitors_of_the_second_version_are_still_signed_in() {
    for (server, tier) in servers() {
        put(&server, golden(tier));
        let store = open(&server, None).await;
        let layer = SessionLayer::new(store);
        let mut visitor = Visitor::new(&layer);
        visitor.set_token(TOKENS[0]);
        let show = async |shop: ReadSession<Shop>| {
            format!("{:?} {:?} {:?}", shop.customer, shop.cart, shop.otp)
        };
        let answer = visitor.visit(show).await;
        assert_eq!(answer.body, r#"Some(7) {"pear": 2} Some("428117")"#);
        let change = async |mut shop: Session<Shop>| {
            *shop.cart.entry("fig".to_owned()).or_default() += 1;
        };
        visitor.visit(change).await;
        let answer = visitor.visit(show).await;
        assert_eq!(
            answer.body,
            r#"Some(7) {"fig": 1, "pear": 2} Some("428117")"#
        );
        assert_eq!(visitor.token().as_deref(), Some(TOKENS[0]));

        let sessions = layer.sessions();
        let listed = sessions.of(Shop::CUSTOMER, &7).list().await.unwrap();
        let labels: Vec<_> = listed.iter().map(|info| info.label.as_deref()).collect();
        assert_eq!(listed.len(), 2);
        assert!(labels.contains(&Some("Firefox on Linux")) && labels.contains(&None));
        assert_eq!(
            sessions.of(Shop::CUSTOMER, &7).revoke_all().await.unwrap(),
            2
        );
        let answer = visitor.visit(show).await;
        assert_eq!(answer.body, "None {} None");
    }
}

/// A field's value without what depends on the moment: the creation in `@`, when the session was
/// seen and when its token was made.
fn timeless_value(name: &str, value: &str) -> String {
    if name != "@" {
        return timeless(value);
    }
    let (fixed, tail) = value.split_at(57);
    let (before, limits) = (&fixed[..32], &fixed[49..]);
    let exact = tail.find('.').map_or("", |end| &tail[end..]);
    format!("{before}<created><seen>{limits}<rotated>{exact}")
}

/// Without digits that depend on the moment.
fn timeless(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let digits = rest[start..].find(|character: char| !character.is_ascii_digit());
        let end = digits.map_or(rest.len(), |length| start + length);
        result.push_str(&rest[..start]);
        result.push_str(if end - start >= 13 {
            "<time>"
        } else {
            &rest[start..end]
        });
        rest = &rest[end..];
    }
    result + rest
}

/// The lines of a golden file but for the last list, which only a Cluster has in between.
fn own_lines(tier: Tier) -> impl Iterator<Item = &'static str> {
    let last = format!("key\tsession:@principal:{}", previous());
    golden(tier)
        .lines()
        .take_while(move |line| !line.starts_with(&last))
}

#[tokio::test]
async fn sessions_and_lists_are_written_as_before() {
    for (server, tier) in servers() {
        let store = open(&server, Some(tier)).await;
        for commit in creations().iter().chain([&rotation()]) {
            let outcome = store.commit(commit).await.unwrap();
            assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
        }
        let mut connection = connect(&server);
        let mut written = Vec::new();
        for line in own_lines(tier).filter(|line| line.starts_with("key\t")) {
            let key = line.split('\t').nth(1).unwrap();
            let time: i64 = redis::cmd("PTTL").arg(key).query(&mut connection).unwrap();
            written.push(format!(
                "key\t{key}\t{}",
                if time > 0 { "<time>" } else { "-" }
            ));
            let fields: BTreeMap<String, Vec<u8>> = redis::cmd("HGETALL")
                .arg(key)
                .query(&mut connection)
                .unwrap();
            for (name, value) in fields {
                let mut ask = redis::cmd("HPTTL");
                ask.arg(key).arg("FIELDS").arg(1).arg(&name);
                let time = match tier {
                    Tier::Native => ask.query::<[i64; 1]>(&mut connection).unwrap()[0],
                    _ => -1,
                };
                let deadline = if time > 0 { "<time>" } else { "-" };
                let value = match std::str::from_utf8(&value) {
                    Ok(text) => timeless_value(&name, text),
                    Err(_) => value.escape_ascii().to_string(),
                };
                written.push(format!("{name}\t{deadline}\t{value}"));
            }
        }
        let expected = own_lines(tier).map(|line| {
            let line = at(1 << 41, line);
            let (rest, value) = line.rsplit_once('\t').unwrap();
            let name = rest.split('\t').next().unwrap();
            format!("{}\t{}", timeless(rest), timeless_value(name, value))
        });
        let expected: Vec<_> = expected.collect();
        assert_eq!(written, expected, "{tier} on {:?}", server.generation());
    }
}
