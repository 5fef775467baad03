//! Principals' lists of `FileStore` in several processes: killed in the middle of sign-ins, and all at once.

// Also outside the functions that clippy takes for tests.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use session_runtime::store::{Action, Condition, ListChange, Outcome, PrincipalKey};
use session_runtime::{FileStore, SessionId, SessionStore};
use tests::sessions::{commit, id, listed_under, load, random};

const OWNERS: [&str; 2] = ["7", "8"];

fn process(arguments: &[&str], folder: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_file_store_process"))
        .arg(arguments[0])
        .arg(folder)
        .args(&arguments[1..])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads ids until `enough` says so, kills the process and reads the rest.
fn kill_after(mut child: Child, enough: impl Fn(usize) -> bool, pause: Duration) -> Vec<SessionId> {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    let mut lines = 0;
    while !enough(lines) {
        assert_ne!(output.read_line(&mut text).unwrap(), 0, "the process ended");
        lines += 1;
    }
    let killed_at = Instant::now() + pause;
    while Instant::now() < killed_at {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    output.read_to_string(&mut text).unwrap();
    // The last line may have been cut short.
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Who is signed in, of these sessions.
async fn holders(
    store: &FileStore,
    sessions: &[SessionId],
) -> BTreeMap<&'static str, BTreeSet<SessionId>> {
    let mut holders = BTreeMap::new();
    for owner in OWNERS {
        holders.insert(owner, BTreeSet::new());
    }
    for session in sessions {
        let Some(loaded) = load(store, session, &["owner"]).await.unwrap() else {
            continue;
        };
        if let Some(field) = &loaded.fields[0] {
            let owner = OWNERS.into_iter().find(|owner| field.value == *owner);
            holders.get_mut(owner.unwrap()).unwrap().insert(*session);
        }
    }
    holders
}

#[tokio::test]
async fn killed_at_any_moment_who_is_signed_in_is_listed() {
    let rounds = match std::env::var("SESSION_CRASH_ROUNDS") {
        Ok(rounds) => rounds.parse().unwrap(),
        Err(_) => 60,
    };
    let mut random = random();
    let (mut signed_in, mut too_many, mut leftovers) = (0, 0, 0);
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let seed = random.u64(..1 << 60).to_string();
        let child = process(&["sign-in", &seed], folder.path());
        let enough = random.usize(1..20);
        let pause = Duration::from_micros(random.u64(..10_000));
        let sessions = kill_after(child, |lines| lines >= enough, pause);

        leftovers += names(&folder.path().join("tmp"));
        let store = FileStore::open(folder.path()).unwrap();
        for is_swept in [false, true] {
            for (owner, holders) in holders(&store, &sessions).await {
                let listed = listed_under(&store, owner).await;
                let missing: Vec<_> = holders.difference(&listed).collect();
                assert!(missing.is_empty(), "round {round}: {missing:?} are missing");
                if !is_swept {
                    signed_in += holders.len();
                    too_many += listed.difference(&holders).count();
                }
            }
            store.sweep().await.unwrap();
        }
        assert_eq!(names(&folder.path().join("tmp")), 0);
        assert!(!folder.path().join("damaged").exists(), "round {round}");
    }
    println!(
        "{rounds} rounds, {signed_in} signed in, {too_many} entries too many, {leftovers} leftovers"
    );
    assert!(rounds < 60 || signed_in > 0);
}

/// The files of one session, as a process that is about to be killed has left them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Files {
    record: bool,
    listed_under: [bool; 2],
}

/// In the order in which the process makes and removes them.
const STEPS: [Files; 6] = {
    const fn files(record: bool, seven: bool, eight: bool) -> Files {
        Files {
            record,
            listed_under: [seven, eight],
        }
    }
    [
        files(false, true, false),
        files(true, true, false),
        files(true, true, true),
        files(true, false, true),
        files(false, false, true),
        files(false, false, false),
    ]
};

/// The process is killed as soon as its files are as after one of the steps of a sign-in, a move to
/// another principal, and a logout.
#[tokio::test]
async fn killed_after_any_step_who_is_signed_in_is_listed() {
    let mut left = BTreeMap::new();
    for round in 0..5 {
        for step in STEPS {
            let folder = tempfile::tempdir().unwrap();
            let session = id();
            let name = hex(session.as_bytes());
            let record = folder.path().join(&name[..3]).join(&name);
            let entries = OWNERS.map(|owner| {
                let list = hex(PrincipalKey::new("owner", owner.as_bytes()).as_bytes());
                let index = folder.path().join("index");
                index.join(&list[..3]).join(list).join(&name)
            });
            let files = || Files {
                record: record.exists(),
                listed_under: entries.each_ref().map(|entry| entry.exists()),
            };
            let mut child = process(&["once", &session.to_string()], folder.path());
            let mut has_begun = false;
            loop {
                let now = files();
                has_begun |= now != STEPS[5];
                let is_there = now == step && (has_begun || step != STEPS[5]);
                if is_there || child.try_wait().unwrap().is_some() {
                    break;
                }
            }
            child.kill().unwrap();
            child.wait().unwrap();
            *left.entry(files()).or_insert(0) += 1;

            let store = FileStore::open(folder.path()).unwrap();
            for is_swept in [false, true] {
                for (owner, holders) in holders(&store, &[session]).await {
                    let listed = listed_under(&store, owner).await;
                    let missing: Vec<_> = holders.difference(&listed).collect();
                    assert!(
                        missing.is_empty(),
                        "round {round}: {step:?}: not under {owner}"
                    );
                    if is_swept {
                        assert_eq!(listed, holders, "round {round}: {step:?}: under {owner}");
                    }
                }
                store.sweep().await.unwrap();
            }
            assert_eq!(names(&folder.path().join("tmp")), 0);
            assert!(!folder.path().join("damaged").exists());
        }
    }
    println!("killed with these files: {left:#?}");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How many files there are.
fn names(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn of_two_hundred_sign_ins_in_two_processes_three_are_within_the_limit() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        let children: Vec<Child> = (0..2)
            .map(|_| process(&["compete", "100", "3"], folder.path()))
            .collect();
        let mut within = 0;
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            let text = String::from_utf8(output.stdout).unwrap();
            within += text.trim().parse::<usize>().unwrap();
        }
        assert_eq!(within, 3);
        assert_eq!(listed_under(&store, "7").await.len(), 3);
        assert_eq!(
            store.len().await.unwrap(),
            session_runtime::store::Count::Exact(3)
        );
    }
}

/// This process ends whatever it finds, and sweeps, while two others sign in.
#[tokio::test]
async fn revocations_and_sweeps_race_with_sign_ins_in_other_processes() {
    let mut random = random();
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let seed = random.u64(..1 << 60).to_string();
            let child = process(&["sign-in", &seed], folder.path());
            std::thread::spawn(move || {
                kill_after(child, |lines| lines >= 100, Duration::from_millis(1))
            })
        })
        .collect();
    let mut ended = 0;
    while readers.iter().any(|reader| !reader.is_finished()) {
        for owner in OWNERS {
            ended += end_all(&store, owner).await;
        }
        store.sweep().await.unwrap();
    }
    let mut sessions = Vec::new();
    for reader in readers {
        sessions.extend(reader.join().unwrap());
    }
    println!("{} sessions, {ended} ended", sessions.len());
    assert!(ended > 0);
    for (owner, holders) in holders(&store, &sessions).await {
        let listed = listed_under(&store, owner).await;
        let missing: Vec<_> = holders.difference(&listed).collect();
        assert!(missing.is_empty(), "{missing:?} are missing under {owner}");
        end_all(&store, owner).await;
    }
    let holders = holders(&store, &sessions).await;
    assert!(holders.values().all(BTreeSet::is_empty), "{holders:?}");
}

/// As the session layer does it: what is the owner's is ended, and what is stale is removed.
async fn end_all(store: &FileStore, owner: &'static str) -> usize {
    let principal = PrincipalKey::new("owner", owner.as_bytes());
    let mut ended = 0;
    for entry in store.list(&principal).await.unwrap().entries {
        let loaded = load(store, &entry.session, &["owner"]).await.unwrap();
        let holds = loaded.is_some_and(|loaded| {
            let field = loaded.fields[0].as_ref();
            field.is_some_and(|field| field.value == owner)
        });
        if !holds {
            store.remove_stale(&principal, &entry).await.unwrap();
            continue;
        }
        let mut revocation = commit(entry.session, Action::Revoke);
        revocation.conditions.push(Condition::Field {
            name: "owner".into(),
            value: Some(owner.into()),
        });
        let field = "owner".into();
        revocation
            .lists
            .push(ListChange::Remove { field, principal });
        let outcome = store.commit(&revocation).await.unwrap();
        ended += usize::from(matches!(outcome, Outcome::Applied(_)));
    }
    ended
}
