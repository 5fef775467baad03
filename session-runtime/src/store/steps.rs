//! A commit for stores that cannot change the index and a session in one step.

use std::time::Duration;

use futures_core::future::BoxFuture;

use super::{
    Action, Commit, Condition, FieldName, IndexChange, IndexEntry, Loaded, Outcome, PrincipalKey,
    Selected, SessionStore, StoreError, StoreErrorKind,
};
use crate::clock::Timestamp;
use crate::token::{CommitId, SessionId, Verifier};

/// A store whose index and sessions change in separate steps, each of them atomic, and each safe
/// to send twice.
///
/// [`commit_in_steps`] makes a [`SessionStore::commit`] of them that keeps guarantee 9.
pub trait SteppedStore: SessionStore {
    /// Applies a commit to its session. [`Commit::index`] is none of its business.
    fn commit_session<'a>(
        &'a self,
        commit: &'a Commit,
    ) -> BoxFuture<'a, Result<SessionStep, StoreError>>;

    /// Lists a session as [arriving](IndexEntry::arriving), unless the principal has as many
    /// others as it may have. An entry of the same session is replaced.
    fn add_entry<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a NewEntry,
    ) -> BoxFuture<'a, Result<AddStep, StoreError>>;

    /// Where the session is listed, whatever the mark: gives the entry this mark and says that it
    /// has arrived. Answers whether the session is listed.
    fn confirm_entry<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        session: &'a SessionId,
        mark: &'a CommitId,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Takes a session off the list, whatever the mark.
    fn remove_entry<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        session: &'a SessionId,
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// An entry that [`SteppedStore::add_entry`] is to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewEntry {
    /// The session.
    pub session: SessionId,
    /// The commit that lists it.
    pub mark: CommitId,
    /// How long the entry is kept; `None` for ever.
    pub keep: Option<Duration>,
    /// How many entries the principal may have, this one included.
    pub limit: Option<u32>,
}

/// What became of a [`SteppedStore::commit_session`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStep {
    /// The outcome.
    pub outcome: Outcome,
    /// Whether it was applied before, so that nothing changed.
    pub repeated: bool,
}

/// What became of a [`SteppedStore::add_entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddStep {
    /// The session is listed, and was not before.
    Added,
    /// The session was listed already, and has a new mark.
    Replaced,
    /// The limit is reached. Nothing changed.
    LimitReached,
}

/// Does what a commit says in steps that can be cut off anywhere.
///
/// | step | a crash after it leaves |
/// |---|---|
/// | 1. list the session under each principal that the commit adds, within the limits | an entry too many, which counts for the limit until [`index`](SessionStore::index) is looked through; the layer waits ten seconds for it to arrive |
/// | 2. apply the commit to the session | what should be there, and the entries of step 4 too many |
/// | 3. confirm that the session is still listed; if somebody has [forgotten](SessionStore::forget) it meanwhile, remove it and answer [`Outcome::Gone`] | a forgotten session whose new token nobody was told, so that nobody can use it: it ends by itself |
/// | 4. take the session off the lists of the principals that the commit removes | — |
///
/// So the index lists every session that can be used, and whoever forgets an entry that has not
/// arrived ends the sign-in that it belongs to. Where step 2 refuses, step 1 is undone.
///
/// # Errors
///
/// What the store's steps answer. Once step 2 was applied, an error of step 3 becomes
/// [`StoreErrorKind::OutcomeUnknown`], and one of step 4 is only an entry too many.
pub async fn commit_in_steps<S: SteppedStore + ?Sized>(
    store: &S,
    commit: &Commit,
) -> Result<Outcome, StoreError> {
    let mut added = Vec::new();
    for change in &commit.index {
        if let IndexChange::Add {
            principal,
            keep,
            limit,
        } = change
        {
            let entry = NewEntry {
                session: commit.session,
                mark: commit.id,
                keep: *keep,
                limit: *limit,
            };
            match store.add_entry(principal, &entry).await? {
                AddStep::LimitReached => {
                    undo(store, commit, &added).await?;
                    let reached = Outcome::LimitReached {
                        principal: *principal,
                    };
                    return Ok(refused_anyway(store, commit).await?.unwrap_or(reached));
                }
                step => added.push((*principal, step)),
            }
        }
    }

    let step = store.commit_session(commit).await?;
    if !matches!(step.outcome, Outcome::Applied(_)) {
        undo(store, commit, &added).await?;
        return Ok(step.outcome);
    }

    if !all_listed(store, commit, &added).await? && !step.repeated {
        let mark = CommitId::generate().map_err(|error| {
            StoreError::with_source(StoreErrorKind::OutcomeUnknown, Box::new(error))
        })?;
        let revocation = Commit::new(commit.session, mark, Action::Revoke);
        store.commit_session(&revocation).await.map_err(applied)?;
        return Ok(Outcome::Gone);
    }

    // What was applied before may have been followed by a sign-in that listed the session again.
    if !step.repeated {
        for change in &commit.index {
            if let IndexChange::Remove { principal } = change {
                // The session has changed, so this cannot fail any more: the entry is one too many.
                let _ = store.remove_entry(principal, &commit.session).await;
            }
        }
    }
    Ok(step.outcome)
}

/// Whether the session is listed under all the principals that the commit adds. Says so there.
async fn all_listed<S: SteppedStore + ?Sized>(
    store: &S,
    commit: &Commit,
    added: &[(PrincipalKey, AddStep)],
) -> Result<bool, StoreError> {
    let mut listed = true;
    for (principal, _) in added {
        let confirm = store.confirm_entry(principal, &commit.session, &commit.id);
        listed &= confirm.await.map_err(applied)?;
    }
    Ok(listed)
}

/// Leaves the lists as they were before a commit that was refused.
async fn undo<S: SteppedStore + ?Sized>(
    store: &S,
    commit: &Commit,
    added: &[(PrincipalKey, AddStep)],
) -> Result<(), StoreError> {
    for (principal, step) in added {
        if *step == AddStep::Added {
            // By its mark: another commit may rely on the entry by now.
            let added = Timestamp::from_millis(0);
            let entry = IndexEntry::new(commit.session, commit.id, added).arriving();
            store.forget(principal, &entry).await?;
        } else {
            let confirm = store.confirm_entry(principal, &commit.session, &commit.id);
            confirm.await?;
        }
    }
    Ok(())
}

/// The outcome of a commit whose guard or conditions do not hold. It comes before the limit, so
/// that no session is evicted for a commit that is refused anyway.
async fn refused_anyway<S: SteppedStore + ?Sized>(
    store: &S,
    commit: &Commit,
) -> Result<Option<Outcome>, StoreError> {
    let conditions = commit
        .conditions
        .iter()
        .filter_map(|condition| match condition {
            Condition::Field { name, .. } => Some(name),
            Condition::LastCommit(_) => None,
        });
    let deadline = false;
    let selected: Vec<_> = conditions.map(|name| Selected { name, deadline }).collect();
    let loaded = store.load(&commit.session, &selected).await?;
    let loaded = match (&commit.action, loaded) {
        (Action::Create { .. }, None) => return Ok(None),
        (Action::Update { verifier, rotation }, Some(loaded))
            if admits(&loaded, verifier, rotation.is_some()) =>
        {
            loaded
        }
        (Action::Destroy { verifier }, Some(loaded)) if admits(&loaded, verifier, false) => {
            return Ok(None);
        }
        (Action::Revoke, Some(loaded)) => loaded,
        _ => return Ok(Some(Outcome::Gone)),
    };
    let mut found = loaded.fields.into_iter();
    let conflict = commit
        .conditions
        .iter()
        .find_map(|condition| match condition {
            Condition::Field { name, value } => {
                let present = found.next().flatten().map(|field| field.value);
                (present != *value).then(|| Some(name.clone()))
            }
            Condition::LastCommit(id) => (loaded.header.last_commit != *id).then_some(None),
        });
    Ok(conflict.map(|field: Option<FieldName>| Outcome::Conflict { field }))
}

fn admits(loaded: &Loaded, verifier: &Verifier, rotates: bool) -> bool {
    let is_previous = loaded.header.previous.as_ref() == Some(verifier);
    loaded.header.verifier == *verifier || (is_previous && !rotates)
}

/// An error after the session has changed.
fn applied(error: StoreError) -> StoreError {
    StoreError::with_source(StoreErrorKind::OutcomeUnknown, error)
}
