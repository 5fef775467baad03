//! The bookkeeping of one request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::tracked::TrackedField;
use crate::config::Config;
use crate::error::SessionError;
use crate::schema::{Encoded, FieldSpec, Slot};
use crate::store::{Loaded, PrincipalKey, Timeouts};
use crate::token::{Token, Verifier};

#[derive(Default)]
pub(super) struct State {
    pub(super) visitor: Visitor,
    /// Whether the request came without a live session.
    pub(super) new: bool,
    /// Every field that was loaded or changed.
    pub(super) fields: Vec<TrackedField>,
    pub(super) wishes: Wishes,
    /// The sessions that `destroy` gave up and the next commit removes.
    pub(super) doomed: Vec<Doomed>,
    /// What a guard could not hand over; the commit fails with it.
    pub(super) error: Option<SessionError>,
    /// What the response must say about the cookie because of commits that were applied.
    pub(super) cookie: Option<CookieChange>,
    /// The request's cookie opens nothing, or nothing certain: the response removes it.
    pub(super) useless_cookie: bool,
    /// A browser says that it would not send our cookie back.
    pub(super) cookie_is_lost: bool,
    /// Whether a handler asked for the session, or for what its cookie says.
    pub(super) asked: bool,
    /// The request's token was replaced a moment ago, while the request was on its way. The visitor
    /// holds a newer one, which the response must neither remove nor replace.
    pub(super) late: bool,
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
    /// How old the token was at `read_at`.
    pub(super) token_age: Duration,
    /// Whether the token is the present one, and not the one before it in its grace.
    pub(super) is_current: bool,
    /// Whether the token before this one still works.
    pub(super) has_previous: bool,
    /// How long before `read_at` the session had been touched.
    pub(super) untouched_for: Duration,
    pub(super) read_at: Instant,
}

/// A session that is to be removed.
pub(super) struct Doomed {
    pub(super) live: Live,
    /// Under whom the index lists it, as far as this request knows.
    pub(super) principals: Vec<PrincipalKey>,
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
    pub(super) fn loaded(
        token: Token,
        verifier: Verifier,
        is_current: bool,
        loaded: &Loaded,
    ) -> Self {
        let Loaded { header, now, .. } = loaded;
        Self {
            token,
            verifier,
            persistent: header.persistent,
            idle: header.idle,
            ends_in: header.end.map(|end| end.saturating_since(*now)),
            age: now.saturating_since(header.created),
            token_age: now.saturating_since(header.rotated),
            is_current,
            has_previous: header.previous.is_some(),
            untouched_for: now.saturating_since(header.seen),
            read_at: Instant::now(),
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
            token_age: Duration::ZERO,
            is_current: true,
            has_previous: false,
            untouched_for: Duration::ZERO,
            read_at: Instant::now(),
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
    pub(super) fn settle(&mut self, wishes: &Wishes, ended_grace: bool) {
        if let Some(timeouts) = wishes.timeouts {
            self.idle = timeouts.idle();
            self.ends_in = timeouts
                .lifetime()
                .map(|lifetime| lifetime.saturating_sub(self.age));
        }
        if wishes.persistent.is_some() {
            self.persistent = wishes.persistent;
        }
        self.untouched_for = Duration::ZERO;
        self.has_previous &= !ended_grace;
    }

    /// The visitor has this token from now on.
    pub(super) fn replace_token(&mut self, token: Token) {
        self.token = token;
        self.verifier = token.verifier();
        self.token_age = Duration::ZERO;
        self.is_current = true;
        // Not in this request: the visitor must first have shown the new token.
        self.has_previous = false;
    }

    /// Whether a visit that changes nothing owes the session a commit all the same.
    pub(super) fn is_upkeep_due(&self, config: &Config) -> bool {
        self.untouched_for >= Config::touch_interval(self.idle)
            || self.should_rotate(config)
            || self.should_end_grace()
    }

    /// Whether the layer's setting asks for a new token.
    pub(super) fn should_rotate(&self, config: &Config) -> bool {
        let interval = config.rotate_every;
        self.is_current && interval.is_some_and(|interval| self.token_age >= interval)
    }

    /// Whether the visitor has shown the new token, so that the one before is not needed any more.
    pub(super) fn should_end_grace(&self) -> bool {
        self.is_current && self.has_previous
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

    /// Which of these fields hold something sealed that does not open.
    pub(super) fn unopened(&self, specs: &'static [FieldSpec]) -> Vec<usize> {
        let is_unopened = |spec: &FieldSpec| {
            let mut fields = self.fields.iter();
            fields.any(|field| field.is(spec) && field.is_unopened())
        };
        let specs = specs.iter().enumerate();
        specs
            .filter_map(|(index, spec)| is_unopened(spec).then_some(index))
            .collect()
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
                    self.error = Some(SessionError::Encode {
                        field: spec.name.into(),
                    });
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

    /// Gives the session up; the next commit removes it.
    pub(super) fn destroy(&mut self) {
        if let Visitor::Known(live) = std::mem::take(&mut self.visitor) {
            self.doomed.push(Doomed {
                live: *live,
                principals: self
                    .fields
                    .iter()
                    .filter_map(TrackedField::principal)
                    .collect(),
            });
        }
        self.give_up();
    }

    /// Forgets the session: what follows in this request is a new visitor's.
    pub(super) fn give_up(&mut self) {
        self.visitor = Visitor::Anonymous;
        self.new = true;
        self.fields.clear();
        self.wishes = Wishes::default();
        self.error = None;
    }
}
