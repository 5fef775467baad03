//! Runs a program on a store and writes down what was asked and answered, and when.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::CONTRACT;
use super::program::{NAMES, PREFIX, Program, Step, principals, sessions};
use crate::clock::Timestamp;
use crate::store::{
    Commit, Condition, ListChange, Loaded, Outcome, PrincipalKey, Selected, Selection,
    SessionStore, StoreError,
};
use crate::test_kit::Harness;
use crate::token::SessionId;

/// The calls and answers of one run, in the program's own names.
#[derive(Debug)]
pub(super) struct History {
    pub(super) commits: Vec<Commit>,
    /// In the order in which they began.
    pub(super) calls: Vec<Call>,
    /// The store's time before the first call.
    pub(super) start: Timestamp,
    /// Whether time stands still but for what the program says.
    pub(super) is_exact: bool,
    /// Whether a call may have taken its time before it took effect.
    pub(super) takes_time_early: bool,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) task: usize,
    /// Position among all beginnings and answers.
    pub(super) began: u64,
    /// As `began`; `None` where the answer was not awaited.
    pub(super) answered: Option<u64>,
    pub(super) answer: Answer,
}

#[derive(Debug)]
pub(super) enum Answer {
    Committed(usize, Option<Outcome>),
    Loaded(SessionId, Option<Loaded>),
    Listed(PrincipalKey, Vec<SessionId>),
    Passed(Duration),
}

impl History {
    /// How many calls began while another one was not answered.
    pub(super) fn overlapping(&self) -> usize {
        let overlaps = |call: &&Call| {
            let others = self.calls.iter().filter(|other| other.began < call.began);
            let mut answers = others.filter_map(|other| other.answered);
            answers.any(|answered| answered > call.began)
        };
        self.calls.iter().filter(overlaps).count()
    }
}

/// One run of one program.
pub(super) struct Run {
    store: Arc<dyn SessionStore>,
    harness: Arc<dyn Harness>,
    program: Program,
    /// The program's commits as the store gets them.
    commits: Vec<Commit>,
    names: Names,
    events: AtomicU64,
    calls: Mutex<Vec<Call>>,
}

/// The names of a program's sessions and principals during one run.
struct Names {
    sessions: Vec<(SessionId, SessionId)>,
    principals: Vec<(PrincipalKey, PrincipalKey)>,
}

impl Names {
    fn new() -> Self {
        let fresh = || SessionId::generate().expect("the system has random bytes");
        let key = |_| PrincipalKey::new("principal", fresh().as_bytes());
        Self {
            sessions: sessions().map(|session| (session, fresh())).collect(),
            principals: principals().map(|one| (one, key(one))).collect(),
        }
    }

    fn of_session(&self, session: SessionId) -> SessionId {
        let mut names = self.sessions.iter();
        let found = names.find(|(own, _)| *own == session);
        found.map_or(session, |(_, name)| *name)
    }

    fn of_principal(&self, principal: PrincipalKey) -> PrincipalKey {
        let mut names = self.principals.iter();
        let found = names.find(|(own, _)| *own == principal);
        found.map_or(principal, |(_, name)| *name)
    }

    fn session_called(&self, name: SessionId) -> SessionId {
        let mut names = self.sessions.iter();
        let found = names.find(|(_, called)| *called == name);
        found.map_or(name, |(own, _)| *own)
    }

    fn principal_called(&self, name: PrincipalKey) -> PrincipalKey {
        let mut names = self.principals.iter();
        let found = names.find(|(_, called)| *called == name);
        found.map_or(name, |(own, _)| *own)
    }

    fn put_into(&self, commit: &Commit) -> Commit {
        let mut commit = commit.clone();
        commit.session = self.of_session(commit.session);
        for change in &mut commit.lists {
            let (ListChange::Add { principal, .. } | ListChange::Remove { principal, .. }) = change;
            *principal = self.of_principal(*principal);
        }
        for condition in &mut commit.conditions {
            if let Condition::Principal { principal, .. } = condition {
                *principal = self.of_principal(*principal);
            }
        }
        commit
    }
}

impl Run {
    pub(super) fn new(
        store: Arc<dyn SessionStore>,
        harness: Arc<dyn Harness>,
        program: &Program,
    ) -> Self {
        let names = Names::new();
        let commits = program.commits.iter();
        Self {
            commits: commits.map(|commit| names.put_into(commit)).collect(),
            store,
            harness,
            program: program.clone(),
            names,
            events: AtomicU64::new(0),
            calls: Mutex::default(),
        }
    }

    /// Takes the steps of one task; number 0 is the prologue.
    pub(super) async fn task(&self, number: usize) {
        let steps = match number.checked_sub(1) {
            None => &self.program.prologue,
            Some(task) => &self.program.tasks[task],
        };
        for step in steps {
            self.take(number, *step).await;
            // A store in memory answers at once; without a pause one task would be done before
            // the next one starts.
            tokio::task::yield_now().await;
        }
    }

    /// Looks at everything once more, and hands over what happened.
    pub(super) async fn finish(&self, start: Timestamp, is_exact: bool) -> History {
        for session in sessions() {
            self.take(0, Step::Load(session)).await;
        }
        if self.harness.are_lists_atomic() {
            for principal in principals() {
                self.take(0, Step::List(principal)).await;
            }
        }
        let mut calls = std::mem::take(&mut *self.calls());
        calls.sort_by_key(|call| call.began);
        History {
            commits: self.program.commits.clone(),
            calls,
            start,
            is_exact,
            takes_time_early: !self.harness.are_lists_atomic(),
        }
    }

    async fn take(&self, task: usize, step: Step) {
        let began = self.event();
        let answer = match step {
            Step::Send(commit) => {
                let outcome = self.store.commit(&self.commits[commit]).await;
                Answer::Committed(commit, Some(self.own_outcome(expect(outcome))))
            }
            Step::Abandon(commit) => {
                let mut future = pin!(self.store.commit(&self.commits[commit]));
                poll_fn(|context| {
                    let _ = future.as_mut().poll(context);
                    Poll::Ready(())
                })
                .await;
                Answer::Committed(commit, None)
            }
            Step::Load(session) => {
                let name = self.names.of_session(session);
                let selected = NAMES.map(Selected::with_deadline);
                let selection = Selection::fields(&selected).with_prefixes(&[PREFIX]);
                let loaded = expect(self.store.load(&name, &selection).await);
                Answer::Loaded(session, loaded.map(|loaded| self.own_loaded(loaded)))
            }
            Step::List(principal) => {
                let name = self.names.of_principal(principal);
                let listed = expect(self.store.list(&name).await).entries;
                let sessions = listed.iter().map(|entry| entry.session);
                let own = sessions.map(|name| self.names.session_called(name));
                Answer::Listed(principal, own.collect())
            }
            Step::Pass(time) => {
                self.harness.pass(time).await;
                Answer::Passed(time)
            }
        };
        let was_abandoned = matches!(answer, Answer::Committed(_, None));
        let answered = (!was_abandoned).then(|| self.event());
        self.calls().push(Call {
            task,
            began,
            answered,
            answer,
        });
    }

    fn own_outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::LimitReached { principal } => Outcome::LimitReached {
                principal: self.names.principal_called(principal),
            },
            other => other,
        }
    }

    fn own_loaded(&self, mut loaded: Loaded) -> Loaded {
        for principal in &mut loaded.header.principals {
            principal.key = self.names.principal_called(principal.key);
        }
        loaded
    }

    fn event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::SeqCst)
    }

    fn calls(&self) -> std::sync::MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn expect<T>(answer: Result<T, StoreError>) -> T {
    match answer {
        Ok(answer) => answer,
        Err(error) => CONTRACT.broken(format_args!(
            "the store failed instead of answering: {error:?}"
        )),
    }
}
