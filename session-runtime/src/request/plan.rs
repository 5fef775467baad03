//! Plans one commit from the changes that a request wants.

use std::time::Duration;

use super::field::FieldState;
use super::guard::SessionWants;
use super::state::{Live, State};
use crate::config::{Config, Shared};
use crate::config_error::ConfigError;
use crate::error::SessionError;
use crate::schema::FieldSpec;
use crate::store::{
    Action, Change, Commit, Condition, ListChange, Principal, PrincipalKey, Rotation,
};
use crate::token::{CommitId, Token};

/// When a commit is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// The handler asked for it.
    Asked,
    /// The response is about to leave, so upkeep goes along.
    Response,
}

/// A commit, and the token that it gives the visitor.
pub(super) struct Plan {
    pub(super) commit: Commit,
    /// The token that the visitor gets.
    pub(super) token: Option<Token>,
    pub(super) wants: SessionWants,
    /// Whether only the token's age asked for a new one, so that the commit may do without.
    pub(super) rotates_by_age: bool,
    /// Whether it is upkeep only, which no handler asked for.
    pub(super) is_upkeep: bool,
}

/// The changes that wait for a commit.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) wants: SessionWants,
    pub(super) conditions: Vec<Condition>,
    pub(super) changes: Vec<Change>,
    pub(super) lists: Vec<ListChange>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.wants.is_empty() && self.conditions.is_empty() && self.changes.is_empty()
    }
}

impl Plan {
    /// The same commit without the new token; for a token that another request replaced meanwhile.
    pub(super) fn without_rotation(mut self) -> Self {
        if let Action::Update { rotation, .. } = &mut self.commit.action {
            *rotation = None;
        }
        self.commit
            .conditions
            .retain(|condition| !matches!(condition, Condition::LastCommit(_)));
        self.token = None;
        self.rotates_by_age = false;
        self
    }
}

impl State {
    /// Plans the commit of everything that waits; `None` when there is nothing to do. The changes
    /// are taken out even where they are refused, so that they are not tried again.
    pub(super) fn plan(
        &mut self,
        shared: &Shared,
        moment: Moment,
    ) -> Result<Option<Plan>, SessionError> {
        let plan = self.plan_all(shared, moment);
        if plan.is_err() {
            self.revert();
        }
        plan
    }

    fn plan_all(&mut self, shared: &Shared, moment: Moment) -> Result<Option<Plan>, SessionError> {
        let config = &shared.config;
        // Before the fields' changes are taken: a field that is written needs no renewal.
        let keeps_up = moment == Moment::Response && !shared.upkeep.is_paused();
        let (renewals, is_due) = match self.live() {
            Some(live) if keeps_up => (
                self.due_renewals(live, false).collect(),
                self.needs_upkeep(live, shared),
            ),
            _ => (Vec::new(), false),
        };
        let mut pending = self.take_pending(config)?;
        let is_upkeep = pending.is_empty();
        match self.live() {
            Some(_) => {
                pending.changes.extend(renewals);
                if pending.is_empty() && !is_due {
                    return Ok(None);
                }
            }
            // Without data no visitor gets a record; changes of the session as a whole wait for
            // some.
            None if !pending.changes.iter().any(Change::is_write) => {
                self.wants = pending.wants;
                return Ok(None);
            }
            None => {}
        }
        let plan = self.plan_with(shared, pending, moment)?;
        Ok(Some(Plan { is_upkeep, ..plan }))
    }

    /// Whether there may be something to commit when the response is about to leave.
    pub(super) fn needs_commit(&self, shared: &Shared) -> bool {
        let needs_upkeep = |live: &Live| {
            self.needs_upkeep(live, shared) || self.due_renewals(live, false).next().is_some()
        };
        self.is_pending() || self.live().is_some_and(needs_upkeep)
    }

    fn needs_upkeep(&self, live: &Live, shared: &Shared) -> bool {
        live.needs_upkeep(&shared.config) || live.may_rotate_again(shared)
    }

    /// The renewals of fields that are due because of the visit.
    pub(super) fn due_renewals<'a>(
        &'a self,
        live: &Live,
        early: bool,
    ) -> impl Iterator<Item = Change> + use<'a> {
        let interval = Config::touch_interval(live.idle);
        let renewed = self
            .fields
            .iter()
            .filter(|field| field.is_renewed_by_reading());
        renewed.filter_map(move |field| field.due_renewal(interval, early))
    }

    /// Takes out everything that waits.
    pub(super) fn take_pending(&mut self, config: &Config) -> Result<Pending, SessionError> {
        let error = self.error.take().map_or(Ok(()), Err);
        let sizes = self.check_sizes(config);
        let mut pending = Pending {
            wants: std::mem::take(&mut self.wants),
            ..Pending::default()
        };
        self.plan_lists(config, &mut pending, |_| true);
        let mut taken = Ok(());
        for field in &mut self.fields {
            taken = taken.and(field.take_changes(&mut pending.conditions, &mut pending.changes));
        }
        error.and(sizes).and(taken)?;
        Ok(pending)
    }

    /// Takes out the changes that wait for one field; the rest keeps waiting.
    pub(super) fn take_pending_of(
        &mut self,
        specs: &'static [FieldSpec],
        index: usize,
        config: &Config,
    ) -> Result<Pending, SessionError> {
        let mut pending = Pending::default();
        let name = specs[index].name;
        let error = self.error.take().map_or(Ok(()), Err);
        self.plan_lists(config, &mut pending, |spec| spec.name == name);
        let field = self.field(specs, index);
        let fits = check_size(field, config);
        let taken = field.take_changes(&mut pending.conditions, &mut pending.changes);
        error.and(fits).and(taken)?;
        Ok(pending)
    }

    /// Plans the changes of principals' lists, and the rotation that a change of a principal asks
    /// for. `concerns` says which fields are about to be committed.
    fn plan_lists(
        &self,
        config: &Config,
        pending: &mut Pending,
        concerns: impl Fn(&FieldSpec) -> bool,
    ) {
        let listed: &[Principal] = self.live().map_or(&[], |live| &live.principals);
        let lives_longer = pending.wants.timeouts.is_some();
        let keep = self.list_entry_lasts(config, &pending.wants);
        let mut settled = Vec::new();
        let is_principal = |field: &&FieldState| field.spec().principal && concerns(field.spec());
        for field in self.fields.iter().filter(is_principal) {
            let spec = field.spec();
            if !field.is_changed() {
                continue;
            }
            // No sign-in without a new token, whatever became of the session before.
            pending.wants.rotate |= self.live().is_some();
            settled.extend(names(spec));
            let to = field
                .shown()
                .map(|value| PrincipalKey::new(spec.name, &value));
            let mut is_listed = false;
            for Principal { field: name, key } in listed {
                if *name == spec.name && Some(*key) == to {
                    // An entry of a field that has run out may have been removed as stale.
                    is_listed = !field.is_absent();
                } else if names(spec).any(|known| known == name) {
                    pending.lists.push(ListChange::Remove {
                        field: name.clone(),
                        principal: *key,
                    });
                }
            }
            if let Some(principal) = to.filter(|_| !is_listed || lives_longer) {
                let limit = config.limit_of(spec).map(|limit| limit.max);
                pending.lists.push(ListChange::Add {
                    field: spec.name.into(),
                    principal,
                    keep,
                    limit: limit.filter(|_| !is_listed),
                });
            }
        }
        // An entry must not go before the session does, so a longer life is a new entry.
        let again = listed.iter().filter(|principal| {
            let is_settled = settled.iter().any(|name| *name == principal.field);
            lives_longer && !is_settled && !self.is_known_absent(&principal.field)
        });
        pending.lists.extend(again.map(|principal| ListChange::Add {
            field: principal.field.clone(),
            principal: principal.key,
            keep,
            limit: None,
        }));
    }

    /// Whether this request loaded the field and found nothing.
    fn is_known_absent(&self, name: &str) -> bool {
        let mut fields = self.fields.iter();
        let field = fields.find(|field| names(field.spec()).any(|known| known == name));
        field.is_some_and(FieldState::is_absent)
    }

    /// How long an entry on a list must be kept so that the session cannot outlive it.
    fn list_entry_lasts(&self, config: &Config, wants: &SessionWants) -> Option<Duration> {
        match (wants.timeouts, self.live()) {
            (Some(timeouts), _) => timeouts.lifetime(),
            (None, Some(live)) => live.ends_in,
            (None, None) => config.timeouts.lifetime(),
        }
    }

    /// Plans the commit of these changes, to the request's session or to a new one.
    pub(super) fn plan_with(
        &self,
        shared: &Shared,
        mut pending: Pending,
        moment: Moment,
    ) -> Result<Plan, SessionError> {
        let config = &shared.config;
        let wants = &mut pending.wants;
        let needs_cookie = self.live().is_none() || wants.rotate;
        if needs_cookie && self.is_closed && moment == Moment::Asked {
            return Err(SessionError::ResponseSent);
        }
        let keeps_up = moment == Moment::Response && !shared.upkeep.is_paused();
        let id = CommitId::generate()?;
        let mut rotates_by_age = false;
        let mut end_grace = false;
        let (session, action, token) = match self.live() {
            Some(live) => {
                let again = keeps_up && live.may_rotate_again(shared);
                rotates_by_age = keeps_up && !wants.rotate && (live.should_rotate(config) || again);
                let token = match wants.rotate || rotates_by_age {
                    true => Some(Token::generate_for(live.token.id())?),
                    false => None,
                };
                // A rotation leaves no more than its own grace anyway.
                end_grace = token.is_none() && live.should_end_grace();
                let rotation = token.map(|token| {
                    let grace = rotates_by_age.then(|| config.rotation_grace());
                    let mut rotation = Rotation::new(token.verifier(), grace);
                    rotation.from_previous = again;
                    rotation
                });
                if again && rotates_by_age {
                    let condition = Condition::LastCommit(live.last_commit);
                    pending.conditions.push(condition);
                }
                let verifier = live.verifier;
                let action = Action::Update { verifier, rotation };
                (live.token.id(), action, token)
            }
            // A new session's cookie would take the place of the visitor's newer token.
            None if self.token_was_replaced => return Err(SessionError::Gone),
            None => {
                let token = Token::generate()?;
                let verifier = token.verifier();
                wants.timeouts.get_or_insert(config.timeouts);
                let link = None;
                (token.id(), Action::Create { verifier, link }, Some(token))
            }
        };
        let mut commit = Commit::new(session, id, action);
        commit.timeouts = wants.timeouts;
        commit.persistent = wants.persistent;
        commit.label.clone_from(&wants.label);
        commit.end_grace = end_grace;
        commit.conditions = pending.conditions;
        commit.changes = pending.changes;
        commit.lists = pending.lists;
        self.seal(config, &mut commit)?;
        Ok(Plan {
            commit,
            token,
            wants: pending.wants,
            rotates_by_age,
            is_upkeep: false,
        })
    }

    /// Seals what the commit writes into `encrypt` fields. Not sooner: only now is it certain which
    /// session it is.
    fn seal(&self, config: &Config, commit: &mut Commit) -> Result<(), SessionError> {
        for change in &mut commit.changes {
            let Change::Set { name, value, .. } = change else {
                continue;
            };
            let mut fields = self.fields.iter();
            let field = fields.find(|field| field.spec().name == *name);
            if let Some(spec) = field.map(FieldState::spec).filter(|spec| spec.encrypted) {
                let field = spec.name;
                let sealer = config.sealer.as_ref();
                let sealer = sealer.ok_or(ConfigError::NoEncryptionKeys { field })?;
                *value = sealer.seal(&commit.session, field, value)?;
            }
        }
        Ok(())
    }

    /// Refuses values that are too large, before anything is sent.
    fn check_sizes(&self, config: &Config) -> Result<(), SessionError> {
        let (mut total, mut before) = (0, 0);
        for field in &self.fields {
            check_size(field, config)?;
            let (shown, stored) = field.sizes();
            total += shown;
            before += stored;
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

/// Refuses a value that waits and is too large.
fn check_size(field: &FieldState, config: &Config) -> Result<(), SessionError> {
    let (size, _) = field.sizes();
    if !field.is_written() || size <= config.field_limit {
        return Ok(());
    }
    Err(SessionError::FieldTooLarge {
        field: field.spec().name.into(),
        size,
        limit: config.field_limit,
    })
}

/// The names under which a field is stored, the present one first.
pub(super) fn names(spec: &FieldSpec) -> impl Iterator<Item = &'static str> + use<> {
    std::iter::once(spec.name).chain(spec.aliases.iter().copied())
}
