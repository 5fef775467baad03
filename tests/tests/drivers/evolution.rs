//! Programs change, and sessions outlive the change: what the first version of the formats made of
//! values, records and lists is read by all later ones. Never change a line: add one.
//!
//! What is in Redis is in `evolution_redis`, an old and a new program at once in `rollout`.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use session_runtime::store::{
    Action, Change, Commit, FieldTtl, ListChange, PrincipalKey, Rotation, Selected, SessionStore,
    Timeouts,
};
use session_runtime::test_kit::ManualClock;
use session_runtime::{Codec, FileStore, Json, Postcard, SessionId, Timestamp, Verifier};

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
    T: Serialize + DeserializeOwned + PartialEq + Debug,
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
    include_bytes!("../../campaigns/corpus/golden/record-1")
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
    let [first, second] = [1, 2].map(|byte| Verifier::from_bytes([byte; 16]));
    let set = |name: &'static str, value: &'static [u8], ttl| Change::Set {
        name: name.into(),
        value: Bytes::from_static(value),
        ttl,
        only_if_absent: false,
    };
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);

    let create = Action::Create { verifier: first };
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
    store.commit(&creation).await.unwrap();

    clock.advance(Duration::from_millis(1_411));
    let update = Action::Update {
        verifier: first,
        rotation: Some(Rotation {
            verifier: second,
            grace: Some(minutes(1)),
        }),
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
async fn a_file_record_of_the_first_version_is_read() {
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
    let selected = names.map(|name| Selected {
        name,
        deadline: true,
    });
    let session: SessionId = SESSION.parse().unwrap();
    let loaded = store.load(&session, &Selection::fields(&selected)).await.unwrap().unwrap();
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
    assert_eq!(header.previous, Some(Verifier::from_bytes([1; 16])));
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
}

/// The list of `shop.customer` 7, with one entry that ends and one that does not.
async fn write_list(store: &FileStore) {
    for (number, keep) in [(1, Some(Duration::from_secs(86_400))), (2, None)] {
        let verifier = Verifier::from_bytes([number; 16]);
        let id = format!("{number:08}").parse().unwrap();
        let session = SessionId::from_bytes([number; 16]);
        let mut creation = Commit::new(session, id, Action::Create { verifier });
        creation.timeouts = Some(Timeouts::new(None, None).unwrap());
        creation.index.push(ListChange::Add {
            principal: customer(),
            keep,
            limit: None,
        });
        store.commit(&creation).await.unwrap();
    }
}

fn customer() -> PrincipalKey {
    PrincipalKey::new("shop.customer", b"7")
}

fn list() -> &'static [u8] {
    include_bytes!("../../campaigns/corpus/golden/list-1")
}

/// Where the list stands in the folder of a store.
fn list_in(folder: &Path) -> PathBuf {
    let hex: Vec<_> = customer()
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = hex.concat();
    folder.join("index").join(&name[..3]).join(&name)
}

#[tokio::test]
async fn a_file_of_a_list_is_written_as_before() {
    let (folder, path) = folder();
    write_list(&open(&path, &clock())).await;
    let written = std::fs::read(list_in(&folder.path().join("sessions"))).unwrap();
    let [written, expected] = [&written, list()].map(String::from_utf8_lossy);
    assert_eq!(written, expected);
}

#[tokio::test]
async fn a_file_of_a_list_of_the_first_version_is_read() {
    let (folder, path) = folder();
    let clock = clock();
    let store = open(&path, &clock);
    let file = list_in(&folder.path().join("sessions"));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, list()).unwrap();
    clock.advance(Duration::from_secs(1));

    let listed = store.index(&customer()).await.unwrap();
    let entries = listed.entries.iter().map(|entry| {
        assert!(!entry.arriving);
        let added = entry.added.as_millis();
        (entry.session, entry.mark.to_string(), added)
    });
    let expected = [1, 2].map(|number| {
        let session = SessionId::from_bytes([number; 16]);
        (session, format!("{number:08}"), 1_773_480_413_589)
    });
    assert_eq!(entries.collect::<Vec<_>>(), expected);
    clock.advance(Duration::from_secs(86_400));
    let later = store.index(&customer()).await.unwrap().entries;
    assert_eq!(later.len(), 1, "the first one has ended");
}
