//! The session of one request: what was loaded, what guards asked for, and what the response says.
//!
//! 1. The cookie is not even looked at before a handler extracts a session.
//! 2. What was loaded stays: a second extraction sees it, and the changes made since, without
//!    asking the store again.
//! 3. A guard works on a [`Loan`] and hands over what it asks for when it is dropped; nothing
//!    reaches the store before [`RequestSession::save`] or [`RequestSession::finish`].
//! 4. The lock is held for bookkeeping only, never over an await.
//!
//! A field is followed from a guard ([`guard`]) to what the request wants of it ([`field`]), to the
//! changes of a commit ([`plan`]) and its outcome ([`commit`]).

mod commit;
mod direct;
mod field;
mod guard;
mod load;
mod plan;
mod response;
mod state;
mod stored;
mod upkeep;
mod want;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::direct::Ttl;
pub(crate) use self::guard::{Loan, encode};
use self::state::{CookieChange, State};
use crate::config::Shared;
use crate::events;
use crate::schema::SessionSchema;
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
        self.state().was_asked
    }

    /// From now on there is no response that could carry a cookie.
    pub(crate) fn close(&self) {
        self.state().is_closed = true;
    }

    /// The id of the session, if there is one yet.
    pub(crate) fn id(&self) -> Option<SessionId> {
        self.state().live().map(|live| live.token.id())
    }

    /// The token of the session, if there is one and a handler asked for it.
    pub(crate) fn token(&self) -> Option<Token> {
        self.state().live().map(|live| live.token)
    }

    /// The response will depend on the cookie, though no handler extracted a session.
    pub(crate) fn consult_cookie(&self) {
        self.state().was_asked = true;
    }

    /// A handler ended this session; if it is the request's, what follows is a new visitor's.
    pub(crate) fn note_end(&self, session: &SessionId) {
        let mut state = self.state();
        if state.live().is_some_and(|live| live.token.id() == *session) {
            state.begin_anew();
            state.ended = Some(*session);
            state.cookie = Some(CookieChange::Remove);
        }
    }

    /// Whether the request came without a live session.
    pub(crate) fn is_new(&self) -> bool {
        self.state().is_new
    }

    /// The schema's values as this request sees them.
    pub(crate) fn lend<T: SessionSchema>(&self) -> Loan<T> {
        let (shown, generation) = {
            let mut state = self.state();
            (state.shown(T::FIELDS), state.generation)
        };
        let (loan, undecodable) = Loan::new(shown, generation);
        self.report_bad_fields::<T>(undecodable);
        loan
    }

    /// Brings a loan up to date. What it asked for was handed over or is dropped.
    pub(crate) fn refresh<T: SessionSchema>(&self, loan: &mut Loan<T>) {
        let (shown, generation) = {
            let mut state = self.state();
            (state.shown(T::FIELDS), state.generation)
        };
        let undecodable = loan.show(shown, generation);
        self.report_bad_fields::<T>(undecodable);
    }

    /// Brings one field of a loan up to date. What it asked for of other fields stays.
    pub(crate) fn refresh_field<T: SessionSchema>(&self, loan: &mut Loan<T>, index: usize) {
        let shown = self.state().field(T::FIELDS, index).shown();
        loan.show_field(index, shown);
    }

    /// Takes over all that a loan asks for.
    pub(crate) fn hand_over<T: SessionSchema>(&self, loan: &mut Loan<T>) {
        self.take_over(loan, None);
    }

    /// Takes over what a loan asks for of one field.
    fn hand_over_field<T: SessionSchema>(&self, loan: &mut Loan<T>, index: usize) {
        self.take_over(loan, Some(index));
    }

    fn take_over<T: SessionSchema>(&self, loan: &mut Loan<T>, only: Option<usize>) {
        let generation = loan.generation;
        let mut handed = match only {
            None => loan.hand_over(),
            Some(index) => loan.hand_over_field(index),
        };
        if handed.is_empty() {
            return;
        }
        let mut state = self.state();
        let is_taken = state.take_over(T::FIELDS, generation, &mut handed, only);
        // The session that the loan belongs to has ended in this request.
        if let Some(ended) = state.ended.filter(|_| !is_taken) {
            events::gone(ended);
        }
    }

    /// As [`hand_over`](Self::hand_over), for a guard that is dropped: when the response has left,
    /// nothing will save what it asked for.
    pub(crate) fn let_go<T: SessionSchema>(&self, loan: &mut Loan<T>) {
        let (is_closed, is_pending) = {
            let state = self.state();
            (state.is_closed, state.is_closed && state.is_pending())
        };
        if !is_closed {
            self.hand_over(loan);
        } else if is_pending || loan.asks_for_anything() {
            events::changes_lost(T::NAME);
        }
    }

    /// Nothing of this request is to be saved: a handler panicked.
    pub(crate) fn abandon(&self, schema: &'static str) {
        events::abandoned(schema);
        self.state().was_abandoned = true;
    }

    /// The next commit removes the session; from now on the request is a new visitor's.
    pub(crate) fn destroy(&self) {
        self.state().destroy();
    }

    /// A panic while the lock was held left at worst a change unrecorded, which is what a panicking
    /// handler gets anyway.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reports the fields that did not decode or open, each once.
    fn report_bad_fields<T: SessionSchema>(&self, undecodable: Vec<usize>) {
        let mut state = self.state();
        for index in undecodable {
            state.field(T::FIELDS, index).mark_undecodable();
        }
        for (index, spec) in T::FIELDS.iter().enumerate() {
            if state.field(T::FIELDS, index).is_news() {
                events::decode_failed(spec.name);
            }
        }
    }
}

impl std::fmt::Debug for RequestSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestSession").finish_non_exhaustive()
    }
}
