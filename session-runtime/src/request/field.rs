//! One field in one request: the stored value, and the change that the request wants of it.
//!
//! 1. The value that a handler sees is computed from both ([`FieldState::shown`]).
//! 2. Guards add to the wanted change when they hand theirs over. The last write wins, except that
//!    differences add up, `max` and `min` keep the larger and the smaller value, and `first` the
//!    first.
//! 3. [`FieldState::take_changes`] moves the wanted change into a commit. It is shown as applied
//!    until the outcome is known; then [`FieldState::settle`] or [`FieldState::revert`] decides.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::stored::{Found, Stored};
use super::want::{Origin, Want, Written, integer, steps};
use crate::error::SessionError;
use crate::schema::{FieldSpec, Merge, Renew};
use crate::store::{Change, Condition, FieldTtl, MergeOperation, Restore, StoredField};

/// A guard's change of one field: the encoded values before and after.
pub(super) struct FieldChange<'a> {
    pub(super) from: Option<&'a [u8]>,
    pub(super) to: Option<Bytes>,
    /// The field's value in a session that holds nothing; for fields that merge integers.
    pub(super) default: Option<&'a [u8]>,
}

/// A field that this request loaded or changed.
#[derive(Clone)]
pub(super) struct FieldState {
    spec: &'static FieldSpec,
    stored: Stored,
    /// The change that a commit on its way makes; of several commits the last one's.
    sent: Option<Box<Want>>,
    // Boxed, as most fields of most requests have none.
    want: Option<Box<Want>>,
}

impl FieldState {
    /// A field that no store holds.
    pub(super) fn absent(spec: &'static FieldSpec) -> Self {
        Self::new(spec, Stored::absent())
    }

    /// A field as a store holds it, perhaps under an older name.
    pub(super) fn loaded(
        spec: &'static FieldSpec,
        field: Option<StoredField>,
        alias: Option<&'static str>,
        found: Found<'_>,
    ) -> Self {
        Self::new(spec, Stored::loaded(spec, field, alias, found))
    }

    fn new(spec: &'static FieldSpec, stored: Stored) -> Self {
        Self {
            spec,
            stored,
            sent: None,
            want: None,
        }
    }

    pub(super) fn spec(&self) -> &'static FieldSpec {
        self.spec
    }

    /// The encoded value as the request sees it: the stored one with the wanted change applied.
    pub(super) fn shown(&self) -> Option<Bytes> {
        let stored = self.stored.value.clone().filter(|_| !self.stored.is_bad());
        let wants = self.sent.iter().chain(&self.want);
        wants.fold(stored, |value, want| want.apply(value, self.spec))
    }

    /// Whether the store holds something that does not open or decode and that was not reported so
    /// far.
    pub(super) fn is_news(&mut self) -> bool {
        self.stored.is_news()
    }

    /// Notes that the stored value does not decode.
    pub(super) fn mark_undecodable(&mut self) {
        self.stored.mark_bad();
    }

    /// Whether something waits for a commit.
    pub(super) fn is_pending(&self) -> bool {
        self.want.is_some()
    }

    /// Whether a value waits for a commit.
    pub(super) fn is_written(&self) -> bool {
        matches!(self.want.as_deref(), Some(Want::Write { .. }))
    }

    /// Whether a commit will change the value, or remove it.
    pub(super) fn is_changed(&self) -> bool {
        matches!(
            self.want.as_deref(),
            Some(Want::Write { .. } | Want::Remove)
        )
    }

    /// Whether the store holds nothing under this field's names, as far as this request knows.
    pub(super) fn is_absent(&self) -> bool {
        self.in_store().is_none()
    }

    /// The encoded size that the field has now, and in the store, in bytes.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let stored = self.stored.value.as_ref().map_or(0, Bytes::len);
        let shown = match self.want {
            None => stored,
            Some(_) => self.shown().map_or(0, |value| value.len()),
        };
        (shown, stored)
    }

    /// Whether a change of a stored field of this name concerns this one.
    pub(super) fn is_stored_as(&self, name: &str) -> bool {
        self.spec.name == name || self.stored.alias() == Some(name)
    }

    /// Takes over a guard's change of the value.
    pub(super) fn write(&mut self, change: FieldChange<'_>) -> Result<(), SessionError> {
        let (was_removed, restart, origin) = match self.want.as_deref() {
            Some(Want::Remove) => (true, false, Origin::Stored),
            Some(Want::Write {
                anew,
                restart,
                origin,
                ..
            }) => (*anew, *restart, origin.clone()),
            Some(Want::Renew) => (false, true, self.origin(change.from)),
            None => (false, false, self.origin(change.from)),
        };
        let Some(to) = change.to else {
            // Set and unset again by one request, a field that was absent asks for nothing.
            let was_absent = self.is_absent() && self.sent.is_none() && !was_removed;
            self.want = (!was_absent).then(|| Box::new(Want::Remove));
            return Ok(());
        };
        // A stored value that does not decode counts as absent, for a merge in the store too.
        let anew = was_removed || self.stored.is_bad();
        let value = match (self.spec.merge, self.want.take().map(|want| *want)) {
            (
                Merge::Integer { operation, range },
                Some(Want::Write {
                    value: Written::Overwrite(value),
                    ..
                }),
            ) => {
                let so_far = self.integer(Some(&value))?;
                let contribution = self.contribution(operation, &to, change.from, so_far)?;
                let exactly = contribution.exactly(Some(so_far));
                let value = contribution.shown(Some(so_far), range);
                let stops = range.stop_at_min && exactly < i128::from(range.min);
                if i128::from(value) != exactly && !stops {
                    return Err(self.out_of_range());
                }
                Written::Overwrite(value.to_string().into())
            }
            (Merge::Integer { operation, .. }, want) => {
                let default = self.integer(change.default)?;
                let contribution = self.contribution(operation, &to, change.from, default)?;
                match want {
                    Some(Want::Write { value, .. }) => value.and(contribution),
                    _ => contribution,
                }
            }
            (
                Merge::First,
                Some(Want::Write {
                    value: first @ Written::First(_),
                    ..
                }),
            ) => first,
            (Merge::First, _) => Written::First(to),
            // Guards one after the other changed it and changed it back.
            (_, _) if self.is_origin(&origin, &to) && !anew && !restart => return Ok(()),
            (_, _) => Written::Set(to),
        };
        self.want = Some(Box::new(Want::Write {
            value,
            anew,
            restart,
            origin,
        }));
        Ok(())
    }

    /// Takes over a guard's value that replaces any stored one.
    pub(super) fn overwrite(&mut self, value: Bytes) {
        self.want = Some(Box::new(Want::Write {
            value: Written::Overwrite(value),
            anew: false,
            restart: true,
            origin: Origin::Stored,
        }));
    }

    /// Takes over a guard's removal, whatever the field's merge.
    pub(super) fn remove(&mut self) {
        self.want = Some(Box::new(Want::Remove));
    }

    /// Takes over a guard's restart of the time to live.
    pub(super) fn renew(&mut self) {
        match self.want.as_deref_mut() {
            Some(Want::Write { restart, .. }) => *restart = true,
            Some(Want::Remove | Want::Renew) => {}
            None => self.want = Some(Box::new(Want::Renew)),
        }
    }

    /// Drops the wanted change.
    pub(super) fn forget_want(&mut self) {
        self.want = None;
    }

    /// Replaces the stored value by that of a later load. The wanted change stays, and so does its
    /// condition on the loaded value.
    pub(super) fn refresh(&mut self, fresh: Self) {
        let keeps_condition = self.spec.merge == Merge::Reject && self.is_changed();
        if !keeps_condition {
            self.stored = fresh.stored;
        }
    }

    /// Moves the wanted change into a commit.
    pub(super) fn take_changes(
        &mut self,
        conditions: &mut Vec<Condition>,
        changes: &mut Vec<Change>,
    ) -> Result<(), SessionError> {
        let Some(want) = self.want.take() else {
            return Ok(());
        };
        match &*want {
            Want::Renew => changes.extend(self.renewal()),
            Want::Remove => {
                self.push_condition(conditions);
                changes.push(self.removal(self.spec.name));
                changes.extend(self.stored.alias().map(|alias| self.removal(alias)));
            }
            Want::Write {
                value,
                anew,
                restart,
                ..
            } => {
                let is_first = matches!(value, Written::First(_));
                if is_first && self.stored.alias().is_some() && !anew {
                    // The older name holds the first value already.
                    return Ok(());
                }
                if !matches!(value, Written::Overwrite(_)) {
                    self.push_condition(conditions);
                }
                if *anew {
                    changes.push(self.removal(self.spec.name));
                }
                let ttl = match restart {
                    true => self.spec.ttl.map(FieldTtl::restarting),
                    false => self.spec.write_ttl(),
                };
                self.push_write(value, *anew, ttl, changes);
                changes.extend(self.stored.alias().map(|alias| self.removal(alias)));
            }
        }
        self.sent = Some(want);
        Ok(())
    }

    /// Whether a visit restarts the field's time to live.
    pub(super) fn is_renewed_by_reading(&self) -> bool {
        self.spec.renew == Renew::Read && self.spec.ttl.is_some()
    }

    /// The renewal that is due because of the visit. `early` asks whether over half of its time has
    /// passed; otherwise renewals are throttled like touches.
    pub(super) fn due_renewal(&self, touch_interval: Duration, early: bool) -> Option<Change> {
        let ttl = self.spec.ttl.filter(|_| self.is_renewed_by_reading())?;
        // A field that was written in this request has just been renewed.
        if !self.stored.is_loaded || self.is_absent() || self.want.is_some() {
            return None;
        }
        let passed = ttl.saturating_sub(self.stored.remaining().unwrap_or_default());
        let is_due = match early {
            true => passed > ttl / 2,
            false => passed >= touch_interval.min(ttl / 10),
        };
        is_due.then(|| Change::Renew {
            name: self.stored_name().into(),
            ttl,
            restore: None,
        })
    }

    /// The name under which the store has the field now.
    pub(super) fn stored_name(&self) -> &'static str {
        self.stored.alias().unwrap_or(self.spec.name)
    }

    /// The integer that counts as stored where the present name is absent: that of the older name,
    /// or the default.
    pub(super) fn initial(&self, default: i64) -> i64 {
        match self.stored.alias() {
            Some(_) => integer(self.stored.value.as_deref()).unwrap_or(default),
            None => default,
        }
    }

    /// A removal of what must not meet a change of the field in the store, and one of the older
    /// name.
    pub(super) fn removals_around(&self) -> (Option<Change>, Option<Change>) {
        let before = self.stored.is_bad().then(|| self.removal(self.spec.name));
        let after = self.stored.alias().map(|alias| self.removal(alias));
        (before, after)
    }

    /// Brings the field up to date with one change of a commit that was applied; `answer` is what
    /// the store answered to it.
    pub(super) fn settle(&mut self, change: &Change, answer: Option<Bytes>, found: Found<'_>) {
        self.sent = None;
        let value = match change {
            // A field that keeps its first value answers with it.
            Change::Set { value, .. } => Some(answer.unwrap_or_else(|| value.clone())),
            Change::Merge { .. } => answer,
            Change::Remove { .. } | Change::Take { .. } => None,
            Change::Renew { ttl, .. } => {
                self.stored.is_loaded = false;
                self.stored.last_commit = found.last_commit;
                if *ttl < Duration::from_millis(1) {
                    self.stored = Stored::default();
                }
                return;
            }
            Change::Bound { .. } => return,
        };
        self.stored = Stored::settled(self.spec, value, found);
    }

    /// Takes back a change whose commit did not take effect.
    pub(super) fn revert(&mut self) {
        self.sent = None;
    }

    /// The bytes in the store.
    fn in_store(&self) -> Option<&Bytes> {
        self.stored.in_store()
    }

    fn origin(&self, from: Option<&[u8]>) -> Origin {
        match self.stored.value.as_deref() == from && self.sent.is_none() {
            true => Origin::Stored,
            false => Origin::Other(from.map(Bytes::copy_from_slice)),
        }
    }

    fn is_origin(&self, origin: &Origin, value: &Bytes) -> bool {
        match origin {
            Origin::Stored => {
                let is_settled = self.sent.is_none() && self.stored.alias().is_none();
                is_settled && self.stored.value.as_ref() == Some(value)
            }
            Origin::Other(other) => other.as_ref() == Some(value),
        }
    }

    fn removal(&self, name: &'static str) -> Change {
        Change::Remove { name: name.into() }
    }

    /// Restarts the time of the stored value. Where the field has run out meanwhile, and no other
    /// commit came between, the loaded value is written again.
    fn renewal(&self) -> Option<Change> {
        let (ttl, stored) = (self.spec.ttl?, self.in_store()?);
        Some(Change::Renew {
            name: self.stored_name().into(),
            ttl,
            restore: Some(Restore::new(stored.clone(), self.stored.last_commit)),
        })
    }

    /// With `merge = "reject"` the field must still have the value that was loaded.
    fn push_condition(&self, conditions: &mut Vec<Condition>) {
        if self.spec.merge != Merge::Reject {
            return;
        }
        let stored = self.in_store().cloned();
        let condition = |name: &'static str, value| Condition::Field {
            name: name.into(),
            value,
        };
        match self.stored.alias() {
            None => conditions.push(condition(self.spec.name, stored)),
            Some(alias) => {
                conditions.push(condition(self.spec.name, None));
                conditions.push(condition(alias, stored));
            }
        }
    }

    fn push_write(
        &self,
        value: &Written,
        anew: bool,
        ttl: Option<FieldTtl>,
        changes: &mut Vec<Change>,
    ) {
        let name = Cow::Borrowed(self.spec.name);
        let set = |value: &Bytes, only_if_absent| Change::Set {
            name: name.clone(),
            value: value.clone(),
            ttl,
            only_if_absent,
        };
        let merge = |operation, operand, initial| Change::Merge {
            name: name.clone(),
            operation,
            operand,
            initial: if anew { initial } else { self.initial(initial) },
            range: self.spec.range(),
            ttl,
        };
        match value {
            Written::Set(value) | Written::Overwrite(value) => changes.push(set(value, false)),
            Written::First(value) => changes.push(set(value, true)),
            Written::Add { delta, initial } => {
                let steps = steps(*delta);
                changes.extend(steps.map(|step| merge(MergeOperation::Add, step, *initial)));
            }
            Written::Max { operand, initial } => {
                changes.push(merge(MergeOperation::Max, *operand, *initial));
            }
            Written::Min { operand, initial } => {
                changes.push(merge(MergeOperation::Min, *operand, *initial));
            }
        }
    }

    /// The contribution of a guard that changed an integer: the difference, or the value to compare.
    fn contribution(
        &self,
        operation: MergeOperation,
        to: &[u8],
        from: Option<&[u8]>,
        initial: i64,
    ) -> Result<Written, SessionError> {
        let to = self.integer(Some(to))?;
        Ok(match operation {
            MergeOperation::Add => {
                let from = match from {
                    Some(from) => self.integer(Some(from))?,
                    None => initial,
                };
                let delta = i128::from(to) - i128::from(from);
                Written::Add { delta, initial }
            }
            MergeOperation::Max => Written::Max {
                operand: to,
                initial,
            },
            MergeOperation::Min => Written::Min {
                operand: to,
                initial,
            },
        })
    }

    /// An integer that a store can calculate with, which excludes a `u64` beyond `i64`.
    fn integer(&self, encoded: Option<&[u8]>) -> Result<i64, SessionError> {
        integer(encoded).ok_or_else(|| self.out_of_range())
    }

    fn out_of_range(&self) -> SessionError {
        SessionError::OutOfRange {
            field: self.spec.name.into(),
        }
    }
}
