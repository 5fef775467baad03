//! The semantics of a commit: one algorithm, pure and without input or output.
//!
//! Embedded drivers call it. Drivers on a server implement the same in the server's language, and
//! the checks of the test kit compare them with it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::record::Taken;
use super::{
    Action, Applied, Change, Commit, Condition, Credential, FieldName, FieldTtl, Header,
    IntegerRange, ListChange, ListEntry, MergeOperation, Outcome, Principal, PrincipalList, Record,
    StoredField,
};
use crate::clock::Timestamp;

/// How many commits a record remembers.
const REMEMBERED_COMMITS: usize = 8;

/// How long a taken value is kept for a commit that arrives a second time. Client libraries send
/// again within their own time limits, which are shorter.
const TAKEN_KEPT: Duration = Duration::from_secs(30);

/// Everything that a commit can touch.
///
/// A store locks the lists that [`Commit::principals`] names in that order, then the record; reads
/// its clock under the locks; calls [`Commit::apply`]; and writes the lists that gained the
/// session, the record, and the lists that lost it, in this order.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Touched {
    /// The session's record, if there is one.
    pub record: Option<Record>,
    /// The lists of the principals that the commit names. A store that changes lists
    /// [in steps](super::commit_in_steps) leaves them out.
    pub lists: Vec<PrincipalList>,
}

impl Touched {
    /// This record and these lists.
    #[must_use]
    pub fn new(record: Option<Record>, lists: Vec<PrincipalList>) -> Self {
        Self { record, lists }
    }
}

impl Commit {
    /// Applies the commit to the record and the lists, or refuses it.
    ///
    /// A refusal leaves record and lists as they were, except that a record, a field or an entry
    /// whose time is over may be dropped.
    pub fn apply(&self, touched: &mut Touched, now: Timestamp) -> Outcome {
        if touched
            .record
            .as_ref()
            .is_some_and(|record| record.is_expired(now))
        {
            touched.record = None;
        }
        for list in &mut touched.lists {
            list.reclaim(now);
        }
        match self.try_apply(touched, now) {
            Ok(applied) => Outcome::Applied(applied),
            Err(refused) => refused,
        }
    }

    fn try_apply(&self, touched: &mut Touched, now: Timestamp) -> Result<Applied, Outcome> {
        if let Some(record) = touched.record.as_ref().filter(|r| r.remembers(&self.id)) {
            return Ok(self.answer_again(record, now));
        }
        self.check_guard(touched.record.as_ref(), now)?;
        let created = match &self.action {
            Action::Create { verifier, .. } => {
                Some(Record::new(self.session, Header::new(*verifier, now)))
            }
            _ => None,
        };
        let current = created.as_ref().or(touched.record.as_ref());
        let current = current.ok_or(Outcome::Gone)?;
        self.check_conditions(current, now)?;
        self.check_limits(&touched.lists, now)?;

        if matches!(self.action, Action::Destroy { .. } | Action::Revoke) {
            touched.record = None;
            self.change_lists(&mut touched.lists, now);
            return Ok(Applied::new(vec![None; self.changes.len()]));
        }
        // Everything that can still be refused is decided on staged copies.
        let mut staged = Staged::new(current, now);
        let values = self.changes.iter().map(|change| staged.apply(change));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let changed = staged.changed;

        let record = match created {
            Some(created) => touched.record.insert(created),
            None => touched.record.as_mut().ok_or(Outcome::Gone)?,
        };
        record.reclaim(now);
        for (name, field) in changed {
            match field {
                Some(field) => record.fields.insert(name, field),
                None => record.fields.remove(&name),
            };
        }
        self.change_header(record, now);
        self.remember(record, &values, now);
        self.change_lists(&mut touched.lists, now);
        Ok(Applied::new(values))
    }

    /// The answer to a commit that was applied before.
    fn answer_again(&self, record: &Record, now: Timestamp) -> Applied {
        let value_of = |change: &Change| match change {
            Change::Take { name } => record.taken_by(&self.id, name),
            Change::Merge { name, .. }
            | Change::Set {
                name,
                only_if_absent: true,
                ..
            } => record.live(name, now).map(|field| field.value.clone()),
            _ => None,
        };
        Applied::new(self.changes.iter().map(value_of).collect())
    }

    fn check_guard(&self, record: Option<&Record>, now: Timestamp) -> Result<(), Outcome> {
        let is_admitted = match (&self.action, record) {
            (Action::Create { .. }, None) | (Action::Revoke, Some(_)) => true,
            (Action::Create { .. }, Some(_)) => return Err(Outcome::IdTaken),
            (Action::Update { verifier, rotation }, Some(record)) => {
                let only_current = rotation.is_some_and(|rotation| !rotation.from_previous);
                record.is_opened_by(verifier, now)
                    && !(only_current && record.is_opened_by_previous(verifier, now))
            }
            (Action::Destroy { verifier }, Some(record)) => record.is_opened_by(verifier, now),
            (_, None) => false,
        };
        is_admitted.then_some(()).ok_or(Outcome::Gone)
    }

    fn check_conditions(&self, record: &Record, now: Timestamp) -> Result<(), Outcome> {
        // Signing out must not fail because a field changed.
        if matches!(self.action, Action::Destroy { .. }) {
            return Ok(());
        }
        for condition in &self.conditions {
            let (holds, field) = match condition {
                Condition::Field { name, value } => {
                    let present = record.live(name, now).map(|field| &field.value);
                    (present == value.as_ref(), Some(name))
                }
                Condition::LastCommit(id) => (record.header.last_commit == *id, None),
                Condition::Principal { field, principal } => {
                    let listed = record.header.principal(field);
                    (listed.is_some_and(|p| p.key == *principal), Some(field))
                }
            };
            if !holds {
                let field = field.cloned();
                return Err(Outcome::Conflict { field });
            }
        }
        Ok(())
    }

    fn check_limits(&self, lists: &[PrincipalList], now: Timestamp) -> Result<(), Outcome> {
        for change in &self.lists {
            if let ListChange::Add {
                principal,
                limit: Some(limit),
                ..
            } = change
                && let Some(list) = lists.iter().find(|list| list.principal == *principal)
                && list.is_full(&self.session, *limit, now)
            {
                let principal = *principal;
                return Err(Outcome::LimitReached { principal });
            }
        }
        Ok(())
    }

    fn change_header(&self, record: &mut Record, now: Timestamp) {
        let header = &mut record.header;
        // Before a rotation, which begins a grace of its own.
        header.previous = header
            .previous
            .filter(|previous| !self.end_grace && now < previous.until);
        header.link = header
            .link
            .filter(|link| !self.close_link && now < link.until);
        match &self.action {
            Action::Create {
                link: Some(link), ..
            } => header.link = Some(Credential::new(link.verifier, now + link.keep)),
            Action::Update {
                rotation: Some(rotation),
                ..
            } => {
                let replaced = header.verifier;
                header.previous = rotation
                    .grace
                    .map(|grace| Credential::new(replaced, now + grace));
                header.verifier = rotation.verifier;
                header.rotated = now;
            }
            _ => {}
        }
        if let Some(timeouts) = self.timeouts {
            header.idle = timeouts.idle();
            header.end = timeouts
                .lifetime()
                .map(|lifetime| header.created + lifetime);
        }
        if self.persistent.is_some() {
            header.persistent = self.persistent;
        }
        if self.label.is_some() {
            header.label.clone_from(&self.label);
        }
        for change in &self.lists {
            match change {
                ListChange::Add {
                    field, principal, ..
                } => {
                    header.principals.retain(|listed| listed.field != *field);
                    let listed = Principal::new(field.clone(), *principal);
                    header.principals.push(listed);
                }
                ListChange::Remove { field, principal } => {
                    let is_other = |p: &Principal| p.field != *field || p.key != *principal;
                    header.principals.retain(is_other);
                }
            }
        }
        header.seen = now;
    }

    /// Remembers the commit and what it took, unless it is a touch.
    fn remember(&self, record: &mut Record, values: &[Option<Bytes>], now: Timestamp) {
        if self.is_touch() {
            return;
        }
        record.header.last_commit = Some(self.id);
        record.recent.push_back(self.id);
        if record.recent.len() > REMEMBERED_COMMITS {
            record.recent.pop_front();
        }
        let recent = &record.recent;
        record
            .taken
            .retain(|_, taken| recent.contains(&taken.commit));
        for (change, value) in self.changes.iter().zip(values) {
            if let (Change::Take { name }, Some(value)) = (change, value) {
                let field = StoredField::new(value.clone(), Some(now + TAKEN_KEPT));
                let commit = self.id;
                record.taken.insert(name.clone(), Taken { commit, field });
            }
        }
    }

    fn change_lists(&self, lists: &mut [PrincipalList], now: Timestamp) {
        for change in &self.lists {
            let Some(list) = lists
                .iter_mut()
                .find(|list| list.principal == *change.principal())
            else {
                continue;
            };
            match change {
                ListChange::Add { keep, .. } => {
                    let entry = ListEntry::new(self.session, self.id, now);
                    let entry = entry.until(keep.map(|keep| now + keep));
                    list.insert(entry);
                }
                ListChange::Remove { .. } => list.remove(&self.session),
            }
        }
    }
}

/// The fields as they will be: those of the record, and over them what a commit changes.
struct Staged<'a> {
    record: &'a Record,
    changed: BTreeMap<FieldName, Option<StoredField>>,
    now: Timestamp,
}

impl<'a> Staged<'a> {
    fn new(record: &'a Record, now: Timestamp) -> Self {
        Self {
            record,
            changed: BTreeMap::new(),
            now,
        }
    }

    fn get(&self, name: &str) -> Option<&StoredField> {
        match self.changed.get(name) {
            Some(field) => field.as_ref().filter(|field| field.is_live(self.now)),
            None => self.record.live(name, self.now),
        }
    }

    fn put(&mut self, name: &FieldName, value: Bytes, ttl: Option<FieldTtl>) {
        let present = self.get(name).and_then(|field| field.deadline);
        let deadline = ttl.map(|ttl| match present {
            Some(deadline) if !ttl.restart => deadline,
            _ => self.now + ttl.duration,
        });
        let field = StoredField::new(value, deadline);
        self.changed.insert(name.clone(), Some(field));
    }

    fn remove(&mut self, name: &FieldName) {
        self.changed.insert(name.clone(), None);
    }

    /// Applies one change. Returns the change's answer, or the outcome that refuses the whole commit.
    fn apply(&mut self, change: &Change) -> Result<Option<Bytes>, Outcome> {
        match change {
            Change::Set {
                name,
                value,
                ttl,
                only_if_absent,
            } => {
                if *only_if_absent && let Some(first) = self.get(name) {
                    return Ok(Some(first.value.clone()));
                }
                self.put(name, value.clone(), *ttl);
                Ok(None)
            }
            Change::Remove { name } => {
                self.remove(name);
                Ok(None)
            }
            Change::Merge {
                name,
                operation,
                operand,
                initial,
                range,
                ttl,
            } => {
                let stored = self.get(name).and_then(|field| decimal(&field.value));
                let merged = merge(*operation, stored.unwrap_or(*initial), *operand, *range)
                    .ok_or_else(|| Outcome::OutOfRange {
                        field: name.clone(),
                    })?;
                let value = Bytes::from(merged.to_string());
                self.put(name, value.clone(), *ttl);
                Ok(Some(value))
            }
            Change::Renew { name, ttl, restore } => {
                let ttl = Some(FieldTtl::restarting(*ttl));
                match (self.get(name), restore) {
                    (Some(field), _) => {
                        let value = field.value.clone();
                        self.put(name, value, ttl);
                    }
                    (None, Some(restore)) => {
                        if restore.last_commit != self.record.header.last_commit {
                            let field = Some(name.clone());
                            return Err(Outcome::Conflict { field });
                        }
                        self.put(name, restore.value.clone(), ttl);
                    }
                    (None, None) => {}
                }
                Ok(None)
            }
            Change::Take { name } => {
                let value = self.get(name).map(|field| field.value.clone());
                self.remove(name);
                Ok(value)
            }
            Change::Bound { prefix, max, evict } => self.bound(prefix, *max, *evict),
        }
    }

    /// Removes the fields with this prefix that are too many, or refuses.
    fn bound(
        &mut self,
        prefix: &FieldName,
        max: usize,
        evict: bool,
    ) -> Result<Option<Bytes>, Outcome> {
        let written = self.changed.iter().filter(|(name, field)| {
            name.starts_with(&**prefix) && field.as_ref().is_some_and(|f| f.is_live(self.now))
        });
        let written = written.count();
        let untouched = self.record.fields.iter().filter(|(name, field)| {
            name.starts_with(&**prefix)
                && field.is_live(self.now)
                && !self.changed.contains_key(&**name)
        });
        // A field without a deadline ends last.
        let mut untouched: Vec<_> = untouched
            .map(|(name, field)| (field.deadline.is_none(), field.deadline, name.clone()))
            .collect();
        let excess = (written + untouched.len()).saturating_sub(max);
        if excess > 0 && (!evict || excess > untouched.len()) {
            let prefix = prefix.clone();
            return Err(Outcome::TooMany { prefix });
        }
        untouched.sort_unstable();
        for (_, _, name) in untouched.into_iter().take(excess) {
            self.remove(&name);
        }
        Ok(None)
    }
}

/// The integer that a stored value is, if it is one in canonical decimal form.
fn decimal(value: &[u8]) -> Option<i64> {
    let integer: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (integer.to_string().as_bytes() == value).then_some(integer)
}

/// The combined value, or nothing where it is not in the range.
fn merge(operation: MergeOperation, stored: i64, operand: i64, range: IntegerRange) -> Option<i64> {
    let merged = match operation {
        MergeOperation::Add => i128::from(stored) + i128::from(operand),
        MergeOperation::Max => stored.max(operand).into(),
        MergeOperation::Min => stored.min(operand).into(),
    };
    if range.stop_at_min && merged < i128::from(range.min) {
        return Some(range.min);
    }
    let merged = i64::try_from(merged).ok()?;
    (range.min..=range.max).contains(&merged).then_some(merged)
}

#[cfg(test)]
mod tests;
