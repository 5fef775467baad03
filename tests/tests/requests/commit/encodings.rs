//! A value comes back as it was, or its write is refused: with both codecs, written in every way.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use session_runtime::schema::{Codec, FieldValue};
use session_runtime::{
    Json, MemoryStore, Postcard, Session, SessionError, SessionLayer, SessionSchema,
};
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::visitor::Visitor;

/// The end of a write.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Back,
    Refused,
}

use Fate::{Back, Refused};

/// The ways in which a handler writes a value.
#[derive(Debug, Clone, Copy)]
enum Way {
    Assign,
    Set,
    Update,
    First,
    Reject,
    WithDefault,
    InList,
}

const WAYS: [Way; 7] = [
    Way::Assign,
    Way::Set,
    Way::Update,
    Way::First,
    Way::Reject,
    Way::WithDefault,
    Way::InList,
];

/// A schema with a field for each way.
trait Holder<T>: SessionSchema + Sync {
    const CODEC: &'static str;

    fn put(
        session: &mut Session<Self>,
        way: Way,
        value: T,
    ) -> impl Future<Output = Result<(), SessionError>> + Send;
    fn get(&self, way: Way) -> Option<&T>;
    fn touch(&mut self);
}

macro_rules! holder {
    ($name:ident, $codec:ident) => {
        #[derive(Session)]
        #[session(codec = $codec)]
        struct $name<T> {
            value: Option<T>,
            #[session(merge = "first")]
            first: Option<T>,
            #[session(merge = "reject")]
            guarded: Option<T>,
            #[session(default = None)]
            with_default: Option<T>,
            list: Vec<T>,
            visits: u32,
        }

        impl<T: FieldValue + Clone + Send + Sync> Holder<T> for $name<T> {
            const CODEC: &'static str = stringify!($codec);

            async fn put(
                session: &mut Session<Self>,
                way: Way,
                value: T,
            ) -> Result<(), SessionError> {
                match way {
                    Way::Assign => session.value = Some(value),
                    Way::Set => session.set(Self::VALUE, value)?,
                    Way::Update => {
                        let change = |holder: &mut Self| holder.value = Some(value.clone());
                        session.update(change).await?;
                    }
                    Way::First => session.first = Some(value),
                    Way::Reject => session.guarded = Some(value),
                    Way::WithDefault => session.with_default = Some(value),
                    Way::InList => session.list = vec![value],
                }
                Ok(())
            }

            fn get(&self, way: Way) -> Option<&T> {
                match way {
                    Way::Assign | Way::Set | Way::Update => self.value.as_ref(),
                    Way::First => self.first.as_ref(),
                    Way::Reject => self.guarded.as_ref(),
                    Way::WithDefault => self.with_default.as_ref(),
                    Way::InList => self.list.first(),
                }
            }

            fn touch(&mut self) {
                self.visits += 1;
            }
        }
    };
}

holder!(InJson, Json);
holder!(InPostcard, Postcard);

/// Writes a value in every way, for a new visitor and for one with a session; answers how many
/// writes that were.
async fn write<T, H>(value: &T, expected: Fate, context: &str) -> usize
where
    T: FieldValue + Clone + PartialEq + Debug + Send + Sync,
    H: Holder<T>,
{
    let recorder = Recorder::start();
    let store = CountingStore::new(MemoryStore::new());
    let layer = SessionLayer::builder(store.clone())
        .max_field_bytes(4 << 20)
        .max_session_bytes(8 << 20)
        .build()
        .unwrap();
    let mut writes = 0;
    let is_null =
        H::CODEC == "Json" && serde_json::to_string(value).is_ok_and(|json| json == "null");
    for way in WAYS {
        // Where `None` is stored too, `null` means that.
        let expected = match way {
            Way::WithDefault if is_null => Refused,
            _ => expected,
        };
        for is_known in [false, true] {
            let context = format!("{context} {value:.80?}: {way:?}, known {is_known}");
            let mut visitor = Visitor::new(&layer);
            if is_known {
                let page = |mut session: Session<H>| async move { session.touch() };
                visitor.visit(page).await;
            }
            let token = visitor.token();
            store.take_counts();
            recorder.take_events();
            let written = value.clone();
            let page = move |mut session: Session<H>| async move {
                session.touch();
                H::put(&mut session, way, written).await
            };
            let answer = visitor.visit(page).await;
            let (_, commits) = store.take_counts();
            let events = recorder.take_events();
            match answer.status {
                StatusCode::OK => assert_eq!(expected, Back, "{context}"),
                status => {
                    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{context}");
                    assert_eq!(expected, Refused, "{context}");
                    // `set` tells the handler at once, whose other changes are saved.
                    if !matches!(way, Way::Set) {
                        assert_eq!(commits, 0, "{context}");
                        assert_eq!(visitor.token(), token, "{context}");
                        assert_eq!(events, ["refused"], "{context}");
                    }
                }
            }
            let (sender, receiver) = mpsc::channel();
            let page = move |session: Session<H>| async move {
                sender.send(session.get(way).cloned()).unwrap();
            };
            visitor.visit(page).await;
            let stored = receiver.recv().unwrap();
            let same =
                |stored: &T| stored == value || format!("{stored:?}") == format!("{value:?}");
            match expected {
                Back => assert!(stored.as_ref().is_some_and(same), "{context}: {stored:?}"),
                Refused => assert!(stored.is_none(), "{context}: {stored:?}"),
            }
            writes += 1;
        }
    }
    writes
}

/// Counts what was tried.
#[derive(Default)]
struct Sweep {
    values: usize,
    writes: usize,
}

impl Sweep {
    async fn value<T>(&mut self, value: T, in_json: Fate, in_postcard: Fate)
    where
        T: FieldValue + Clone + PartialEq + Debug + Send + Sync,
    {
        self.values += 1;
        self.writes += write::<T, InJson<T>>(&value, in_json, "JSON").await;
        self.writes += write::<T, InPostcard<T>>(&value, in_postcard, "Postcard").await;
    }
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Offer {
    name: String,
    price: Option<f64>,
    history: Vec<f32>,
}

fn offer(price: Option<f64>, history: &[f32]) -> Offer {
    Offer {
        name: "pear".to_owned(),
        price,
        history: history.to_vec(),
    }
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Marker;

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Meters(f64);

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(untagged)]
enum Untagged {
    Small(u8),
    Large(u16),
    Text(String),
    Nothing,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "kind")]
enum Tagged {
    Empty,
    Full { size: u32 },
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(tag = "kind", content = "of")]
enum Adjacent {
    Empty,
    Full(u32),
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
enum External {
    Empty,
    One(u32),
    Two(u32, f32),
    Named { size: Option<u32> },
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct SkipsWithoutDefault {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    list: Vec<u8>,
    last: u8,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct SkipsWithDefault {
    #[serde(default, skip_serializing_if = "is_zero")]
    count: u8,
    list: Vec<u8>,
}

fn is_zero(count: &u8) -> bool {
    *count == 0
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Flat<T> {
    size: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, T>,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct TwoNames {
    #[serde(rename(serialize = "written", deserialize = "read"))]
    field: u8,
}

#[derive(Serialize, Deserialize, Debug, Clone, PartialEq)]
struct Nested(Vec<Nested>);

fn nested(depth: usize) -> Nested {
    (1..depth).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]))
}

/// Written as a map, whatever the keys.
#[derive(Deserialize, Debug, Clone, PartialEq)]
#[serde(from = "BTreeMap<String, u8>")]
struct Pairs(Vec<(String, u8)>);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;

        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl From<BTreeMap<String, u8>> for Pairs {
    fn from(map: BTreeMap<String, u8>) -> Self {
        Self(map.into_iter().collect())
    }
}

fn pairs(keys: &[&str]) -> Pairs {
    Pairs(keys.iter().map(|key| ((*key).to_owned(), 1)).collect())
}

/// Read without the white space around it.
#[derive(Serialize, Debug, Clone, PartialEq)]
struct Trimmed(String);

impl<'de> Deserialize<'de> for Trimmed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(text.trim().to_owned()))
    }
}

/// Written as bytes, in serde's sense.
#[derive(Debug, Clone, PartialEq)]
struct Raw(Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self)
    }
}

#[tokio::test]
async fn a_number_comes_back_or_is_refused() {
    let mut sweep = Sweep::default();
    for value in [
        1.577_777_777_777_000_1,
        0.1,
        -0.0,
        0.0,
        5e-324,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::MIN,
        f64::EPSILON,
        1e23,
        9_007_199_254_740_993.0,
    ] {
        sweep.value(value, Back, Back).await;
        sweep.value(vec![value], Back, Back).await;
        sweep.value(Meters(value), Back, Back).await;
        sweep.value(offer(Some(value), &[]), Back, Back).await;
    }
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        sweep.value(value, Refused, Back).await;
        sweep.value(vec![1.0, value], Refused, Back).await;
        sweep.value(Meters(value), Refused, Back).await;
        sweep.value(offer(Some(value), &[]), Refused, Back).await;
        let map = BTreeMap::from([("a".to_owned(), Some(value))]);
        sweep.value(map, Refused, Back).await;
        sweep.value((1_u8, [Some(value)]), Refused, Back).await;
    }
    for value in [0.1_f32, f32::MAX, f32::MIN_POSITIVE, 1e-45, -0.0] {
        sweep.value(value, Back, Back).await;
        sweep.value(offer(None, &[value]), Back, Back).await;
        sweep.value(External::Two(1, value), Back, Back).await;
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        sweep.value(value, Refused, Back).await;
        sweep.value(offer(None, &[value]), Refused, Back).await;
        sweep.value(External::Two(1, value), Refused, Back).await;
    }
    sweep.value(u8::MAX, Back, Back).await;
    sweep.value(u64::MAX, Back, Back).await;
    sweep.value(i64::MIN, Back, Back).await;
    sweep.value(u128::MAX, Back, Back).await;
    sweep.value(i128::MIN, Back, Back).await;
    println!("{} values, {} writes", sweep.values, sweep.writes);
}

#[tokio::test]
async fn a_value_of_any_shape_comes_back_or_is_refused() {
    let mut sweep = Sweep::default();
    let text = |text: &str| text.to_owned();
    // Plain ones.
    for value in ["", "\0", "\u{2028}\"\\/\u{10ffff}", "null", "é"] {
        sweep.value(text(value), Back, Back).await;
        sweep.value(vec![text(value)], Back, Back).await;
    }
    for value in ['a', '\0', '"', '\u{10ffff}'] {
        sweep.value(value, Back, Back).await;
    }
    sweep.value(true, Back, Back).await;
    sweep.value(Vec::<u8>::new(), Back, Back).await;
    sweep.value(Raw(vec![]), Back, Back).await;
    sweep.value(Raw(vec![0, 255]), Back, Back).await;
    // Nothing, in its various forms.
    sweep.value((), Back, Back).await;
    sweep.value(Marker, Back, Back).await;
    sweep.value((Some(()), None::<u8>), Refused, Back).await;
    sweep.value((None::<()>, Marker), Back, Back).await;
    sweep.value(vec![Some(Some(1_u8)), None], Back, Back).await;
    sweep.value(vec![Some(None::<u8>)], Refused, Back).await;
    sweep
        .value(External::Named { size: None }, Back, Back)
        .await;
    // Enums, as serde can write them.
    sweep.value(External::Empty, Back, Back).await;
    sweep.value(External::One(1), Back, Back).await;
    sweep.value(Untagged::Small(5), Back, Refused).await;
    sweep.value(Untagged::Large(500), Back, Refused).await;
    sweep.value(Untagged::Large(5), Refused, Refused).await;
    sweep.value(Untagged::Text(text("")), Back, Refused).await;
    sweep.value(Untagged::Nothing, Back, Refused).await;
    sweep.value(Tagged::Empty, Back, Refused).await;
    sweep.value(Tagged::Full { size: 1 }, Back, Refused).await;
    sweep.value(Adjacent::Empty, Back, Refused).await;
    sweep.value(Adjacent::Full(1), Back, Refused).await;
    // Fields that are left out.
    for (list, in_json, in_postcard) in [(vec![], Refused, Refused), (vec![1], Back, Back)] {
        let value = SkipsWithoutDefault { list, last: 7 };
        sweep.value(value, in_json, in_postcard).await;
    }
    for (count, list, in_postcard) in [
        (1, vec![], Back),
        (0, vec![], Refused),
        // Without the first field it decodes as another value, to the last byte.
        (0, vec![1, 5], Refused),
    ] {
        let value = SkipsWithDefault { count, list };
        sweep.value(value, Back, in_postcard).await;
    }
    sweep.value(TwoNames { field: 1 }, Refused, Back).await;
    let rest = BTreeMap::from([(text("a"), 1_u64)]);
    sweep.value(Flat { size: 1, rest }, Back, Refused).await;
    let rest = BTreeMap::from([(text("a"), u128::MAX)]);
    sweep.value(Flat { size: 1, rest }, Refused, Refused).await;
    let rest = BTreeMap::from([(text("size"), 1_u8)]);
    sweep.value(Flat { size: 2, rest }, Refused, Refused).await;
    // Without a shape of their own.
    sweep
        .value(json!({"a": [1, -1, 2.5, null, "b"]}), Back, Refused)
        .await;
    sweep
        .value(json!([0.1, 1e300, u64::MAX, i64::MIN]), Back, Refused)
        .await;
    sweep.value(json!(5.0), Back, Refused).await;
    sweep.value(Value::Null, Back, Refused).await;
    // Maps and sets.
    let numbers: HashSet<u32> = (0..50).collect();
    sweep.value(numbers.clone(), Back, Back).await;
    sweep.value(vec![numbers], Back, Back).await;
    let map: HashMap<String, u32> = (0..50).map(|n| (n.to_string(), n)).collect();
    sweep.value(map, Back, Back).await;
    sweep
        .value(BTreeMap::from([(1_u32, 1_u8)]), Back, Back)
        .await;
    sweep
        .value(BTreeMap::from([(i128::MIN, 1_u8)]), Back, Back)
        .await;
    sweep
        .value(BTreeMap::from([(true, 1_u8)]), Back, Back)
        .await;
    sweep.value(BTreeMap::from([('x', 1_u8)]), Back, Back).await;
    sweep
        .value(BTreeMap::from([((1_u8, 2_u8), 1_u8)]), Refused, Back)
        .await;
    sweep
        .value(BTreeMap::from([((), 1_u8)]), Refused, Back)
        .await;
    sweep
        .value(BTreeSet::from([(1_u8, text("a"))]), Back, Back)
        .await;
    sweep.value(pairs(&["a", "b"]), Back, Back).await;
    sweep.value(pairs(&["a", "a"]), Refused, Refused).await;
    // Deeper than the decoder goes.
    for (depth, in_json) in [(1, Back), (100, Back), (200, Refused), (1000, Refused)] {
        sweep.value(nested(depth), in_json, Back).await;
    }
    // Another value after decoding.
    sweep.value(Trimmed(text("a")), Back, Back).await;
    sweep.value(Trimmed(text(" a")), Refused, Refused).await;
    // Of the standard library.
    sweep.value(Duration::new(1, 999_999_999), Back, Back).await;
    sweep
        .value(SystemTime::UNIX_EPOCH + Duration::new(9, 1), Back, Back)
        .await;
    sweep.value(IpAddr::from([127, 0, 0, 1]), Back, Back).await;
    sweep.value(PathBuf::from("/tmp"), Back, Back).await;
    println!("{} values, {} writes", sweep.values, sweep.writes);
}

/// Every float that there is comes back; here are some of them.
#[tokio::test]
async fn random_floats_come_back() {
    const SEED: u64 = 13;
    const COUNT: usize = 20_000;
    println!("seed {SEED}, {COUNT} values of each kind");
    let mut random = StdRng::seed_from_u64(SEED);
    let mut doubles: Vec<f64> = Vec::new();
    let mut singles: Vec<f32> = Vec::new();
    while doubles.len() < COUNT {
        doubles.extend(Some(f64::from_bits(random.random())).filter(|value| value.is_finite()));
        doubles.push(random.random_range(1.0..2.0));
    }
    while singles.len() < COUNT {
        singles.extend(Some(f32::from_bits(random.random())).filter(|value| value.is_finite()));
        singles.push(random.random_range(1.0..2.0));
    }
    fn same<T: DeserializeOwned + Serialize + PartialEq + Debug + 'static>(values: &Vec<T>) {
        fn comes_back<C: Codec, T: DeserializeOwned + Serialize + PartialEq + Debug + 'static>(
            value: &T,
        ) {
            let mut encoded = Vec::new();
            C::encode(value, &mut encoded).unwrap();
            assert_eq!(C::decode::<T>(&encoded).as_ref(), Ok(value));
        }
        for value in values {
            comes_back::<Json, T>(value);
            comes_back::<Postcard, T>(value);
        }
    }
    same(&doubles);
    same(&singles);
    write::<_, InJson<_>>(&doubles, Back, "JSON").await;
    write::<_, InJson<_>>(&singles, Back, "JSON").await;
}

#[derive(Session, Clone, PartialEq, Debug)]
struct Prices {
    #[session(default = f64::NAN)]
    unknown: f64,
    #[session(default = None)]
    last: Option<f64>,
    pear: Option<Offer>,
    many: Vec<Option<f64>>,
    visits: u32,
}

/// A change is not taken for none because both values are `null`, and a default that JSON cannot
/// write does no harm while it is one.
#[tokio::test]
async fn a_change_between_values_with_one_encoding_is_not_lost() {
    let mut visitor = Visitor::new(&SessionLayer::new(MemoryStore::new()));
    let page = |mut session: Session<Prices>| async move {
        session.visits += 1;
        session.remove(Prices::UNKNOWN);
        session.pear = Some(offer(None, &[1.0]));
        session.many = vec![None, Some(1.0)];
        session.last = None;
    };
    for _ in 0..2 {
        assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    }
    let unchanged = |mut session: Session<Prices>| async move {
        session.visits += 1;
        (session.last, session.unknown) = (None, f64::NAN);
    };
    assert_eq!(visitor.visit(unchanged).await.status, StatusCode::OK);
    for change in [
        |prices: &mut Prices| prices.last = Some(f64::NAN),
        |prices: &mut Prices| prices.pear.as_mut().expect("a pear").price = Some(f64::NAN),
        |prices: &mut Prices| prices.many[0] = Some(f64::INFINITY),
        |prices: &mut Prices| prices.unknown = f64::INFINITY,
    ] {
        for is_update in [false, true] {
            let page = move |mut session: Session<Prices>| async move {
                match is_update {
                    true => session.update(change).await,
                    false => {
                        change(&mut session);
                        Ok(())
                    }
                }
            };
            let answer = visitor.visit(page).await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
    let page = |session: Session<Prices>| async move { session.visits.to_string() };
    assert_eq!(visitor.visit(page).await.body, "3");
}

/// The field's name is in the error; the value is not, and neither is it in an event.
#[tokio::test]
async fn the_error_names_the_field() {
    let recorder = Recorder::start();
    let mut visitor = Visitor::new(&SessionLayer::new(MemoryStore::new()));
    let page = |mut session: Session<InJson<f64>>| async move {
        session.visits = 1;
        session.list = vec![1.0, f64::INFINITY];
        let error = session.save().await.expect_err("it is refused");
        assert_eq!(session.list, [0.0; 0]);
        assert_eq!(session.visits, 0);
        error.to_string()
    };
    let answer = visitor.visit(page).await;
    assert!(answer.body.contains("`in_json.list`"), "{}", answer.body);
    assert_eq!(visitor.token(), None);
    let lines = recorder.take();
    let refused = lines.iter().find(|line| line.text.contains("refused"));
    let text = &refused.expect("an event").text;
    assert!(
        text.contains("in_json.list") && !text.contains("inf"),
        "{text}"
    );
}

/// Nothing is decoded for values of these types, because all of them come back.
#[test]
fn plain_types_are_exempt() {
    fn exempt<T: 'static>() -> [bool; 2] {
        [Json::is_exact::<T>(), Postcard::is_exact::<T>()]
    }
    for exempt in [
        exempt::<String>(),
        exempt::<bool>(),
        exempt::<u64>(),
        exempt::<i128>(),
        exempt::<Option<char>>(),
        exempt::<Vec<String>>(),
    ] {
        assert_eq!(exempt, [true; 2]);
    }
    for checked in [
        exempt::<f64>(),
        exempt::<Option<f32>>(),
        exempt::<Option<Option<u8>>>(),
        exempt::<Offer>(),
        exempt::<Value>(),
    ] {
        assert_eq!(checked, [false; 2]);
    }
}
