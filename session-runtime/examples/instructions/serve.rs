//! The server: a session of ten fields, one of them of a kibibyte, in memory and on Redis.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use session_runtime::{
    MemoryStore, ReadSession, RedisStore, Session, SessionLayer, SessionSchema, SessionStore,
};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use crate::Result;

/// The set-ups, with what the table calls them.
pub(crate) const SETUPS: [(&str, &str); 5] = [
    ("memory", "memory, one schema of ten fields"),
    (
        "memory-two",
        "memory, the two fields in a schema of their own",
    ),
    ("redis", "Redis, one schema of ten fields"),
    (
        "redis-two",
        "Redis, the two fields in a schema of their own",
    ),
    (
        "redis-add",
        "Redis, ten fields, the counter with `merge = \"add\"`",
    ),
];

#[derive(Session, Default)]
struct Shop {
    user: Option<String>,
    counter: u64,
    text: String,
    f0: String,
    f1: String,
    f2: String,
    f3: String,
    f4: String,
    f5: String,
    f6: String,
}

#[derive(Session, Default)]
struct Adding {
    user: Option<String>,
    #[session(merge = "add")]
    counter: u64,
    text: String,
    f0: String,
    f1: String,
    f2: String,
    f3: String,
    f4: String,
    f5: String,
    f6: String,
}

#[derive(Session, Default)]
struct Account {
    user: Option<String>,
    counter: u64,
}

#[derive(Session, Default)]
struct Rest {
    text: String,
    f0: String,
    f1: String,
    f2: String,
    f3: String,
    f4: String,
    f5: String,
    f6: String,
}

/// Serves one of the set-ups on a free port until its input ends, and prints the address.
pub(crate) fn run(setup: &str) -> Result<()> {
    // One worker, whatever the machine has, so that the count is the same everywhere.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(serve(setup))
}

async fn serve(setup: &str) -> Result<()> {
    let (store, schema) = setup.split_once('-').unwrap_or((setup, ""));
    let store: Arc<dyn SessionStore> = match store {
        "memory" => Arc::new(MemoryStore::new()),
        "redis" => Arc::new(RedisStore::connect(std::env::var("REDIS_URL")?).await?),
        other => return Err(format!("no store is called {other}").into()),
    };
    let day = Duration::from_secs(24 * 60 * 60);
    let layer = SessionLayer::builder(store)
        .idle_timeout(day)
        .lifetime(day)
        .build()?;
    let routes = match schema {
        "two" => routes::<Account>().route("/seed", post(seed_two)),
        "add" => routes::<Adding>().route("/seed", post(seed_adding)),
        _ => routes::<Shop>().route("/seed", post(seed)),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    std::thread::spawn(|| {
        let ended = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(i32::from(ended.is_err()));
    });
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    Ok(axum::serve(listener, routes.layer(layer)).await?)
}

fn routes<T: Visitor>() -> Router {
    Router::new()
        .route("/none", get(|| async { "ok" }))
        .route("/read", get(read::<T>))
        .route("/write", post(write::<T>))
        .route("/login", post(login::<T>))
}

trait Visitor: SessionSchema {
    fn user(&mut self) -> &mut Option<String>;
    fn counter(&mut self) -> &mut u64;
    fn look(&self) -> (Option<&str>, u64);
}

macro_rules! visitor {
    ($($schema:ident)*) => {$(
        impl Visitor for $schema {
            fn user(&mut self) -> &mut Option<String> {
                &mut self.user
            }

            fn counter(&mut self) -> &mut u64 {
                &mut self.counter
            }

            fn look(&self) -> (Option<&str>, u64) {
                (self.user.as_deref(), self.counter)
            }
        }
    )*};
}

visitor! { Shop Adding Account }

async fn read<T: Visitor>(session: ReadSession<T>) -> String {
    let (user, counter) = session.look();
    format!("{}:{counter}", user.unwrap_or("-"))
}

async fn write<T: Visitor>(mut session: Session<T>) -> String {
    *session.counter() += 1;
    session.look().1.to_string()
}

async fn login<T: Visitor>(mut session: Session<T>) -> &'static str {
    *session.user() = Some("alice".to_owned());
    session.rotate();
    "ok"
}

macro_rules! fill {
    ($session:expr) => {
        let session = &mut *$session;
        session.text = "x".repeat(1024);
        let fields = [
            &mut session.f0,
            &mut session.f1,
            &mut session.f2,
            &mut session.f3,
            &mut session.f4,
            &mut session.f5,
            &mut session.f6,
        ];
        for (number, field) in fields.into_iter().enumerate() {
            *field = format!("value-{number}-abcdefgh");
        }
    };
}

async fn seed(mut session: Session<Shop>) {
    session.user = Some("guest-of-honour".to_owned());
    fill!(session);
}

async fn seed_adding(mut session: Session<Adding>) {
    session.user = Some("guest-of-honour".to_owned());
    fill!(session);
}

async fn seed_two(mut account: Session<Account>, mut rest: Session<Rest>) {
    account.user = Some("guest-of-honour".to_owned());
    fill!(rest);
}
