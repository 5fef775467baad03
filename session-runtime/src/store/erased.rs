//! [`SessionStore`] as a trait object.

use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;

use super::{
    Commit, Count, ListEntry, Listing, Loaded, Outcome, PrincipalKey, Selection, SessionStore,
    StoreError,
};
use crate::token::SessionId;

/// The calls of a [`SessionStore`] as a trait object makes them, with boxed futures.
///
/// Every store implements it by itself. It is what makes `Arc<dyn SessionStore>` a store.
pub trait ErasedStore {
    /// As [`SessionStore::load`].
    fn load_boxed<'a>(
        &'a self,
        session: &'a SessionId,
        selection: &'a Selection<'a>,
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>>;

    /// As [`SessionStore::commit`].
    fn commit_boxed<'a>(&'a self, commit: &'a Commit)
    -> BoxFuture<'a, Result<Outcome, StoreError>>;

    /// As [`SessionStore::list`].
    fn list_boxed<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<Listing, StoreError>>;

    /// As [`SessionStore::remove_stale`].
    fn remove_stale_boxed<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a ListEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// As [`SessionStore::len`].
    fn len_boxed(&self) -> BoxFuture<'_, Result<Count, StoreError>>;

    /// As [`SessionStore::sweep`].
    fn sweep_boxed(&self) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// As [`SessionStore::into_shared`].
    #[doc(hidden)]
    fn shared(self: Arc<Self>) -> Arc<dyn SessionStore>;
}

impl<S: SessionStore> ErasedStore for S {
    fn load_boxed<'a>(
        &'a self,
        session: &'a SessionId,
        selection: &'a Selection<'a>,
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>> {
        Box::pin(self.load(session, selection))
    }

    fn commit_boxed<'a>(
        &'a self,
        commit: &'a Commit,
    ) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        Box::pin(self.commit(commit))
    }

    fn list_boxed<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<Listing, StoreError>> {
        Box::pin(self.list(principal))
    }

    fn remove_stale_boxed<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a ListEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.remove_stale(principal, entry))
    }

    fn len_boxed(&self) -> BoxFuture<'_, Result<Count, StoreError>> {
        Box::pin(self.len())
    }

    fn sweep_boxed(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.sweep())
    }

    fn shared(self: Arc<Self>) -> Arc<dyn SessionStore> {
        self
    }
}

/// So that a program can choose its driver at run time and share it.
impl<S: SessionStore + ?Sized> SessionStore for Arc<S> {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        (**self).load_boxed(session, selection).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        (**self).commit_boxed(commit).await
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        (**self).list_boxed(principal).await
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        (**self).remove_stale_boxed(principal, entry).await
    }

    fn answers_within(&self) -> Option<Duration> {
        (**self).answers_within()
    }

    async fn len(&self) -> Result<Count, StoreError> {
        (**self).len_boxed().await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        (**self).sweep_boxed().await
    }

    fn into_shared(self) -> Arc<dyn SessionStore> {
        self.shared()
    }
}
