//! One session of the model.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::changes_more_than_seen;
use crate::clock::Timestamp;
use crate::store::{
    Action, Change, Commit, FieldName, FieldTtl, IntegerRange, ListChange, MergeOperation, Outcome,
    PrincipalKey, StoredField,
};
use crate::token::{CommitId, Verifier};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Session {
    pub(super) verifier: [u8; 16],
    pub(super) previous: Kept,
    pub(super) link: Kept,
    pub(super) created: Timestamp,
    pub(super) rotated: Timestamp,
    pub(super) seen: Timestamp,
    pub(super) idle: Option<Duration>,
    pub(super) end: Option<Timestamp>,
    pub(super) persistent: Option<bool>,
    pub(super) label: Option<String>,
    pub(super) principals: BTreeMap<FieldName, PrincipalKey>,
    pub(super) fields: BTreeMap<FieldName, Field>,
    /// Every commit that changed more than `seen`, oldest first.
    pub(super) commits: Vec<CommitId>,
    /// Every value that was taken, oldest first.
    pub(super) taken: Vec<Taken>,
}

/// A second credential and when it stops opening the session.
pub(super) type Kept = Option<([u8; 16], Timestamp)>;

pub(super) fn live(kept: Kept, now: Timestamp) -> Kept {
    kept.filter(|(_, until)| now < *until)
}

/// Which credential a commit shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Previous,
    /// The present token or the link.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Field {
    pub(super) value: Bytes,
    pub(super) deadline: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Taken {
    pub(super) commit: CommitId,
    pub(super) field: FieldName,
    pub(super) value: Bytes,
    pub(super) at: Timestamp,
}

impl Session {
    pub(super) fn new(verifier: [u8; 16], now: Timestamp) -> Self {
        Self {
            verifier,
            previous: None,
            link: None,
            created: now,
            rotated: now,
            seen: now,
            idle: None,
            end: None,
            persistent: None,
            label: None,
            principals: BTreeMap::new(),
            fields: BTreeMap::new(),
            commits: Vec::new(),
            taken: Vec::new(),
        }
    }

    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        let idle_end = self.idle.map(|idle| self.seen + idle);
        [idle_end, self.end]
            .into_iter()
            .flatten()
            .any(|end| end <= now)
    }

    pub(super) fn field(&self, name: &str, now: Timestamp) -> Option<&Field> {
        let field = self.fields.get(name);
        field.filter(|field| field.deadline.is_none_or(|deadline| now < deadline))
    }

    /// Whether these may be the fields with a prefix: by name, each once, and all that are there.
    pub(super) fn allows_prefixed(
        &self,
        prefix: &str,
        found: &[(FieldName, StoredField)],
        now: Timestamp,
        present: Timestamp,
    ) -> bool {
        let is_found = |name: &FieldName| found.iter().any(|(found, _)| found == name);
        let mut names = self.fields.keys().filter(|name| name.starts_with(prefix));
        found.is_sorted_by(|(one, _), (other, _)| one < other)
            && found.iter().all(|(name, found)| {
                let field = self.field(name, now);
                let is_same = field.is_some_and(|field| field.value == found.value);
                name.starts_with(prefix) && is_same && found.deadline.is_none()
            })
            && names.all(|name| {
                is_found(name)
                    || self.field(name, now).is_none()
                    || self.field(name, present).is_none()
            })
    }

    /// Which of its credentials opens the session. One that is both counts as the previous one.
    pub(super) fn shown(&self, verifier: &Verifier, now: Timestamp) -> Option<Shown> {
        let is = |kept| live(kept, now).is_some_and(|(kept, _)| kept == *verifier.as_bytes());
        if is(self.previous) {
            return Some(Shown::Previous);
        }
        let is_other = self.verifier == *verifier.as_bytes() || is(self.link);
        is_other.then_some(Shown::Other)
    }

    /// Applies everything, or says why nothing may be. A refusal leaves `self` half changed.
    pub(super) fn change(
        &mut self,
        commit: &Commit,
        now: Timestamp,
    ) -> Result<Vec<Option<Bytes>>, Outcome> {
        let mut values = Vec::new();
        let mut written = BTreeSet::new();
        for change in &commit.changes {
            values.push(self.change_field(commit.id, change, &mut written, now)?);
        }
        if commit.end_grace {
            self.previous = None;
        }
        if commit.close_link {
            self.link = None;
        }
        if let Action::Create {
            link: Some(link), ..
        } = &commit.action
        {
            self.link = Some((*link.verifier.as_bytes(), now + link.keep));
        }
        for change in &commit.lists {
            match change {
                ListChange::Add {
                    field, principal, ..
                } => {
                    self.principals.insert(field.clone(), *principal);
                }
                ListChange::Remove { field, principal } => {
                    if self.principals.get(field) == Some(principal) {
                        self.principals.remove(field);
                    }
                }
            }
        }
        if let Action::Update {
            rotation: Some(rotation),
            ..
        } = &commit.action
        {
            self.previous = rotation.grace.map(|grace| (self.verifier, now + grace));
            self.verifier = *rotation.verifier.as_bytes();
            self.rotated = now;
        }
        if let Some(timeouts) = commit.timeouts {
            self.idle = timeouts.idle();
            self.end = timeouts.lifetime().map(|lifetime| self.created + lifetime);
        }
        if let Some(persistent) = commit.persistent {
            self.persistent = Some(persistent);
        }
        if let Some(label) = &commit.label {
            self.label = Some(label.to_string());
        }
        self.seen = now;
        if changes_more_than_seen(commit) {
            self.commits.push(commit.id);
        }
        Ok(values)
    }

    pub(super) fn change_field(
        &mut self,
        commit: CommitId,
        change: &Change,
        written: &mut BTreeSet<FieldName>,
        now: Timestamp,
    ) -> Result<Option<Bytes>, Outcome> {
        match change {
            Change::Set {
                name,
                value,
                ttl,
                only_if_absent,
            } => {
                let first = self.field(name, now).filter(|_| *only_if_absent);
                if let Some(first) = first {
                    return Ok(Some(first.value.clone()));
                }
                self.write(name, value.clone(), *ttl, now);
                written.insert(name.clone());
                Ok(None)
            }
            Change::Remove { name } => {
                self.fields.remove(name);
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
                let stored = self
                    .field(name, now)
                    .and_then(|field| integer(&field.value));
                let stored = stored.unwrap_or(*initial);
                let Some(result) = combine(*operation, stored, *operand, *range) else {
                    let field = name.clone();
                    return Err(Outcome::OutOfRange { field });
                };
                let value = Bytes::from(result.to_string());
                self.write(name, value.clone(), *ttl, now);
                written.insert(name.clone());
                Ok(Some(value))
            }
            Change::Renew { name, ttl, restore } => {
                let ttl = Some(FieldTtl::restarting(*ttl));
                if let Some(field) = self.field(name, now) {
                    let value = field.value.clone();
                    self.write(name, value, ttl, now);
                    written.insert(name.clone());
                } else if let Some(restore) = restore {
                    if restore.last_commit.as_ref() != self.commits.last() {
                        let field = Some(name.clone());
                        return Err(Outcome::Conflict { field });
                    }
                    self.write(name, restore.value.clone(), ttl, now);
                    written.insert(name.clone());
                }
                Ok(None)
            }
            Change::Take { name } => {
                let value = self.field(name, now).map(|field| field.value.clone());
                self.fields.remove(name);
                if let Some(value) = &value {
                    self.taken.push(Taken {
                        commit,
                        field: name.clone(),
                        value: value.clone(),
                        at: now,
                    });
                }
                Ok(value)
            }
            Change::Bound { prefix, max, evict } => {
                self.bound(prefix, *max, *evict, written, now)?;
                Ok(None)
            }
        }
    }

    /// Removes one field after the other until no more than `max` are left, or says that too many
    /// would be.
    pub(super) fn bound(
        &mut self,
        prefix: &FieldName,
        max: usize,
        evict: bool,
        written: &BTreeSet<FieldName>,
        now: Timestamp,
    ) -> Result<(), Outcome> {
        loop {
            let names = self
                .fields
                .keys()
                .filter(|name| name.starts_with(&**prefix));
            let live = names.filter(|name| self.field(name, now).is_some());
            let live: Vec<_> = live.cloned().collect();
            if live.len() <= max {
                return Ok(());
            }
            let spare = live
                .into_iter()
                .filter(|name| evict && !written.contains(name));
            let ends = |name: &FieldName| {
                self.fields[name]
                    .deadline
                    .map_or(u64::MAX, |at| at.as_millis())
            };
            let Some(first) = spare.min_by_key(|name| (ends(name), name.clone())) else {
                let prefix = prefix.clone();
                return Err(Outcome::TooMany { prefix });
            };
            self.fields.remove(&first);
        }
    }

    pub(super) fn write(
        &mut self,
        name: &FieldName,
        value: Bytes,
        ttl: Option<FieldTtl>,
        now: Timestamp,
    ) {
        let before = self.field(name, now).and_then(|field| field.deadline);
        let deadline = match (ttl, before) {
            (None, _) => None,
            (Some(ttl), Some(before)) if !ttl.restart => Some(before),
            (Some(ttl), _) => Some(now + ttl.duration),
        };
        self.fields.insert(name.clone(), Field { value, deadline });
    }
}

/// The integer that a text is in its only spelling.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_canonical = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || (!digits.is_empty() && !digits.starts_with('0')));
    text.parse().ok().filter(|_| is_canonical)
}

pub(super) fn combine(
    operation: MergeOperation,
    stored: i64,
    operand: i64,
    range: IntegerRange,
) -> Option<i64> {
    let (stored, operand) = (i128::from(stored), i128::from(operand));
    let (min, max) = (i128::from(range.min), i128::from(range.max));
    let result = match operation {
        MergeOperation::Add => stored + operand,
        MergeOperation::Max => std::cmp::max(stored, operand),
        MergeOperation::Min => std::cmp::min(stored, operand),
    };
    if result < min {
        return range.stop_at_min.then_some(range.min);
    }
    if result > max {
        return None;
    }
    i64::try_from(result).ok()
}
