//! Carries a request's commits out, and brings the request up to date with their outcome.

use super::RequestSession;
use super::load::selection;
use super::plan::{Moment, Plan};
use super::state::{CookieChange, Doomed, Live, State, Visitor};
use crate::config::Config;
use crate::error::SessionError;
use crate::events::{self, Reason};
use crate::schema::FieldSpec;
use crate::store::{Action, Applied, Change, Commit, IndexChange, Outcome, StoreErrorKind};
use crate::token::CommitId;

impl RequestSession {
    /// Commits everything that waits, now.
    pub(crate) async fn save(&self) -> Result<(), SessionError> {
        self.save_at(Moment::Asked).await
    }

    pub(super) async fn save_at(&self, moment: Moment) -> Result<(), SessionError> {
        self.learn_principals().await?;
        // Planning takes what waits, so that an error is not tried again.
        let (doomed, plan) = {
            let mut state = self.state();
            state.closed |= moment == Moment::Response;
            if state.abandoned {
                return Ok(());
            }
            let plan = state.plan(&self.shared().config, moment);
            (std::mem::take(&mut state.doomed), plan)
        };
        for doomed in doomed {
            self.remove_session(doomed).await?;
        }
        if let Some(plan) = plan.inspect_err(events::refused)? {
            self.carry_out(plan).await?;
        }
        Ok(())
    }

    /// Commits a plan and brings the request up to date with the outcome.
    pub(super) async fn carry_out(&self, plan: Plan) -> Result<Applied, SessionError> {
        let applied = self.try_to_apply(plan).await;
        if applied.is_err() {
            self.state().revert();
        }
        applied
    }

    async fn try_to_apply(&self, mut plan: Plan) -> Result<Applied, SessionError> {
        loop {
            match self.commit(&plan.commit).await? {
                Outcome::Applied(applied) => {
                    self.state().settle(plan, &applied, &self.shared().config);
                    return Ok(applied);
                }
                // Another request of the same visitor was due for a new token as well.
                Outcome::Gone if plan.rotates_by_age => {
                    if let Some(live) = self.state().live_mut() {
                        live.is_current = false;
                    }
                    plan = plan.without_rotation();
                }
                // The handler asked for nothing, so its response does not promise anything.
                Outcome::Gone if plan.is_upkeep => {
                    events::gone(plan.commit.session);
                    return Ok(Applied::default());
                }
                Outcome::LimitReached { principal } => {
                    self.make_room(&plan.commit, principal).await?;
                    // Nothing was applied, so this is another commit, with marks of its own.
                    plan.commit.id = CommitId::generate()?;
                }
                refused => return Err(into_error(&plan.commit, refused)),
            }
        }
    }

    pub(super) async fn commit(&self, commit: &Commit) -> Result<Outcome, SessionError> {
        let call = self.shared().store.commit(commit);
        self.shared()
            .within_deadline(StoreErrorKind::OutcomeUnknown, call)
            .await
    }

    /// Removes a session that the visitor has given up. That it is gone already is no failure;
    /// that it lives on, because another request gave it another token, is one.
    async fn remove_session(&self, doomed: Doomed) -> Result<(), SessionError> {
        let session = doomed.live.token.id();
        let verifier = doomed.live.verifier;
        let mut commit = Commit::new(session, CommitId::generate()?, Action::Destroy { verifier });
        let principals = doomed.principals.into_iter();
        commit.index = principals
            .map(|principal| IndexChange::Remove { principal })
            .collect();
        match self.commit(&commit).await? {
            Outcome::Applied(_) => events::destroyed(session, Reason::Asked),
            _ => {
                events::gone(session);
                if self.load_now(&session, &[]).await?.is_some() {
                    return Err(SessionError::Gone);
                }
            }
        }
        let mut state = self.state();
        // A later session of the same request may have its cookie already.
        if state.live().is_none() {
            state.cookie = Some(CookieChange::Remove);
        }
        Ok(())
    }

    /// Loads the fields that say whose session it is, where new timeouts make the index write its
    /// entries again and the handler's schemas do not tell.
    async fn learn_principals(&self) -> Result<(), SessionError> {
        let (token, unknown) = {
            let state = self.state();
            let (Some(live), Some(_)) = (state.live(), state.wishes.timeouts) else {
                return Ok(());
            };
            let principals = self.shared().principals();
            let unknown: Vec<&'static FieldSpec> = principals
                .into_iter()
                .filter(|spec| !state.knows(std::slice::from_ref(*spec)))
                .collect();
            (live.token, unknown)
        };
        for spec in unknown {
            let specs = std::slice::from_ref(spec);
            let (live, loaded) = self.find_again(&token, &selection(specs)).await?;
            let fields = self.track(&live, specs, loaded);
            self.state().fields.extend(fields);
        }
        Ok(())
    }
}

/// What it means that the store did not apply a commit.
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
        Outcome::Gone | Outcome::Applied(_) => {
            events::gone(session);
            SessionError::Gone
        }
    }
}

impl State {
    /// Takes over what an update did to these fields on its own.
    pub(super) fn adopt(&mut self, updated: Self, specs: &'static [FieldSpec], changed: &[usize]) {
        for &index in changed {
            let spec = &specs[index];
            if let Some(field) = updated.fields.iter().find(|field| field.is(spec)) {
                self.tracked(spec).adopt(field);
            }
        }
        self.visitor = updated.visitor;
        self.cookie = updated.cookie.or(self.cookie.take());
    }

    /// Brings the bookkeeping up to date with a commit that was applied.
    pub(super) fn settle(&mut self, plan: Plan, applied: &Applied, config: &Config) {
        let Plan {
            commit,
            token,
            wishes,
            ..
        } = plan;
        match (&commit.action, token) {
            (Action::Create { .. }, Some(token)) => {
                events::created(token.id());
                self.visitor = Visitor::Known(Box::new(Live::created(token)));
            }
            (_, Some(token)) => {
                events::rotated(token.id());
                if let Some(live) = self.live_mut() {
                    live.replace_token(token);
                }
            }
            (_, None) => {}
        }
        for (change, value) in commit.changes.iter().zip(&applied.values) {
            let mut fields = self.fields.iter_mut();
            let Some(field) = fields.find(|field| field.is_stored_as(change.name())) else {
                continue;
            };
            match change {
                Change::Set { value, .. } => {
                    field.settle_written(config.sealer.as_ref(), &commit.session, value);
                }
                Change::Merge { .. } => field.settle(value.clone()),
                Change::Take { .. } | Change::Remove { .. } => field.settle(None),
                Change::Renew { .. } => field.settle_renewal(),
            }
        }
        if let Some(live) = self.live_mut() {
            live.settle(&wishes, commit.end_grace);
            // A browser counts a persistent cookie's age from the last time it was given.
            let is_persistent = live.persistent.unwrap_or(config.cookie.persistent);
            let wants_cookie = is_persistent || wishes.persistent.is_some();
            // A token in its grace must not replace the new one in the visitor's cookie jar.
            if token.is_some() || (wants_cookie && live.is_current) {
                self.cookie = Some(CookieChange::Set);
            }
        }
    }
}
