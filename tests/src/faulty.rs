//! A store that fails when a test wants it to.

use std::sync::{Arc, Mutex, PoisonError};

use session_runtime::store::StoreError;
use session_runtime::store::{
    Commit, Count, ListEntry, Listing, Loaded, Outcome, PrincipalKey, Selection, StoreErrorKind,
};
use session_runtime::{SessionId, SessionStore};

use crate::gate::Gate;

/// Passes everything on to another store, unless it was told otherwise. Clones share the faults.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: Arc<S>,
    faults: Arc<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    load: Mutex<Fault>,
    commit: Mutex<Fault>,
}

/// The fault of a call.
#[derive(Debug, Clone, Default)]
pub enum Fault {
    /// The store behind answers.
    #[default]
    None,
    /// Nothing is done and this error is the answer.
    Fail(StoreErrorKind),
    /// Nothing is done and no answer ever comes.
    Hang,
    /// The store behind does what it was asked, and no answer ever comes.
    LoseTheAnswer,
    /// The call waits at this gate before the store behind answers.
    WaitBefore(Gate),
    /// The store behind does what it was asked; the answer waits at this gate.
    WaitAfter(Gate),
}

impl<S> Clone for FaultyStore<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            faults: self.faults.clone(),
        }
    }
}

impl<S> FaultyStore<S> {
    /// Passes everything on to this store, for now.
    pub fn new(inner: S) -> Self {
        Self {
            inner: Arc::new(inner),
            faults: Arc::default(),
        }
    }

    /// The store behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Sets the fault of loads from now on.
    pub fn on_load(&self, fault: Fault) {
        *self
            .faults
            .load
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Sets the fault of commits from now on.
    pub fn on_commit(&self, fault: Fault) {
        *self
            .faults
            .commit
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

impl Fault {
    fn now(fault: &Mutex<Self>) -> Self {
        fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn befall<T>(
        self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match self {
            Self::None => call.await,
            Self::Fail(kind) => Err(StoreError::new(kind)),
            Self::Hang => std::future::pending().await,
            Self::LoseTheAnswer => {
                call.await?;
                std::future::pending().await
            }
            Self::WaitBefore(gate) => {
                gate.pass().await;
                call.await
            }
            Self::WaitAfter(gate) => {
                let answer = call.await;
                gate.pass().await;
                answer
            }
        }
    }
}

impl<S: SessionStore> SessionStore for FaultyStore<S> {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        let fault = Fault::now(&self.faults.load);
        fault.befall(self.inner.load(session, selection)).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        let fault = Fault::now(&self.faults.commit);
        fault.befall(self.inner.commit(commit)).await
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        self.inner.list(principal).await
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        self.inner.remove_stale(principal, entry).await
    }

    async fn len(&self) -> Result<Count, StoreError> {
        self.inner.len().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep().await
    }
}
