//! Programs change, and sessions outlive the change: values of the first version of the formats, and
//! records and lists of the second, are read by all later ones. Never change a line: add one. Records
//! and lists of the first version are refused in words.
//!
//! Tests of data in Redis are in `evolution_redis`, those of an old and a new program at once in
//! `rollout`.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use session_runtime::schema::Codec;
use session_runtime::store::{
    Action, Change, Commit, FieldTtl, Link, ListChange, ListEntry, Principal, PrincipalKey,
    PrincipalList, Record, Rotation, Selected, Selection, SessionStore, TextError, Timeouts,
};
use session_runtime::store::{Clock as _, Timestamp, Verifier};
use session_runtime::test_kit::ManualClock;
use session_runtime::{FileStore, Json, Postcard, SessionId};

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Shape {
    Square,
    Circle { radius: f64 },
    Text(String, char),
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Address {
    street: String,
    number: Option<u16>,
}

fn is_stored_as<C: Codec, T>(value: &T, encoded: &[u8])
where
    T: Serialize + DeserializeOwned + PartialEq + Debug + 'static,
{
    let mut buffer = Vec::new();
    C::encode(value, &mut buffer).unwrap();
    assert_eq!(buffer, encoded, "{value:?} is written as before");
    let decoded: T = C::decode(encoded).unwrap();
    assert_eq!(decoded, *value, "what was written before is read");
}

#[test]
fn json() {
    is_stored_as::<Json, _>(&0_u8, b"0");
    is_stored_as::<Json, _>(&i64::MIN, b"-9223372036854775808");
    is_stored_as::<Json, _>(&1.5_f64, b"1.5");
    is_stored_as::<Json, _>(&true, b"true");
    is_stored_as::<Json, _>(&Some(7_u32), b"7");
    is_stored_as::<Json, _>(&None::<u32>, b"null");
    is_stored_as::<Json, _>(&"Größe \"\n".to_owned(), "\"Größe \\\"\\n\"".as_bytes());
    is_stored_as::<Json, _>(&vec![1_u8, 2], b"[1,2]");
    let map = BTreeMap::from([("pear".to_owned(), 2)]);
    is_stored_as::<Json, _>(&map, br#"{"pear":2}"#);
    is_stored_as::<Json, _>(&Shape::Square, br#""Square""#);
    let circle = Shape::Circle { radius: 0.5 };
    is_stored_as::<Json, _>(&circle, br#"{"Circle":{"radius":0.5}}"#);
    let text = Shape::Text("a".to_owned(), 'b');
    is_stored_as::<Json, _>(&text, br#"{"Text":["a","b"]}"#);
    let address = Address {
        street: "Main".to_owned(),
        number: None,
    };
    is_stored_as::<Json, _>(&address, br#"{"street":"Main","number":null}"#);
}

#[test]
fn postcard() {
    is_stored_as::<Postcard, _>(&0_u8, &[0]);
    is_stored_as::<Postcard, _>(&300_u16, &[0xac, 2]);
    is_stored_as::<Postcard, _>(&-1_i64, &[1]);
    is_stored_as::<Postcard, _>(&1.5_f32, &[0, 0, 0xc0, 0x3f]);
    is_stored_as::<Postcard, _>(&true, &[1]);
    is_stored_as::<Postcard, _>(&Some(7_u8), &[1, 7]);
    is_stored_as::<Postcard, _>(&None::<u8>, &[0]);
    is_stored_as::<Postcard, _>(&"ß".to_owned(), &[2, 0xc3, 0x9f]);
    is_stored_as::<Postcard, _>(&vec![1_u8, 2], &[2, 1, 2]);
    let map = BTreeMap::from([("a".to_owned(), 2_u8)]);
    is_stored_as::<Postcard, _>(&map, &[1, 1, b'a', 2]);
    is_stored_as::<Postcard, _>(&Shape::Square, &[0]);
    let text = Shape::Text("a".to_owned(), 'b');
    is_stored_as::<Postcard, _>(&text, &[2, 1, b'a', 1, b'b']);
    let address = Address {
        street: "M".to_owned(),
        number: Some(1),
    };
    is_stored_as::<Postcard, _>(&address, &[1, b'M', 1, 1]);
}

const SESSION: &str = "AAECAwQFBgcICQoLDA0ODw";

fn record() -> &'static [u8] {
    include_bytes!("../../campaigns/corpus/golden/record-2")
}

/// The folder of a store, and where the record stands in it.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions");
    let record = path.join("000").join("000102030405060708090a0b0c0d0e0f");
    (folder, record)
}

fn open(record: &std::path::Path, clock: &ManualClock) -> FileStore {
    let folder = record.parent().unwrap().parent().unwrap();
    FileStore::builder()
        .clock(clock.clone())
        .open(folder)
        .unwrap()
}

fn clock() -> ManualClock {
    ManualClock::at(Timestamp::from_millis(1_773_480_413_589))
}

/// A session with something of everything.
async fn write(store: &FileStore, clock: &ManualClock) {
    let session: SessionId = SESSION.parse().unwrap();
    let [first, second, linked] = [1, 2, 3].map(|byte| Verifier::from_bytes([byte; 16]));
    let set = |name: &'static str, value: &'static [u8], ttl| Change::Set {
        name: name.into(),
        value: Bytes::from_static(value),
        ttl,
        only_if_absent: false,
    };
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);

    let create = Action::Create {
        verifier: first,
        link: Some(Link::new(linked, minutes(60))),
    };
    let mut creation = Commit::new(session, "AAAAAAAA".parse().unwrap(), create);
    creation.timeouts = Some(Timeouts::new(minutes(30), minutes(24 * 60)).unwrap());
    let otp_ttl = Some(FieldTtl::restarting(minutes(5)));
    creation.changes = vec![
        set("shop.cart", br#"{"pear":2}"#, None),
        set("shop.otp", br#""428117""#, otp_ttl),
        set("shop.compact", &[0, 1, 0xff, 2], None),
        set("shop.größe %\n", b"1", None),
        set("shop.state", br#""gone""#, None),
    ];
    creation.label = Some("Firefox on Linux".into());
    creation.persistent = Some(true);
    creation.lists = vec![ListChange::Add {
        field: "shop.customer".into(),
        principal: customer(),
        keep: None,
        limit: None,
    }];
    store.commit(&creation).await.unwrap();

    clock.advance(Duration::from_millis(1_411));
    let update = Action::Update {
        verifier: first,
        rotation: Some(Rotation::new(second, Some(minutes(1)))),
    };
    let mut rotation = Commit::new(session, "BBBBBBBB".parse().unwrap(), update);
    let name = "shop.state".into();
    rotation.changes = vec![Change::Take { name }];
    store.commit(&rotation).await.unwrap();
}

#[tokio::test]
async fn a_file_record_is_written_as_before() {
    let (_folder, path) = folder();
    let clock = clock();
    write(&open(&path, &clock), &clock).await;
    let written = std::fs::read(&path).unwrap();
    let [written, expected] = [&written, record()].map(String::from_utf8_lossy);
    assert_eq!(written, expected);
}

#[tokio::test]
async fn a_file_record_of_the_second_version_is_read() {
    let (_folder, path) = folder();
    let clock = clock();
    drop(open(&path, &clock));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, record()).unwrap();
    clock.advance(Duration::from_millis(1_411));

    let store = open(&path, &clock);
    let names = [
        "shop.cart",
        "shop.otp",
        "shop.compact",
        "shop.größe %\n",
        "shop.state",
    ];
    let selected = names.map(Selected::with_deadline);
    let selection = Selection::fields(&selected);
    let session: SessionId = SESSION.parse().unwrap();
    let loaded = store.load(&session, &selection).await.unwrap().unwrap();
    let values = loaded.fields.iter().map(|field| {
        let field = field.as_ref()?;
        let left = field
            .deadline
            .map(|at| at.saturating_since(loaded.now).as_millis());
        Some((&field.value[..], left))
    });
    let expected: [Option<(&[u8], _)>; 5] = [
        Some((br#"{"pear":2}"#, None)),
        Some((br#""428117""#, Some(298_589))),
        Some((&[0, 1, 0xff, 2], None)),
        Some((b"1", None)),
        None,
    ];
    assert_eq!(values.collect::<Vec<_>>(), expected);
    let header = loaded.header;
    assert_eq!(header.verifier, Verifier::from_bytes([2; 16]));
    let previous = header.previous.unwrap();
    assert_eq!(previous.verifier, Verifier::from_bytes([1; 16]));
    assert_eq!(previous.until, loaded.now + Duration::from_secs(60));
    let link = header.link.unwrap();
    assert_eq!(link.verifier, Verifier::from_bytes([3; 16]));
    assert_eq!(link.until, header.created + Duration::from_secs(3_600));
    assert_eq!(header.created.as_millis(), 1_773_480_413_589);
    assert_eq!(header.rotated, loaded.now);
    assert_eq!(header.seen, loaded.now);
    assert_eq!(header.idle, Some(Duration::from_secs(1_800)));
    assert_eq!(
        header.end,
        Some(header.created + Duration::from_secs(86_400))
    );
    assert_eq!(header.persistent, Some(true));
    assert_eq!(header.label.as_deref(), Some("Firefox on Linux"));
    assert_eq!(header.last_commit, "BBBBBBBB".parse().ok());
    let customer = Principal::new("shop.customer", customer());
    assert_eq!(header.principals, [customer]);
}

/// The list of `shop.customer` 7, with one entry that ends and one that does not.
fn a_list() -> PrincipalList {
    let mut list = PrincipalList::new(customer());
    let added = clock().now();
    for (number, until) in [(1, Some(added + Duration::from_secs(86_400))), (2, None)] {
        let session = SessionId::from_bytes([number; 16]);
        let mark = format!("{number:08}").parse().unwrap();
        list.insert(ListEntry::new(session, mark, added).until(until));
    }
    list
}

fn customer() -> PrincipalKey {
    PrincipalKey::new("shop.customer", b"7")
}

#[test]
fn a_list_is_written_as_before() {
    let expected = include_str!("../../campaigns/corpus/golden/list-2");
    assert_eq!(String::from_utf8_lossy(&a_list().to_bytes()), expected);
}

#[test]
fn a_list_of_the_second_version_is_read() {
    let list = include_bytes!("../../campaigns/corpus/golden/list-2");
    assert_eq!(PrincipalList::from_bytes(list), Ok(a_list()));
}

/// An entry's file is a list with this entry.
#[tokio::test]
async fn a_file_of_an_entry_is_written_as_before() {
    let (folder, path) = folder();
    let clock = clock();
    let store = open(&path, &clock);
    let [with_end, without_end] = [1, 2].map(|number| SessionId::from_bytes([number; 16]));
    let keeps = [Some(Duration::from_secs(86_400)), None];
    for ((session, keep), number) in [with_end, without_end].into_iter().zip(keeps).zip(1..) {
        let verifier = Verifier::from_bytes([7; 16]);
        let create = Action::Create {
            verifier,
            link: None,
        };
        let id = format!("{number:08}").parse().unwrap();
        let mut creation = Commit::new(session, id, create);
        creation.timeouts = Some(Timeouts::new(None, None).unwrap());
        creation.lists = vec![ListChange::Add {
            field: "shop.customer".into(),
            principal: customer(),
            keep,
            limit: None,
        }];
        store.commit(&creation).await.unwrap();

        let hex = |bytes: &[u8]| -> String {
            let bytes = bytes.iter().map(|byte| format!("{byte:02x}"));
            bytes.collect()
        };
        let list = hex(customer().as_bytes());
        let index = folder.path().join("sessions").join("index");
        let entry = index.join(&list[..3]).join(&list);
        let written = std::fs::read(entry.join(hex(session.as_bytes()))).unwrap();
        let mut expected = a_list();
        expected.entries.retain(|entry| entry.session == session);
        let expected = String::from_utf8(expected.to_bytes()).unwrap();
        assert_eq!(String::from_utf8_lossy(&written), expected);
    }
    let mut listed = store.list(&customer()).await.unwrap().entries;
    listed.sort_by_key(|entry| entry.session);
    assert_eq!(listed, a_list().entries);
}

#[test]
fn records_and_lists_of_the_first_version_are_refused_in_words() {
    let record =
        Record::from_bytes(include_bytes!("../../campaigns/corpus/golden/record-1")).unwrap_err();
    assert_eq!(record, TextError::OtherVersion(1));
    assert_eq!(
        record.to_string(),
        "the data has format 1, and this version of `session-runtime` reads format 2"
    );
    let list = PrincipalList::from_bytes(include_bytes!("../../campaigns/corpus/golden/list-1"))
        .unwrap_err();
    assert_eq!(list, TextError::OtherVersion(1));
    assert_eq!(list.to_string(), record.to_string());
}
