//! The session of one request: the loaded values, the changes of guards, and the response's
//! headers.
//!
//! 1. The cookie is read only when a handler extracts a session.
//! 2. Loaded values stay: a second extraction sees them, and the changes made since, without
//!    another call of the store.
//! 3. A guard works on a [`Loan`] and hands its changes over when it is dropped; nothing reaches
//!    the store before [`RequestSession::save`] or [`RequestSession::finish`].
//! 4. The lock is held for bookkeeping only, never over an await.
//!
//! A change of a field goes from a guard ([`guard`]) to the request's state ([`field`]), into a
//! planned commit ([`plan`]), and to its outcome ([`commit`]).

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
use crate::cookie::CookieSettings;
use crate::error::SessionError;
use crate::events;
use crate::schema::SessionSchema;
use crate::token::{SessionId, Token};

/// One request's session. The layer puts it into the request's extensions.
pub(crate) struct RequestSession {
    shared: Arc<Shared>,
    /// The cookie's settings where this request has its own.
    cookie: Option<Box<CookieSettings>>,
    state: Mutex<State>,
}

impl RequestSession {
    pub(crate) fn new(shared: Arc<Shared>, cookie: Option<Box<CookieSettings>>) -> Self {
        Self {
            shared,
            cookie,
            state: Mutex::new(State::default()),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The settings of this request's cookie.
    pub(crate) fn cookie(&self) -> &CookieSettings {
        self.cookie.as_deref().unwrap_or(&self.shared.config.cookie)
    }

    /// Whether a session was extracted at all.
    pub(crate) fn was_used(&self) -> bool {
        self.state().was_asked
    }

    /// Notes that the response has left, so that no cookie can be set any more.
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

    /// Notes that the response depends on the cookie, though no handler extracted a session.
    pub(crate) fn consult_cookie(&self) {
        self.state().was_asked = true;
    }

    /// Notes that a handler ended this session. If it is the request's own, the rest of the request
    /// belongs to a new visitor.
    pub(crate) fn note_end(&self, session: &SessionId) {
        let mut state = self.state();
        if state.live().is_some_and(|live| live.token.id() == *session) {
            state.begin_anew();
            state.ended = Some(*session);
            state.ended_elsewhere = false;
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

    /// Brings a loan up to date. Changes that it has not handed over are dropped. A loan whose session
    /// has ended in this request keeps its values, and does not become one of the next session.
    pub(crate) fn refresh<T: SessionSchema>(&self, loan: &mut Loan<T>) {
        let (shown, generation) = {
            let mut state = self.state();
            if loan.generation != state.generation {
                loan.forget();
                return;
            }
            (state.shown(T::FIELDS), state.generation)
        };
        let undecodable = loan.show(shown, generation);
        self.report_bad_fields::<T>(undecodable);
    }

    /// Brings one field of a loan up to date. Its changes of other fields stay.
    pub(crate) fn refresh_field<T: SessionSchema>(&self, loan: &mut Loan<T>, index: usize) {
        let shown = {
            let mut state = self.state();
            if loan.generation != state.generation {
                return;
            }
            state.field(T::FIELDS, index).shown()
        };
        loan.show_field(index, shown);
    }

    /// Fails where the loan's session has ended in this request: what is asked of it concerns no later
    /// one.
    pub(super) fn check_is_present<T: SessionSchema>(
        &self,
        loan: &Loan<T>,
    ) -> Result<(), SessionError> {
        let state = self.state();
        if loan.generation == state.generation {
            return Ok(());
        }
        if let Some(ended) = state.ended {
            events::gone(ended);
        }
        Err(SessionError::Gone)
    }

    /// Takes over all changes of a loan; answers whether it did, or there were none.
    pub(crate) fn hand_over<T: SessionSchema>(&self, loan: &mut Loan<T>) -> bool {
        self.take_over(loan, None)
    }

    /// Takes over a loan's changes of one field.
    fn hand_over_field<T: SessionSchema>(&self, loan: &mut Loan<T>, index: usize) -> bool {
        self.take_over(loan, Some(index))
    }

    fn take_over<T: SessionSchema>(&self, loan: &mut Loan<T>, only: Option<usize>) -> bool {
        let generation = loan.generation;
        let mut handed = match only {
            None => loan.hand_over(),
            Some(index) => loan.hand_over_field(index),
        };
        if handed.is_empty() {
            return true;
        }
        let mut state = self.state();
        let is_taken = state.take_over(T::FIELDS, generation, &mut handed, only);
        // The session that the loan belongs to has ended in this request.
        if let Some(ended) = state.ended.filter(|_| !is_taken) {
            events::gone(ended);
            // Not by this request, whose answer must not say that all is well.
            if state.ended_elsewhere {
                state.error = Some(SessionError::Gone);
            }
        }
        is_taken
    }

    /// Takes over the changes of a guard that is dropped. When the response has left, they are
    /// lost, and reported.
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

    /// Notes that a handler panicked, so that nothing of this request is saved.
    pub(crate) fn abandon(&self, schema: &'static str) {
        events::abandoned(schema);
        self.state().was_abandoned = true;
    }

    /// Lets the next commit remove the session. The rest of the request belongs to a new visitor.
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
        state.report_bad_fields(T::FIELDS);
    }
}

impl std::fmt::Debug for RequestSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestSession").finish_non_exhaustive()
    }
}
