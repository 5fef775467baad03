//! The cost of a principal's list on a Redis that holds very many sessions of others, and the keys
//! that remain when all have expired.
//!
//! `cargo run --release --features redis --example redis_index_at_scale -- URL [SESSIONS]
//! [PRINCIPALS] [SECONDS]`, by default 1,000,000 sessions of 100,000 principals that live for 600
//! seconds. The database must be empty.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_runtime::store::{Action, Change, Commit, CommitId};
use session_runtime::store::{ListChange, PrincipalKey, Verifier};
use session_runtime::{RedisStore, Session, SessionId, SessionLayer, SessionStore, Timeouts};

type Failure = Box<dyn Error + Send + Sync>;

const TASKS: usize = 64;
/// How many principals are asked about.
const SAMPLES: usize = 50;

#[derive(Session, Default)]
#[session(name = "shop")]
struct Shop {
    #[session(principal)]
    customer: Option<usize>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("which server? a URL is missing")?;
    let mut number = |default: usize| match arguments.next() {
        Some(argument) => argument.parse(),
        None => Ok(default),
    };
    let (sessions, principals) = (number(1_000_000)?, number(100_000)?);
    let lifetime = Duration::from_secs(number(600)? as u64);

    let mut server = Server(redis::Client::open(url.as_str())?.get_connection()?);
    let empty = server.number("INFO memory", "used_memory")?;
    let store = RedisStore::builder()
        .url(url)
        .command_deadline(Duration::from_secs(10))
        .connect()
        .await?;
    let store = Arc::new(store);

    let start = Instant::now();
    let mut tasks = Vec::new();
    for task in 0..TASKS {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            for session in (task..sessions).step_by(TASKS) {
                sign_in(&store, session % principals, lifetime).await?;
            }
            Ok::<_, Failure>(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let full = server.number("INFO memory", "used_memory")?;
    println!(
        "{sessions} sign-ins of {principals} principals in {:?}, {} bytes each",
        start.elapsed(),
        (full - empty) / sessions as u64,
    );

    let layer = SessionLayer::builder(store)
        .store_deadline(Duration::from_secs(10))
        .build()?;
    let operations = layer.sessions();
    let sampled = (0..SAMPLES).map(|sample| sample * (principals / SAMPLES));
    for operation in ["list", "revoke_all"] {
        let _: () = redis::cmd("CONFIG").arg("RESETSTAT").query(&mut server.0)?;
        let mut times = Vec::new();
        let mut found = 0;
        for principal in sampled.clone() {
            let start = Instant::now();
            found += match operation {
                "list" => operations
                    .of(Shop::CUSTOMER, &principal)
                    .list()
                    .await?
                    .len() as u64,
                _ => {
                    operations
                        .of(Shop::CUSTOMER, &principal)
                        .revoke_all()
                        .await? as u64
                }
            };
            times.push(start.elapsed());
        }
        times.sort_unstable();
        println!(
            "{operation}: {found} sessions of {SAMPLES} principals; median {:?}, longest {:?}",
            times[SAMPLES / 2],
            times[SAMPLES - 1],
        );
        println!("  {}", server.commands()?);
    }
    drop((operations, layer));

    let start = Instant::now();
    // The record of the layout stays.
    while redis::cmd("DBSIZE").query::<u64>(&mut server.0)? > 1 {
        if start.elapsed() > 2 * lifetime + Duration::from_secs(60) {
            return Err("keys are left over".into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let left = server.number("INFO memory", "used_memory")?;
    println!(
        "all keys have gone without a program: {empty} bytes before, {full} full, {left} left"
    );
    Ok(())
}

async fn sign_in(store: &RedisStore, principal: usize, lifetime: Duration) -> Result<(), Failure> {
    let session = SessionId::generate()?;
    let verifier = Verifier::from_bytes([7; 16]);
    let mut commit = Commit::new(
        session,
        CommitId::generate()?,
        Action::Create {
            verifier,
            link: None,
        },
    );
    commit.timeouts = Some(Timeouts::new(None, lifetime)?);
    let value = principal.to_string();
    commit.lists = vec![ListChange::Add {
        field: "shop.customer".into(),
        principal: PrincipalKey::new("shop.customer", value.as_bytes()),
        keep: Some(lifetime),
        limit: None,
    }];
    commit.changes = vec![Change::Set {
        name: "shop.customer".into(),
        value: value.into(),
        ttl: None,
        only_if_absent: false,
    }];
    store.commit(&commit).await?;
    Ok(())
}

/// The server's own statistics.
struct Server(redis::Connection);

impl Server {
    fn info(&mut self, command: &str) -> Result<String, Failure> {
        let mut words = command.split(' ');
        let mut info = redis::cmd(words.next().unwrap_or_default());
        for word in words {
            info.arg(word);
        }
        Ok(info.query(&mut self.0)?)
    }

    fn number(&mut self, command: &str, name: &str) -> Result<u64, Failure> {
        let text = self.info(command)?;
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(value.ok_or("a line of `INFO` is missing")?.parse()?)
    }

    /// How often each command was called since the last reset, and the server's own time for it.
    fn commands(&mut self) -> Result<String, Failure> {
        let text = self.info("INFO commandstats")?;
        let line = |line: &str| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let (calls, figures) = figures.split_once(',')?;
            let micros = figures.strip_prefix("usec=")?.split(',').next()?;
            Some(format!("{name} {calls} ({micros} µs)"))
        };
        let lines: Vec<_> = text.lines().filter_map(line).collect();
        Ok(lines.join(", "))
    }
}
