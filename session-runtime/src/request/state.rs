//! The bookkeeping of one request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::tracked::TrackedField;
use crate::error::SessionError;
use crate::schema::{Encoded, FieldSpec, Slot};
use crate::store::{Loaded, Timeouts};
use crate::token::{CommitId, Token, Verifier};

#[derive(Default)]
pub(super) struct State {
    pub(super) visitor: Visitor,
    /// Whether a handler asked for the session.
    pub(super) asked: bool,
    /// Whether the request came without a live session.
    pub(super) new: bool,
    /// Every field that was loaded or changed.
    pub(super) fields: Vec<TrackedField>,
    pub(super) wishes: Wishes,
    /// The sessions that `destroy` gave up and the next commit removes.
    pub(super) doomed: Vec<Live>,
    /// What a guard could not hand over; the commit fails with it.
    pub(super) error: Option<SessionError>,
    /// What the response must say about the cookie because of commits that were applied.
    pub(super) cookie: Option<CookieChange>,
    /// The request's cookie opens nothing, or nothing certain: the response removes it.
    pub(super) useless_cookie: bool,
    /// A handler panicked: nothing is saved.
    pub(super) abandoned: bool,
    /// The response has left.
    pub(super) closed: bool,
}

/// Whose request it is.
#[derive(Default)]
pub(super) enum Visitor {
    /// Nobody asked yet.
    #[default]
    Unread,
    /// Somebody without a session.
    Anonymous,
    /// Somebody with a session.
    Known(Box<Live>),
}

/// A session that exists, as far as this request knows.
pub(super) struct Live {
    pub(super) token: Token,
    /// What the store is shown as proof: the verifier of `token`.
    pub(super) verifier: Verifier,
    pub(super) persistent: Option<bool>,
    pub(super) idle: Option<Duration>,
    /// How long after `read_at` the session ends in any case.
    pub(super) ends_in: Option<Duration>,
    /// How old the session was at `read_at`.
    pub(super) age: Duration,
    /// How long before `read_at` the session had been touched.
    pub(super) untouched_for: Duration,
    pub(super) read_at: Instant,
    pub(super) last_commit: Option<CommitId>,
}

/// What applies to the session as a whole and waits for the next commit.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) rotate: bool,
    pub(super) persistent: Option<bool>,
    pub(super) timeouts: Option<Timeouts>,
    pub(super) label: Option<Arc<str>>,
}

/// What the response says about the cookie.
pub(super) enum CookieChange {
    /// The visitor keeps this token; the age is that of the live session.
    Set,
    Remove,
}

impl Live {
    pub(super) fn loaded(token: Token, verifier: Verifier, loaded: &Loaded) -> Self {
        let Loaded { header, now, .. } = loaded;
        Self {
            token,
            verifier,
            persistent: header.persistent,
            idle: header.idle,
            ends_in: header.end.map(|end| end.saturating_since(*now)),
            age: now.saturating_since(header.created),
            untouched_for: now.saturating_since(header.seen),
            read_at: Instant::now(),
            last_commit: header.last_commit,
        }
    }

    pub(super) fn created(token: Token) -> Self {
        Self {
            verifier: token.verifier(),
            token,
            persistent: None,
            idle: None,
            ends_in: None,
            age: Duration::ZERO,
            untouched_for: Duration::ZERO,
            read_at: Instant::now(),
            last_commit: None,
        }
    }

    /// How long the record lives from now on if it was touched just now; `None` for ever.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let to_end = self
            .ends_in
            .map(|ends_in| ends_in.saturating_sub(self.read_at.elapsed()));
        match (self.idle, to_end) {
            (Some(idle), Some(to_end)) => Some(idle.min(to_end)),
            (one, other) => one.or(other),
        }
    }
}

impl Live {
    /// Brings it up to date with a commit that was applied.
    pub(super) fn settle(&mut self, wishes: &Wishes) {
        if let Some(timeouts) = wishes.timeouts {
            self.idle = timeouts.idle;
            self.ends_in = timeouts
                .lifetime
                .map(|lifetime| lifetime.saturating_sub(self.age));
        }
        if wishes.persistent.is_some() {
            self.persistent = wishes.persistent;
        }
        self.untouched_for = Duration::ZERO;
    }
}

impl Wishes {
    pub(super) fn is_empty(&self) -> bool {
        !self.rotate && self.persistent.is_none() && self.timeouts.is_none() && self.label.is_none()
    }
}

impl State {
    pub(super) fn live(&self) -> Option<&Live> {
        match &self.visitor {
            Visitor::Known(live) => Some(live),
            Visitor::Unread | Visitor::Anonymous => None,
        }
    }

    pub(super) fn live_mut(&mut self) -> Option<&mut Live> {
        match &mut self.visitor {
            Visitor::Known(live) => Some(live),
            Visitor::Unread | Visitor::Anonymous => None,
        }
    }

    /// The encoded values of these fields with the request's changes.
    pub(super) fn current(&self, specs: &'static [FieldSpec]) -> Vec<Option<Bytes>> {
        let value = |spec: &FieldSpec| {
            let tracked = self.fields.iter().find(|field| field.is(spec))?;
            tracked.current().cloned()
        };
        specs.iter().map(value).collect()
    }

    pub(super) fn knows(&self, specs: &'static [FieldSpec]) -> bool {
        let is_tracked = |spec| self.fields.iter().any(|field| field.is(spec));
        specs.iter().all(is_tracked)
    }

    /// The field, tracked from now on.
    pub(super) fn tracked(&mut self, spec: &'static FieldSpec) -> &mut TrackedField {
        let index = self.fields.iter().position(|field| field.is(spec));
        let index = index.unwrap_or_else(|| {
            self.fields.push(TrackedField::absent(spec));
            self.fields.len() - 1
        });
        &mut self.fields[index]
    }

    /// Takes over what a guard changed.
    pub(super) fn record(
        &mut self,
        specs: &'static [FieldSpec],
        baseline: &Encoded,
        changes: &Encoded,
        defaults: Option<&Encoded>,
    ) {
        for (index, (spec, slot)) in specs.iter().zip(changes.slots()).enumerate() {
            let value = match slot {
                Slot::Unchanged => continue,
                Slot::Absent => None,
                // A copy, because a store may keep it for long: a part of the buffer would keep
                // all of it, and with it the room that unchanged fields took.
                Slot::Present(_) => changes.value(index).map(Bytes::copy_from_slice),
                Slot::Failed => {
                    self.error = Some(SessionError::Encode { field: spec.name });
                    continue;
                }
            };
            self.wishes.rotate |= spec.principal;
            self.tracked(spec).write(
                value,
                baseline.value(index),
                defaults.and_then(|defaults| defaults.value(index)),
            );
        }
    }

    /// Removes the field with the next commit.
    pub(super) fn remove(&mut self, spec: &'static FieldSpec) {
        let field = self.tracked(spec);
        let rotates = spec.principal && field.current().is_some();
        field.remove();
        self.wishes.rotate |= rotates;
    }

    /// What was on its way to the store did not get there.
    pub(super) fn revert(&mut self) {
        self.fields.iter_mut().for_each(TrackedField::revert);
    }

    /// Whether there is something that a commit would save.
    pub(super) fn is_pending(&self) -> bool {
        !self.doomed.is_empty()
            || !self.wishes.is_empty()
            || self.fields.iter().any(TrackedField::is_pending)
    }

    /// Gives the session up: what follows in this request is a new visitor's.
    pub(super) fn destroy(&mut self) {
        if let Visitor::Known(live) = std::mem::take(&mut self.visitor) {
            self.doomed.push(*live);
        }
        self.visitor = Visitor::Anonymous;
        self.new = true;
        self.fields.clear();
        self.wishes = Wishes::default();
        self.error = None;
    }
}
