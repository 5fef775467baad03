//! What acts on the store at once, on its own fields only. Other changes keep waiting.

use std::time::Duration;

use bytes::Bytes;

use super::load::{selection, track};
use super::save::Moment;
use super::state::{State, Visitor, Wishes};
use super::tracked::integer;
use super::{RequestSession, baseline, changes_since, decode, defaults};
use crate::error::SessionError;
use crate::events;
use crate::schema::{FieldSpec, SessionSchema};
use crate::session::Ttl;
use crate::store::{
    Change, Condition, IntegerRange, MergeOperation, Outcome, Selected, StoredField,
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
            let last_commit = live.last_commit;
            let mut fresh = State {
                closed: self.state().closed,
                visitor: Visitor::Known(Box::new(live)),
                fields: track(T::FIELDS, loaded),
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
                plan.require(Condition::LastCommit(last_commit));
                match self.commit(plan.commit()).await? {
                    Outcome::Applied(applied) => fresh.settle(plan, &applied, config),
                    Outcome::Conflict { .. } => continue,
                    refused => return Err(plan.refused(refused)),
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
            field: spec.name.to_owned(),
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
        let plan = {
            let mut state = self.state();
            let config = &self.shared().config;
            state.tracked(spec);
            if state.live().is_none() {
                state.plan_creation(config, vec![merge(default)])?
            } else {
                let (mut conditions, mut changes) = (Vec::new(), Vec::new());
                let field = state.tracked(spec);
                let taken = field.take_changes(&mut conditions, &mut changes);
                if changes.is_empty() {
                    changes = field.surrounded(merge(field.initial(default)));
                } else {
                    // The change that waited goes first and leaves nothing unusual behind.
                    changes.push(merge(default));
                }
                let wishes = Wishes::default();
                let plan = taken.and_then(|()| {
                    state.plan_with(config, wishes, conditions, changes, Moment::Asked)
                });
                plan.inspect_err(|_| state.revert())?
            }
        };
        let applied = self.carry_out(plan).await?;
        let sum = applied.values.into_iter().flatten().next_back();
        sum.ok_or_else(out_of_range)
    }

    /// Removes a field in the store; answers what it held.
    pub(crate) async fn take(
        &self,
        spec: &'static FieldSpec,
    ) -> Result<Option<Bytes>, SessionError> {
        let names = std::iter::once(&spec.name).chain(spec.aliases);
        let changes = names.map(|&name| Change::Take { name: name.into() });
        let plan = {
            let mut state = self.state();
            if state.live().is_none() {
                return Ok(None);
            }
            let field = state.tracked(spec);
            field.forget();
            let wishes = Wishes {
                rotate: spec.principal && field.current().is_some(),
                ..Wishes::default()
            };
            let config = &self.shared().config;
            state.plan_with(config, wishes, Vec::new(), changes.collect(), Moment::Asked)?
        };
        let applied = self.carry_out(plan).await?;
        Ok(applied.values.into_iter().flatten().next())
    }

    /// Sets what remains of a field's time. A change of the field that waits goes with it.
    pub(crate) async fn expire(
        &self,
        spec: &'static FieldSpec,
        ttl: Duration,
    ) -> Result<(), SessionError> {
        let (mut conditions, mut changes) = (Vec::new(), Vec::new());
        let plan = {
            let mut state = self.state();
            let config = &self.shared().config;
            if state.live().is_none() {
                // Nothing is stored yet, so the field's change can only come with the others.
                let Some(mut plan) = state.plan(config, Moment::Asked)? else {
                    return Ok(());
                };
                let name = spec.name.into();
                plan.also(Change::Renew { name, ttl });
                plan
            } else {
                let mut wishes = Wishes::default();
                let field = state.tracked(spec);
                let is_written = field.is_written();
                let fits = field.check_size(config.field_limit);
                let taken = field.take_changes(&mut conditions, &mut changes);
                // A change moves the field to its present name.
                let name = match changes.is_empty() {
                    true => field.stored_name(),
                    false => spec.name,
                };
                let name = name.into();
                changes.push(Change::Renew { name, ttl });
                if is_written && spec.principal {
                    wishes.rotate = std::mem::take(&mut state.wishes.rotate);
                }
                let plan = fits.and(taken).and_then(|()| {
                    state.plan_with(config, wishes, conditions, changes, Moment::Asked)
                });
                plan.inspect_err(|_| state.revert())?
            }
        };
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
}
