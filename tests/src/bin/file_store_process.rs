//! A process of its own that uses a `FileStore`, for tests with several of them.
//!
//! - `write FOLDER SEED COMMITS SESSION…` applies so many commits, or without end where COMMITS is
//!   `endless`: mostly additions of one to the `load.count` and `load.echo` of one of the sessions,
//!   and creations and destructions of others. After each acknowledged addition it prints the index
//!   of the session as one byte.
//! - `sign-in FOLDER SEED` signs sessions in under `7` and `8`, moves them, signs them out and ends
//!   them, without end. Before a session first exists it prints the id on a line.
//! - `once FOLDER SESSION` signs this session in under `7`, moves it to `8` and ends it.
//! - `compete FOLDER SIGN-INS LIMIT` signs so many sessions in under `7` at the same time, and prints
//!   how many were within the limit.
//! - `serve FOLDER CLOCK` answers the loads and commits of a test, by the clock in this file.
//! - `open FOLDER`, `load FOLDER SESSION`, `create FOLDER` do that once. A store error is printed as
//!   its kind, and the process ends with code 1.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use fastrand::Rng;
use session_runtime::store::{
    Action, Commit, Durability, ListChange, Outcome, PrincipalKey, StoreError,
};
use session_runtime::{FileStore, SessionId, SessionStore};
use tests::remote::{self, ClockFile};
use tests::sessions::{
    apply, commit, count, create, destroy, id, load, remove, set, sign_in, update,
};

/// How many commits are under way at the same time.
const TASKS: usize = 4;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{:?}", error.kind());
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[&str]) -> Result<(), StoreError> {
    match *arguments {
        ["write", folder, seed, commits, ref sessions @ ..] => {
            let store = Arc::new(FileStore::open(folder)?);
            let sessions: Vec<SessionId> = sessions.iter().map(|id| parse(id)).collect();
            let seed: u64 = seed.parse().expect("a seed");
            let commits = match commits {
                "endless" => usize::MAX,
                commits => commits.parse().expect("a number of commits"),
            };
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| {
                    let store = Arc::clone(&store);
                    let sessions = sessions.clone();
                    let random = Rng::with_seed(seed + task as u64);
                    tokio::spawn(write(store, random, commits / TASKS, sessions))
                })
                .collect();
            for task in tasks {
                task.await.expect("a writer");
            }
            Ok(())
        }
        ["sign-in", folder, seed] => {
            // Waiting for the disk between any two steps, so that each is likely to be the last.
            let durable = FileStore::builder().durability(Durability::PowerLoss);
            let store = Arc::new(durable.open(folder)?);
            let seed: u64 = seed.parse().expect("a seed");
            let tasks = (0..TASKS).map(|task| {
                let random = Rng::with_seed(seed + task as u64);
                tokio::spawn(sign_in_and_out(Arc::clone(&store), random))
            });
            for task in tasks.collect::<Vec<_>>() {
                task.await.expect("a task without end");
            }
            Ok(())
        }
        ["once", folder, session] => {
            let durable = FileStore::builder().durability(Durability::PowerLoss);
            let store = durable.open(folder)?;
            let session = parse(session);
            let off = |mut commit: Commit, owner: &str| {
                let (field, principal) =
                    ("owner".into(), PrincipalKey::new("owner", owner.as_bytes()));
                commit.lists.push(ListChange::Remove { field, principal });
                commit
            };
            apply(&store, &sign_in(session, "7", None)).await;
            let mut to_another = off(update(session, [set("owner", "8")]), "7");
            to_another.lists.extend(sign_in(session, "8", None).lists);
            apply(&store, &to_another).await;
            apply(&store, &off(destroy(session), "8")).await;
            Ok(())
        }
        ["compete", folder, sign_ins, limit] => {
            let store = Arc::new(FileStore::open(folder)?);
            let limit: u32 = limit.parse().expect("a limit");
            let sign_ins: usize = sign_ins.parse().expect("a number of sign-ins");
            let tasks = (0..sign_ins).map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { store.commit(&sign_in(id(), "7", Some(limit))).await })
            });
            let mut within = 0;
            for task in tasks.collect::<Vec<_>>() {
                match task.await.expect("a sign-in")? {
                    Outcome::Applied(_) => within += 1,
                    Outcome::LimitReached { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
            println!("{within}");
            Ok(())
        }
        ["serve", folder, clock] => {
            let store = FileStore::builder().clock(ClockFile::at(clock));
            remote::serve(store.open(folder)?).await;
            Ok(())
        }
        ["open", folder] => FileStore::open(folder).map(drop),
        ["load", folder, session] => {
            let store = FileStore::open(folder)?;
            load(&store, &parse(session), &[]).await.map(drop)
        }
        ["create", folder] => {
            let store = FileStore::open(folder)?;
            store.commit(&create(id(), [])).await.map(drop)
        }
        _ => panic!("unknown arguments: {arguments:?}"),
    }
}

async fn write(store: Arc<FileStore>, mut random: Rng, commits: usize, sessions: Vec<SessionId>) {
    let mut own = Vec::new();
    for _ in 0..commits {
        // Besides the additions, so that every way of writing meets every way of dying.
        match random.u8(..8) {
            0 => {
                let session = id();
                apply(&*store, &create(session, [set("load.own", "1")])).await;
                own.push(session);
            }
            1 => {
                if let Some(session) = own.pop() {
                    apply(&*store, &destroy(session)).await;
                }
            }
            2 => {
                let session = sessions[random.usize(..sessions.len())];
                apply(&*store, &update(session, [])).await;
            }
            _ => {}
        }
        let index = random.usize(..sessions.len());
        let value = vec![b'x'; random.usize(..20_000)];
        let changes = [
            count("load.count"),
            set("load.bulk", value),
            count("load.echo"),
        ];
        apply(&*store, &update(sessions[index], changes)).await;
        let acknowledged = [u8::try_from(index).expect("few sessions")];
        let mut output = io::stdout().lock();
        output.write_all(&acknowledged).expect("a reader");
        output.flush().expect("a reader");
    }
}

async fn sign_in_and_out(store: Arc<FileStore>, mut random: Rng) {
    const OWNERS: [&str; 2] = ["7", "8"];
    let mut own: Vec<(SessionId, &str)> = Vec::new();
    loop {
        let chosen = OWNERS[random.usize(..2)];
        let deed = random.u8(..8);
        if own.is_empty() || deed < 3 {
            let session = id();
            println!("{session}");
            apply(&*store, &sign_in(session, chosen, None)).await;
            own.push((session, chosen));
            continue;
        }
        let (session, owner) = own.swap_remove(random.usize(..own.len()));
        let off = |mut commit: Commit| {
            let principal = PrincipalKey::new("owner", owner.as_bytes());
            let field = "owner".into();
            commit.lists.push(ListChange::Remove { field, principal });
            commit
        };
        let commit = match deed {
            3..=5 => {
                let mut commit = off(update(session, [set("owner", chosen)]));
                commit.lists.extend(sign_in(session, chosen, None).lists);
                own.push((session, chosen));
                commit
            }
            6 => off(update(session, [remove("owner")])),
            _ => off(commit(session, Action::Revoke)),
        };
        // Gone, if the test has ended the session.
        store.commit(&commit).await.expect("a commit");
    }
}

fn parse(session: &str) -> SessionId {
    session.parse().expect("a session id")
}
