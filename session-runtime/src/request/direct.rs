//! Calls that act on the store at once. They take along what waits for their own fields; the rest
//! keeps waiting.

use std::time::Duration;

use bytes::Bytes;

use super::RequestSession;
use super::commit::into_error;
use super::field::{integer, opened};
use super::guard::{Loan, defaults};
use super::load::selection;
use super::plan::{Moment, Pending, Plan, names};
use super::state::{State, Visitor};
use crate::error::SessionError;
use crate::events;
use crate::schema::{FieldSpec, SessionSchema};
use crate::store::{
    Change, Condition, IntegerRange, ListChange, MergeOperation, Outcome, Selected, StoredField,
};

/// How often `update` tries. Every failed attempt means that another commit was applied, so even
/// a hundred simultaneous updates of one session all get through.
const UPDATE_ATTEMPTS: usize = 1000;

/// How long a field still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ttl {
    /// The store does not hold it.
    Missing,
    /// As long as the session.
    Unbounded,
    /// This long, or until the session ends if that is sooner.
    Remaining(Duration),
}

impl RequestSession {
    /// Applies `change` to fresh values, with what waits for the schema on top, until no other
    /// commit comes between; commits all of it.
    pub(crate) async fn update<T: SessionSchema, R>(
        &self,
        loan: &mut Loan<T>,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<R, SessionError> {
        self.hand_over(loan);
        let waiting = {
            let mut state = self.state();
            let live = state.live().map(|live| live.token);
            live.map(|token| (token, state.split_off(T::FIELDS)))
        };
        let Some((token, waiting)) = waiting else {
            self.refresh(loan);
            let answer = change(loan.value_mut());
            self.hand_over(loan);
            self.save().await?;
            return Ok(answer);
        };
        for _ in 0..UPDATE_ATTEMPTS {
            let (live, loaded) = self.find_again(&token, &selection(T::FIELDS)).await?;
            let last_commit = loaded.header.last_commit;
            let mut fresh = waiting.clone_pending();
            let fields: Vec<_> = self.track(&live, T::FIELDS, loaded).collect();
            fresh.visitor = Visitor::Known(Box::new(live));
            for (index, field) in fields.into_iter().enumerate() {
                fresh.field(T::FIELDS, index).refresh(field);
            }
            let (mut tried, undecodable) =
                Loan::<T>::new(fresh.shown(T::FIELDS), fresh.generation);
            for index in undecodable {
                fresh.field(T::FIELDS, index).mark_undecodable();
            }
            let answer = change(tried.value_mut());
            let generation = fresh.generation;
            fresh.take_over(T::FIELDS, generation, &mut tried.hand_over(), None);
            let plan = fresh.plan(self.shared(), Moment::Asked);
            if let Some(mut plan) = plan.inspect_err(events::refused)? {
                let unchanged = Condition::LastCommit(last_commit);
                plan.commit.conditions.push(unchanged);
                match self.commit(&plan.commit).await? {
                    Outcome::Applied(applied) => fresh.settle(plan, &applied, self.shared()),
                    Outcome::Conflict { field: None } => continue,
                    Outcome::LimitReached { principal } => {
                        self.make_room(&plan.commit, principal).await?;
                        continue;
                    }
                    refused => return Err(into_error(&plan.commit, refused)),
                }
            }
            self.state().join(fresh, T::FIELDS);
            return Ok(answer);
        }
        Err(SessionError::Conflict { field: None })
    }

    /// Adds to an integer field in the store; answers the encoded sum.
    pub(crate) async fn add<T: SessionSchema>(
        &self,
        loan: &mut Loan<T>,
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
        let is_known = self.state().live().is_some();
        match is_known {
            true => self.hand_over_field(loan, index),
            // The session is created with everything that waits.
            false => self.hand_over(loan),
        }
        let plan = self.plan_at_once(|state| {
            let config = &self.shared().config;
            if !is_known {
                state.field(T::FIELDS, index);
                let mut pending = state.take_pending(config)?;
                pending.changes.push(merge(default));
                return Ok(pending);
            }
            let field = state.field(T::FIELDS, index);
            let (before, after) = field.removals_around();
            let initial = field.initial(default);
            let mut pending = state.take_pending_of(T::FIELDS, index, config)?;
            if pending.changes.is_empty() {
                pending.changes.extend(before);
                pending.changes.push(merge(initial));
                pending.changes.extend(after);
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

    /// Removes a field in the store; answers what it held, a change that waited included.
    pub(crate) async fn take<T: SessionSchema>(
        &self,
        loan: &mut Loan<T>,
        index: usize,
    ) -> Result<Option<Bytes>, SessionError> {
        let spec = &T::FIELDS[index];
        self.hand_over_field(loan, index);
        if self.state().live().is_none() {
            let mut state = self.state();
            let field = state.field(T::FIELDS, index);
            let pending = field.shown().filter(|_| field.is_pending());
            field.forget_want();
            return Ok(pending);
        }
        let plan = self.plan_at_once(|state| {
            let rotates = spec.principal && state.field(T::FIELDS, index).shown().is_some();
            let config = &self.shared().config;
            let mut pending = state.take_pending_of(T::FIELDS, index, config)?;
            let takes = names(spec).map(|name| Change::Take { name: name.into() });
            pending.changes.extend(takes);
            if spec.principal {
                // The session belongs to no principal of this field from now on.
                pending.wants.rotate = rotates;
                pending.lists = state.removals_of(spec);
            }
            Ok(pending)
        })?;
        let commit = plan.commit.clone();
        let applied = self.carry_out(plan).await?;
        let mut taken = commit.changes.iter().zip(applied.values);
        let taken = taken.find_map(|(change, value)| match (change, value) {
            (Change::Take { name }, Some(value)) => Some((name, value)),
            _ => None,
        });
        let Some((name, value)) = taken else {
            return Ok(None);
        };
        let sealer = self.shared().config.sealer.as_ref();
        let opened = opened(spec, sealer, &commit.session, name, value);
        if opened.is_none() {
            events::decode_failed(spec.name);
        }
        Ok(opened)
    }

    /// Sets what remains of a field's time. A change of the field that waits goes with it.
    pub(crate) async fn expire<T: SessionSchema>(
        &self,
        loan: &mut Loan<T>,
        index: usize,
        ttl: Duration,
    ) -> Result<(), SessionError> {
        let spec = &T::FIELDS[index];
        let is_known = self.state().live().is_some();
        match is_known {
            true => self.hand_over_field(loan, index),
            false => self.hand_over(loan),
        }
        if !is_known && !self.state().field(T::FIELDS, index).is_written() {
            return Ok(());
        }
        let plan = self.plan_at_once(|state| {
            let config = &self.shared().config;
            let mut name = state.field(T::FIELDS, index).stored_name();
            let mut pending = match is_known {
                true => state.take_pending_of(T::FIELDS, index, config)?,
                // Nothing is stored yet, so the field's change can only come with the others.
                false => state.take_pending(config)?,
            };
            // A change moves the field to its present name.
            if !pending.changes.is_empty() {
                name = spec.name;
            }
            pending.changes.push(Change::Renew {
                name: name.into(),
                ttl,
                restore: None,
            });
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
        let selected: Vec<_> = names(spec).map(Selected::with_deadline).collect();
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

    /// The plan for what `pending` gathers. Where it fails, that waits no more.
    fn plan_at_once(
        &self,
        pending: impl FnOnce(&mut State) -> Result<Pending, SessionError>,
    ) -> Result<Plan, SessionError> {
        let mut state = self.state();
        let plan = pending(&mut state)
            .and_then(|pending| state.plan_with(self.shared(), pending, Moment::Asked));
        plan.inspect_err(|_| state.revert())
    }
}

impl State {
    /// Takes out what waits for a schema and for the session as a whole.
    fn split_off(&mut self, specs: &'static [FieldSpec]) -> Self {
        let mut fields = Vec::with_capacity(specs.len());
        for index in 0..specs.len() {
            let field = self.field(specs, index);
            fields.push(field.clone());
            field.forget_want();
        }
        let mut split = Self {
            wants: std::mem::take(&mut self.wants),
            error: self.error.take(),
            is_closed: self.is_closed,
            generation: self.generation,
            ..Self::default()
        };
        split.add_fields(specs, fields.into_iter());
        split
    }

    /// The same once more, for another attempt.
    fn clone_pending(&self) -> Self {
        Self {
            fields: self.fields.clone(),
            wants: self.wants.clone(),
            error: self.error.clone(),
            is_closed: self.is_closed,
            generation: self.generation,
            ..Self::default()
        }
    }

    /// Takes over what an update made of these fields and of the session.
    fn join(&mut self, updated: Self, specs: &'static [FieldSpec]) {
        if updated.generation != self.generation {
            return;
        }
        for (index, field) in updated.fields.into_iter().enumerate() {
            let own = self.field(specs, index);
            // A change that another guard handed over meanwhile keeps waiting.
            match own.is_pending() {
                true => own.refresh(field),
                false => *own = field,
            }
        }
        self.visitor = updated.visitor;
        self.cookie = updated.cookie.or(self.cookie);
    }

    /// Takes the session off the lists that name it under this field.
    fn removals_of(&self, spec: &FieldSpec) -> Vec<ListChange> {
        let listed = self.live().map_or(&[][..], |live| &live.principals);
        let of_field = listed
            .iter()
            .filter(|principal| names(spec).any(|name| name == principal.field));
        of_field
            .map(|principal| ListChange::Remove {
                field: principal.field.clone(),
                principal: principal.key,
            })
            .collect()
    }
}
