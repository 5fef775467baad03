//! Calls that act on the store at once. They commit waiting changes of their own fields too; other
//! changes keep waiting.

use std::time::Duration;

use bytes::Bytes;

use super::RequestSession;
use super::commit::into_error;
use super::guard::{Loan, defaults};
use super::load::selection;
use super::plan::{Moment, Pending, Plan, names};
use super::state::{State, Visitor};
use super::stored::opened;
use super::want::integer;
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
pub enum Ttl {
    /// The store does not hold it.
    Missing,
    /// As long as the session.
    Unbounded,
    /// This long, or until the session ends if that is sooner.
    Remaining(Duration),
}

impl RequestSession {
    /// Applies `change` to fresh values, with the schema's waiting changes on top, and commits all
    /// of it; repeats that until no other commit comes between.
    pub(crate) async fn update<T: SessionSchema, R>(
        &self,
        loan: &mut Loan<T>,
        change: impl FnMut(&mut T) -> R,
    ) -> Result<R, SessionError> {
        self.check_is_present(loan)?;
        self.hand_over(loan);
        let answer = self.try_to_update(loan, change).await;
        self.refresh(loan);
        answer
    }

    async fn try_to_update<T: SessionSchema, R>(
        &self,
        loan: &mut Loan<T>,
        mut change: impl FnMut(&mut T) -> R,
    ) -> Result<R, SessionError> {
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
            let fields = self.track(&live, T::FIELDS, loaded);
            fresh.visitor = Visitor::Known(Box::new(live));
            for (index, field) in fields.into_iter().enumerate() {
                fresh.field(T::FIELDS, index).refresh(field);
            }
            let (mut tried, undecodable) = Loan::<T>::new(fresh.shown(T::FIELDS), fresh.generation);
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
        self.check_is_present(loan)?;
        let is_known = self.take_along(loan, index);
        let plan = self.plan_addition::<T>(index, delta, range, is_known);
        let applied = match plan {
            Ok(plan) => self.carry_out(plan).await,
            Err(error) => Err(error),
        };
        self.show_again(loan, index, is_known);
        let sum = applied?.values.into_iter().flatten().next_back();
        sum.ok_or_else(|| out_of_range(&T::FIELDS[index]))
    }

    fn plan_addition<T: SessionSchema>(
        &self,
        index: usize,
        delta: i64,
        range: IntegerRange,
        is_known: bool,
    ) -> Result<Plan, SessionError> {
        let spec = &T::FIELDS[index];
        let default = integer(defaults::<T>().value(index));
        let default = default.ok_or_else(|| out_of_range(spec))?;
        let merge = |initial| Change::Merge {
            name: spec.name.into(),
            operation: MergeOperation::Add,
            operand: delta,
            initial,
            range,
            ttl: spec.write_ttl(),
        };
        self.plan_at_once(|state| {
            let config = &self.shared().config;
            let field = state.field(T::FIELDS, index);
            let (before, after) = field.removals_around();
            let initial = field.initial(default);
            let mut pending = match is_known {
                true => state.take_pending_of(T::FIELDS, index, config)?,
                false => state.take_pending(config)?,
            };
            let has_waited = pending
                .changes
                .iter()
                .any(|change| change.name() == spec.name);
            if has_waited || !is_known {
                // The change that waited goes first and leaves nothing unusual behind.
                pending.changes.push(merge(default));
            } else {
                pending.changes.extend(before);
                pending.changes.push(merge(initial));
                pending.changes.extend(after);
            }
            Ok(pending)
        })
    }

    /// Takes over the waiting changes of a field, or everything where the session is to be created.
    /// Returns whether there is a session.
    fn take_along<T: SessionSchema>(&self, loan: &mut Loan<T>, index: usize) -> bool {
        let is_known = self.state().live().is_some();
        match is_known {
            true => self.hand_over_field(loan, index),
            false => self.hand_over(loan),
        };
        is_known
    }

    /// Shows a loan the outcome of a call that committed its changes too.
    fn show_again<T: SessionSchema>(&self, loan: &mut Loan<T>, index: usize, was_known: bool) {
        match was_known {
            true => self.refresh_field(loan, index),
            false => self.refresh(loan),
        }
    }

    /// Removes a field in the store; returns its value, with a waiting change applied.
    pub(crate) async fn take<T: SessionSchema>(
        &self,
        loan: &mut Loan<T>,
        index: usize,
    ) -> Result<Option<Bytes>, SessionError> {
        self.check_is_present(loan)?;
        self.hand_over_field(loan, index);
        let is_known = self.state().live().is_some();
        let taken = match is_known {
            true => self.take_stored::<T>(index).await,
            false => Ok(self.take_pending_value::<T>(index)),
        };
        self.refresh_field(loan, index);
        taken
    }

    /// Takes out the value that waits for a session to be created.
    fn take_pending_value<T: SessionSchema>(&self, index: usize) -> Option<Bytes> {
        let mut state = self.state();
        let field = state.field(T::FIELDS, index);
        let value = field.shown().filter(|_| field.is_pending());
        field.forget_want();
        value
    }

    async fn take_stored<T: SessionSchema>(
        &self,
        index: usize,
    ) -> Result<Option<Bytes>, SessionError> {
        let spec = &T::FIELDS[index];
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

    /// Sets the remaining time of a field. A waiting change of the field is committed with it.
    pub(crate) async fn expire<T: SessionSchema>(
        &self,
        loan: &mut Loan<T>,
        index: usize,
        ttl: Duration,
    ) -> Result<(), SessionError> {
        self.check_is_present(loan)?;
        self.hand_over_field(loan, index);
        let (is_known, is_written) = {
            let mut state = self.state();
            let is_written = state.field(T::FIELDS, index).is_written();
            (state.live().is_some(), is_written)
        };
        if !is_known && !is_written {
            self.refresh_field(loan, index);
            return Ok(());
        }
        if !is_known {
            // The session is to be created, with everything that waits.
            self.hand_over(loan);
        }
        let expired = self.expire_now::<T>(index, ttl, is_known).await;
        self.show_again(loan, index, is_known);
        expired
    }

    async fn expire_now<T: SessionSchema>(
        &self,
        index: usize,
        ttl: Duration,
        is_known: bool,
    ) -> Result<(), SessionError> {
        let spec = &T::FIELDS[index];
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

    /// Plans a commit of the changes that `pending` takes out. Where that fails, they are dropped.
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

fn out_of_range(spec: &FieldSpec) -> SessionError {
    SessionError::OutOfRange {
        field: spec.name.into(),
    }
}
