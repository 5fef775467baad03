//! One store that is used by several processes at once.
//!
//! The test has a [`Processes`], which passes each call on to one of its processes; a process calls
//! [`serve`]. All take the time from one [`ClockFile`].

mod wire;

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_runtime::store::{Clock, StoreError, Timestamp};
use session_runtime::store::{
    Commit, Count, ListEntry, Listing, Loaded, Outcome, PrincipalKey, Selected, Selection,
};
use session_runtime::{SessionId, SessionStore};
use tokio::sync::oneshot;

use self::wire::{Answer, Call, WireCommit};

/// A clock that all processes read from a file, and that stands still until one moves it.
#[derive(Debug, Clone)]
pub struct ClockFile(PathBuf);

impl ClockFile {
    /// The clock in this file.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Makes all processes see this moment.
    pub fn set(&self, now: Timestamp) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, now.to_string()).expect("a folder for the clock");
        std::fs::rename(&new, &self.0).expect("a folder for the clock");
    }

    /// Moves the clock forward, in whole milliseconds.
    pub fn advance(&self, time: Duration) {
        self.set(self.now() + time);
    }
}

impl Clock for ClockFile {
    fn now(&self) -> Timestamp {
        let text = std::fs::read_to_string(&self.0).expect("a clock that was set");
        Timestamp::from_millis(text.parse().expect("a number"))
    }
}

/// Answers the calls that come in, as they come, until there are no more.
pub async fn serve(store: impl SessionStore) {
    let store = Arc::new(store);
    for line in io::stdin().lines() {
        let (number, call) = from_line(&line.expect("calls are text"));
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let answer = answer(&*store, call).await;
            let mut output = io::stdout().lock();
            // Fails when the other side has closed the connection.
            let _ = output.write_all(to_line(number, &answer).as_bytes());
            let _ = output.flush();
        });
    }
}

async fn answer(store: &impl SessionStore, call: Call) -> Answer {
    let answer = match call {
        Call::Load {
            session,
            fields,
            prefixes,
        } => {
            let session: SessionId = session.parse().expect("a session's id");
            let fields = fields.iter().map(String::as_str);
            let fields: Vec<_> = fields.map(Selected::with_deadline).collect();
            let prefixes: Vec<_> = prefixes.iter().map(String::as_str).collect();
            let selection = Selection::fields(&fields).with_prefixes(&prefixes);
            let loaded = store.load(&session, &selection).await;
            loaded.map(|loaded| Answer::Loaded(loaded.map(|loaded| Box::new(loaded.into()))))
        }
        Call::Commit(commit) => {
            let outcome = store.commit(&commit.read()).await;
            outcome.map(|outcome| Answer::Committed(outcome.into()))
        }
    };
    answer.unwrap_or_else(|error| Answer::Failed(format!("{error:?}")))
}

fn to_line<T: serde::Serialize>(number: u64, message: &T) -> String {
    let json = serde_json::to_string(&(number, message)).expect("a message is JSON");
    json + "\n"
}

fn from_line<T: serde::de::DeserializeOwned>(line: &str) -> (u64, T) {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// A store in processes of their own, which take turns. It keeps sessions, and no lists.
#[derive(Debug)]
pub struct Processes {
    processes: Vec<Process>,
    calls: AtomicU64,
}

#[derive(Debug)]
struct Process {
    child: Mutex<Child>,
    input: Mutex<ChildStdin>,
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>>,
}

impl Processes {
    /// Starts so many processes of this program.
    pub fn start(program: &Path, arguments: &[&Path], count: usize) -> Self {
        let process = |_| Process::start(program, arguments);
        Self {
            processes: (0..count).map(process).collect(),
            calls: AtomicU64::new(0),
        }
    }

    async fn call(&self, call: Call) -> Answer {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let process = &self.processes[number as usize % self.processes.len()];
        let (sender, answer) = oneshot::channel();
        lock(&process.waiting).insert(number, sender);
        let line = to_line(number, &call);
        let sent = lock(&process.input).write_all(line.as_bytes());
        sent.expect("the process runs");
        match answer.await.expect("the process answers") {
            Answer::Failed(error) => panic!("the store failed: {error}"),
            answer => answer,
        }
    }
}

impl Process {
    fn start(program: &Path, arguments: &[&Path]) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        let waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Answer>>>> = Arc::default();
        let senders = Arc::clone(&waiting);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let (number, answer) = from_line(&line.expect("answers are text"));
                let sender = lock(&senders).remove(&number);
                if let Some(sender) = sender {
                    // Fails when the call was dropped.
                    let _ = sender.send(answer);
                }
            }
            // Calls that wait learn that the process has ended.
            lock(&senders).clear();
        });
        Self {
            child: Mutex::new(child),
            input: Mutex::new(input),
            waiting,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Both fail only when it has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl SessionStore for Processes {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        let fields = selection.fields.iter();
        let prefixes = selection.prefixes.iter();
        let call = Call::Load {
            session: session.to_string(),
            fields: fields.map(|field| field.name.to_owned()).collect(),
            prefixes: prefixes.map(|&prefix| prefix.to_owned()).collect(),
        };
        match self.call(call).await {
            Answer::Loaded(loaded) => Ok(loaded.map(|loaded| loaded.read())),
            other => panic!("{other:?} is no answer to a load"),
        }
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        let commit = Box::new(WireCommit::from(commit));
        match self.call(Call::Commit(commit)).await {
            Answer::Committed(outcome) => Ok(outcome.read()),
            other => panic!("{other:?} is no answer to a commit"),
        }
    }

    async fn list(&self, _: &PrincipalKey) -> Result<Listing, StoreError> {
        unimplemented_call()
    }

    async fn remove_stale(&self, _: &PrincipalKey, _: &ListEntry) -> Result<(), StoreError> {
        unimplemented_call()
    }

    async fn len(&self) -> Result<Count, StoreError> {
        unimplemented_call()
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        unimplemented_call()
    }
}

fn unimplemented_call<T>() -> T {
    panic!("only loads and commits are passed on")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
