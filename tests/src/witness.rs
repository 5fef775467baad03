//! A store that writes down everything it is told.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_runtime::store::StoreError;
use session_runtime::store::{
    Action, Change, Commit, Condition, Count, ListChange, ListEntry, Listing, Loaded, Outcome,
    PrincipalKey, Selection,
};
use session_runtime::{SessionId, SessionStore};

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
            Action::Create { verifier, link } => {
                self.hear(verifier.as_bytes());
                if let Some(link) = link {
                    self.hear(link.verifier.as_bytes());
                }
            }
            Action::Destroy { verifier } => self.hear(verifier.as_bytes()),
            Action::Update { verifier, rotation } => {
                self.hear(verifier.as_bytes());
                if let Some(rotation) = rotation {
                    self.hear(rotation.verifier.as_bytes());
                }
            }
            Action::Revoke => {}
            other => panic!("an action that the witness does not know: {other:?}"),
        }
        for condition in &commit.conditions {
            match condition {
                Condition::Field { name, value } => {
                    self.hear(name.as_bytes());
                    self.hear(value.as_deref().unwrap_or_default());
                }
                Condition::LastCommit(_) => {}
                Condition::Principal { field, principal } => {
                    write!(text, " {field} {principal}").expect("a string grows");
                }
                other => panic!("a condition that the witness does not know: {other:?}"),
            }
        }
        for change in &commit.changes {
            self.hear(change.name().as_bytes());
            match change {
                Change::Set { value, .. } => self.hear(value),
                Change::Merge { operand, .. } => self.hear(operand.to_string().as_bytes()),
                Change::Renew {
                    restore: Some(restore),
                    ..
                } => self.hear(&restore.value),
                _ => {}
            }
        }
        for change in &commit.lists {
            if let ListChange::Add {
                field, principal, ..
            }
            | ListChange::Remove { field, principal } = change
            {
                write!(text, " {field} {principal}").expect("a string grows");
            }
        }
        self.hear(text.as_bytes());
    }
}

impl SessionStore for Witness {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        self.hear(session.as_bytes());
        self.hear(format!("{session} {selection:?}").as_bytes());
        self.show(session, self.inner.load(session, selection))
            .await
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        self.hear_commit(commit);
        self.show(commit, self.inner.commit(commit)).await
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        self.hear(principal.to_string().as_bytes());
        self.show(principal, self.inner.list(principal)).await
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        self.hear(format!("{principal} {}", entry.session).as_bytes());
        self.show(entry, self.inner.remove_stale(principal, entry))
            .await
    }

    async fn len(&self) -> Result<Count, StoreError> {
        self.inner.len().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep().await
    }
}
