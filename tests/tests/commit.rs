//! What a request saves: only what changed, merged as its fields declare, or nothing at all.

use std::collections::{BTreeMap, HashMap, HashSet};

use axum::extract::Request;
use axum::{RequestExt, RequestPartsExt};
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize, Serializer};
use session_runtime::store::{Action, Change, Commit, Selected, StoredField};
use session_runtime::{
    CommitId, MemoryStore, ReadSession, Session, SessionError, SessionId, SessionLayer,
    SessionRejection, SessionStore,
};
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::gate::Gate;
use tests::visitor::Visitor;

type Store = CountingStore<MemoryStore>;

fn site() -> (SessionLayer, Store) {
    let store = CountingStore::new(MemoryStore::new());
    (SessionLayer::new(store.clone()), store)
}

/// A schema whose fields merge in every way there is.
#[derive(Session, Debug, Default, Clone, PartialEq)]
struct Merged {
    plain: u32,
    text: String,
    note: Option<String>,
    #[session(merge = "add")]
    sum: i64,
    #[session(merge = "add")]
    count: u32,
    #[session(merge = "add")]
    large: u64,
    #[session(merge = "add", default = 10)]
    from_ten: u8,
    #[session(merge = "max")]
    best: i64,
    #[session(merge = "min", default = 1_000)]
    least: i64,
    #[session(merge = "first")]
    first: Option<String>,
    #[session(merge = "reject")]
    guarded: String,
}

async fn id_of(visitor: &mut Visitor) -> SessionId {
    let page = |session: ReadSession<Merged>| async move {
        session.id().map(|id| id.to_string()).unwrap_or_default()
    };
    let answer = visitor.visit(page).await;
    answer.body.parse().expect("the visitor has a session")
}

/// What the store holds under these names.
async fn stored(store: &Store, session: &SessionId, names: &[&str]) -> Vec<Option<String>> {
    let deadline = false;
    let selected: Vec<_> = names
        .iter()
        .map(|name| Selected { name, deadline })
        .collect();
    let loaded = store
        .inner()
        .load(session, &selected)
        .await
        .expect("the store works");
    let text = |field: StoredField| String::from_utf8_lossy(&field.value).into_owned();
    let fields = loaded.expect("the session lives").fields;
    fields.into_iter().map(|field| field.map(text)).collect()
}

/// Changes the record past the layer, as another version of the program would.
async fn plant(store: &Store, session: &SessionId, changes: Vec<Change>) {
    let nothing: [Selected<'_>; 0] = [];
    let loaded = store
        .inner()
        .load(session, &nothing)
        .await
        .expect("the store works");
    let verifier = loaded.expect("the session lives").header.verifier;
    let update = Action::Update {
        verifier,
        rotation: None,
    };
    let mut commit = Commit::new(
        *session,
        CommitId::generate().expect("random bytes"),
        update,
    );
    commit.changes = changes;
    store
        .inner()
        .commit(&commit)
        .await
        .expect("the store works");
}

fn set(name: &'static str, value: &'static str) -> Change {
    Change::Set {
        name: name.into(),
        value: value.into(),
        ttl: None,
        only_if_absent: false,
    }
}

/// Two requests of one visitor load the same, then change it, then commit one after the other.
/// Answers what is stored afterwards, and the statuses.
async fn race(
    layer: &SessionLayer,
    before: fn(&mut Merged),
    one: fn(&mut Merged),
    other: fn(&mut Merged),
) -> (Merged, [StatusCode; 2]) {
    let mut visitor = Visitor::new(layer);
    visitor
        .visit(move |mut session: Session<Merged>| async move {
            session.plain = 1;
            before(&mut session);
        })
        .await;
    let mut statuses = Vec::new();
    let gates = [Gate::new(), Gate::new()];
    let tasks = [one, other].into_iter().zip(&gates).map(|(change, gate)| {
        let (mut tab, gate) = (visitor.clone(), gate.clone());
        tokio::spawn(async move {
            let page = move |mut session: Session<Merged>| async move {
                gate.pass().await;
                change(&mut session);
            };
            tab.visit(page).await.status
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for gate in &gates {
        gate.arrivals(1).await;
    }
    for (task, gate) in tasks.into_iter().zip(&gates) {
        gate.open();
        statuses.push(task.await.expect("the request ends"));
    }
    let page =
        |session: ReadSession<Merged>| async move { format!("{:?}", Merged::clone(&session)) };
    let shown = visitor.visit(page).await.body;
    let after = capture(&visitor).await;
    assert_eq!(shown, format!("{after:?}"));
    (after, [statuses[0], statuses[1]])
}

async fn capture(visitor: &Visitor) -> Merged {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let page = move |session: ReadSession<Merged>| async move {
        sender
            .send(Merged::clone(&session))
            .expect("the test listens");
    };
    visitor.clone().visit(page).await;
    receiver.recv().await.expect("the page was visited")
}

const OK: [StatusCode; 2] = [StatusCode::OK, StatusCode::OK];

#[tokio::test]
async fn p1_requests_that_change_different_fields_do_not_overwrite_each_other() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| session.text = "before".to_owned(),
        |session| session.plain = 7,
        |session| session.text = "after".to_owned(),
    )
    .await;
    assert_eq!(statuses, OK);
    assert_eq!((after.plain, after.text.as_str()), (7, "after"));

    // Also where both requests touched the struct as a whole.
    let (after, _) = race(
        &layer,
        |session| session.note = Some("before".to_owned()),
        |session| {
            *session = Merged {
                plain: 8,
                ..session.clone()
            }
        },
        |session| {
            *session = Merged {
                note: None,
                ..session.clone()
            }
        },
    )
    .await;
    assert_eq!((after.plain, after.note), (8, None));
}

#[tokio::test]
async fn p3_replace_keeps_what_was_committed_last() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |_| {},
        |session| session.plain = 7,
        |session| session.plain = 8,
    )
    .await;
    assert_eq!((after.plain, statuses), (8, OK));
}

#[tokio::test]
async fn p3_add_loses_no_difference() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| (session.sum, session.count, session.from_ten) = (100, 5, 10),
        |session| {
            session.sum += 20;
            session.count += 3;
            session.from_ten += 1;
        },
        |session| {
            session.sum -= 150;
            session.count -= 1;
            session.from_ten += 1;
        },
    )
    .await;
    assert_eq!(statuses, OK);
    assert_eq!((after.sum, after.count, after.from_ten), (-30, 7, 12));
}

#[tokio::test]
async fn p3_an_unsigned_sum_stops_at_zero() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| session.count = 5,
        |session| session.count -= 4,
        |session| session.count = 0,
    )
    .await;
    assert_eq!((after.count, statuses), (0, OK));
}

#[tokio::test]
async fn p3_sums_are_exact_over_the_whole_range() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    for (from, to) in [
        (0, i64::MAX),
        (i64::MAX, i64::MIN),
        (i64::MIN, i64::MAX),
        (i64::MAX, i64::MAX - 1),
        (i64::MAX - 1, -(1 << 53) - 1),
        (-(1 << 53) - 1, i64::MIN),
        (i64::MIN, 0),
    ] {
        let page = move |mut session: Session<Merged>| async move {
            assert_eq!(session.sum, from);
            session.sum = to;
        };
        assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
        let id = id_of(&mut visitor).await;
        let held = stored(&store, &id, &["merged.sum"]).await;
        assert_eq!(held, [Some(to.to_string())]);
    }
}

#[tokio::test]
async fn p3_what_leaves_the_range_is_an_error_and_changes_nothing() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| session.sum = i64::MAX - 10,
        |session| session.sum += 9,
        |session| (session.sum, session.plain) = (session.sum + 2, 99),
    )
    .await;
    assert_eq!(
        statuses,
        [StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR]
    );
    assert_eq!(
        (after.sum, after.plain),
        (i64::MAX - 1, 1),
        "as a whole or not at all"
    );

    let (after, statuses) = race(
        &layer,
        |session| session.from_ten = 200,
        |session| session.from_ten += 50,
        |session| session.from_ten += 6,
    )
    .await;
    assert_eq!(statuses[1], StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(after.from_ten, 250);
}

#[tokio::test]
async fn p3_a_u64_beyond_i64_is_an_error_never_a_wrong_number() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let largest = |mut session: Session<Merged>| async move { session.large = i64::MAX as u64 };
    assert_eq!(visitor.visit(largest).await.status, StatusCode::OK);
    for wrong in [i64::MAX as u64 + 1, u64::MAX] {
        store.take_counts();
        let page = move |mut session: Session<Merged>| async move { session.large = wrong };
        let answer = visitor.visit(page).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(capture(&visitor).await.large, i64::MAX as u64);
    }
    // Nor does what another program stored confuse anybody.
    let id = id_of(&mut visitor).await;
    plant(
        &store,
        &id,
        vec![set("merged.large", "18446744073709551615")],
    )
    .await;
    assert_eq!(capture(&visitor).await.large, u64::MAX);
    let page = |mut session: Session<Merged>| async move { session.large -= 1 };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(capture(&visitor).await.large, u64::MAX);
}

#[tokio::test]
async fn p3_max_and_min_keep_the_extreme() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| (session.best, session.least) = (5, 50),
        |session| (session.best, session.least) = (9, 20),
        |session| (session.best, session.least) = (7, 30),
    )
    .await;
    assert_eq!((after.best, after.least, statuses), (9, 20, OK));

    let (after, _) = race(
        &layer,
        |_| {},
        |session| (session.best, session.least) = (i64::MAX, i64::MIN),
        |session| (session.best, session.least) = (i64::MIN, i64::MAX),
    )
    .await;
    assert_eq!((after.best, after.least), (i64::MAX, i64::MIN));
}

#[tokio::test]
async fn p3_first_is_set_once() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |_| {},
        |session| session.first = Some("one".to_owned()),
        |session| session.first = Some("other".to_owned()),
    )
    .await;
    assert_eq!((after.first.as_deref(), statuses), (Some("one"), OK));

    let (after, _) = race(
        &layer,
        |session| session.first = Some("before".to_owned()),
        |session| session.first = Some("one".to_owned()),
        |_| {},
    )
    .await;
    assert_eq!(after.first.as_deref(), Some("before"));
}

#[tokio::test]
async fn p3_reject_fails_where_the_field_changed_meanwhile() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| session.guarded = "before".to_owned(),
        |session| session.guarded = "one".to_owned(),
        |session| (session.guarded, session.plain) = ("other".to_owned(), 99),
    )
    .await;
    assert_eq!(statuses, [StatusCode::OK, StatusCode::CONFLICT]);
    assert_eq!((after.guarded.as_str(), after.plain), ("one", 1));

    // A field that was absent counts as well.
    let (after, statuses) = race(
        &layer,
        |_| {},
        |session| session.guarded = "one".to_owned(),
        |session| session.guarded = "other".to_owned(),
    )
    .await;
    assert_eq!(statuses[1], StatusCode::CONFLICT);
    assert_eq!(after.guarded, "one");

    // Another field's change is no conflict.
    let (after, statuses) = race(
        &layer,
        |_| {},
        |session| session.text = "one".to_owned(),
        |session| session.guarded = "other".to_owned(),
    )
    .await;
    assert_eq!(statuses, OK);
    assert_eq!(
        (after.text.as_str(), after.guarded.as_str()),
        ("one", "other")
    );
}

#[tokio::test]
async fn p6_the_same_value_is_no_change() {
    #[derive(Session, Default)]
    struct Shuffled {
        map: HashMap<String, u32>,
        set: HashSet<u32>,
        nested: BTreeMap<String, HashMap<String, Vec<u32>>>,
        text: String,
    }

    fn map() -> HashMap<String, u32> {
        (0..50).map(|n| (format!("key {n}"), n)).collect()
    }

    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let fill = |mut session: Session<Shuffled>| async move {
        session.map = map();
        session.set = (0..50).collect();
        session.text = "text".to_owned();
        session.nested = BTreeMap::from([(
            "a".to_owned(),
            (0..9).map(|n| (n.to_string(), vec![n])).collect(),
        )]);
    };
    visitor.visit(fill).await;
    store.take_counts();

    // Every hash map has an order of its own.
    let same = |mut session: Session<Shuffled>| async move {
        session.map = map();
        session.text = "text".to_owned();
        for inner in session.nested.values_mut() {
            *inner = inner.clone().into_iter().collect();
        }
        session.set.insert(7);
        session.map.insert("one more".to_owned(), 1);
        session.map.remove("one more");
    };
    for _ in 0..5 {
        let answer = visitor.visit(same).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(store.take_counts(), (1, 0));
    }

    let other = |mut session: Session<Shuffled>| async move {
        session.map.insert("key 1".to_owned(), 0);
    };
    visitor.visit(other).await;
    assert_eq!(store.take_counts(), (1, 1));
}

#[tokio::test]
async fn p6_defaults_that_the_store_does_not_hold_are_not_written() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        *session = Merged::default();
        session.from_ten = 10;
        session.least = 1_000;
    };
    // The derive's defaults are those of the fields, not those of `Default`.
    let answer = visitor.visit(page).await;
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(store.take_counts(), (0, 0));

    let page = |mut session: Session<Merged>| async move {
        session.plain = 5;
        session.text.clear();
        session.note = None;
    };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;
    let names = [
        "merged.plain",
        "merged.text",
        "merged.note",
        "merged.from_ten",
    ];
    let five = Some("5".to_owned());
    assert_eq!(stored(&store, &id, &names).await, [five, None, None, None]);
}

#[tokio::test]
async fn p6_a_change_that_is_undone_in_the_same_request_is_none() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut first: Session<Merged>, mut second: Session<Merged>| async move {
        first.plain = 5;
        first.commit();
        second.reload().await?;
        second.note = Some("a".to_owned());
        second.note = None;
        Ok::<_, SessionError>(())
    };
    visitor.visit(page).await;
    assert_eq!(visitor.token(), None);
    assert_eq!(store.take_counts(), (0, 0));
}

#[tokio::test]
async fn none_removes_and_a_default_that_was_set_is_written() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        session.plain = 5;
        session.note = Some("note".to_owned());
        session.sum = 3;
    };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;
    let page = |mut session: Session<Merged>| async move {
        session.plain = 0;
        session.note = None;
        session.sum = 0;
    };
    visitor.visit(page).await;
    let names = ["merged.plain", "merged.note", "merged.sum"];
    let zero = Some("0".to_owned());
    assert_eq!(
        stored(&store, &id, &names).await,
        [zero.clone(), None, zero]
    );
}

#[tokio::test]
async fn p7_a_field_that_does_not_decode_costs_one_field() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        session.plain = 5;
        session.text = "text".to_owned();
        session.count = 3;
    };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;
    for wrong in [
        "",
        "\"five\"",
        "{",
        "5 5",
        "-1",
        "4294967296",
        "\u{0}",
        "null",
    ] {
        let changes = vec![set("merged.plain", wrong), set("merged.count", wrong)];
        plant(&store, &id, changes).await;
        let recorder = Recorder::start();
        let page = |session: Session<Merged>| async move {
            format!("{} {} {}", session.plain, session.text, session.count)
        };
        let answer = visitor.visit(page).await;
        assert_eq!(answer.body, "0 text 0", "{wrong}");
        let lines = recorder.take();
        let reports: Vec<_> = lines
            .iter()
            .filter(|line| line.event == "decode-failed")
            .collect();
        assert_eq!(reports.len(), 2, "{wrong}");
        assert!(reports[0].text.contains("merged.plain"));
        assert!(wrong.len() < 4 || lines.iter().all(|line| !line.text.contains(wrong)));

        // What was not written stays as it is, what is written is as if it had been absent.
        let page = |mut session: Session<Merged>| async move {
            session.text.push('!');
            session.count += 1;
            session.text.pop();
        };
        assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
        let held = stored(&store, &id, &["merged.plain", "merged.count"]).await;
        assert_eq!(
            held,
            [Some(wrong.to_owned()), Some("1".to_owned())],
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn s49_random_stored_bytes_never_harm_a_session() {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    const SEED: u64 = 49;
    println!("seed {SEED}");
    let mut random = StdRng::seed_from_u64(SEED);
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move { session.text = "text".to_owned() };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;
    let names = [
        "merged.plain",
        "merged.note",
        "merged.sum",
        "merged.first",
        "merged.guarded",
    ];
    for round in 0..300 {
        let changes = names.map(|name| {
            let length = random.random_range(0..200);
            let bytes: Vec<u8> = (0..length).map(|_| random.random()).collect();
            Change::Set {
                name: name.into(),
                value: bytes.into(),
                ttl: None,
                only_if_absent: false,
            }
        });
        plant(&store, &id, changes.into()).await;
        let page = |session: Session<Merged>| async move { session.text.clone() };
        let answer = visitor.visit(page).await;
        assert_eq!(answer.body, "text", "seed {SEED}, round {round}");
    }
}

#[tokio::test]
async fn older_names_are_read_and_the_next_write_moves_them() {
    #[derive(Session, Default)]
    #[session(name = "merged")]
    struct Renamed {
        #[session(alias = "text")]
        title: String,
        #[session(rename = "amount", alias = "sum", merge = "add")]
        sum: i64,
        #[session(alias = "first", merge = "first")]
        origin: Option<String>,
        #[session(alias = "guarded", merge = "reject")]
        locked: String,
        #[session(alias = "note")]
        remark: Option<String>,
    }

    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        session.text = "text".to_owned();
        session.sum = 40;
        session.first = Some("first".to_owned());
        session.guarded = "guarded".to_owned();
        session.note = Some("note".to_owned());
    };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;

    store.take_counts();
    let page = |session: Session<Renamed>| async move {
        let Renamed {
            title,
            sum,
            origin,
            locked,
            remark,
        } = &*session;
        format!("{title} {sum} {origin:?} {locked} {remark:?}")
    };
    let everything = r#"text 40 Some("first") guarded Some("note")"#;
    assert_eq!(visitor.visit(page).await.body, everything);
    assert_eq!(store.take_counts(), (1, 0), "a read moves nothing");

    let page = |mut session: Session<Renamed>| async move {
        session.title.push('!');
        session.sum += 2;
        session.origin = Some("second".to_owned());
        session.locked.push('?');
        session.remark = None;
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let older = ["merged.text", "merged.sum", "merged.guarded", "merged.note"];
    assert_eq!(stored(&store, &id, &older).await, [None, None, None, None]);
    let present = [
        "merged.title",
        "merged.amount",
        "merged.locked",
        "merged.remark",
    ];
    let values = ["\"text!\"", "42", "\"guarded?\""].map(|value| Some(value.to_owned()));
    assert_eq!(stored(&store, &id, &present).await[..3], values);
    assert_eq!(stored(&store, &id, &present).await[3], None);
    let page =
        |session: Session<Renamed>| async move { session.origin.clone().unwrap_or_default() };
    assert_eq!(
        visitor.visit(page).await.body,
        "first",
        "it was set already"
    );
}

#[tokio::test]
async fn s33_what_is_too_large_is_refused_before_anything_is_sent() {
    let store = CountingStore::new(MemoryStore::new());
    let layer = SessionLayer::builder(store.clone())
        .max_field_bytes(100)
        .max_session_bytes(150)
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        session.text = "x".repeat(90);
        session.plain = 1;
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    store.take_counts();

    let field = |mut session: Session<Merged>| async move {
        session.text = "x".repeat(99);
        session.plain = 2;
    };
    let together = |mut session: Session<Merged>| async move {
        session.note = Some("y".repeat(80));
        session.plain = 2;
    };
    assert_eq!(
        visitor.visit(field).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert_eq!(
        visitor.visit(together).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    assert_eq!(store.take_counts(), (2, 0), "two loads, no commit");
    let after = capture(&visitor).await;
    assert_eq!((after.text.len(), after.note, after.plain), (90, None, 1));

    let new = Visitor::new(&layer).visit(field).await;
    assert_eq!(new.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(new.set_cookies(), [""; 0]);
    let exact = |mut session: Session<Merged>| async move { session.text = "x".repeat(98) };
    assert_eq!(visitor.visit(exact).await.status, StatusCode::OK);
}

#[tokio::test]
async fn s33_a_session_that_is_too_large_can_be_made_smaller() {
    let store = MemoryStore::new();
    let store = CountingStore::new(store);
    let mut visitor = Visitor::new(&SessionLayer::new(store.clone()));
    let page = |mut session: Session<Merged>| async move {
        session.text = "x".repeat(300);
        session.note = Some("y".repeat(300));
    };
    visitor.visit(page).await;
    let limited = SessionLayer::builder(store)
        .max_field_bytes(200)
        .max_session_bytes(200)
        .build()
        .unwrap();
    let token = visitor.token().unwrap();
    let mut visitor = Visitor::new(&limited);
    visitor.set_token(&token);
    let page = |mut session: Session<Merged>| async move { session.note = None };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    assert_eq!(capture(&visitor).await.note, None);
}

#[tokio::test]
async fn s33_a_session_that_is_too_large_can_stay_as_large() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        session.text = "x".repeat(150);
        session.note = Some("y".repeat(150));
    };
    visitor.visit(page).await;
    let limited = SessionLayer::builder(store)
        .max_field_bytes(200)
        .max_session_bytes(200)
        .build();
    visitor.move_to(&limited.unwrap());
    let page = |mut session: Session<Merged>| async move { session.text = "z".repeat(150) };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    assert_eq!(capture(&visitor).await.text, "z".repeat(150));
}

/// Two schemas of one name share what they both declare.
#[tokio::test]
async fn s33_a_field_of_two_schemas_counts_once() {
    #[derive(Session, Default)]
    #[session(name = "merged")]
    struct Other {
        text: String,
        only_here: u32,
    }
    let layer = SessionLayer::builder(MemoryStore::new())
        .max_field_bytes(100)
        .max_session_bytes(150)
        .build();
    let mut visitor = Visitor::new(&layer.unwrap());
    let page = |mut session: Session<Merged>| async move { session.text = "x".repeat(90) };
    visitor.visit(page).await;
    let page = |mut session: Session<Merged>, other: ReadSession<Other>| async move {
        session.plain = 1000;
        format!("{} {}", other.text.len(), other.only_here)
    };
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "90 0")
    );
}

/// A value that has no encoding.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Stubborn(bool);

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            false => serializer.serialize_unit_struct("Stubborn"),
            true => Err(serde::ser::Error::custom("secret detail")),
        }
    }
}

#[derive(Session, Default)]
struct Odd {
    stubborn: Stubborn,
    plain: u32,
}

#[tokio::test]
async fn p5_a_value_without_encoding_is_an_error_and_nothing_is_saved() {
    let (layer, store) = site();
    let recorder = Recorder::start();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Odd>| async move {
        session.plain = 1;
        session.stubborn = Stubborn(true);
        "all is well"
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!answer.body.contains("well") && !answer.body.contains("secret"));
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(store.take_counts(), (0, 0));
    assert!(
        recorder
            .take()
            .iter()
            .all(|line| !line.text.contains("secret"))
    );

    let page = |mut session: Session<Odd>| async move {
        session.plain = 1;
        session.stubborn = Stubborn(true);
        let refused = session.save().await.is_err();
        session.stubborn = Stubborn(false);
        session.plain = 2;
        refused.to_string()
    };
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "true")
    );
    let page = |session: Session<Odd>| async move { session.plain.to_string() };
    assert_eq!(visitor.visit(page).await.body, "2");
}

#[tokio::test]
async fn p7_fields_of_others_are_left_alone() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move { session.plain = 1 };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;
    plant(
        &store,
        &id,
        vec![set("merged.of_tomorrow", "new"), set("cart.items", "[]")],
    )
    .await;
    let page = |mut session: Session<Merged>| async move {
        session.plain = 2;
        session.rotate();
    };
    visitor.visit(page).await;
    let held = stored(
        &store,
        &id,
        &["merged.of_tomorrow", "cart.items", "merged.plain"],
    )
    .await;
    assert_eq!(held, ["new", "[]", "2"].map(|value| Some(value.to_owned())));
}

#[tokio::test]
async fn p6_what_guards_change_and_change_back_is_no_change() {
    let (layer, store) = site();
    let page = |mut first: Session<Merged>, mut request: Request| async move {
        first.plain += 5;
        first.count += 5;
        first.commit();
        let mut second: Session<Merged> = request.extract_parts().await?;
        second.plain -= 5;
        second.count -= 5;
        second.commit();
        Ok::<_, SessionRejection>(())
    };
    let mut visitor = Visitor::new(&layer);
    visitor.visit(page).await;
    assert_eq!((visitor.token(), store.take_counts()), (None, (0, 0)));
    let fill = |mut session: Session<Merged>| async move { session.plain = 1 };
    visitor.visit(fill).await;
    store.take_counts();
    visitor.visit(page).await;
    assert_eq!(store.take_counts(), (1, 0));
}

/// While one guard's changes are on their way to the store, another guard of the request changes
/// the same fields.
#[tokio::test]
async fn what_changes_during_a_save_is_saved_after_it() {
    let store = FaultyStore::new(MemoryStore::new());
    let mut visitor = Visitor::new(&SessionLayer::new(store.clone()));
    let page = |mut session: Session<Merged>| async move { session.best = 1 };
    visitor.visit(page).await;
    let other = visitor.clone();

    let page = move |mut parts: Parts| async move {
        let gate = Gate::new();
        let mut first: Session<Merged> = parts.extract().await?;
        (first.plain, first.sum, first.best) = (1, 10, 10);
        store.on_commit(Fault::WaitBefore(gate.clone()));
        let meanwhile = async {
            gate.arrivals(1).await;
            store.on_commit(Fault::None);
            let page = |mut session: Session<Merged>| async move {
                (session.sum, session.best) = (5, 15);
            };
            other.clone().visit(page).await;
            let mut second: Session<Merged> = parts.extract().await.expect("it is known");
            (second.plain, second.sum, second.best) = (2, 11, 20);
            drop(second);
            gate.open();
        };
        let (saved, ()) = tokio::join!(first.save(), meanwhile);
        saved.expect("the store works");
        Ok::<_, SessionRejection>(())
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    let after = capture(&visitor).await;
    assert_eq!((after.plain, after.sum, after.best), (2, 16, 20));
}
