//! Programs change, and sessions outlive the change: what the first version wrote is read by all
//! later ones, and during a rollout an old and a new program share every session.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use bytes::Bytes;
use fastrand::Rng;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use session_runtime::store::{
    Action, Change, Commit, FieldTtl, Rotation, Selected, SessionStore, Timeouts,
};
use session_runtime::test_kit::ManualClock;
use session_runtime::{
    Codec, FileStore, Json, MemoryStore, Postcard, Session, SessionId, SessionLayer, Timestamp,
    Verifier,
};
use tests::browser::Browser;
use tests::fuzz;

/// What the first version of the format made of these values. Never change a line: add one.
mod golden {
    use super::*;

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
        include_bytes!("../corpus/golden/record-1")
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
        let [first, second] = [1, 2].map(|byte| Verifier::from_bytes([byte; 32]));
        let set = |name: &'static str, value: &'static [u8], ttl| Change::Set {
            name: name.into(),
            value: Bytes::from_static(value),
            ttl,
            only_if_absent: false,
        };
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);

        let create = Action::Create { verifier: first };
        let mut creation = Commit::new(session, "AAAAAAAA".parse().unwrap(), create);
        creation.timeouts = Some(Timeouts {
            idle: Some(minutes(30)),
            lifetime: Some(minutes(24 * 60)),
        });
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
        let loaded = store.load(&session, &selected).await.unwrap().unwrap();
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
        assert_eq!(header.verifier, Verifier::from_bytes([2; 32]));
        assert_eq!(header.previous, Some(Verifier::from_bytes([1; 32])));
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
}

/// The program before the rollout.
mod old {
    use super::*;

    #[derive(Session, Default)]
    #[session(name = "shop")]
    pub(super) struct Shop {
        #[session(principal)]
        pub(super) customer: Option<u32>,
        #[session(merge = "add")]
        pub(super) visits: u32,
        pub(super) cart: BTreeMap<String, u32>,
        pub(super) theme: String,
        pub(super) level: u8,
        /// The new program has no such field.
        pub(super) note: Option<String>,
    }

    pub(super) fn app(layer: SessionLayer) -> Router {
        Router::new()
            .route("/show", get(async |shop: Session<Shop>| show(&shop)))
            .route(
                "/visit",
                post(async |mut shop: Session<Shop>| shop.visits += 1),
            )
            .route(
                "/customer/{id}",
                post(async |mut shop: Session<Shop>, Path(id): Path<u32>| {
                    shop.customer = (id > 0).then_some(id);
                }),
            )
            .route(
                "/cart/{item}",
                post(async |mut shop: Session<Shop>, Path(item): Path<String>| {
                    *shop.cart.entry(item).or_default() += 1;
                }),
            )
            .route(
                "/theme/{theme}",
                post(async |mut shop: Session<Shop>, Path(theme): Path<String>| {
                    shop.theme = theme;
                }),
            )
            .route(
                "/level/{level}",
                post(async |mut shop: Session<Shop>, Path(level): Path<u8>| shop.level = level),
            )
            .route(
                "/extra/{text}",
                post(async |mut shop: Session<Shop>, Path(text): Path<String>| {
                    shop.note = Some(text);
                }),
            )
            .layer(layer)
    }

    fn show(shop: &Shop) -> String {
        format!(
            "{:?} {} {:?} {:?} {:?} {:?}",
            shop.customer, shop.visits, shop.cart, shop.theme, shop.level, shop.note
        )
    }

    /// What the old program makes of what is stored.
    pub(super) fn expected(stored: &Stored) -> String {
        show(&Shop {
            customer: stored.get("customer"),
            visits: stored.get("visits").unwrap_or_default(),
            cart: stored.get("cart").unwrap_or_default(),
            theme: stored.get("theme").unwrap_or_default(),
            level: stored.get("level").unwrap_or_default(),
            note: stored.get("note"),
        })
    }
}

/// The program after the rollout.
mod new {
    use super::*;

    /// A text in the old program; what is none of these does not decode.
    #[derive(Serialize, Deserialize, Debug, Default, Clone, Copy, PartialEq)]
    #[serde(rename_all = "lowercase")]
    pub(super) enum Theme {
        #[default]
        Light,
        Dark,
    }

    #[derive(Session, Default)]
    #[session(name = "shop")]
    pub(super) struct Shop {
        #[session(principal)]
        pub(super) customer: Option<u32>,
        /// Of a wider type.
        #[session(merge = "add")]
        pub(super) visits: u64,
        /// Renamed.
        #[session(alias = "cart")]
        pub(super) basket: BTreeMap<String, u32>,
        pub(super) theme: Theme,
        /// Of a type that does not fit the old one.
        pub(super) level: String,
        /// The old program has no such field.
        pub(super) coupon: Option<String>,
    }

    pub(super) fn app(layer: SessionLayer) -> Router {
        Router::new()
            .route("/show", get(async |shop: Session<Shop>| show(&shop)))
            .route(
                "/visit",
                post(async |mut shop: Session<Shop>| shop.visits += 1),
            )
            .route(
                "/customer/{id}",
                post(async |mut shop: Session<Shop>, Path(id): Path<u32>| {
                    shop.customer = (id > 0).then_some(id);
                }),
            )
            .route(
                "/cart/{item}",
                post(async |mut shop: Session<Shop>, Path(item): Path<String>| {
                    *shop.basket.entry(item).or_default() += 1;
                }),
            )
            .route(
                "/theme/{theme}",
                post(async |mut shop: Session<Shop>, Path(theme): Path<String>| {
                    shop.theme = if theme == "dark" {
                        Theme::Dark
                    } else {
                        Theme::Light
                    };
                }),
            )
            .route(
                "/level/{level}",
                post(async |mut shop: Session<Shop>, Path(level): Path<u8>| {
                    shop.level = format!("level {level}");
                }),
            )
            .route(
                "/extra/{text}",
                post(async |mut shop: Session<Shop>, Path(text): Path<String>| {
                    shop.coupon = Some(text);
                }),
            )
            .layer(layer)
    }

    fn show(shop: &Shop) -> String {
        format!(
            "{:?} {} {:?} {:?} {:?} {:?}",
            shop.customer, shop.visits, shop.basket, shop.theme, shop.level, shop.coupon
        )
    }

    /// What the new program makes of what is stored.
    pub(super) fn expected(stored: &Stored) -> String {
        show(&Shop {
            customer: stored.get("customer"),
            visits: stored.get("visits").unwrap_or_default(),
            basket: basket(stored),
            theme: stored.get("theme").unwrap_or_default(),
            level: stored.get("level").unwrap_or_default(),
            coupon: stored.get("coupon"),
        })
    }

    /// Under its name, or under the old one where nothing is under its own.
    pub(super) fn basket(stored: &Stored) -> BTreeMap<String, u32> {
        let name = if stored.has("basket") {
            "basket"
        } else {
            "cart"
        };
        stored.get(name).unwrap_or_default()
    }
}

/// What the store must hold for one visitor, as JSON.
#[derive(Default)]
struct Stored(BTreeMap<&'static str, String>);

impl Stored {
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value; nothing where there is none or it does not decode.
    fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        Json::decode(self.0.get(name)?.as_bytes()).ok()
    }

    /// Writes what a program changed.
    fn change<T>(&mut self, name: &'static str, value: T)
    where
        T: Serialize + DeserializeOwned + Default + PartialEq,
    {
        // A program sees the default where nothing decodes, and writes only what it changed.
        if self.get::<T>(name).unwrap_or_default() != value {
            let mut encoded = Vec::new();
            Json::encode(&value, &mut encoded).unwrap();
            self.0.insert(name, String::from_utf8(encoded).unwrap());
        }
    }
}

/// One visitor, and what the store must hold for them.
struct Visitor {
    browser: Browser,
    stored: Stored,
}

impl Visitor {
    /// One random request to one of the two programs.
    async fn act(&mut self, random: &mut Rng, old: &Router, new: &Router) {
        let is_old = random.bool();
        self.browser.go_to(if is_old { old } else { new });
        let number = random.u8(0..4);
        let word = ["light", "dark", "sepia", "Größe"][usize::from(number)];
        let path = match random.u8(0..8) {
            0 | 1 => {
                let visits: u64 = self.stored.get("visits").unwrap_or_default();
                self.stored.change("visits", visits + 1);
                "/visit".to_owned()
            }
            2 => {
                match number {
                    0 => drop(self.stored.0.remove("customer")),
                    id => self.stored.change("customer", Some(u32::from(id))),
                }
                format!("/customer/{number}")
            }
            3 => {
                let name = if is_old { "cart" } else { "basket" };
                let mut cart = match is_old {
                    true => self.stored.get(name).unwrap_or_default(),
                    false => new::basket(&self.stored),
                };
                let had_basket = self.stored.has("basket");
                *cart.entry(word.to_owned()).or_insert(0) += 1;
                self.stored.change(name, cart);
                if !is_old && !had_basket {
                    self.stored.0.remove("cart");
                }
                format!("/cart/{}", word.replace("Größe", "Gr%C3%B6%C3%9Fe"))
            }
            4 if is_old => {
                self.stored.change("theme", word.to_owned());
                format!("/theme/{}", word.replace("Größe", "Gr%C3%B6%C3%9Fe"))
            }
            4 => {
                let dark = new::Theme::Dark;
                let theme = if word == "dark" {
                    dark
                } else {
                    new::Theme::Light
                };
                self.stored.change("theme", theme);
                format!("/theme/{}", word.replace("Größe", "x"))
            }
            5 => {
                match is_old {
                    true => self.stored.change("level", number),
                    false => self.stored.change("level", format!("level {number}")),
                }
                format!("/level/{number}")
            }
            6 => {
                let name = if is_old { "note" } else { "coupon" };
                self.stored.change(name, Some(format!("text{number}")));
                format!("/extra/text{number}")
            }
            _ => String::new(),
        };
        if !path.is_empty() {
            let answer = self.browser.post(&path).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}");
        }
        for (app, expected) in [
            (old, old::expected(&self.stored)),
            (new, new::expected(&self.stored)),
        ] {
            self.browser.go_to(app);
            let answer = self.browser.get("/show").await;
            assert_eq!(answer.status, StatusCode::OK);
            let program = if is_old { "old" } else { "new" };
            let stored = &self.stored.0;
            assert_eq!(
                answer.body, expected,
                "{path} of the {program} program, {stored:?}"
            );
        }
    }
}

/// Every request is followed by a look with both programs, so each sees what the other did.
#[tokio::test]
async fn an_old_and_a_new_program_share_every_session() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let old = old::app(SessionLayer::new(store.clone()));
    let new = new::app(SessionLayer::new(store.clone()));
    let mut visitors: Vec<_> = (0..10)
        .map(|_| Visitor {
            browser: Browser::new(&old),
            stored: Stored::default(),
        })
        .collect();
    let mut random = fuzz::random();
    let requests = fuzz::inputs(5_000);
    for _ in 0..requests {
        let visitor = random.usize(0..visitors.len());
        visitors[visitor].act(&mut random, &old, &new).await;
    }
    let sessions = store.len().await.unwrap();
    assert_eq!(
        sessions,
        session_runtime::store::Count::Exact(10),
        "nobody was logged out"
    );
}
