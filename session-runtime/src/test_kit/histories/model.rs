//! A model of a store, one call after the other, as plainly as it can be written.
//!
//! It shares no code with [`Record`](crate::store::Record), on purpose: drivers are built on that
//! one, and a driver compared with itself would always be right.
//!
//! It has no time of its own: each call says by which moment it judges. What is over stays in the
//! model and is not looked at, because a call that judges by an earlier moment may still see it.

mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use self::session::{Kept, Session, Shown, live};
use crate::clock::Timestamp;
use crate::store::{
    Action, Change, Commit, Condition, Credential, ListChange, Loaded, Outcome, PrincipalKey,
};
use crate::token::SessionId;

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
