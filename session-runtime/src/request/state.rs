//! The bookkeeping of one request.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::field::FieldState;
use super::guard::{Ask, Handed, HandedField, SessionWants};
use crate::config::{Config, Shared};
use crate::error::SessionError;
use crate::events;
use crate::schema::FieldSpec;
use crate::store::{Loaded, Principal};
use crate::token::{CommitId, SessionId, Token, Verifier};

#[derive(Default)]
pub(super) struct State {
    pub(super) visitor: Visitor,
    /// Whether the request came without a live session.
    pub(super) is_new: bool,
    /// Every field that was loaded or changed, each once.
    pub(super) fields: Vec<FieldState>,
    /// The positions of each schema's fields in `fields`.
    views: Vec<View>,
    /// The changes of the session as a whole that guards asked for.
    pub(super) wants: SessionWants,
    /// The sessions that handlers destroyed and the next commit removes.
    pub(super) destroyed: Vec<Live>,
    /// The error of a change that a guard handed over; the commit fails with it.
    pub(super) error: Option<SessionError>,
    /// The change of the cookie that the response must make because of commits that were applied.
    pub(super) cookie: Option<CookieChange>,
    /// Whether a browser would not send the cookie back over this connection.
    pub(super) cookie_is_lost: bool,
    /// Whether a handler asked for the session, or for what its cookie says.
    pub(super) was_asked: bool,
    /// Whether the request's token was replaced a moment ago, while the request was on its way. The
    /// visitor holds a newer one, which the response must not replace.
    pub(super) token_was_replaced: bool,
    /// Whether upkeep at the load was tried.
    pub(super) was_kept_up: bool,
    /// Whether a handler panicked, so that nothing is saved.
    pub(super) was_abandoned: bool,
    /// Whether the response has left.
    pub(super) is_closed: bool,
    /// Counts the sessions that ended in this request. A guard belongs to one of them.
    pub(super) generation: u32,
    /// The session that ended last in this request.
    pub(super) ended: Option<SessionId>,
    /// Whether another request, or time, ended it.
    pub(super) ended_elsewhere: bool,
}

/// The positions of one schema's fields.
struct View {
    specs: &'static [FieldSpec],
    places: Places,
}

enum Places {
    /// One after the other, from this one on: those of the usual request, with one schema.
    From(usize),
    /// Anywhere, because other schemas name some of the same fields.
    Each(Vec<usize>),
}

impl View {
    fn place(&self, index: usize) -> usize {
        match &self.places {
            Places::From(first) => first + index,
            Places::Each(places) => places[index],
        }
    }
}

/// The session that a request belongs to.
#[derive(Default)]
pub(super) enum Visitor {
    /// The cookie was not looked at.
    #[default]
    Unread,
    /// There is no session.
    Anonymous,
    /// There is one.
    Known(Box<Live>),
}

/// A session that exists, as far as this request knows.
#[derive(Clone)]
pub(super) struct Live {
    pub(super) token: Token,
    /// The verifier of `token`, which the store compares.
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
    /// How long before `untouched_since` the session had been touched.
    pub(super) untouched_for: Duration,
    pub(super) untouched_since: Instant,
    /// The last commit that this request knows of.
    pub(super) last_commit: Option<CommitId>,
    /// The principals that list the session.
    pub(super) principals: Vec<Principal>,
    pub(super) read_at: Instant,
}

/// A change of the visitor's cookie, made by the response.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CookieChange {
    /// The visitor keeps the live session's token.
    Set,
    /// The visitor drops the cookie: this request ended its session.
    Remove,
}

impl Live {
    /// A session that was found; `is_current` says whether the token is its present one.
    pub(super) fn loaded(
        token: Token,
        verifier: Verifier,
        is_current: bool,
        loaded: &Loaded,
    ) -> Self {
        let Loaded { header, now, .. } = loaded;
        let read_at = Instant::now();
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
            untouched_since: read_at,
            last_commit: header.last_commit,
            principals: header.principals.clone(),
            read_at,
        }
    }

    /// A session that this request has just created.
    pub(super) fn created(token: Token, verifier: Verifier) -> Self {
        Self {
            token,
            verifier,
            persistent: None,
            idle: None,
            ends_in: None,
            age: Duration::ZERO,
            token_age: Duration::ZERO,
            is_current: true,
            has_previous: false,
            untouched_for: Duration::ZERO,
            untouched_since: Instant::now(),
            last_commit: None,
            principals: Vec::new(),
            read_at: Instant::now(),
        }
    }

    /// How long the record lives from now on if nothing touches it; `None` for ever. By at most a
    /// second too long.
    pub(super) fn remaining(&self) -> Option<Duration> {
        let untouched = Duration::from_secs(self.untouched_since.elapsed().as_secs());
        let untouched = self.untouched_for.saturating_add(untouched);
        let idle = self.idle.map(|idle| idle.saturating_sub(untouched));
        let to_end = self.ends_in;
        let to_end = to_end.map(|ends_in| ends_in.saturating_sub(self.read_at.elapsed()));
        match (idle, to_end) {
            (Some(idle), Some(to_end)) => Some(idle.min(to_end)),
            (one, other) => one.or(other),
        }
    }

    /// A commit has just been applied to the session.
    pub(super) fn mark_touched(&mut self) {
        self.untouched_for = Duration::ZERO;
        self.untouched_since = Instant::now();
    }

    /// The visitor has this token from now on.
    pub(super) fn replace_token(&mut self, token: Token, verifier: Verifier) {
        self.token = token;
        self.verifier = verifier;
        self.token_age = Duration::ZERO;
        self.is_current = true;
        // Not in this request: the visitor must first have shown the new token.
        self.has_previous = false;
    }

    /// Whether so much of the idle timeout has passed that the visit is recorded at its beginning.
    pub(super) fn needs_early_touch(&self) -> bool {
        self.idle.is_some_and(|idle| self.untouched_for > idle / 2)
    }

    /// Whether a read-only request still needs a commit: a touch, a rotation, or the end of a grace
    /// period.
    pub(super) fn needs_upkeep(&self, config: &Config) -> bool {
        self.untouched_for >= Config::touch_interval(self.idle)
            || self.should_rotate(config)
            || self.should_end_grace()
    }

    /// Whether the layer's setting asks for a new token.
    pub(super) fn should_rotate(&self, config: &Config) -> bool {
        let interval = config.rotate_every;
        self.is_current && interval.is_some_and(|interval| self.token_age >= interval)
    }

    /// Whether the token that replaced this one was perhaps never shown: the outcome of the rotation
    /// stayed unknown.
    pub(super) fn may_rotate_again(&self, shared: &Shared) -> bool {
        !self.is_current && shared.upkeep.is_rotation_unknown(&self.token.id())
    }

    /// Whether the visitor has shown the new token, so that the one before is not needed any more.
    pub(super) fn should_end_grace(&self) -> bool {
        self.is_current && self.has_previous
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

    /// Whether the fields of this schema were loaded.
    pub(super) fn knows(&self, specs: &'static [FieldSpec]) -> bool {
        self.view(specs).is_some()
            || specs.iter().all(|spec| {
                self.fields
                    .iter()
                    .any(|field| field.spec().name == spec.name)
            })
    }

    /// The encoded values of a schema as this request sees them.
    pub(super) fn shown(&mut self, specs: &'static [FieldSpec]) -> Vec<Option<Bytes>> {
        let view = self.view_or_new(specs);
        let view = &self.views[view];
        let places = (0..specs.len()).map(|index| view.place(index));
        places.map(|place| self.fields[place].shown()).collect()
    }

    /// One field of a schema.
    pub(super) fn field(&mut self, specs: &'static [FieldSpec], index: usize) -> &mut FieldState {
        let view = self.view_or_new(specs);
        let place = self.views[view].place(index);
        &mut self.fields[place]
    }

    /// Reports the fields of a schema that hold something bad, each once.
    pub(super) fn report_bad_fields(&mut self, specs: &'static [FieldSpec]) {
        let view = self.view_or_new(specs);
        for (index, spec) in specs.iter().enumerate() {
            let place = self.views[view].place(index);
            if self.fields[place].is_news() {
                events::decode_failed(spec.name);
            }
        }
    }

    /// Adds the fields of a schema that was loaded. Fields that are known already stay.
    pub(super) fn add_fields(&mut self, specs: &'static [FieldSpec], loaded: Vec<FieldState>) {
        if self.fields.is_empty() {
            self.fields = loaded;
            let places = Places::From(0);
            self.views.push(View { specs, places });
            return;
        }
        for field in loaded {
            if self.place(field.spec()).is_none() {
                self.fields.push(field);
            }
        }
        self.view_or_new(specs);
    }

    /// Replaces the fields of a schema; what was wanted of them is dropped.
    pub(super) fn replace_fields(&mut self, specs: &'static [FieldSpec], loaded: Vec<FieldState>) {
        for (index, field) in loaded.into_iter().enumerate() {
            *self.field(specs, index) = field;
        }
    }

    /// Takes over what a guard asks for; answers whether it belongs to the present session.
    pub(super) fn take_over(
        &mut self,
        specs: &'static [FieldSpec],
        generation: u32,
        handed: &mut Handed<'_>,
        only: Option<usize>,
    ) -> bool {
        if generation != self.generation {
            return false;
        }
        self.wants.add(handed.take_wants());
        for (index, asked) in handed.fields() {
            if only.is_some_and(|only| only != index) {
                continue;
            }
            let field = self.field(specs, index);
            let taken = match asked {
                HandedField::Asked(Ask::Overwrite(value)) => {
                    field.overwrite(value);
                    Ok(())
                }
                HandedField::Asked(Ask::Renew) => {
                    field.renew();
                    Ok(())
                }
                HandedField::Asked(Ask::Remove) => {
                    field.remove();
                    Ok(())
                }
                HandedField::Changed(change) => field.write(change),
                HandedField::Failed => Err(SessionError::Encode {
                    field: specs[index].name.into(),
                }),
            };
            if let Err(error) = taken {
                self.error = Some(error);
            }
        }
        true
    }

    /// Takes out what waits for a schema and for the session as a whole.
    pub(super) fn split_off(&mut self, specs: &'static [FieldSpec]) -> Self {
        let mut fields = Vec::with_capacity(specs.len());
        for index in 0..specs.len() {
            let field = self.field(specs, index);
            fields.push(field.clone());
            field.forget_want();
        }
        let mut split = Self {
            wants: std::mem::take(&mut self.wants),
            error: self.error.take(),
            is_closed: self.is_closed,
            generation: self.generation,
            ..Self::default()
        };
        split.add_fields(specs, fields);
        split
    }

    /// The same once more, for another attempt.
    pub(super) fn clone_pending(&self) -> Self {
        Self {
            fields: self.fields.clone(),
            wants: self.wants.clone(),
            error: self.error.clone(),
            is_closed: self.is_closed,
            generation: self.generation,
            ..Self::default()
        }
    }

    /// Takes over what an update made of these fields and of the session.
    pub(super) fn join(&mut self, updated: Self, specs: &'static [FieldSpec]) {
        if updated.generation != self.generation {
            return;
        }
        for (index, field) in updated.fields.into_iter().enumerate() {
            let own = self.field(specs, index);
            // A change that another guard handed over meanwhile keeps waiting.
            match own.is_pending() {
                true => own.refresh(field),
                false => *own = field,
            }
        }
        self.visitor = updated.visitor;
        self.cookie = updated.cookie.or(self.cookie);
    }

    /// Whether there is something that a commit would save.
    pub(super) fn is_pending(&self) -> bool {
        self.error.is_some()
            || !self.destroyed.is_empty()
            || !self.wants.is_empty()
            || self.fields.iter().any(FieldState::is_pending)
    }

    /// A commit that was under way did not take effect.
    pub(super) fn revert(&mut self) {
        self.fields.iter_mut().for_each(FieldState::revert);
    }

    /// The next commit removes the session; from now on the request is a new visitor's.
    pub(super) fn destroy(&mut self) {
        if let Visitor::Known(live) = std::mem::take(&mut self.visitor) {
            self.ended = Some(live.token.id());
            self.ended_elsewhere = false;
            self.destroyed.push(*live);
        }
        self.begin_anew();
    }

    /// Leaves the session: what follows in this request is a new visitor's.
    pub(super) fn begin_anew(&mut self) {
        self.visitor = Visitor::Anonymous;
        self.is_new = true;
        self.fields.clear();
        self.views.clear();
        self.wants = SessionWants::default();
        self.error = None;
        self.generation += 1;
    }

    fn view(&self, specs: &'static [FieldSpec]) -> Option<usize> {
        let mut views = self.views.iter();
        views.position(|view| std::ptr::eq(view.specs, specs))
    }

    fn view_or_new(&mut self, specs: &'static [FieldSpec]) -> usize {
        if let Some(view) = self.view(specs) {
            return view;
        }
        let mut places = Vec::with_capacity(specs.len());
        for spec in specs {
            places.push(self.place(spec).unwrap_or_else(|| {
                self.fields.push(FieldState::absent(spec));
                self.fields.len() - 1
            }));
        }
        let first = places.first().copied().unwrap_or_default();
        let places = match places.iter().copied().eq(first..first + places.len()) {
            true => Places::From(first),
            false => Places::Each(places),
        };
        self.views.push(View { specs, places });
        self.views.len() - 1
    }

    fn place(&self, spec: &FieldSpec) -> Option<usize> {
        let mut fields = self.fields.iter();
        fields.position(|field| field.spec().name == spec.name)
    }
}
