//! A store that counts what is asked of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_core::future::BoxFuture;
use session_runtime::store::{
    Commit, Count, ListEntry, Listing, Loaded, Outcome, PrincipalKey, Selected,
};
use session_runtime::{SessionId, SessionStore, StoreError};

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

    /// Loads and commits since the last time that somebody asked.
    pub fn take_counts(&self) -> (usize, usize) {
        (
            self.calls.loads.swap(0, Ordering::SeqCst),
            self.calls.commits.swap(0, Ordering::SeqCst),
        )
    }
}

impl<S> CountingStore<S> {
    /// Calls of the index since the last time that somebody asked.
    pub fn take_index_count(&self) -> usize {
        self.calls.others.swap(0, Ordering::SeqCst)
    }
}

impl<S: SessionStore> CountingStore<S> {
    /// How many sessions live in the store.
    pub async fn sessions(&self) -> u64 {
        match self.inner.len().await {
            Ok(Count::Exact(count) | Count::Estimated(count)) => count,
            Err(error) => panic!("the store cannot count: {error}"),
        }
    }
}

impl<S: SessionStore> SessionStore for CountingStore<S> {
    fn load<'a>(
        &'a self,
        session: &'a SessionId,
        fields: &'a [Selected<'a>],
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>> {
        self.calls.loads.fetch_add(1, Ordering::SeqCst);
        self.inner.load(session, fields)
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        self.calls.commits.fetch_add(1, Ordering::SeqCst);
        self.inner.commit(commit)
    }

    fn index<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        self.calls.others.fetch_add(1, Ordering::SeqCst);
        self.inner.index(principal)
    }

    fn forget<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a ListEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.calls.others.fetch_add(1, Ordering::SeqCst);
        self.inner.forget(principal, entry)
    }

    fn len(&self) -> BoxFuture<'_, Result<Count, StoreError>> {
        self.inner.len()
    }

    fn sweep(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.sweep()
    }
}
