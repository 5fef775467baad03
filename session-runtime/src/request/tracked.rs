//! One field in one request: what the store holds, what the handler made of it, and which changes
//! bring the one to the other.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::config_error::ConfigError;
use crate::error::SessionError;
use crate::schema::{FieldSpec, Merge, Renew};
use crate::sealing::Sealer;
use crate::store::{
    Change, Condition, FieldTtl, IndexChange, MergeOperation, PrincipalKey, StoredField,
};
use crate::token::SessionId;

pub(super) struct TrackedField {
    spec: &'static FieldSpec,
    /// What the store holds, as far as this request knows; opened where it is sealed.
    stored: Option<Bytes>,
    /// The sealed form of `stored`, which is absent if it does not open.
    sealed: Option<Bytes>,
    /// The older name under which `stored` was read.
    alias: Option<&'static str>,
    /// How much of its time was left at the load, if the load asked for it.
    remaining: Option<Duration>,
    /// What the handler made of it. The same as `stored` unless a change waits or is on its way.
    current: Option<Bytes>,
    /// What it was before the change that waits.
    before: Option<Bytes>,
    /// The integer that the handler's changes started from, and what counts in its absence.
    counted: Option<Counted>,
    /// Whether `stored` and `remaining` are what a load found, and not what was saved since.
    is_loaded: bool,
    undecodable: bool,
    written: bool,
    /// Whether the field is removed first, whatever its merge.
    reset: bool,
    renewed: bool,
}

#[derive(Clone, Copy)]
struct Counted {
    from: i64,
    default: i64,
}

impl TrackedField {
    /// A field that no store holds.
    pub(super) fn absent(spec: &'static FieldSpec) -> Self {
        Self::loaded(spec, None, None, Timestamp::from_millis(0))
    }

    /// A field as a store holds it at the moment `now`, perhaps under an older name.
    pub(super) fn loaded(
        spec: &'static FieldSpec,
        stored: Option<StoredField>,
        alias: Option<&'static str>,
        now: Timestamp,
    ) -> Self {
        let deadline = stored.as_ref().and_then(|field| field.deadline);
        let stored = stored.map(|field| field.value);
        Self {
            spec,
            current: stored.clone(),
            before: None,
            stored,
            sealed: None,
            alias,
            remaining: deadline.map(|deadline| deadline.saturating_since(now)),
            counted: None,
            is_loaded: true,
            undecodable: false,
            written: false,
            reset: false,
            renewed: false,
        }
    }

    /// Opens a value that was loaded. One that does not open counts as absent.
    pub(super) fn open(&mut self, sealer: Option<&Sealer>, session: &SessionId) {
        if !self.spec.encrypted {
            return;
        }
        self.sealed = self.stored.take();
        if let Some(sealed) = &self.sealed {
            let name = self.stored_name();
            self.stored = opened(self.spec, sealer, session, name, sealed.clone());
        }
        self.current.clone_from(&self.stored);
    }

    /// Seals the value that a commit writes, if the field is to be.
    pub(super) fn seal(
        &self,
        sealer: Option<&Sealer>,
        session: &SessionId,
        value: &mut Bytes,
    ) -> Result<(), SessionError> {
        let field = self.spec.name;
        if self.spec.encrypted {
            let sealer = sealer.ok_or(ConfigError::NoEncryptionKeys { field })?;
            *value = sealer.seal(session, field, value)?;
        }
        Ok(())
    }

    /// Whether the store holds something sealed that does not open.
    pub(super) fn is_unopened(&self) -> bool {
        self.sealed.is_some() && self.stored.is_none()
    }

    /// The bytes that the store holds, as far as this request knows.
    fn in_store(&self) -> Option<&Bytes> {
        self.sealed.as_ref().or(self.stored.as_ref())
    }

    pub(super) fn is(&self, spec: &FieldSpec) -> bool {
        self.spec.name == spec.name
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.is(other.spec)
    }

    pub(super) fn current(&self) -> Option<&Bytes> {
        self.current.as_ref()
    }

    /// Whether this name, present or older, is where the store has the field.
    pub(super) fn is_stored_as(&self, name: &str) -> bool {
        self.spec.name == name || self.alias == Some(name)
    }

    /// The encoded size it has now, in bytes.
    pub(super) fn size(&self) -> usize {
        self.current.as_ref().map_or(0, Bytes::len)
    }

    /// The encoded size it has in the store, in bytes.
    pub(super) fn stored_size(&self) -> usize {
        self.stored.as_ref().map_or(0, Bytes::len)
    }

    /// Refuses a value that waits and is too large.
    pub(super) fn check_size(&self, limit: usize) -> Result<(), SessionError> {
        let size = self.size();
        if !self.written || size <= limit {
            return Ok(());
        }
        Err(SessionError::FieldTooLarge {
            field: self.spec.name.into(),
            size,
            limit,
        })
    }

    pub(super) fn is_written(&self) -> bool {
        self.written
    }

    /// Whether a change that waits is a difference, whatever the store holds by then.
    fn adds(&self) -> bool {
        matches!(
            self.spec.merge,
            Merge::Integer {
                operation: MergeOperation::Add,
                ..
            }
        )
    }

    pub(super) fn is_pending(&self) -> bool {
        self.written || self.renewed
    }

    /// Notes that the stored value does not decode. Answers whether that is news.
    pub(super) fn mark_undecodable(&mut self) -> bool {
        !std::mem::replace(&mut self.undecodable, true)
    }

    /// A guard changed the value from `from`; `default` is what the field is when absent.
    pub(super) fn write(
        &mut self,
        value: Option<Bytes>,
        from: Option<&[u8]>,
        default: Option<&[u8]>,
    ) {
        if !self.written {
            self.before = from.map(Bytes::copy_from_slice);
        }
        if let (Merge::Integer { .. }, None, Some(from), Some(default)) = (
            self.spec.merge,
            self.counted,
            integer(from),
            integer(default),
        ) {
            self.counted = Some(Counted { from, default });
        }
        // Where the stored value does not decode it counts as absent, for a merge in the store
        // too.
        self.reset |= self.undecodable || self.is_unopened();
        self.current = value;
        self.written = true;
    }

    pub(super) fn remove(&mut self) {
        self.current = None;
        self.counted = None;
        self.written = true;
        self.reset = true;
    }

    pub(super) fn renew(&mut self) {
        self.renewed = true;
    }

    /// Drops the change that waits.
    pub(super) fn forget(&mut self) {
        self.written = false;
        self.reset = false;
        self.renewed = false;
        self.revert();
    }

    /// What was on its way to the store did not get there. A change that waits stays.
    pub(super) fn revert(&mut self) {
        if !self.written {
            self.current.clone_from(&self.stored);
            self.counted = None;
        }
    }

    /// The store holds this now; a change that the handler made meanwhile stays.
    pub(super) fn settle(&mut self, value: Option<Bytes>) {
        let adds = self.adds();
        match (&mut self.counted, integer(value.as_deref())) {
            (Some(counted), Some(now)) if self.written && adds => {
                let pending = i128::from(integer(self.current.as_deref()).unwrap_or(now))
                    - i128::from(counted.from);
                let sum = i128::from(now) + pending;
                let sum = sum.clamp(i64::MIN.into(), i64::MAX.into());
                counted.from = now;
                self.before.clone_from(&value);
                self.current = Some(sum.to_string().into());
            }
            _ if self.written => {}
            _ => {
                self.current.clone_from(&value);
                self.counted = None;
            }
        }
        self.stored = value;
        self.sealed = None;
        self.alias = None;
        self.is_loaded = false;
        self.undecodable = false;
    }

    /// As [`settle`](Self::settle), for what a commit wrote, which may be sealed.
    pub(super) fn settle_written(
        &mut self,
        sealer: Option<&Sealer>,
        session: &SessionId,
        written: &Bytes,
    ) {
        let value = opened(self.spec, sealer, session, self.spec.name, written.clone());
        self.settle(value);
        self.sealed = self.spec.encrypted.then(|| written.clone());
    }

    /// The store restarted its time to live.
    pub(super) fn settle_renewal(&mut self) {
        self.is_loaded = false;
    }

    /// As [`settle`](Self::settle), for a field that an update brought to the store, past the
    /// change that waits: of that one only a difference to be added is left.
    pub(super) fn adopt(&mut self, other: &Self) {
        self.reset = false;
        if self.counted.is_none() || !self.adds() {
            self.forget();
        }
        self.settle(other.stored.clone());
        self.sealed.clone_from(&other.sealed);
    }

    /// A change of the field in the store, and round it what an unusual stored value asks for.
    pub(super) fn surrounded(&self, change: Change) -> Vec<Change> {
        let remove = |name: &'static str| Change::Remove { name: name.into() };
        let before = self.undecodable.then(|| remove(self.spec.name));
        let after = self.alias.map(remove);
        before.into_iter().chain([change]).chain(after).collect()
    }

    /// The default of an integer field, for a merge that starts from nothing.
    pub(super) fn initial(&self, default: i64) -> i64 {
        match self.alias {
            Some(_) => integer(self.stored.as_deref()).unwrap_or(default),
            None => default,
        }
    }

    /// Where the store has the field now.
    pub(super) fn stored_name(&self) -> &'static str {
        self.alias.unwrap_or(self.spec.name)
    }

    /// What the index must learn when this is saved: whose session it was, and whose it will be.
    /// `keeps` is for an entry that must be written again though its principal stays.
    pub(super) fn index_changes(
        &self,
        keep: Option<Duration>,
        limit: Option<u32>,
        keeps: bool,
    ) -> impl Iterator<Item = IndexChange> + use<> {
        let key = |value: &Bytes| PrincipalKey::new(self.spec.name, value);
        let concerns = self.spec.principal && (self.written || keeps);
        let from = self.stored.as_ref().filter(|_| concerns).map(key);
        let to = self.current.as_ref().filter(|_| concerns).map(key);
        let limit = limit.filter(|_| from != to);
        let remove = from.filter(|_| from != to);
        let remove = remove.map(|principal| IndexChange::Remove { principal });
        let add = to.filter(|_| keeps || from != to);
        let add = add.map(|principal| IndexChange::Add {
            principal,
            keep,
            limit,
        });
        remove.into_iter().chain(add)
    }

    /// Whose session it is according to the store.
    pub(super) fn principal(&self) -> Option<PrincipalKey> {
        let value = self.stored.as_ref().filter(|_| self.spec.principal)?;
        Some(PrincipalKey::new(self.spec.name, value))
    }

    pub(super) fn spec(&self) -> &'static FieldSpec {
        self.spec
    }

    /// Moves the change that waits into a commit. [`settle`](Self::settle) or
    /// [`revert`](Self::revert) says what became of it.
    pub(super) fn take_changes(
        &mut self,
        conditions: &mut Vec<Condition>,
        changes: &mut Vec<Change>,
    ) -> Result<(), SessionError> {
        let reset = std::mem::take(&mut self.reset);
        // Guards one after the other may have changed it and changed it back.
        let written =
            std::mem::take(&mut self.written) && (reset || self.current != self.before.take());
        let renewed = std::mem::take(&mut self.renewed);
        let counted = self.counted.take();
        if !written {
            self.revert();
            if let (true, Some(ttl), Some(_)) = (renewed, self.spec.ttl, self.in_store()) {
                let name = self.stored_name().into();
                changes.push(Change::Renew { name, ttl });
            }
            return Ok(());
        }

        let name = Cow::Borrowed(self.spec.name);
        let mut ttl = self.spec.write_ttl();
        if renewed {
            ttl = self.spec.ttl.map(FieldTtl::restarting);
        }
        if self.spec.merge == Merge::First && self.alias.is_some() && !reset {
            // The older name holds the first value already.
            self.current.clone_from(&self.stored);
            return Ok(());
        }
        if self.spec.merge == Merge::Reject {
            let under_alias = self.alias.is_some();
            conditions.push(Condition::Field {
                name: name.clone(),
                value: self.in_store().cloned().filter(|_| !under_alias),
            });
            if let Some(alias) = self.alias {
                conditions.push(Condition::Field {
                    name: alias.into(),
                    value: self.in_store().cloned(),
                });
            }
        }
        if reset && self.current.is_some() {
            changes.push(Change::Remove { name: name.clone() });
        }
        match (&self.current, self.spec.merge) {
            (None, _) => changes.push(Change::Remove { name }),
            (Some(value), Merge::Integer { operation, range }) => {
                // A `u64` beyond `i64` is not something that a store can calculate with.
                let (Some(to), Some(Counted { from, default })) = (integer(Some(value)), counted)
                else {
                    return Err(SessionError::OutOfRange { field: name });
                };
                let initial = if reset {
                    default
                } else {
                    self.initial(default)
                };
                let merge = |operand| Change::Merge {
                    name: name.clone(),
                    operation,
                    operand,
                    initial,
                    range,
                    ttl,
                };
                match operation {
                    MergeOperation::Add => changes.extend(steps(from, to).map(merge)),
                    _ => changes.push(merge(to)),
                }
            }
            (Some(value), merge) => changes.push(Change::Set {
                name,
                value: value.clone(),
                ttl,
                only_if_absent: merge == Merge::First,
            }),
        }
        let alias = self.alias;
        changes.extend(alias.map(|alias| Change::Remove { name: alias.into() }));
        Ok(())
    }

    /// The renewal that a visit owes the field, if it is due.
    pub(super) fn due_renewal(&self, touch_interval: Duration) -> Option<Change> {
        let ttl = self.spec.ttl.filter(|_| self.spec.renew == Renew::Read)?;
        // What was written in this request has just been renewed.
        if !self.is_loaded || self.in_store().is_none() {
            return None;
        }
        let throttle = touch_interval.min(ttl / 10);
        let is_due = self
            .remaining
            .is_none_or(|remaining| remaining + throttle <= ttl);
        is_due.then(|| Change::Renew {
            name: self.stored_name().into(),
            ttl,
        })
    }
}

/// What a field's stored bytes mean; `None` where they are sealed and do not open. A value that was
/// read under an older name was sealed under it.
pub(super) fn opened(
    spec: &FieldSpec,
    sealer: Option<&Sealer>,
    session: &SessionId,
    name: &str,
    stored: Bytes,
) -> Option<Bytes> {
    match spec.encrypted {
        true => sealer?.open(session, name, &stored),
        false => Some(stored),
    }
}

/// What to add to come from one integer to the other. The difference of two `i64` can need more
/// than one.
fn steps(from: i64, to: i64) -> impl Iterator<Item = i64> {
    let mut remaining = i128::from(to) - i128::from(from);
    std::iter::from_fn(move || {
        let step = remaining.clamp(i64::MIN.into(), i64::MAX.into());
        remaining -= step;
        i64::try_from(step).ok().filter(|&step| step != 0)
    })
}

pub(super) fn integer(encoded: Option<&[u8]>) -> Option<i64> {
    std::str::from_utf8(encoded?).ok()?.parse().ok()
}
