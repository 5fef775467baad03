//! From what a request changed to one commit, and what its outcome means for the request.

use super::RequestSession;
use super::state::{CookieChange, Live, State, Visitor, Wishes};
use crate::config::Config;
use crate::error::SessionError;
use crate::events;
use crate::schema::FieldSpec;
use crate::store::{Action, Applied, Change, Commit, Condition, Outcome, Rotation, StoreErrorKind};
use crate::token::{CommitId, Token};

/// When a commit is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The handler asked for it.
    Asked,
    /// The response is about to leave.
    Response,
}

/// A commit and what it does to the visitor's token.
pub(super) struct Plan {
    commit: Commit,
    token: Option<Token>,
    wishes: Wishes,
}

impl Plan {
    pub(super) fn commit(&self) -> &Commit {
        &self.commit
    }

    pub(super) fn require(&mut self, condition: Condition) {
        self.commit.conditions.push(condition);
    }

    pub(super) fn also(&mut self, change: Change) {
        self.commit.changes.push(change);
    }

    /// What it means that the store did not apply the commit.
    pub(super) fn refused(&self, outcome: Outcome) -> SessionError {
        let session = self.commit.session;
        match outcome {
            Outcome::Conflict { field } => {
                events::conflict(session, field.as_deref());
                SessionError::Conflict {
                    field: field.map(Into::into),
                }
            }
            Outcome::OutOfRange { field } => SessionError::OutOfRange {
                field: field.into(),
            },
            Outcome::Gone | Outcome::Applied(_) => {
                events::gone(session);
                SessionError::Gone
            }
        }
    }
}

impl RequestSession {
    /// Commits everything that waits, now.
    pub(crate) async fn save(&self) -> Result<(), SessionError> {
        self.save_at(Moment::Asked).await
    }

    pub(super) async fn save_at(&self, moment: Moment) -> Result<(), SessionError> {
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

    /// Removes a session that the visitor has given up. That it is gone already is no failure;
    /// that it lives on, because another request gave it another token, is one.
    async fn remove_session(&self, doomed: Live) -> Result<(), SessionError> {
        let session = doomed.token.id();
        let action = Action::Destroy {
            verifier: doomed.verifier,
        };
        let commit = Commit::new(session, CommitId::generate()?, action);
        match self.commit(&commit).await? {
            Outcome::Applied(_) => events::destroyed(session),
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

    /// Commits a plan and brings the request up to date with the outcome.
    pub(super) async fn carry_out(&self, plan: Plan) -> Result<Applied, SessionError> {
        let outcome = self.commit(&plan.commit).await;
        let mut state = self.state();
        match outcome {
            Ok(Outcome::Applied(applied)) => {
                state.settle(plan, &applied, &self.shared().config);
                Ok(applied)
            }
            Ok(refused) => {
                state.revert();
                Err(plan.refused(refused))
            }
            Err(error) => {
                state.revert();
                Err(error)
            }
        }
    }

    pub(super) async fn commit(&self, commit: &Commit) -> Result<Outcome, SessionError> {
        let call = self.shared().store.commit(commit);
        self.within_deadline(StoreErrorKind::FateUnknown, call)
            .await
    }
}

impl State {
    /// The commit for everything that waits; `None` when there is nothing to do.
    pub(super) fn plan(
        &mut self,
        config: &Config,
        moment: Moment,
    ) -> Result<Option<Plan>, SessionError> {
        let plan = self.plan_all(config, moment);
        if plan.is_err() {
            self.revert();
        }
        plan
    }

    fn plan_all(&mut self, config: &Config, moment: Moment) -> Result<Option<Plan>, SessionError> {
        let (wishes, conditions, mut changes) = self.take_pending(config)?;
        let is_due = moment == Moment::Response && self.add_due_renewals(&mut changes);
        let asks = !changes.is_empty() || !wishes.is_empty();
        match self.live() {
            Some(_) if asks || is_due => {}
            // Without data no visitor gets a record; the wishes wait for some.
            None if changes.iter().any(Change::is_write) => {}
            None => {
                self.wishes = wishes;
                return Ok(None);
            }
            Some(_) => return Ok(None),
        }
        self.plan_with(config, wishes, conditions, changes, moment)
            .map(Some)
    }

    /// The commit that creates the session with everything that waits, and then these changes.
    pub(super) fn plan_creation(
        &mut self,
        config: &Config,
        more: Vec<Change>,
    ) -> Result<Plan, SessionError> {
        let pending = self.take_pending(config);
        let plan = pending.and_then(|(wishes, conditions, mut changes)| {
            changes.extend(more);
            self.plan_with(config, wishes, conditions, changes, Moment::Asked)
        });
        if plan.is_err() {
            self.revert();
        }
        plan
    }

    /// Everything that waits. It is taken even where it is refused, so that it is not tried again.
    fn take_pending(
        &mut self,
        config: &Config,
    ) -> Result<(Wishes, Vec<Condition>, Vec<Change>), SessionError> {
        let error = self.error.take().map_or(Ok(()), Err);
        let sizes = self.check_sizes(config);
        let (mut conditions, mut changes) = (Vec::new(), Vec::new());
        let mut taken = Ok(());
        for field in &mut self.fields {
            taken = taken.and(field.take_changes(&mut conditions, &mut changes));
        }
        let wishes = std::mem::take(&mut self.wishes);
        error.and(sizes).and(taken)?;
        Ok((wishes, conditions, changes))
    }

    /// The commit of these changes, for the session there is or for a new one.
    pub(super) fn plan_with(
        &self,
        config: &Config,
        mut wishes: Wishes,
        conditions: Vec<Condition>,
        changes: Vec<Change>,
        moment: Moment,
    ) -> Result<Plan, SessionError> {
        let needs_cookie = self.live().is_none() || wishes.rotate;
        if needs_cookie && self.closed && moment == Moment::Asked {
            return Err(SessionError::ResponseSent);
        }
        let (session, action, token) = match self.live() {
            Some(live) => {
                let token = match wishes.rotate {
                    true => Some(Token::generate_for(live.token.id())?),
                    false => None,
                };
                let action = Action::Update {
                    verifier: live.verifier,
                    rotation: token.map(|token| Rotation {
                        verifier: token.verifier(),
                        grace: None,
                    }),
                };
                (live.token.id(), action, token)
            }
            None => {
                let token = Token::generate()?;
                let action = Action::Create {
                    verifier: token.verifier(),
                };
                wishes.timeouts.get_or_insert(config.timeouts);
                (token.id(), action, Some(token))
            }
        };
        let mut commit = Commit::new(session, CommitId::generate()?, action);
        commit.timeouts = wishes.timeouts;
        commit.persistent = wishes.persistent;
        commit.label.clone_from(&wishes.label);
        commit.conditions = conditions;
        commit.changes = changes;
        Ok(Plan {
            commit,
            token,
            wishes,
        })
    }

    /// Takes over what an update did to these fields on its own.
    pub(super) fn adopt(&mut self, updated: Self, specs: &'static [FieldSpec], changed: &[usize]) {
        for &index in changed {
            let value = updated.current(&specs[index..=index]).pop().flatten();
            self.tracked(&specs[index]).overrule(value);
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
        } = plan;
        match (&commit.action, token) {
            (Action::Create { .. }, Some(token)) => {
                events::created(token.id());
                self.visitor = Visitor::Known(Box::new(Live::created(token)));
            }
            (_, Some(token)) => {
                events::rotated(token.id());
                if let Some(live) = self.live_mut() {
                    live.token = token;
                    live.verifier = token.verifier();
                }
            }
            (_, None) => {}
        }
        for (change, value) in commit.changes.iter().zip(&applied.values) {
            let field = self
                .fields
                .iter_mut()
                .find(|field| field.is_stored_as(change.name()));
            let Some(field) = field else { continue };
            match change {
                Change::Set { value, .. } => field.settle(Some(value.clone())),
                Change::Merge { .. } => field.settle(value.clone()),
                Change::Take { .. } | Change::Remove { .. } => field.settle(None),
                Change::Renew { .. } => field.settle_renewal(),
            }
        }
        let gets_token = token.is_some();
        if let Some(live) = self.live_mut() {
            live.settle(&wishes);
            if !commit.is_touch() {
                live.last_commit = Some(commit.id);
            }
            // A browser counts a persistent cookie's age from the last time it was given.
            let is_persistent = live.persistent.unwrap_or(config.cookie.persistent);
            if gets_token || is_persistent || wishes.persistent.is_some() {
                self.cookie = Some(CookieChange::Set);
            }
        }
    }

    /// Restarts what a visit restarts. Answers whether the session itself is due to be touched.
    fn add_due_renewals(&self, changes: &mut Vec<Change>) -> bool {
        let Some(live) = self.live() else {
            return false;
        };
        let interval = Config::touch_interval(live.idle);
        changes.extend(
            self.fields
                .iter()
                .filter_map(|field| field.due_renewal(interval)),
        );
        live.untouched_for >= interval
    }

    /// Refuses what is too large before anything is sent.
    fn check_sizes(&self, config: &Config) -> Result<(), SessionError> {
        let (mut total, mut before) = (0, 0);
        for field in &self.fields {
            field.check_size(config.field_limit)?;
            total += field.size();
            before += field.stored_size();
        }
        // A session that was large already, under another limit, may still be made smaller.
        if total > config.session_limit && total > before {
            return Err(SessionError::SessionTooLarge {
                size: total,
                limit: config.session_limit,
            });
        }
        Ok(())
    }
}
