//! During a rollout an old and a new program share every session: no visitor is logged out, nothing
//! is lost, and each sees what the other wrote as far as it understands it. On every driver.
//!
//! `SESSION_FUZZ_INPUTS` says how many requests in memory, `SESSION_FUZZ_SEED` which.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use fastrand::Rng;
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use session_runtime::schema::Codec;
use session_runtime::store::{Count, SessionStore};
use session_runtime::{FileStore, Json, MemoryStore, RedisStore, Session, SessionLayer};
use tests::browser::Browser;
use tests::fuzz;
use tests::servers::{Generation, Options, Server, missing};

const VISITORS: usize = 10;

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

    /// The old program's page for the stored values.
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

    /// The new program's page for the stored values.
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

/// The expected contents of the store for one visitor, as JSON.
#[derive(Default)]
struct Stored(BTreeMap<&'static str, String>);

impl Stored {
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value; nothing where there is none or it does not decode.
    fn get<T: DeserializeOwned + 'static>(&self, name: &str) -> Option<T> {
        Json::decode(self.0.get(name)?.as_bytes()).ok()
    }

    /// Writes what a program changed.
    fn change<T>(&mut self, name: &'static str, value: T)
    where
        T: Serialize + DeserializeOwned + Default + PartialEq + 'static,
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
async fn an_old_and_a_new_program_share_every_session(
    stores: [Arc<dyn SessionStore>; 2],
    requests: usize,
) {
    let old = old::app(SessionLayer::new(Arc::clone(&stores[0])));
    let new = new::app(SessionLayer::new(Arc::clone(&stores[1])));
    let mut visitors: Vec<_> = (0..VISITORS)
        .map(|_| Visitor {
            browser: Browser::new(&old),
            stored: Stored::default(),
        })
        .collect();
    let mut random = fuzz::random();
    for _ in 0..requests {
        let visitor = random.usize(0..visitors.len());
        visitors[visitor].act(&mut random, &old, &new).await;
    }
    println!("{requests} requests of {VISITORS} visitors");
}

#[tokio::test]
async fn in_memory() {
    let store = Arc::new(MemoryStore::new());
    let requests = fuzz::inputs(5_000);
    an_old_and_a_new_program_share_every_session([store.clone(), store.clone()], requests).await;
    let sessions = store.len().await.unwrap();
    assert_eq!(
        sessions,
        Count::Exact(VISITORS as u64),
        "no visitor was logged out"
    );
}

#[tokio::test]
async fn in_files() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Arc::new(FileStore::open(folder.path()).unwrap());
    let (of_old, of_new) = (open(), open());
    let requests = fuzz::inputs(5_000) / 5;
    an_old_and_a_new_program_share_every_session([of_old.clone(), of_new], requests).await;
    let sessions = of_old.len().await.unwrap();
    assert_eq!(
        sessions,
        Count::Exact(VISITORS as u64),
        "no visitor was logged out"
    );
}

async fn on_a_server(generation: Generation) {
    if let Some(reason) = missing(generation) {
        eprintln!("NOT TESTED: {reason}");
        return;
    }
    let server = Server::start(generation, &Options::default());
    let connect = async || {
        let store = RedisStore::builder().url(server.url());
        let store = store.command_deadline(Duration::from_secs(5)).connect();
        Arc::new(store.await.unwrap())
    };
    let stores: [Arc<dyn SessionStore>; 2] = [connect().await, connect().await];
    let requests = fuzz::inputs(5_000) / 5;
    an_old_and_a_new_program_share_every_session(stores, requests).await;
    let keys: Vec<String> = server.command(&["KEYS", "session:*"]);
    let sessions = keys.iter().filter(|key| !key.contains('@')).count();
    assert_eq!(sessions, VISITORS, "no visitor was logged out: {keys:?}");
}

#[tokio::test]
async fn on_redis_7() {
    on_a_server(Generation::Redis7).await;
}

#[tokio::test]
async fn on_redis_8() {
    on_a_server(Generation::Redis8).await;
}

#[tokio::test]
async fn on_valkey_9() {
    on_a_server(Generation::Valkey9).await;
}
