//! `FileStore` in several processes: killed at any moment, and all at once on one folder.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use session_runtime::{FileStore, SessionId, SessionStore};
use tests::sessions::{apply, create, id, integer, random};

/// Commits that a writer may have applied without having said so: one for each of its tasks.
const UNDER_WAY: i64 = 4;

fn writer(folder: &Path, seed: u64, commits: &str, sessions: &[SessionId]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_file_store_process"))
        .arg("write")
        .arg(folder)
        .args([&seed.to_string(), commits])
        .args(sessions.iter().map(SessionId::to_string))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

async fn create_sessions(store: &FileStore, number: usize) -> Vec<SessionId> {
    let sessions: Vec<SessionId> = (0..number).map(|_| id()).collect();
    for session in &sessions {
        apply(store, &create(*session, [])).await;
    }
    sessions
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

/// The process is killed after a random number of acknowledged commits and a random time.
#[tokio::test]
async fn killed_at_any_moment_a_record_is_whole_and_nothing_acknowledged_is_lost() {
    let rounds = match std::env::var("SESSION_CRASH_ROUNDS") {
        Ok(rounds) => rounds.parse().unwrap(),
        Err(_) => 100,
    };
    let mut random = random();
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let sessions = create_sessions(&store, 3).await;
    let mut acknowledged = [0; 3];
    let mut leftovers = 0;

    for round in 0..rounds {
        let before = [
            integer(&store, &sessions[0], "load.count").await,
            integer(&store, &sessions[1], "load.count").await,
            integer(&store, &sessions[2], "load.count").await,
        ];
        let mut child = writer(folder.path(), random.u64(..1 << 60), "endless", &sessions);
        let mut output = child.stdout.take().unwrap();
        let mut bytes = vec![0; random.usize(1..60)];
        output.read_exact(&mut bytes).unwrap();
        let killed_at = Instant::now() + Duration::from_micros(random.u64(..3_000));
        while Instant::now() < killed_at {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        output.read_to_end(&mut bytes).unwrap();

        leftovers += names(&folder.path().join("tmp")).len();
        for (index, session) in sessions.iter().enumerate() {
            let new = bytes
                .iter()
                .filter(|&&byte| usize::from(byte) == index)
                .count() as i64;
            acknowledged[index] += new;
            let counted = integer(&store, session, "load.count").await;
            let echo = integer(&store, session, "load.echo").await;
            assert_eq!(counted, echo, "round {round}: half a commit");
            let gained = counted - before[index];
            assert!(
                (new..=new + UNDER_WAY).contains(&gained),
                "round {round}: {new} commits were acknowledged, {gained} are there"
            );
        }
        store.sweep().await.unwrap();
        let left = names(&folder.path().join("tmp"));
        assert!(left.is_empty(), "round {round}: leftovers: {left:?}");
        let damaged = folder.path().join("damaged");
        assert!(!damaged.exists(), "round {round}: {:?}", names(&damaged));
    }
    println!("{rounds} rounds, {acknowledged:?} commits acknowledged, {leftovers} leftovers swept");
    assert!(
        rounds < 100 || leftovers > 0,
        "no writer was killed while it was writing"
    );
}

#[tokio::test]
async fn two_processes_on_one_folder_lose_no_commit() {
    const COMMITS: i64 = 1_000;
    let mut random = random();
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let sessions = create_sessions(&store, 3).await;
    let mut children: Vec<Child> = (0..2)
        .map(|_| {
            let seed = random.u64(..1 << 60);
            writer(folder.path(), seed, &COMMITS.to_string(), &sessions)
        })
        .collect();
    // Meanwhile, this process sweeps: none of what it finds in `tmp` is a leftover.
    while children
        .iter_mut()
        .any(|child| child.try_wait().unwrap().is_none())
    {
        assert_eq!(store.sweep().await.unwrap(), 0);
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    let mut sum = 0;
    for session in &sessions {
        sum += integer(&store, session, "load.count").await;
    }
    assert_eq!(sum, 2 * COMMITS);
    assert!(names(&folder.path().join("tmp")).is_empty());
    assert!(!folder.path().join("damaged").exists());
}
