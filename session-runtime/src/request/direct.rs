//! What acts on the store at once, on its own fields only. Other changes keep waiting.

use std::time::Duration;

use bytes::Bytes;

use super::load::selection;
use super::plan::{Moment, Pending, Plan};
use super::save::into_error;
use super::state::{State, Visitor};
use super::tracked::{integer, opened};
use super::{RequestSession, baseline, changes_since, decode, defaults};
use crate::config::Config;
use crate::error::SessionError;
use crate::events;
use crate::schema::{FieldSpec, SessionSchema};
use crate::session::Ttl;
use crate::store::{
    Change, Condition, IndexChange, IntegerRange, MergeOperation, Outcome, Selected, StoredField,
};

/// How often `update` tries. Every failed attempt means that another commit was applied, so even
/// a hundred simultaneous updates of one session all get through.
const UPDATE_ATTEMPTS: usize = 1000;

impl RequestSession {
    /// Applies `change` to fresh values until nobody interferes, and commits what it changed.
    pub(crate) async fn update<T: SessionSchema, R>(
        &self,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<R, SessionError> {
        for _ in 0..UPDATE_ATTEMPTS {
            let token = self.state().live().map(|live| live.token);
            let Some(token) = token else {
                let mut value = self.view::<T>();
                let before = baseline(&value);
                let answer = change(&mut value);
                self.hand_over(&value, &before);
                self.save().await?;
                return Ok(answer);
            };

            let (live, loaded) = self.find_again(&token, &selection(T::FIELDS)).await?;
            let last_commit = loaded.header.last_commit;
            let mut fresh = State {
                closed: self.state().closed,
                fields: self.track(&live, T::FIELDS, loaded),
                visitor: Visitor::Known(Box::new(live)),
                ..State::default()
            };
            let stored = fresh.current(T::FIELDS);
            let (mut value, undecodable) = decode(&stored, |fields| T::read(fields));
            for index in undecodable {
                fresh.tracked(&T::FIELDS[index]).mark_undecodable();
            }

            let before = baseline(&value);
            let answer = change(&mut value);
            let changes = changes_since(&value, &before);
            let changed: Vec<_> = changes.changed().collect();
            fresh.record(T::FIELDS, &before, &changes, Some(&defaults::<T>()));
            let config = &self.shared().config;
            if let Some(mut plan) = fresh
                .plan(config, Moment::Asked)
                .inspect_err(events::refused)?
            {
                plan.commit
                    .conditions
                    .push(Condition::LastCommit(last_commit));
                match self.commit(&plan.commit).await? {
                    Outcome::Applied(applied) => fresh.settle(plan, &applied, config),
                    Outcome::Conflict { .. } => continue,
                    Outcome::LimitReached { principal } => {
                        self.make_room(&plan.commit, principal).await?;
                        continue;
                    }
                    refused => return Err(into_error(&plan.commit, refused)),
                }
            }
            self.state().adopt(fresh, T::FIELDS, &changed);
            return Ok(answer);
        }
        Err(SessionError::Conflict { field: None })
    }

    /// Adds to an integer field in the store; answers the encoded sum.
    pub(crate) async fn add<T: SessionSchema>(
        &self,
        index: usize,
        delta: i64,
        range: IntegerRange,
    ) -> Result<Bytes, SessionError> {
        let spec = &T::FIELDS[index];
        let out_of_range = || SessionError::OutOfRange {
            field: spec.name.into(),
        };
        let default = integer(defaults::<T>().value(index)).ok_or_else(out_of_range)?;
        let merge = |initial| Change::Merge {
            name: spec.name.into(),
            operation: MergeOperation::Add,
            operand: delta,
            initial,
            range,
            ttl: spec.write_ttl(),
        };
        let plan = self.plan_at_once(|state, config| {
            if state.live().is_none() {
                state.tracked(spec);
                let mut pending = state.take_pending(config)?;
                pending.changes.push(merge(default));
                return Ok(pending);
            }
            let mut pending = Pending::default();
            let field = state.tracked(spec);
            field.take_changes(&mut pending.conditions, &mut pending.changes)?;
            if pending.changes.is_empty() {
                pending.changes = field.surrounded(merge(field.initial(default)));
            } else {
                // The change that waited goes first and leaves nothing unusual behind.
                pending.changes.push(merge(default));
            }
            Ok(pending)
        })?;
        let applied = self.carry_out(plan).await?;
        let sum = applied.values.into_iter().flatten().next_back();
        sum.ok_or_else(out_of_range)
    }

    /// Removes a field in the store; answers what it held.
    pub(crate) async fn take(
        &self,
        spec: &'static FieldSpec,
    ) -> Result<Option<Bytes>, SessionError> {
        if self.state().live().is_none() {
            return Ok(None);
        }
        let names: Vec<_> = std::iter::once(spec.name)
            .chain(spec.aliases.iter().copied())
            .collect();
        let plan = self.plan_at_once(|state, _| {
            let mut pending = Pending::default();
            let takes = names.iter().map(|&name| Change::Take { name: name.into() });
            pending.changes.extend(takes);
            let field = state.tracked(spec);
            field.forget();
            pending.wishes.rotate = spec.principal && field.current().is_some();
            // Whoever the session belonged to, it is nobody's now.
            let removal = field.principal();
            let removal = removal.map(|principal| IndexChange::Remove { principal });
            pending.index.extend(removal);
            Ok(pending)
        })?;
        let session = plan.commit.session;
        let applied = self.carry_out(plan).await?;
        let mut values = names.into_iter().zip(applied.values);
        let Some((name, value)) = values.find_map(|(name, value)| Some((name, value?))) else {
            return Ok(None);
        };
        let sealer = self.shared().config.sealer.as_ref();
        let opened = opened(spec, sealer, &session, name, value);
        if opened.is_none() {
            events::decode_failed(spec.name);
        }
        Ok(opened)
    }

    /// Sets what remains of a field's time. A change of the field that waits goes with it.
    pub(crate) async fn expire(
        &self,
        spec: &'static FieldSpec,
        ttl: Duration,
    ) -> Result<(), SessionError> {
        if self.state().live().is_none() && !self.state().tracked(spec).is_written() {
            return Ok(());
        }
        let plan = self.plan_at_once(|state, config| {
            let mut name = spec.name;
            let mut pending = if state.live().is_none() {
                // Nothing is stored yet, so the field's change can only come with the others.
                state.take_pending(config)?
            } else {
                let mut pending = Pending::default();
                let keep = state.index_entry_lasts(config, &pending.wishes);
                let field = state.tracked(spec);
                let fits = field.check_size(config.field_limit);
                pending.note_principal(field, config, keep);
                let taken = field.take_changes(&mut pending.conditions, &mut pending.changes);
                // A change moves the field to its present name.
                if pending.changes.is_empty() {
                    name = field.stored_name();
                }
                state.wishes.rotate &= !pending.wishes.rotate;
                fits.and(taken)?;
                pending
            };
            let name = name.into();
            pending.changes.push(Change::Renew { name, ttl });
            Ok(pending)
        })?;
        self.carry_out(plan).await.map(drop)
    }

    /// How long a field still lives in the store.
    pub(crate) async fn ttl(&self, spec: &'static FieldSpec) -> Result<Ttl, SessionError> {
        let token = self.state().live().map(|live| live.token);
        let Some(token) = token else {
            return Ok(Ttl::Missing);
        };
        let names = std::iter::once(&spec.name).chain(spec.aliases);
        let selected: Vec<_> = names
            .map(|name| Selected {
                name,
                deadline: true,
            })
            .collect();
        let (_, loaded) = self.find_again(&token, &selected).await?;
        Ok(match loaded.fields.into_iter().flatten().next() {
            None => Ttl::Missing,
            Some(StoredField { deadline: None, .. }) => Ttl::Unbounded,
            Some(StoredField {
                deadline: Some(deadline),
                ..
            }) => Ttl::Remaining(deadline.saturating_since(loaded.now)),
        })
    }

    /// The plan for what `pending` gathers. Where it fails nothing waits any more.
    fn plan_at_once(
        &self,
        pending: impl FnOnce(&mut State, &Config) -> Result<Pending, SessionError>,
    ) -> Result<Plan, SessionError> {
        let mut state = self.state();
        let config = &self.shared().config;
        let plan = pending(&mut state, config)
            .and_then(|pending| state.plan_with(config, pending, Moment::Asked));
        plan.inspect_err(|_| state.revert())
    }
}
