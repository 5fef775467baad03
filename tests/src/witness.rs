//! A store that writes down everything it is told.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_core::future::BoxFuture;
use session_runtime::store::{
    Action, Change, Commit, Condition, Count, ListChange, ListEntry, Listing, Loaded, Outcome,
    PrincipalKey, Selected,
};
use session_runtime::{SessionId, SessionStore, StoreError};

/// Passes everything on to another store and keeps a copy, so that a test can search in all that the
/// store behind could ever have kept. Clones share the copy.
#[derive(Clone)]
pub struct Witness {
    inner: Arc<dyn SessionStore>,
    heard: Arc<Mutex<Vec<u8>>>,
    shown: Arc<Mutex<String>>,
}

impl Witness {
    /// Listens to what this store is told.
    pub fn new(inner: Arc<dyn SessionStore>) -> Self {
        Self {
            inner,
            heard: Arc::default(),
            shown: Arc::default(),
        }
    }

    /// Everything so far: ids and verifiers as bytes and as text, and names and values as they are.
    pub fn heard(&self) -> Vec<u8> {
        self.lock().clone()
    }

    /// Everything that was asked and answered so far, as `Debug` shows it.
    pub fn shown(&self) -> String {
        let shown = self.shown.lock();
        shown.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Passes a call on and keeps what `Debug` shows of it.
    async fn show<T: Debug>(&self, asked: &impl Debug, call: impl Future<Output = T>) -> T {
        let answer = call.await;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(shown, "{asked:?} {answer:?}").expect("a string grows");
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, bytes: &[u8]) {
        let mut heard = self.lock();
        heard.extend(bytes);
        heard.push(b'\n');
    }

    fn hear_commit(&self, commit: &Commit) {
        self.hear(commit.session.as_bytes());
        let mut text = format!("{} {} {:?}", commit.session, commit.id, commit.label);
        match &commit.action {
            Action::Create { verifier } | Action::Destroy { verifier } => {
                self.hear(verifier.as_bytes());
            }
            Action::Update { verifier, rotation } => {
                self.hear(verifier.as_bytes());
                if let Some(rotation) = rotation {
                    self.hear(rotation.verifier.as_bytes());
                }
            }
            Action::Revoke => {}
            other => panic!("an action that nobody listens to: {other:?}"),
        }
        for condition in &commit.conditions {
            if let Condition::Field { name, value } = condition {
                self.hear(name.as_bytes());
                self.hear(value.as_deref().unwrap_or_default());
            }
        }
        for change in &commit.changes {
            self.hear(change.name().as_bytes());
            match change {
                Change::Set { value, .. } => self.hear(value),
                Change::Merge { operand, .. } => self.hear(operand.to_string().as_bytes()),
                _ => {}
            }
        }
        for change in &commit.index {
            if let ListChange::Add { principal, .. } | ListChange::Remove { principal } = change {
                write!(text, " {principal}").expect("a string grows");
            }
        }
        self.hear(text.as_bytes());
    }
}

impl SessionStore for Witness {
    fn load<'a>(
        &'a self,
        session: &'a SessionId,
        fields: &'a [Selected<'a>],
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>> {
        self.hear(session.as_bytes());
        self.hear(format!("{session} {fields:?}").as_bytes());
        Box::pin(self.show(session, self.inner.load(session, fields)))
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        self.hear_commit(commit);
        Box::pin(self.show(commit, self.inner.commit(commit)))
    }

    fn index<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.hear(principal.to_string().as_bytes());
        Box::pin(self.show(principal, self.inner.index(principal)))
    }

    fn forget<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a ListEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.hear(format!("{principal} {}", entry.session).as_bytes());
        Box::pin(self.show(entry, self.inner.forget(principal, entry)))
    }

    fn len(&self) -> BoxFuture<'_, Result<Count, StoreError>> {
        self.inner.len()
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.sweep()
    }
}
