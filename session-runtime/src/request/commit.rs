//! Carries a request's commits out, and brings the request up to date with their outcome.

use std::time::{Duration, Instant};

use super::RequestSession;
use super::plan::{Moment, Plan};
use super::state::{CookieChange, Live, State, Visitor};
use super::stored::Found;
use crate::clock::Timestamp;
use crate::config::{Limit, Shared, WhenFull};
use crate::error::SessionError;
use crate::events::{self, Reason};
use crate::principals::Owner;
use crate::store::{
    Action, Applied, Change, Commit, ListChange, Outcome, Principal, PrincipalKey, StoreErrorKind,
};
use crate::token::CommitId;

impl RequestSession {
    /// Commits everything that waits, now.
    pub(crate) async fn save(&self) -> Result<(), SessionError> {
        self.save_at(Moment::Asked).await
    }

    pub(super) async fn save_at(&self, moment: Moment) -> Result<(), SessionError> {
        // Planning takes the waiting changes out, so that a failed commit is not tried again.
        let (destroyed, plan) = {
            let mut state = self.state();
            state.is_closed |= moment == Moment::Response;
            if state.was_abandoned {
                return Ok(());
            }
            let plan = state.plan(self.shared(), moment);
            (std::mem::take(&mut state.destroyed), plan)
        };
        for live in destroyed {
            // Boxed like all that is rare: the future of every request would be as large as this one.
            Box::pin(self.remove_session(&live)).await?;
        }
        if let Some(plan) = plan.inspect_err(events::refused)? {
            self.carry_out(plan).await?;
        }
        Ok(())
    }

    /// Commits a plan and brings the request up to date with the outcome. The failure of a plan
    /// that is only upkeep is reported and is no error, because no handler asked for it.
    pub(super) async fn carry_out(&self, plan: Plan) -> Result<Applied, SessionError> {
        let (session, is_upkeep) = (plan.commit.session, plan.is_upkeep);
        let applied = self.apply(plan).await;
        if applied.is_err() {
            self.state().revert();
        }
        match applied {
            Err(error) if is_upkeep => {
                self.report_upkeep(session, &error);
                Ok(Applied::default())
            }
            applied => applied,
        }
    }

    /// Commits a plan. Where the store refuses a rotation that only age asked for, or a limit, it
    /// tries again without the one, or after making room for the other.
    async fn apply(&self, mut plan: Plan) -> Result<Applied, SessionError> {
        let start = Instant::now();
        let deadline = match plan.is_upkeep {
            true => self.shared().config.upkeep_deadline(),
            false => self.shared().config.store_deadline,
        };
        loop {
            let remaining = deadline.saturating_sub(start.elapsed());
            let remaining = match plan.rotates_by_age || plan.is_upkeep {
                true => remaining,
                false => deadline,
            };
            let outcome = match self.commit_within(remaining, &plan.commit).await {
                Ok(outcome) => outcome,
                // Sent again with the same id, the commit is applied once and answers its outcome.
                Err(error) if plan.rotates_by_age && is_unknown(&error) => {
                    if start.elapsed() < deadline {
                        continue;
                    }
                    let session = plan.commit.session;
                    events::rotation_unknown(session);
                    self.shared().upkeep.remember_unknown_rotation(session);
                    return Err(error);
                }
                Err(error) => return Err(error),
            };
            match outcome {
                Outcome::Applied(applied) => {
                    if plan.rotates_by_age {
                        let upkeep = &self.shared().upkeep;
                        upkeep.settle_rotation(&plan.commit.session);
                    }
                    self.state().settle(plan, &applied, self.shared());
                    return Ok(applied);
                }
                // Another request of the same visitor was due for a new token as well.
                Outcome::Gone | Outcome::Conflict { field: None } if plan.rotates_by_age => {
                    if let Some(live) = self.state().live_mut() {
                        live.is_current = false;
                    }
                    plan = plan.without_rotation();
                    plan.commit.id = CommitId::generate()?;
                }
                Outcome::LimitReached { principal } => {
                    Box::pin(self.make_room(&plan.commit, principal)).await?;
                    // Nothing was applied, so this is another commit, with marks of its own.
                    plan.commit.id = CommitId::generate()?;
                }
                refused => return Err(into_error(&plan.commit, refused)),
            }
        }
    }

    pub(super) async fn commit(&self, commit: &Commit) -> Result<Outcome, SessionError> {
        let deadline = self.shared().config.store_deadline;
        self.commit_within(deadline, commit).await
    }

    pub(super) async fn commit_within(
        &self,
        deadline: Duration,
        commit: &Commit,
    ) -> Result<Outcome, SessionError> {
        let call = self.shared().store.commit_boxed(commit);
        let on_timeout = StoreErrorKind::OutcomeUnknown;
        self.shared().within(deadline, on_timeout, call).await
    }

    /// Removes a session that a handler destroyed. A session that has ended already is no failure.
    /// One that lives on because another request replaced its token is.
    async fn remove_session(&self, live: &Live) -> Result<(), SessionError> {
        let session = live.token.id();
        let verifier = live.verifier;
        let mut commit = Commit::new(session, CommitId::generate()?, Action::Destroy { verifier });
        commit.lists = removals(&live.principals);
        match self.commit(&commit).await? {
            Outcome::Applied(_) => events::destroyed(session, Reason::Asked),
            _ => {
                events::gone(session);
                return match self.load(&session, &[]).await? {
                    Some(_) => Err(SessionError::Gone),
                    // Another request ended it, and its answer says so.
                    None => Ok(()),
                };
            }
        }
        let mut state = self.state();
        // A later session of the same request may have its cookie already.
        if state.live().is_none() {
            state.cookie = Some(CookieChange::Remove);
        }
        Ok(())
    }

    /// Makes room for a session that the limit refused, or fails where that is the policy. The
    /// caller tries the commit again.
    ///
    /// Entries whose session has ended are removed first: a list may have more than the live
    /// sessions.
    pub(super) async fn make_room(
        &self,
        commit: &Commit,
        principal: PrincipalKey,
    ) -> Result<(), SessionError> {
        let reached = || into_error(commit, Outcome::LimitReached { principal });
        let shared = self.shared();
        let exceeded = shared.config.limits.iter().find_map(|limit| {
            let is_value = |change: &&Change| sets_principal(change, limit, &principal);
            match commit.changes.iter().find(is_value)? {
                Change::Set { value, .. } => Some((limit, value.clone())),
                _ => None,
            }
        });
        let (limit, value) = exceeded.ok_or_else(reached)?;

        let owner = Owner::new(shared, limit.spec, value);
        let others = owner.others(&commit.session).await?;
        if others.count < limit.max as usize {
            return Ok(());
        }
        match limit.when_full {
            WhenFull::EvictOldest => others.evict().await,
            WhenFull::Reject => Err(reached()),
        }
    }
}

fn sets_principal(change: &Change, limit: &Limit, principal: &PrincipalKey) -> bool {
    match change {
        Change::Set { name, value, .. } => {
            name == limit.spec.name && PrincipalKey::new(name, value) == *principal
        }
        _ => false,
    }
}

/// Takes a session off the lists of these principals.
pub(super) fn removals(principals: &[Principal]) -> Vec<ListChange> {
    let removal = |listed: &Principal| ListChange::Remove {
        field: listed.field.clone(),
        principal: listed.key,
    };
    principals.iter().map(removal).collect()
}

fn is_unknown(error: &SessionError) -> bool {
    matches!(error, SessionError::Store(error) if error.kind() == StoreErrorKind::OutcomeUnknown)
}

/// The error for a commit that the store did not apply.
pub(super) fn into_error(commit: &Commit, outcome: Outcome) -> SessionError {
    let session = commit.session;
    match outcome {
        Outcome::Conflict { field } => {
            events::conflict(session, field.as_deref());
            SessionError::Conflict { field }
        }
        Outcome::OutOfRange { field } => SessionError::OutOfRange { field },
        Outcome::LimitReached { .. } => {
            events::limit_reached(session);
            SessionError::LimitReached
        }
        Outcome::TooMany { prefix } => SessionError::TooMany { field: prefix },
        Outcome::Gone | Outcome::IdTaken | Outcome::Applied(_) => {
            events::gone(session);
            SessionError::Gone
        }
    }
}

impl State {
    /// Brings the bookkeeping up to date with a commit that was applied.
    pub(super) fn settle(&mut self, plan: Plan, applied: &Applied, shared: &Shared) {
        let Plan {
            commit,
            token,
            wants,
            ..
        } = plan;
        match (&commit.action, token) {
            (Action::Create { verifier, .. }, Some(token)) => {
                events::created(token.id());
                let live = Live::created(token, *verifier);
                self.visitor = Visitor::Known(Box::new(live));
            }
            (
                Action::Update {
                    rotation: Some(rotation),
                    ..
                },
                Some(token),
            ) => {
                events::rotated(token.id());
                if let Some(live) = self.live_mut() {
                    live.replace_token(token, rotation.verifier);
                }
            }
            _ => {}
        }
        if let Some(live) = self.live_mut() {
            live.settle(&commit);
        }
        self.settle_fields(&commit, applied, shared);
        if let Some(live) = self.live() {
            // A browser counts a persistent cookie's age from the last time it was given.
            let is_persistent = live.persistent.unwrap_or(shared.config.cookie.persistent);
            let wants_cookie = is_persistent || wants.persistent.is_some();
            // A token in its grace must not replace the new one in the visitor's cookie jar.
            if token.is_some() || (wants_cookie && live.is_current) {
                self.cookie = Some(CookieChange::Set);
            }
        }
    }

    fn settle_fields(&mut self, commit: &Commit, applied: &Applied, shared: &Shared) {
        let found = Found {
            session: &commit.session,
            sealer: shared.config.sealer.as_ref(),
            last_commit: self.live().and_then(|live| live.last_commit),
            now: Timestamp::from_millis(0),
        };
        for (change, answer) in commit.changes.iter().zip(&applied.values) {
            let mut fields = self.fields.iter_mut();
            if let Some(field) = fields.find(|field| field.is_stored_as(change.name())) {
                field.settle(change, answer.clone(), found);
            }
        }
    }
}

impl Live {
    /// Brings it up to date with a commit that was applied.
    fn settle(&mut self, commit: &Commit) {
        if let Some(timeouts) = commit.timeouts {
            self.idle = timeouts.idle();
            let ends_in = |lifetime: Duration| lifetime.saturating_sub(self.age);
            self.ends_in = timeouts.lifetime().map(ends_in);
        }
        if commit.persistent.is_some() {
            self.persistent = commit.persistent;
        }
        if !commit.is_touch() {
            self.last_commit = Some(commit.id);
        }
        self.has_previous &= !commit.end_grace;
        for change in &commit.lists {
            match change {
                ListChange::Add {
                    field, principal, ..
                } => {
                    self.principals.retain(|listed| listed.field != *field);
                    let listed = Principal::new(field.clone(), *principal);
                    self.principals.push(listed);
                }
                ListChange::Remove { field, principal } => {
                    let is_other = |p: &Principal| p.field != *field || p.key != *principal;
                    self.principals.retain(is_other);
                }
            }
        }
        self.mark_touched();
    }
}
