//! The session of one request: what was loaded, what changed, and what the response must say.
//!
//! 1. The cookie is not even looked at before a handler extracts a session.
//! 2. What was loaded stays: a second extraction sees it, and the changes made since, without
//!    asking the store again.
//! 3. Guards hand their changes over when they are dropped; nothing reaches the store before
//!    [`RequestSession::save`] or [`RequestSession::finish`].
//! 4. The lock is held for bookkeeping only, never over an await.

mod direct;
mod finish;
mod limit;
mod load;
mod plan;
mod save;
mod state;
mod tracked;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use self::state::{CookieChange, State};
use crate::config::Shared;
use crate::events;
use crate::schema::{Encoded, FieldReader, FieldWriter, Merge, SessionSchema};
use crate::store::Timeouts;
use crate::token::{SessionId, Token};

/// One request's session. The layer puts it into the request's extensions.
pub(crate) struct RequestSession {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

impl RequestSession {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            state: Mutex::new(State::default()),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Whether a session was extracted at all.
    pub(crate) fn was_used(&self) -> bool {
        self.state().asked
    }

    /// From now on there is no response that could carry a cookie.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }

    /// The id of the session, if there is one yet.
    pub(crate) fn id(&self) -> Option<SessionId> {
        self.state().live().map(|live| live.token.id())
    }

    /// What opens the session, if there is one and somebody asked for it.
    pub(crate) fn token(&self) -> Option<Token> {
        self.state().live().map(|live| live.token)
    }

    /// The response will depend on the cookie, though nobody extracted a session.
    pub(crate) fn consult_cookie(&self) {
        self.state().asked = true;
    }

    /// Somebody ended this session; if it is the request's, what follows is a new visitor's.
    pub(crate) fn note_end(&self, session: &SessionId) {
        let mut state = self.state();
        if state.live().is_some_and(|live| live.token.id() == *session) {
            state.give_up();
            state.cookie = Some(CookieChange::Remove);
        }
    }

    /// Whether the request came without a live session.
    pub(crate) fn is_new(&self) -> bool {
        self.state().new
    }

    /// The schema's values as this request sees them.
    pub(crate) fn view<T: SessionSchema>(&self) -> T {
        let stored = self.state().current(T::FIELDS);
        self.decode::<T, _>(&stored, |fields| T::read(fields))
    }

    /// Puts all stored values, as this request sees them, into `value`. What is not stored stays.
    pub(crate) fn view_fields<T: SessionSchema>(&self, value: &mut T) {
        let stored = self.state().current(T::FIELDS);
        self.decode::<T, _>(&stored, |fields| {
            for index in 0..T::FIELDS.len() {
                value.read_field(index, fields);
            }
        });
    }

    /// Puts one field's value, as this request sees it, into `value`.
    pub(crate) fn view_field<T: SessionSchema>(&self, value: &mut T, index: usize) {
        let stored = self.state().current(T::FIELDS);
        self.decode::<T, _>(&stored, |fields| value.read_field(index, fields));
    }

    /// Takes over what changed in `value` since `baseline`. Answers whether anything did.
    pub(crate) fn hand_over<T: SessionSchema>(&self, value: &T, baseline: &Encoded) -> bool {
        let changes = changes_since(value, baseline);
        if changes.changed().next().is_none() {
            return false;
        }
        let defaults = changes
            .changed()
            .any(|index| matches!(T::FIELDS[index].merge, Merge::Integer { .. }))
            .then(defaults::<T>);
        self.state()
            .record(T::FIELDS, baseline, &changes, defaults.as_ref());
        true
    }

    /// As [`hand_over`](Self::hand_over), for a guard that is dropped: when the response has left,
    /// nobody will save what it changed or asked for.
    pub(crate) fn let_go<T: SessionSchema>(&self, value: &T, baseline: Option<&Encoded>) {
        let (closed, pending) = {
            let state = self.state();
            (state.closed, state.closed && state.is_pending())
        };
        match baseline {
            Some(baseline) if !closed => {
                self.hand_over(value, baseline);
            }
            baseline => {
                let changed = baseline.is_some_and(|baseline| {
                    changes_since(value, baseline).changed().next().is_some()
                });
                if changed || pending {
                    events::changes_lost(T::NAME);
                }
            }
        }
    }

    /// Nothing of this request is to be saved: a handler panicked.
    pub(crate) fn abandon(&self, schema: &'static str) {
        events::abandoned(schema);
        self.state().abandoned = true;
    }

    /// The next commit replaces the token.
    pub(crate) fn rotate(&self) {
        self.state().wishes.rotate = true;
    }

    /// The next commit removes the session; from now on the request is a new visitor's.
    pub(crate) fn destroy(&self) {
        self.state().destroy();
    }

    pub(crate) fn remember(&self, persistent: bool) {
        self.state().wishes.persistent = Some(persistent);
    }

    pub(crate) fn set_timeouts(&self, timeouts: Timeouts) {
        self.state().wishes.timeouts = Some(timeouts);
    }

    pub(crate) fn set_label(&self, label: Arc<str>) {
        self.state().wishes.label = Some(label);
    }

    /// The next commit restarts the field's time to live.
    pub(crate) fn renew<T: SessionSchema>(&self, index: usize) {
        self.state().tracked(&T::FIELDS[index]).renew();
    }

    /// The next commit removes the field, whatever its merge.
    pub(crate) fn remove<T: SessionSchema>(&self, index: usize) {
        self.state().remove(&T::FIELDS[index]);
    }

    /// A panic while the lock was held left at worst a change unrecorded, which is what a panicking
    /// handler gets anyway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decodes, and reports what did not open and what does not decode.
    fn decode<T: SessionSchema, R>(
        &self,
        stored: &[Option<Bytes>],
        read: impl FnOnce(&mut FieldReader<'_>) -> R,
    ) -> R {
        let (value, undecodable) = decode(stored, read);
        let unopened = self.state().unopened(T::FIELDS);
        for index in undecodable.into_iter().chain(unopened) {
            if self.state().tracked(&T::FIELDS[index]).mark_undecodable() {
                events::decode_failed(T::FIELDS[index].name);
            }
        }
        value
    }
}

impl std::fmt::Debug for RequestSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestSession").finish_non_exhaustive()
    }
}

/// What was read, and which fields did not decode.
fn decode<R>(
    stored: &[Option<Bytes>],
    read: impl FnOnce(&mut FieldReader<'_>) -> R,
) -> (R, Vec<usize>) {
    let mut fields = FieldReader::new(stored);
    let value = read(&mut fields);
    (value, fields.undecodable())
}

/// Every field as it is now, to compare with later.
pub(crate) fn baseline<T: SessionSchema>(value: &T) -> Encoded {
    let mut writer = FieldWriter::baseline();
    value.write(&mut writer);
    writer.finish()
}

/// Which fields differ from the baseline, and how.
pub(crate) fn changes_since<T: SessionSchema>(value: &T, baseline: &Encoded) -> Encoded {
    let mut writer = FieldWriter::changes_since(baseline);
    value.write(&mut writer);
    writer.finish()
}

/// Every field as it is in a session that holds nothing.
fn defaults<T: SessionSchema>() -> Encoded {
    let nothing = vec![None; T::FIELDS.len()];
    baseline(&T::read(&mut FieldReader::new(&nothing)))
}
