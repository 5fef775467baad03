//! The semantics of a commit, for drivers that keep records themselves.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::{
    Action, Applied, Change, Commit, Condition, FieldName, FieldTtl, Header, IntegerRange, Loaded,
    MergeOperation, Outcome, Selected, StoredField,
};
use crate::clock::Timestamp;
use crate::events;
use crate::token::{CommitId, SessionId, Verifier};

/// How many commits a record remembers. Eight ids are 64 characters as text, the longest value
/// that Redis still keeps in its compact form.
const REMEMBERED_COMMITS: usize = 8;

/// How long a taken value is kept for a commit that arrives a second time. Client libraries send
/// again within their own time limits, which are shorter.
const TAKEN_KEPT: Duration = Duration::from_secs(30);

/// One session as an embedded driver keeps it.
///
/// The driver holds a lock, keeps the parts in whatever form it likes, and leaves the meaning to
/// [`Record::load`] and [`Record::commit`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Record {
    /// What every session has. `previous` is meaningful only until `previous_until`.
    pub header: Header,
    /// When the grace of [`Header::previous`] ends.
    pub previous_until: Option<Timestamp>,
    /// All fields of all schemas, expired ones perhaps included.
    pub fields: BTreeMap<FieldName, StoredField>,
    /// The last commits, oldest first.
    pub recent: VecDeque<CommitId>,
    /// What was taken lately, so that a commit that arrives twice can answer twice.
    pub taken: BTreeMap<FieldName, Taken>,
}

/// A value that a [`Change::Take`] removed a moment ago.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The commit that took it.
    pub commit: CommitId,
    /// What it held; `deadline` is when it is forgotten.
    pub field: StoredField,
}

impl Record {
    /// A record with this header and nothing else.
    pub fn new(header: Header) -> Self {
        Self {
            header,
            previous_until: None,
            fields: BTreeMap::new(),
            recent: VecDeque::new(),
            taken: BTreeMap::new(),
        }
    }

    /// Whether the session has ended by itself.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.header
            .deadline()
            .is_some_and(|deadline| deadline <= now)
    }

    /// What [`SessionStore::load`](super::SessionStore::load) answers; `None` when the session has
    /// ended, which is reported by an event.
    pub fn load(
        &self,
        session: &SessionId,
        fields: &[Selected<'_>],
        now: Timestamp,
    ) -> Option<Loaded> {
        if self.is_expired(now) {
            events::expired(*session);
            return None;
        }
        let answer = |selected: &Selected<'_>| {
            let field = live(self.fields.get(selected.name), now)?;
            Some(StoredField {
                value: field.value.clone(),
                deadline: field.deadline.filter(|_| selected.deadline),
            })
        };
        let fields = fields.iter().map(answer).collect();
        let mut header = self.header.clone();
        if !self.in_grace(now) {
            header.previous = None;
        }
        Some(Loaded {
            header,
            fields,
            now,
        })
    }

    /// What [`SessionStore::commit`](super::SessionStore::commit) answers, having brought `current`
    /// to what the store must keep from now on: `None` when the session is gone.
    ///
    /// Any other outcome than [`Outcome::Applied`] leaves `current` untouched, except that a record
    /// which has ended may be dropped.
    pub fn commit(current: &mut Option<Self>, commit: &Commit, now: Timestamp) -> Outcome {
        if current
            .as_ref()
            .is_some_and(|record| record.is_expired(now))
        {
            *current = None;
        }
        if let Some(outcome) = Self::precheck(current.as_ref(), commit, now) {
            return outcome;
        }
        match &commit.action {
            Action::Destroy { .. } | Action::Revoke => {
                *current = None;
                Outcome::Applied(Applied::new(vec![None; commit.changes.len()]))
            }
            Action::Create { verifier } => {
                let mut record = Self::created(*verifier, now);
                let outcome = record.apply(commit, now);
                if matches!(outcome, Outcome::Applied(_)) {
                    *current = Some(record);
                }
                outcome
            }
            Action::Update { .. } => match current {
                Some(record) => record.apply(commit, now),
                None => Outcome::Gone,
            },
        }
    }

    /// What a commit comes to before the limits of the index are asked: `None` when it is new and
    /// its guard and its conditions hold.
    ///
    /// A driver asks this first, for a commit that adds to the index: only what could be applied
    /// may be refused because of a limit, and what was applied before changes the index no more.
    pub fn precheck(current: Option<&Self>, commit: &Commit, now: Timestamp) -> Option<Outcome> {
        let current = current.filter(|record| !record.is_expired(now));
        let (record, conditions) = match (&commit.action, current) {
            (_, Some(record)) if record.recent.contains(&commit.id) => {
                return Some(Outcome::Applied(record.answer_again(commit, now)));
            }
            (Action::Create { verifier }, None) => (
                Cow::Owned(Self::created(*verifier, now)),
                &commit.conditions[..],
            ),
            (Action::Update { verifier, rotation }, Some(record))
                if record.admits(verifier, rotation.is_some(), now) =>
            {
                (Cow::Borrowed(record), &commit.conditions[..])
            }
            (Action::Destroy { verifier }, Some(record)) if record.admits(verifier, false, now) => {
                (Cow::Borrowed(record), &[][..])
            }
            (Action::Revoke, Some(record)) => (Cow::Borrowed(record), &commit.conditions[..]),
            _ => return Some(Outcome::Gone),
        };
        record.check(conditions, now).err()
    }

    /// Drops the fields and the remembered values whose deadlines have come; answers whether there
    /// were any. Nothing depends on this: they are absent without it.
    pub fn reclaim(&mut self, now: Timestamp) -> bool {
        let before = self.fields.len() + self.taken.len();
        self.fields
            .retain(|_, field| live(Some(field), now).is_some());
        self.taken
            .retain(|_, taken| live(Some(&taken.field), now).is_some());
        self.fields.len() + self.taken.len() < before
    }

    fn created(verifier: Verifier, now: Timestamp) -> Self {
        Self::new(Header {
            verifier,
            previous: None,
            created: now,
            rotated: now,
            seen: now,
            idle: None,
            end: None,
            persistent: None,
            label: None,
            last_commit: None,
        })
    }

    fn in_grace(&self, now: Timestamp) -> bool {
        self.previous_until.is_some_and(|until| now < until)
    }

    fn admits(&self, verifier: &Verifier, rotates: bool, now: Timestamp) -> bool {
        let is_previous = self.header.previous.as_ref() == Some(verifier) && self.in_grace(now);
        self.header.verifier == *verifier || (is_previous && !rotates)
    }

    /// The answer to a commit that was applied before.
    fn answer_again(&self, commit: &Commit, now: Timestamp) -> Applied {
        let value_of = |change: &Change| match change {
            Change::Take { name } => self
                .taken
                .get(name)
                .filter(|taken| taken.commit == commit.id)
                .map(|taken| taken.field.value.clone()),
            Change::Merge { name, .. } => {
                live(self.fields.get(name), now).map(|field| field.value.clone())
            }
            _ => None,
        };
        Applied::new(commit.changes.iter().map(value_of).collect())
    }

    /// The outcome that refuses a commit whose conditions do not hold.
    fn check(&self, conditions: &[Condition], now: Timestamp) -> Result<(), Outcome> {
        for condition in conditions {
            match condition {
                Condition::Field { name, value } => {
                    let present = live(self.fields.get(name), now).map(|field| &field.value);
                    if present != value.as_ref() {
                        return Err(Outcome::Conflict {
                            field: Some(name.clone()),
                        });
                    }
                }
                Condition::LastCommit(id) => {
                    if self.header.last_commit != *id {
                        return Err(Outcome::Conflict { field: None });
                    }
                }
            }
        }
        Ok(())
    }

    /// Applies a commit whose guard and conditions hold.
    fn apply(&mut self, commit: &Commit, now: Timestamp) -> Outcome {
        // Everything that can still fail happens on staged copies.
        let mut staged = Staged {
            fields: &self.fields,
            changed: Vec::with_capacity(commit.changes.len()),
            now,
        };
        let mut values = Vec::with_capacity(commit.changes.len());
        for change in &commit.changes {
            match staged.apply(change) {
                Ok(value) => values.push(value),
                Err(outcome) => return outcome,
            }
        }

        let changed = staged.changed;
        self.reclaim(now);
        for (change, value) in commit.changes.iter().zip(&values) {
            if let (Change::Take { name }, Some(value)) = (change, value) {
                let field = StoredField {
                    value: value.clone(),
                    deadline: Some(now + TAKEN_KEPT),
                };
                let commit = commit.id;
                self.taken.insert(name.clone(), Taken { commit, field });
            }
        }
        for (name, field) in changed {
            match field {
                Some(field) => self.fields.insert(name, field),
                None => self.fields.remove(&name),
            };
        }
        self.apply_to_header(commit, now);
        Outcome::Applied(Applied::new(values))
    }

    fn apply_to_header(&mut self, commit: &Commit, now: Timestamp) {
        // Before a rotation, which begins a grace of its own.
        if commit.end_grace || !self.in_grace(now) {
            self.header.previous = None;
            self.previous_until = None;
        }
        if let Action::Update {
            rotation: Some(rotation),
            ..
        } = &commit.action
        {
            self.header.previous = rotation.grace.map(|_| self.header.verifier);
            self.previous_until = rotation.grace.map(|grace| now + grace);
            self.header.verifier = rotation.verifier;
            self.header.rotated = now;
        }
        if let Some(timeouts) = commit.timeouts {
            self.header.idle = timeouts.idle();
            self.header.end = timeouts
                .lifetime()
                .map(|lifetime| self.header.created + lifetime);
        }
        if commit.persistent.is_some() {
            self.header.persistent = commit.persistent;
        }
        if commit.label.is_some() {
            self.header.label.clone_from(&commit.label);
        }
        if !commit.is_touch() {
            self.header.last_commit = Some(commit.id);
            self.recent.push_back(commit.id);
            if self.recent.len() > REMEMBERED_COMMITS {
                self.recent.pop_front();
            }
        }
        self.header.seen = now;
    }
}

/// The fields as they will be: those of the record, and over them what a commit changes.
struct Staged<'a> {
    fields: &'a BTreeMap<FieldName, StoredField>,
    changed: Vec<(FieldName, Option<StoredField>)>,
    now: Timestamp,
}

impl Staged<'_> {
    fn get(&self, name: &str) -> Option<&StoredField> {
        let staged = self
            .changed
            .iter()
            .rev()
            .find(|(changed, _)| changed == name);
        match staged {
            Some((_, field)) => live(field.as_ref(), self.now),
            None => live(self.fields.get(name), self.now),
        }
    }

    fn put(&mut self, name: &FieldName, value: Bytes, ttl: Option<FieldTtl>) {
        let present = self.get(name).and_then(|field| field.deadline);
        let deadline = ttl.map(|ttl| match present {
            Some(deadline) if !ttl.restart => deadline,
            _ => self.now + ttl.duration,
        });
        self.changed
            .push((name.clone(), Some(StoredField { value, deadline })));
    }

    /// What the change answers, or the outcome that refuses the whole commit.
    fn apply(&mut self, change: &Change) -> Result<Option<Bytes>, Outcome> {
        match change {
            Change::Set {
                name,
                value,
                ttl,
                only_if_absent,
            } => {
                if !only_if_absent || self.get(name).is_none() {
                    self.put(name, value.clone(), *ttl);
                }
                Ok(None)
            }
            Change::Remove { name } => {
                self.changed.push((name.clone(), None));
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
            Change::Renew { name, ttl } => {
                if let Some(field) = self.get(name) {
                    let value = field.value.clone();
                    self.put(name, value, Some(FieldTtl::restarting(*ttl)));
                }
                Ok(None)
            }
            Change::Take { name } => {
                let value = self.get(name).map(|field| field.value.clone());
                self.changed.push((name.clone(), None));
                Ok(value)
            }
        }
    }
}

/// The field, unless its deadline has come.
fn live(field: Option<&StoredField>, now: Timestamp) -> Option<&StoredField> {
    field.filter(|field| field.deadline.is_none_or(|deadline| now < deadline))
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
mod tests {
    use super::*;
    use crate::store::Timeouts;

    const START: Timestamp = Timestamp::from_millis(1_000);

    fn after(seconds: u64) -> Timestamp {
        START + Duration::from_secs(seconds)
    }

    fn commit(action: Action, changes: Vec<Change>) -> Commit {
        let session = SessionId::generate().unwrap();
        let mut commit = Commit::new(session, CommitId::generate().unwrap(), action);
        commit.changes = changes;
        commit
    }

    fn verifier() -> Verifier {
        Verifier::from_bytes([1; 16])
    }

    fn update(changes: Vec<Change>) -> Commit {
        let action = Action::Update {
            verifier: verifier(),
            rotation: None,
        };
        commit(action, changes)
    }

    fn set(name: &'static str, value: &'static str, ttl: Option<u64>) -> Change {
        Change::Set {
            name: name.into(),
            value: value.into(),
            ttl: ttl.map(|seconds| FieldTtl::restarting(Duration::from_secs(seconds))),
            only_if_absent: false,
        }
    }

    fn take(name: &'static str) -> Change {
        Change::Take { name: name.into() }
    }

    /// A session of an hour.
    fn created(changes: Vec<Change>) -> Option<Record> {
        let verifier = verifier();
        let mut creation = commit(Action::Create { verifier }, changes);
        creation.timeouts = Some(Timeouts::new(Duration::from_secs(3_600), None).unwrap());
        let mut record = None;
        let outcome = Record::commit(&mut record, &creation, START);
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
        record
    }

    fn values(outcome: Outcome) -> Vec<Option<Bytes>> {
        match outcome {
            Outcome::Applied(applied) => applied.values,
            refused => panic!("{refused:?}"),
        }
    }

    #[test]
    fn a_grace_ends_at_the_millisecond() {
        let mut record = created(vec![]);
        let mut rotation = update(vec![]);
        rotation.action = Action::Update {
            verifier: verifier(),
            rotation: Some(crate::store::Rotation {
                verifier: Verifier::from_bytes([2; 16]),
                grace: Some(Duration::from_secs(10)),
            }),
        };
        Record::commit(&mut record, &rotation, START);
        let last = Timestamp::from_millis(after(10).as_millis() - 1);
        let within = Record::commit(&mut record, &update(vec![]), last);
        assert!(matches!(within, Outcome::Applied(_)), "{within:?}");
        let late = Record::commit(&mut record, &update(vec![]), after(10));
        assert_eq!(late, Outcome::Gone);
    }

    #[test]
    fn a_commit_purges_ended_fields() {
        let mut record = created(vec![set("a", "1", Some(10)), set("b", "2", None)]);
        Record::commit(&mut record, &update(vec![]), after(9));
        assert_eq!(record.as_ref().unwrap().fields.len(), 2);
        Record::commit(&mut record, &update(vec![]), after(10));
        let names: Vec<_> = record.as_ref().unwrap().fields.keys().collect();
        assert_eq!(names, ["b"]);
    }

    #[test]
    fn reclaiming_says_whether_anything_went() {
        let mut record = created(vec![set("a", "1", Some(100)), set("b", "2", Some(10))]);
        Record::commit(&mut record, &update(vec![take("a")]), START);
        let mut record = record.unwrap();
        assert!(!record.reclaim(after(9)));
        assert!(record.reclaim(after(10)), "a field");
        assert!(!record.reclaim(after(29)));
        assert!(record.reclaim(after(30)), "a taken value");
        assert!(!record.reclaim(after(31)));
    }

    #[test]
    fn a_taken_value_is_forgotten_after_half_a_minute() {
        let mut record = created(vec![set("a", "1", None)]);
        let taking = update(vec![take("a")]);
        for seconds in [0, 29] {
            let answered = values(Record::commit(&mut record, &taking, after(seconds)));
            assert_eq!(answered, [Some(Bytes::from("1"))]);
        }
        Record::commit(&mut record, &update(vec![]), after(30));
        assert!(record.as_ref().unwrap().taken.is_empty());
        let answered = values(Record::commit(&mut record, &taking, after(31)));
        assert_eq!(answered, [None]);
    }

    #[test]
    fn no_more_commits_are_remembered_than_needed() {
        let mut record = created(vec![]);
        let commits: Vec<_> = (0..20).map(|_| update(vec![take("a")])).collect();
        for commit in &commits {
            Record::commit(&mut record, commit, START);
        }
        let last: Vec<_> = commits[12..].iter().map(|commit| commit.id).collect();
        assert_eq!(record.unwrap().recent, last);
    }

    #[test]
    fn an_ended_record_is_dropped_by_a_refused_commit() {
        let mut record = created(vec![]);
        let outcome = Record::commit(&mut record, &update(vec![]), after(3_600));
        assert_eq!(outcome, Outcome::Gone);
        assert!(record.is_none());
    }

    #[test]
    fn a_clock_that_runs_backwards_ends_nothing() {
        let mut record = created(vec![set("a", "1", Some(10))]);
        let earlier = Timestamp::from_millis(0);
        let outcome = Record::commit(&mut record, &update(vec![]), earlier);
        assert_eq!(values(outcome), []);
        let selected = Selected {
            name: "a",
            deadline: true,
        };
        let loaded = record
            .unwrap()
            .load(&update(vec![]).session, &[selected], earlier);
        let loaded = loaded.unwrap();
        assert_eq!(loaded.header.seen, earlier);
        let field = loaded.fields[0].as_ref().unwrap();
        assert_eq!(field.deadline, Some(after(10)));
    }

    #[test]
    fn debug_shows_no_values() {
        let mut record = created(vec![set("a", "treasure", None)]);
        let answered = Record::commit(&mut record, &update(vec![take("a")]), START);
        let written = update(vec![set("a", "treasure", None)]);
        let shown = format!("{record:?} {answered:?} {written:?}");
        assert!(!shown.contains("treasure"), "{shown}");
    }

    #[test]
    fn only_canonical_decimal_text_is_an_integer() {
        for (text, integer) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            ("", None),
        ] {
            assert_eq!(decimal(text.as_bytes()), integer, "{text:?}");
        }
        assert_eq!(decimal(b"\xff"), None);
    }
}
