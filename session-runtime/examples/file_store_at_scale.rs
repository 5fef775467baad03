//! How long `FileStore` takes to open, load, count and sweep with many sessions.
//!
//! `cargo run --release --features file --example file_store_at_scale -- [SESSIONS] [FOLDER]`,
//! by default 100,000 sessions in a new folder in the system's temporary folder. The folder is
//! removed at the end.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use session_runtime::store::{Action, Change, Commit, CommitId, Selected, Selection, Verifier};
use session_runtime::store::{Clock, SystemClock, Timestamp};
use session_runtime::{FileStore, SessionId, SessionStore, Timeouts};

const IDLE: Duration = Duration::from_secs(30 * 60);
const TASKS: usize = 16;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let sessions: usize = arguments.next().as_deref().unwrap_or("100000").parse()?;
    let parent = match arguments.next() {
        Some(folder) => tempfile::tempdir_in(PathBuf::from(folder))?,
        None => tempfile::tempdir()?,
    };
    let ahead = Arc::new(AtomicU64::new(0));
    let open = || {
        FileStore::builder()
            .clock(AheadClock(Arc::clone(&ahead)))
            .without_background_sweep()
            .open(parent.path().join("sessions"))
    };

    let store = open()?;
    let started = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| tokio::spawn(create(store.clone(), sessions / TASKS)))
        .collect();
    let mut ids = Vec::new();
    for task in tasks {
        ids.extend(task.await??);
    }
    report("create", ids.len(), started);
    drop(store);

    let started = Instant::now();
    let store = open()?;
    report("open", 1, started);

    let started = Instant::now();
    let cart = [Selected::value("shop.cart")];
    for id in &ids {
        store
            .load(id, &Selection::fields(&cart))
            .await?
            .ok_or("a session is missing")?;
    }
    report("load, one after the other", ids.len(), started);

    let started = Instant::now();
    println!("{:?}", store.len().await?);
    report("len", 1, started);

    let started = Instant::now();
    let swept = store.sweep().await?;
    report(&format!("sweep, {swept} ended"), ids.len(), started);

    ahead.store(IDLE.as_millis() as u64, Ordering::Relaxed);
    let started = Instant::now();
    let swept = store.sweep().await?;
    report(&format!("sweep, {swept} ended"), ids.len(), started);
    Ok(())
}

async fn create(
    store: FileStore,
    sessions: usize,
) -> Result<Vec<SessionId>, Box<dyn Error + Send + Sync>> {
    let mut ids = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        let (id, verifier) = (SessionId::generate()?, Verifier::from_bytes([7; 16]));
        let link = None;
        let creation = Action::Create { verifier, link };
        let mut commit = Commit::new(id, CommitId::generate()?, creation);
        commit.timeouts = Some(Timeouts::new(IDLE, None)?);
        commit.changes.push(Change::Set {
            name: "shop.cart".into(),
            value: vec![b'p'; 512].into(),
            ttl: None,
            only_if_absent: false,
        });
        store.commit(&commit).await?;
        ids.push(id);
    }
    Ok(ids)
}

fn report(what: &str, times: usize, started: Instant) {
    let taken = started.elapsed();
    let each = taken / u32::try_from(times.max(1)).unwrap_or(u32::MAX);
    println!("{what}: {taken:.1?} in all, {each:.1?} each");
}

/// The machine's clock, so many milliseconds ahead.
struct AheadClock(Arc<AtomicU64>);

impl Clock for AheadClock {
    fn now(&self) -> Timestamp {
        SystemClock::default().now() + Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}
