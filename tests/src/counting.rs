//! A store that counts what is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use session_runtime::store::StoreError;
use session_runtime::store::{
    Commit, Count, ListEntry, Listing, Loaded, Outcome, PrincipalKey, Selection,
};
use session_runtime::{SessionId, SessionStore};

/// Passes everything on to another store and counts the calls. Clones share the counters.
#[derive(Debug)]
pub struct CountingStore<S> {
    inner: Arc<S>,
    calls: Arc<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    loads: AtomicUsize,
    commits: AtomicUsize,
    others: AtomicUsize,
}

impl<S> Clone for CountingStore<S> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            calls: self.calls.clone(),
        }
    }
}

impl<S> CountingStore<S> {
    /// Counts the calls of this store.
    pub fn new(inner: S) -> Self {
        Self {
            inner: Arc::new(inner),
            calls: Arc::default(),
        }
    }

    /// The store behind the counters.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Loads and commits since the last call.
    pub fn take_counts(&self) -> (usize, usize) {
        (
            self.calls.loads.swap(0, Ordering::SeqCst),
            self.calls.commits.swap(0, Ordering::SeqCst),
        )
    }
}

impl<S> CountingStore<S> {
    /// Calls about lists since the last call of this function.
    pub fn take_list_count(&self) -> usize {
        self.calls.others.swap(0, Ordering::SeqCst)
    }
}

impl<S: SessionStore> CountingStore<S> {
    /// How many sessions live in the store.
    pub async fn sessions(&self) -> u64 {
        match self.inner.len().await {
            Ok(Count::Exact(count) | Count::Estimated(count)) => count,
            other => panic!("the store cannot count: {other:?}"),
        }
    }
}

impl<S: SessionStore> SessionStore for CountingStore<S> {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        self.calls.loads.fetch_add(1, Ordering::SeqCst);
        self.inner.load(session, selection).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        self.calls.commits.fetch_add(1, Ordering::SeqCst);
        self.inner.commit(commit).await
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        self.calls.others.fetch_add(1, Ordering::SeqCst);
        self.inner.list(principal).await
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        self.calls.others.fetch_add(1, Ordering::SeqCst);
        self.inner.remove_stale(principal, entry).await
    }

    async fn len(&self) -> Result<Count, StoreError> {
        self.inner.len().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.inner.sweep().await
    }
}
