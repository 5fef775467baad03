//! A store whose connection is cut at a call that a test chooses.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_runtime::store::StoreError;
use session_runtime::store::{
    Commit, Count, ListEntry, Listing, Loaded, Outcome, PrincipalKey, Selection, StoreErrorKind,
};
use session_runtime::{SessionId, SessionStore};

/// Passes everything on to another store until it is cut. Clones share the connection.
#[derive(Debug, Clone)]
pub struct CuttingStore<S> {
    inner: S,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    cut: Option<(usize, Cut)>,
    was_cut: bool,
    sessions: BTreeSet<SessionId>,
}

/// The outcome of the call at which the connection is cut. All later ones fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It is not sent, and fails.
    Fail,
    /// It is not sent, and no answer ever comes.
    Hang,
    /// It is done, and no answer ever comes.
    LoseTheAnswer,
}

impl<S> CuttingStore<S> {
    /// Passes everything on to this store, for now.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            state: Arc::default(),
        }
    }

    /// The store behind, whose connection is never cut.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Every session that a commit has named.
    pub fn sessions(&self) -> BTreeSet<SessionId> {
        self.state().sessions.clone()
    }

    /// Cuts the connection at a call: the first one is number 0.
    pub fn cut_at(&self, call: usize, cut: Cut) {
        self.state().cut = Some((call, cut));
    }

    /// Connects again. Answers whether the connection was cut.
    pub fn connect(&self) -> bool {
        let mut state = self.state();
        state.cut = None;
        std::mem::take(&mut state.was_cut)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The outcome planned for the next call.
    fn next(&self) -> Option<Cut> {
        let mut state = self.state();
        let (left, cut) = state.cut.as_mut()?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let cut = std::mem::replace(cut, Cut::Fail);
        state.was_cut = true;
        Some(cut)
    }

    async fn pass<T>(
        &self,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match self.next() {
            None => call.await,
            Some(Cut::Fail) => Err(StoreError::new(StoreErrorKind::Unavailable)),
            Some(Cut::Hang) => std::future::pending().await,
            Some(Cut::LoseTheAnswer) => {
                let _ = call.await;
                std::future::pending().await
            }
        }
    }
}

impl<S: SessionStore> SessionStore for CuttingStore<S> {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        self.pass(self.inner.load(session, selection)).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        self.state().sessions.insert(commit.session);
        self.pass(self.inner.commit(commit)).await
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        self.pass(self.inner.list(principal)).await
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        self.pass(self.inner.remove_stale(principal, entry)).await
    }

    async fn len(&self) -> Result<Count, StoreError> {
        self.inner.len().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep().await
    }
}
