//! Any bytes in the store: never a panic, bounded memory, and one bad field costs one field.
//!
//! `SESSION_FUZZ_INPUTS` says how many inputs, `SESSION_FUZZ_SEED` which.

use std::collections::BTreeMap;
use std::fmt::Debug;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use session_runtime::schema::Codec;
use session_runtime::store::CommitId;
use session_runtime::store::{Action, Change, Commit, Outcome, Selection};
use session_runtime::{
    Json, MemoryStore, Postcard, ReadSession, Session, SessionId, SessionLayer, SessionSchema,
    SessionStore,
};
use tests::browser::Browser;
use tests::fuzz::{self, Memory};

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
enum Shape {
    Square,
    Circle { radius: f64 },
    Text(String, char),
    Many(Vec<Shape>),
}

/// Fields of all kinds that serde knows, twice: in the readable codec and in the compact one.
macro_rules! schema {
    ($schema:ident, $codec:ty) => {
        #[derive(Session, Debug, Default)]
        #[session(codec = $codec)]
        struct $schema {
            alive: u32,
            text: Option<String>,
            number: Option<u64>,
            wide: Option<i128>,
            real: Option<f32>,
            letter: Option<char>,
            list: Option<Vec<u16>>,
            map: Option<BTreeMap<String, Vec<u8>>>,
            shape: Option<Shape>,
            pair: Option<(bool, Option<i8>)>,
            array: Option<[u8; 4]>,
        }

        impl Fuzzed for $schema {
            type Codec = $codec;

            fn expected(stored: &[Vec<u8>]) -> Vec<String> {
                let decoded = Self {
                    alive: 1,
                    text: decode::<$codec, _>(&stored[0]),
                    number: decode::<$codec, _>(&stored[1]),
                    wide: decode::<$codec, _>(&stored[2]),
                    real: decode::<$codec, _>(&stored[3]),
                    letter: decode::<$codec, _>(&stored[4]),
                    list: decode::<$codec, _>(&stored[5]),
                    map: decode::<$codec, _>(&stored[6]),
                    shape: decode::<$codec, _>(&stored[7]),
                    pair: decode::<$codec, _>(&stored[8]),
                    array: decode::<$codec, _>(&stored[9]),
                };
                decoded.shown()
            }

            fn shown(&self) -> Vec<String> {
                vec![
                    format!("{:?}", self.alive),
                    format!("{:?}", self.text),
                    format!("{:?}", self.number),
                    format!("{:?}", self.wide),
                    format!("{:?}", self.real),
                    format!("{:?}", self.letter),
                    format!("{:?}", self.list),
                    format!("{:?}", self.map),
                    format!("{:?}", self.shape),
                    format!("{:?}", self.pair),
                    format!("{:?}", self.array),
                ]
            }

            fn examples() -> Vec<Vec<u8>> {
                let map = BTreeMap::from([("a".to_owned(), vec![1_u8, 2])]);
                let shapes = vec![
                    Shape::Square,
                    Shape::Circle { radius: 1.5 },
                    Shape::Text("text".to_owned(), 'ß'),
                ];
                vec![
                    encode::<$codec>(&"text"),
                    encode::<$codec>(&u64::MAX),
                    encode::<$codec>(&i128::MIN),
                    encode::<$codec>(&f32::MAX),
                    encode::<$codec>(&'ß'),
                    encode::<$codec>(&[1_u16; 20][..]),
                    encode::<$codec>(&map),
                    encode::<$codec>(&Shape::Many(shapes)),
                    encode::<$codec>(&(true, Some(-1_i8))),
                    encode::<$codec>(&[0_u8; 4]),
                ]
            }
        }
    };
}

schema!(Readable, Json);
schema!(Compact, Postcard);

trait Fuzzed: SessionSchema + Default + Sync {
    type Codec: Codec;

    /// The values that a page shows for these stored ones, all fields but `alive`.
    fn expected(stored: &[Vec<u8>]) -> Vec<String>;
    fn shown(&self) -> Vec<String>;
    /// An encoded value for each field but `alive`.
    fn examples() -> Vec<Vec<u8>>;
}

fn encode<C: Codec>(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    let mut buffer = Vec::new();
    C::encode(value, &mut buffer).unwrap();
    buffer
}

/// Decodes the bytes with the codec's own library.
fn decode<C: Codec, T: DeserializeOwned + Debug + 'static>(bytes: &[u8]) -> Option<T> {
    C::decode(bytes).ok()
}

async fn any_stored_bytes_cost_their_field_only<T: Fuzzed>(write_alive: fn(&mut T)) {
    let store = std::sync::Arc::new(MemoryStore::new());
    let app = Router::new()
        .route(
            "/read",
            get(|session: ReadSession<T>| async move { session.shown().join("\n") }),
        )
        .route(
            "/write",
            post(move |mut session: Session<T>| async move { write_alive(&mut session) }),
        )
        .layer(SessionLayer::new(store.clone()));
    let mut visitor = Browser::new(&app);
    visitor.post("/write").await;
    let token = visitor.cookie("__Host-id").unwrap().to_owned();

    let id: SessionId = session_id(&token);
    let header = store
        .load(&id, &Selection::default())
        .await
        .unwrap()
        .unwrap()
        .header;

    let fitting = T::examples();
    let mut examples = fitting.clone();
    let corpus = include_str!("../corpus/stored.txt").lines();
    examples.extend(corpus.map(|line| line.as_bytes().to_vec()));
    examples.push(vec![0xff; 40]);
    examples.push(b"[".repeat(60_000));

    let memory = Memory::watch();
    let mut random = fuzz::random();
    let (mut absent, mut present) = (0, 0);
    let inputs = fuzz::inputs(2_000);
    for _ in 0..inputs {
        let stored: Vec<_> = fitting
            .chunks(1)
            .map(|fitting| match random.bool() {
                true => fuzz::mutated(&mut random, fitting),
                false => fuzz::mutated(&mut random, &examples),
            })
            .collect();
        let action = Action::Update {
            verifier: header.verifier,
            rotation: None,
        };
        let mut commit = Commit::new(id, CommitId::generate().unwrap(), action);
        for (spec, value) in T::FIELDS[1..].iter().zip(&stored) {
            commit.changes.push(Change::Set {
                name: spec.name.into(),
                value: Bytes::from(value.clone()),
                ttl: None,
                only_if_absent: false,
            });
        }
        let outcome = store.commit(&commit).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");

        let answer = visitor.get("/read").await;
        let expected = T::expected(&stored);
        absent += expected.iter().filter(|shown| *shown == "None").count();
        present += expected.iter().filter(|shown| *shown != "None").count();
        assert_eq!(answer.status, StatusCode::OK, "{stored:?}");
        assert_eq!(answer.body, expected.join("\n"), "{stored:?}");
        assert_eq!(
            visitor.cookie("__Host-id"),
            Some(&*token),
            "the session lives"
        );
    }
    println!("{inputs} sessions, {absent} values absent, {present} present");
    assert!(
        present > inputs * 2,
        "too few of the values decode: {present}"
    );
    memory.expect_bounded();
}

/// The id in a token: its first 16 bytes as text of their own.
fn session_id(token: &str) -> SessionId {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    // Of the 22nd character only two bits belong to the id.
    let last = alphabet.find(&token[21..22]).unwrap() & 0b11_0000;
    format!("{}{}", &token[..21], &alphabet[last..=last])
        .parse()
        .unwrap()
}

#[tokio::test]
async fn s49_any_stored_bytes_cost_their_field_only_json() {
    any_stored_bytes_cost_their_field_only::<Readable>(|session| session.alive = 1).await;
}

#[tokio::test]
async fn s49_any_stored_bytes_cost_their_field_only_postcard() {
    any_stored_bytes_cost_their_field_only::<Compact>(|session| session.alive = 1).await;
}

/// A list that says it is longer than memory must not be believed.
#[test]
fn s49_a_length_that_is_a_lie_takes_no_memory() {
    let memory = Memory::watch();
    let lie = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2];
    assert!(Postcard::decode::<Vec<u64>>(&lie).is_err());
    assert!(Postcard::decode::<String>(&lie).is_err());
    assert!(Postcard::decode::<BTreeMap<u64, u64>>(&lie).is_err());
    assert!(Json::decode::<Vec<u64>>(&b"[".repeat(1 << 20)).is_err());
    memory.expect_bounded();
}
