//! From what a request changed to one commit.

use std::time::Duration;

use super::state::{Live, State, Wishes};
use crate::config::Config;
use crate::error::SessionError;
use crate::store::{Action, Change, Commit, Condition, IndexChange, Rotation};
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
    pub(super) commit: Commit,
    /// The token that the visitor gets.
    pub(super) token: Option<Token>,
    pub(super) wishes: Wishes,
    /// Whether only the token's age asked for a new one, so that the commit may do without.
    pub(super) rotates_by_age: bool,
    /// Whether it does nothing that a handler asked for.
    pub(super) is_upkeep: bool,
}

/// What waits for a commit.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) wishes: Wishes,
    pub(super) conditions: Vec<Condition>,
    pub(super) changes: Vec<Change>,
    pub(super) index: Vec<IndexChange>,
}

impl Plan {
    /// The same commit without the new token; for a token that somebody else replaced meanwhile.
    pub(super) fn without_rotation(mut self) -> Self {
        if let Action::Update { rotation, .. } = &mut self.commit.action {
            *rotation = None;
        }
        self.token = None;
        self.rotates_by_age = false;
        self
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
        let mut pending = self.take_pending(config)?;
        let is_upkeep = pending.is_empty();
        match self.live() {
            Some(live) => {
                let mut is_due = false;
                if moment == Moment::Response {
                    pending.changes.extend(self.due_renewals(live));
                    is_due = live.is_upkeep_due(config);
                }
                if pending.is_empty() && !is_due {
                    return Ok(None);
                }
            }
            // Without data no visitor gets a record; the wishes wait for some.
            None if !pending.changes.iter().any(Change::is_write) => {
                self.wishes = pending.wishes;
                return Ok(None);
            }
            None => {}
        }
        let plan = self.plan_with(config, pending, moment)?;
        Ok(Some(Plan { is_upkeep, ..plan }))
    }

    /// Whether there may be something to commit when the response is about to leave.
    pub(super) fn owes_commit(&self, config: &Config) -> bool {
        let owes_upkeep =
            |live: &Live| live.is_upkeep_due(config) || self.due_renewals(live).next().is_some();
        self.error.is_some() || self.is_pending() || self.live().is_some_and(owes_upkeep)
    }

    /// The renewals that a visit owes the fields.
    fn due_renewals<'a>(&'a self, live: &Live) -> impl Iterator<Item = Change> + use<'a> {
        let interval = Config::touch_interval(live.idle);
        let fields = self.fields.iter();
        fields.filter_map(move |field| field.due_renewal(interval))
    }

    /// Everything that waits. It is taken even where it is refused, so that it is not tried again.
    pub(super) fn take_pending(&mut self, config: &Config) -> Result<Pending, SessionError> {
        let error = self.error.take().map_or(Ok(()), Err);
        let sizes = self.check_sizes(config);
        let wishes = std::mem::take(&mut self.wishes);
        let keep = self.index_entry_lasts(config, &wishes);
        let mut pending = Pending {
            wishes,
            ..Pending::default()
        };
        let mut taken = Ok(());
        for field in &mut self.fields {
            pending.note_principal(field, config, keep);
            taken = taken.and(field.take_changes(&mut pending.conditions, &mut pending.changes));
        }
        error.and(sizes).and(taken)?;
        Ok(pending)
    }

    /// How long an entry of the index must be kept so that the session cannot outlive it.
    pub(super) fn index_entry_lasts(&self, config: &Config, wishes: &Wishes) -> Option<Duration> {
        match (wishes.timeouts, self.live()) {
            (Some(timeouts), _) => timeouts.lifetime(),
            (None, Some(live)) => live.ends_in,
            (None, None) => config.timeouts.lifetime(),
        }
    }

    /// The commit of these changes, for the session there is or for a new one.
    pub(super) fn plan_with(
        &self,
        config: &Config,
        mut pending: Pending,
        moment: Moment,
    ) -> Result<Plan, SessionError> {
        let wishes = &mut pending.wishes;
        let needs_cookie = self.live().is_none() || wishes.rotate;
        if needs_cookie && self.closed && moment == Moment::Asked {
            return Err(SessionError::ResponseSent);
        }
        let id = CommitId::generate()?;
        let mut rotates_by_age = false;
        let mut end_grace = false;
        let (session, action, token) = match self.live() {
            Some(live) => {
                rotates_by_age =
                    moment == Moment::Response && !wishes.rotate && live.should_rotate(config);
                let token = match wishes.rotate || rotates_by_age {
                    true => Some(Token::generate_for(live.token.id())?),
                    false => None,
                };
                // A rotation leaves no more than its own grace anyway.
                end_grace = token.is_none() && live.should_end_grace();
                let rotation = token.map(|token| Rotation {
                    verifier: token.verifier(),
                    grace: rotates_by_age.then(|| config.rotation_grace()),
                });
                let verifier = live.verifier;
                let action = Action::Update { verifier, rotation };
                (live.token.id(), action, token)
            }
            // A new session's cookie would take the place of the visitor's newer token.
            None if self.late => return Err(SessionError::Gone),
            None => {
                let token = Token::generate()?;
                let verifier = token.verifier();
                wishes.timeouts.get_or_insert(config.timeouts);
                (token.id(), Action::Create { verifier }, Some(token))
            }
        };
        let mut commit = Commit::new(session, id, action);
        commit.timeouts = wishes.timeouts;
        commit.persistent = wishes.persistent;
        commit.label.clone_from(&wishes.label);
        commit.end_grace = end_grace;
        commit.conditions = pending.conditions;
        commit.changes = pending.changes;
        self.seal(config, &mut commit)?;
        commit.index = pending.index;
        Ok(Plan {
            commit,
            token,
            wishes: pending.wishes,
            rotates_by_age,
            is_upkeep: false,
        })
    }

    /// Seals what the commit writes into `encrypt` fields. Not sooner: only now is it certain whose
    /// session it is.
    fn seal(&self, config: &Config, commit: &mut Commit) -> Result<(), SessionError> {
        for change in &mut commit.changes {
            let Change::Set { name, value, .. } = change else {
                continue;
            };
            let mut fields = self.fields.iter();
            if let Some(field) = fields.find(|field| field.spec().name == *name) {
                field.seal(config.sealer.as_ref(), &commit.session, value)?;
            }
        }
        Ok(())
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

impl Pending {
    fn is_empty(&self) -> bool {
        self.wishes.is_empty() && self.conditions.is_empty() && self.changes.is_empty()
    }

    /// Notes what a field that is about to be saved means for the index and the token, if it says
    /// whose session it is.
    pub(super) fn note_principal(
        &mut self,
        field: &super::tracked::TrackedField,
        config: &Config,
        keep: Option<Duration>,
    ) {
        // Whatever became of the wish that came with the change: no sign-in without rotation.
        self.wishes.rotate |= field.spec().principal && field.is_written();
        // An entry must not go before the session does, so a longer life is a new entry.
        let lives_longer = self.wishes.timeouts.is_some();
        let limit = config.limit_of(field.spec()).map(|limit| limit.max);
        self.index
            .extend(field.index_changes(keep, limit, lives_longer));
    }
}
