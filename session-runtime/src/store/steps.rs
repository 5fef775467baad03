//! A commit for stores that cannot change lists and a session in one step.
//!
//! Only the order of the steps is decided here. What each of them means is
//! [`Commit::apply`]'s business.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use super::{
    Action, Commit, Condition, FieldName, ListChange, ListEntry, Outcome, PrincipalKey,
    SessionStore, StoreError, StoreErrorKind,
};
use crate::clock::Timestamp;
use crate::token::{CommitId, SessionId};

/// A store whose lists and sessions change in separate steps, each of them atomic, and each safe
/// to send twice.
///
/// [`commit_in_steps`] makes a [`SessionStore::commit`] of them that keeps guarantee 9.
pub trait SteppedStore: SessionStore + Sized {
    /// Applies a commit to its session. The step changes no list; the session's header records
    /// what [`Commit::lists`] says.
    fn commit_session(
        &self,
        commit: &Commit,
    ) -> impl Future<Output = Result<SessionStep, StoreError>> + Send;

    /// Lists a session as [arriving](ListEntry::arriving), unless the principal has as many
    /// others as it may have. An entry of the same session is replaced.
    fn add_entry(
        &self,
        principal: &PrincipalKey,
        entry: &NewEntry,
    ) -> impl Future<Output = Result<AddStep, StoreError>> + Send;

    /// If the session is listed, under any mark, gives its entry this mark and marks it as arrived.
    /// Returns whether the session is listed.
    fn confirm_entry(
        &self,
        principal: &PrincipalKey,
        session: &SessionId,
        mark: &CommitId,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Removes a session from the list, whatever the mark.
    fn remove_entry(
        &self,
        principal: &PrincipalKey,
        session: &SessionId,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
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

/// The outcome of a [`SteppedStore::commit_session`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStep {
    /// The outcome.
    pub outcome: Outcome,
    /// Whether it was applied before, so that nothing changed.
    pub repeated: bool,
}

impl SessionStep {
    /// This outcome, now or before.
    #[must_use]
    pub fn new(outcome: Outcome, repeated: bool) -> Self {
        Self { outcome, repeated }
    }
}

/// The outcome of a [`SteppedStore::add_entry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
/// | 1. list the session under each principal that the commit adds, within the limits | an entry too many, which counts for the limit until [`list`](SessionStore::list) is looked through; the layer waits ten seconds for it to arrive |
/// | 2. apply the commit to the session | nothing is missing; the entries that step 4 removes are too many |
/// | 3. confirm that the session is still listed; if its entry was [removed as stale](SessionStore::remove_stale) meanwhile, remove the session and answer [`Outcome::Gone`] | a session that is not listed; its new token was never sent, so it cannot be used and ends by itself |
/// | 4. take the session off the lists of the principals that the commit removes | — |
///
/// So the lists have every session that can be used, and removing an entry that has not arrived
/// ends the sign-in that it belongs to. Where step 2 refuses, step 1 is undone.
///
/// # Errors
///
/// The errors of the store's steps. Once step 2 was applied, an error of step 3 becomes
/// [`StoreErrorKind::OutcomeUnknown`], and one of step 4 is only an entry too many.
pub async fn commit_in_steps<S: SteppedStore>(
    store: &S,
    commit: &Commit,
) -> Result<Outcome, StoreError> {
    let mut added = Vec::new();
    for change in &commit.lists {
        if let ListChange::Add {
            principal,
            keep,
            limit,
            ..
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
                    let earlier = outcome_before_limits(store, commit).await?;
                    return Ok(earlier.unwrap_or(reached));
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

    // A commit that was applied before may have been followed by a sign-in that listed the session
    // again.
    if !step.repeated {
        for change in &commit.lists {
            if let ListChange::Remove { principal, .. } = change {
                // The session has changed, so this cannot fail any more: the entry is one too many.
                let _ = store.remove_entry(principal, &commit.session).await;
            }
        }
    }
    Ok(step.outcome)
}

/// Whether the session is listed under all the principals that the commit adds. Says so there.
async fn all_listed<S: SteppedStore>(
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
async fn undo<S: SteppedStore>(
    store: &S,
    commit: &Commit,
    added: &[(PrincipalKey, AddStep)],
) -> Result<(), StoreError> {
    for (principal, step) in added {
        if *step == AddStep::Added {
            // By its mark: another commit may rely on the entry by now.
            let added = Timestamp::from_millis(0);
            let entry = ListEntry::new(commit.session, commit.id, added).arriving();
            store.remove_stale(principal, &entry).await?;
        } else {
            let confirm = store.confirm_entry(principal, &commit.session, &commit.id);
            confirm.await?;
        }
    }
    Ok(())
}

/// The outcome of a commit that the limits do not matter for: it was applied before, or its guard
/// or a condition does not hold. So no session is evicted for a commit that is refused anyway.
async fn outcome_before_limits<S: SteppedStore>(
    store: &S,
    commit: &Commit,
) -> Result<Option<Outcome>, StoreError> {
    // A destruction asks no conditions, so this would carry it out.
    if matches!(commit.action, Action::Destroy { .. }) {
        return Ok(None);
    }
    // The last condition never holds: no field has such a name.
    let never = FieldName::from("@never");
    let mut asked = commit.clone();
    asked.conditions.push(Condition::Field {
        name: never.clone(),
        value: Some(Bytes::new()),
    });
    let outcome = store.commit_session(&asked).await?.outcome;
    let field = Some(never);
    Ok((outcome != Outcome::Conflict { field }).then_some(outcome))
}

/// An error after the session has changed.
fn applied(error: StoreError) -> StoreError {
    StoreError::with_source(StoreErrorKind::OutcomeUnknown, error)
}
