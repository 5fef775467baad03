//! A model of a store, one call after the other, as plainly as it can be written.
//!
//! It shares no code with [`Record`](crate::store::Record), on purpose: drivers are built on that
//! one, and a driver compared with itself would always be right.
//!
//! It has no time of its own: each call says by which moment it judges. What is over stays in the
//! model and is not looked at, because a call that judges by an earlier moment may still see it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::store::{
    Action, Change, Commit, Condition, Credential, FieldName, FieldTtl, IntegerRange, ListChange,
    Loaded, MergeOperation, Outcome, PrincipalKey, StoredField,
};
use crate::token::{CommitId, SessionId, Verifier};

/// How many commits a store has to remember; it may remember more.
const REMEMBERED: usize = 8;

/// How long a store has to remember what was taken; it may remember longer.
const TAKEN_REMEMBERED: Duration = Duration::from_secs(30);

/// Everything that a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Model {
    /// Whether the store's time is the history's, so that moments can be compared.
    is_exact: bool,
    sessions: BTreeMap<SessionId, Session>,
    listed: BTreeSet<(PrincipalKey, SessionId)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Session {
    verifier: [u8; 16],
    previous: Kept,
    link: Kept,
    created: Timestamp,
    rotated: Timestamp,
    seen: Timestamp,
    idle: Option<Duration>,
    end: Option<Timestamp>,
    persistent: Option<bool>,
    label: Option<String>,
    principals: BTreeMap<FieldName, PrincipalKey>,
    fields: BTreeMap<FieldName, Field>,
    /// Every commit that changed more than `seen`, oldest first.
    commits: Vec<CommitId>,
    /// Every value that was taken, oldest first.
    taken: Vec<Taken>,
}

/// A second credential and when it stops opening the session.
type Kept = Option<([u8; 16], Timestamp)>;

fn live(kept: Kept, now: Timestamp) -> Kept {
    kept.filter(|(_, until)| now < *until)
}

/// Which credential a commit shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Previous,
    /// The present token or the link.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Field {
    value: Bytes,
    deadline: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Taken {
    commit: CommitId,
    field: FieldName,
    value: Bytes,
    at: Timestamp,
}

impl Model {
    /// An empty store. If it is not exact, moments are not compared.
    pub(super) fn new(is_exact: bool) -> Self {
        Self {
            is_exact,
            sessions: BTreeMap::new(),
            listed: BTreeSet::new(),
        }
    }

    /// The store after a commit that was answered like this; several where the contract leaves a
    /// choice, none where the answer is wrong. `None` for a commit whose answer was not seen.
    pub(super) fn after_commit(
        &self,
        commit: &Commit,
        answer: Option<&Outcome>,
        now: Timestamp,
    ) -> Vec<Self> {
        let mut possible = Vec::new();
        let known = self
            .session(&commit.session, now)
            .and_then(|session| session.commits.iter().rev().position(|id| *id == commit.id));
        if let Some(commits_since) = known {
            if self.is_repeated_answer(commit, answer, now) {
                possible.push(self.clone());
            }
            if commits_since < REMEMBERED {
                return possible;
            }
        }
        let mut after = self.clone();
        let expected = after.commit(commit, now);
        match answer {
            // A list may hold more than there is, so a limit may be reached early, if all that
            // comes before it allows the commit.
            Some(Outcome::LimitReached { principal }) => {
                if self.may_be_refused_by_limit(commit, principal, now) {
                    possible.push(self.clone());
                }
            }
            Some(answer) if *answer == expected => possible.push(after),
            Some(_) => {}
            None => possible.push(after),
        }
        possible
    }

    /// Whether a load may answer this that judges by the moment `now`. What is over at the moment
    /// `present` of its effect may be reclaimed already.
    pub(super) fn allows_load(
        &self,
        session: &SessionId,
        names: &[&str],
        prefix: &str,
        answer: Option<&Loaded>,
        now: Timestamp,
        present: Timestamp,
    ) -> bool {
        let (session, loaded) = match (self.session(session, now), answer) {
            (Some(session), Some(loaded)) => (session, loaded),
            (Some(session), None) => return session.is_over(present),
            (None, found) => return found.is_none(),
        };
        let header = &loaded.header;
        let same = |one: Timestamp, other: Timestamp| one == other || !self.is_exact;
        let same_option = |one: Option<Timestamp>, other: Option<Timestamp>| match (one, other) {
            (Some(one), Some(other)) => same(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let same_credential = |found: Option<Credential>, expected: Kept| {
            let found = found.map(|found| (*found.verifier.as_bytes(), found.until));
            [now, present]
                .into_iter()
                .any(|now| match (found, live(expected, now)) {
                    (Some(found), Some(expected)) => {
                        found.0 == expected.0 && same(found.1, expected.1)
                    }
                    (found, expected) => found.is_none() && expected.is_none(),
                })
        };
        let found_principals = header.principals.iter();
        let found_principals: BTreeMap<_, _> = found_principals
            .map(|principal| (principal.field.clone(), principal.key))
            .collect();
        header.verifier.as_bytes() == &session.verifier
            && same_credential(header.previous, session.previous)
            && same_credential(header.link, session.link)
            && header.principals.len() == session.principals.len()
            && found_principals == session.principals
            && same(header.created, session.created)
            && same(header.rotated, session.rotated)
            && same(header.seen, session.seen)
            && header.idle == session.idle
            && same_option(header.end, session.end)
            && header.persistent == session.persistent
            && header.label.as_deref() == session.label.as_deref()
            && header.last_commit.as_ref() == session.commits.last()
            && same(loaded.now, now)
            && loaded.fields.len() == names.len()
            && names.iter().zip(&loaded.fields).all(|(name, found)| {
                match (session.field(name, now), found) {
                    (Some(field), Some(found)) => {
                        field.value == found.value && same_option(field.deadline, found.deadline)
                    }
                    (Some(_), None) => session.field(name, present).is_none(),
                    (None, found) => found.is_none(),
                }
            })
            && session.allows_prefixed(prefix, &loaded.prefixed, now, present)
    }

    /// Whether a principal's list may be this one: it has every listed live session, and may have
    /// more.
    pub(super) fn allows_list(
        &self,
        principal: &PrincipalKey,
        answer: &[SessionId],
        now: Timestamp,
    ) -> bool {
        self.listed_by(principal, now)
            .all(|session| answer.contains(session))
    }

    fn session(&self, id: &SessionId, now: Timestamp) -> Option<&Session> {
        let session = self.sessions.get(id);
        session.filter(|session| !session.is_over(now))
    }

    fn listed_by<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a SessionId> {
        self.listed
            .iter()
            .filter(move |(listed, session)| {
                listed == principal && self.session(session, now).is_some()
            })
            .map(|(_, session)| session)
    }

    /// Applies a commit that was not applied before.
    fn commit(&mut self, commit: &Commit, now: Timestamp) -> Outcome {
        let applied = |values| Outcome::Applied(crate::store::Applied::new(values));
        let nothing = || vec![None; commit.changes.len()];
        if let Some(refused) = self.refusal(commit, now) {
            return refused;
        }
        match &commit.action {
            Action::Destroy { .. } | Action::Revoke => {
                self.change_lists(commit);
                self.forget(&commit.session);
                applied(nothing())
            }
            Action::Create { verifier, .. } => {
                let mut created = Session::new(*verifier.as_bytes(), now);
                match created.change(commit, now) {
                    Ok(values) => {
                        // Of one that has ended.
                        self.forget(&commit.session);
                        self.sessions.insert(commit.session, created);
                        self.change_lists(commit);
                        applied(values)
                    }
                    Err(refused) => refused,
                }
            }
            Action::Update { .. } => {
                let mut changed = self.sessions[&commit.session].clone();
                match changed.change(commit, now) {
                    Ok(values) => {
                        self.sessions.insert(commit.session, changed);
                        self.change_lists(commit);
                        applied(values)
                    }
                    Err(refused) => refused,
                }
            }
        }
    }

    /// The outcome that refuses a commit before any of its changes is looked at.
    fn refusal(&self, commit: &Commit, now: Timestamp) -> Option<Outcome> {
        self.refusal_by_session(commit, now)
            .or_else(|| self.refusal_by_limit(commit, now))
    }

    fn refusal_by_session(&self, commit: &Commit, now: Timestamp) -> Option<Outcome> {
        let session = self.session(&commit.session, now);
        let is_admitted = match &commit.action {
            Action::Create { .. } if session.is_some() => return Some(Outcome::IdTaken),
            Action::Create { .. } => true,
            Action::Update { verifier, rotation } => session.is_some_and(|session| {
                let shown = session.shown(verifier, now);
                match rotation {
                    // The previous token does not replace the one that replaced it.
                    Some(rotation) if !rotation.from_previous => {
                        shown.is_some_and(|shown| shown != Shown::Previous)
                    }
                    _ => shown.is_some(),
                }
            }),
            Action::Destroy { verifier } => {
                session.is_some_and(|session| session.shown(verifier, now).is_some())
            }
            Action::Revoke => session.is_some(),
        };
        if !is_admitted {
            return Some(Outcome::Gone);
        }
        // Destroying one's own session does not depend on its contents.
        if matches!(commit.action, Action::Destroy { .. }) {
            return None;
        }
        for condition in &commit.conditions {
            match condition {
                Condition::Field { name, value } => {
                    let field = session.and_then(|session| session.field(name, now));
                    if field.map(|field| &field.value) != value.as_ref() {
                        let field = Some(name.clone());
                        return Some(Outcome::Conflict { field });
                    }
                }
                Condition::LastCommit(id) => {
                    if session.and_then(|session| session.commits.last()) != id.as_ref() {
                        return Some(Outcome::Conflict { field: None });
                    }
                }
                Condition::Principal { field, principal } => {
                    let named = session.and_then(|session| session.principals.get(field));
                    if named != Some(principal) {
                        let field = Some(field.clone());
                        return Some(Outcome::Conflict { field });
                    }
                }
            }
        }
        None
    }

    fn refusal_by_limit(&self, commit: &Commit, now: Timestamp) -> Option<Outcome> {
        for change in &commit.lists {
            if let ListChange::Add {
                principal,
                limit: Some(limit),
                ..
            } = change
            {
                let listed = self.listed_by(principal, now);
                let others = listed.filter(|session| **session != commit.session);
                if others.count() >= *limit as usize {
                    let principal = *principal;
                    return Some(Outcome::LimitReached { principal });
                }
            }
        }
        None
    }

    fn may_be_refused_by_limit(
        &self,
        commit: &Commit,
        named: &PrincipalKey,
        now: Timestamp,
    ) -> bool {
        let limits = |change: &ListChange| matches!(change, ListChange::Add { principal, limit: Some(_), .. } if principal == named);
        self.refusal_by_session(commit, now).is_none() && commit.lists.iter().any(limits)
    }

    fn change_lists(&mut self, commit: &Commit) {
        for change in &commit.lists {
            let entry = (*change.principal(), commit.session);
            match change {
                ListChange::Add { .. } => self.listed.insert(entry),
                ListChange::Remove { .. } => self.listed.remove(&entry),
            };
        }
    }

    /// A session is gone, and nothing brings it back.
    pub(super) fn forget(&mut self, session: &SessionId) {
        self.sessions.remove(session);
        self.listed.retain(|(_, listed)| listed != session);
    }

    /// Whether a commit that was applied before may be answered like this now.
    fn is_repeated_answer(
        &self,
        commit: &Commit,
        answer: Option<&Outcome>,
        now: Timestamp,
    ) -> bool {
        let session = &self.sessions[&commit.session];
        let applied = match answer {
            None => return true,
            Some(Outcome::Applied(applied)) => applied,
            Some(_) => return false,
        };
        let right = |(change, answered): (&Change, &Option<Bytes>)| match change {
            Change::Merge { name, .. }
            | Change::Set {
                name,
                only_if_absent: true,
                ..
            } => session.field(name, now).map(|field| &field.value) == answered.as_ref(),
            Change::Take { name } => {
                let taken = session.taken.iter().enumerate();
                let taken = taken
                    .rev()
                    .find(|(_, taken)| (taken.commit, &taken.field) == (commit.id, name));
                let Some((index, taken)) = taken else {
                    return answered.is_none();
                };
                let is_old = now >= taken.at + TAKEN_REMEMBERED;
                let was_taken_again = session.taken[index + 1..]
                    .iter()
                    .any(|later| later.field == *name);
                match answered {
                    Some(value) => *value == taken.value,
                    None => is_old || was_taken_again,
                }
            }
            _ => answered.is_none(),
        };
        commit.changes.len() == applied.values.len()
            && commit.changes.iter().zip(&applied.values).all(right)
    }
}

impl Session {
    fn new(verifier: [u8; 16], now: Timestamp) -> Self {
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

    fn is_over(&self, now: Timestamp) -> bool {
        let idle_end = self.idle.map(|idle| self.seen + idle);
        [idle_end, self.end]
            .into_iter()
            .flatten()
            .any(|end| end <= now)
    }

    fn field(&self, name: &str, now: Timestamp) -> Option<&Field> {
        let field = self.fields.get(name);
        field.filter(|field| field.deadline.is_none_or(|deadline| now < deadline))
    }

    /// Whether these may be the fields with a prefix: by name, each once, and all that are there.
    fn allows_prefixed(
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
    fn shown(&self, verifier: &Verifier, now: Timestamp) -> Option<Shown> {
        let is = |kept| live(kept, now).is_some_and(|(kept, _)| kept == *verifier.as_bytes());
        if is(self.previous) {
            return Some(Shown::Previous);
        }
        let is_other = self.verifier == *verifier.as_bytes() || is(self.link);
        is_other.then_some(Shown::Other)
    }

    /// Applies everything, or says why nothing may be. A refusal leaves `self` half changed.
    fn change(&mut self, commit: &Commit, now: Timestamp) -> Result<Vec<Option<Bytes>>, Outcome> {
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

    fn change_field(
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
    fn bound(
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

    fn write(&mut self, name: &FieldName, value: Bytes, ttl: Option<FieldTtl>, now: Timestamp) {
        let before = self.field(name, now).and_then(|field| field.deadline);
        let deadline = match (ttl, before) {
            (None, _) => None,
            (Some(ttl), Some(before)) if !ttl.restart => Some(before),
            (Some(ttl), _) => Some(now + ttl.duration),
        };
        self.fields.insert(name.clone(), Field { value, deadline });
    }
}

/// Whether a store has to remember the commit.
pub(super) fn changes_more_than_seen(commit: &Commit) -> bool {
    let only_renews = commit
        .changes
        .iter()
        .all(|change| matches!(change, Change::Renew { restore: None, .. }));
    let only_touches = matches!(commit.action, Action::Update { rotation: None, .. })
        && commit.timeouts.is_none()
        && commit.persistent.is_none()
        && commit.label.is_none()
        && commit.lists.is_empty()
        && !commit.end_grace
        && !commit.close_link;
    !(only_renews && only_touches)
}

/// The integer that a text is in its only spelling.
fn integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_canonical = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || (!digits.is_empty() && !digits.starts_with('0')));
    text.parse().ok().filter(|_| is_canonical)
}

fn combine(
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
