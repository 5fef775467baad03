//! Loads a schema's values by the request's cookie: at most one store call per token and schema.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use http::HeaderMap;

use super::RequestSession;
use super::field::FieldState;
use super::guard::Loan;
use super::state::{Live, Visitor};
use super::stored::Found;
use crate::config::check_schema;
use crate::error::SessionError;
use crate::events;
use crate::schema::{FieldSpec, Renew, SessionSchema};
use crate::store::{Loaded, Selected, Selection, StoreErrorKind};
use crate::token::{SessionId, Token};

/// A session that a token opens, and the result of its load.
type Opened = (Live, Loaded);

impl RequestSession {
    /// The schema's values, from the store unless this request knows them already.
    pub(crate) async fn open<T: SessionSchema>(
        &self,
        headers: &HeaderMap,
    ) -> Result<Loan<T>, SessionError> {
        check_schema::<T>(self.shared())?;
        let tokens = {
            let mut state = self.state();
            state.was_asked = true;
            match &state.visitor {
                Visitor::Anonymous => Vec::new(),
                Visitor::Known(_) if state.knows(T::FIELDS) => Vec::new(),
                Visitor::Known(live) => vec![live.token],
                Visitor::Unread => {
                    let presented = self.cookie().presented(headers);
                    if presented.forged {
                        events::forged_cookie();
                    }
                    if presented.is_empty() {
                        state.visitor = Visitor::Anonymous;
                        state.is_new = true;
                        state.cookie_is_lost = self.cookie_is_lost(headers);
                    }
                    presented.tokens().copied().collect()
                }
            }
        };
        if !tokens.is_empty() {
            self.look_up(&tokens, T::FIELDS).await?;
            self.keep_up_early().await;
        }
        Ok(self.lend())
    }

    /// Whether plain http loses the cookie; checked only until it was reported once.
    fn cookie_is_lost(&self, headers: &HeaderMap) -> bool {
        let shared = self.shared();
        !shared.plain_http.is_completed() && shared.config.cookie.is_lost_over_http(headers)
    }

    /// Loads the schema's values as the store holds them now. Unsaved changes of them are dropped.
    pub(crate) async fn reload<T: SessionSchema>(
        &self,
        loan: &mut Loan<T>,
    ) -> Result<(), SessionError> {
        self.check_is_present(loan)?;
        let token = self.state().live().map(|live| live.token);
        let found = match &token {
            Some(token) => Some(self.find_again(token, &selection(T::FIELDS)).await?),
            None => None,
        };
        {
            let mut state = self.state();
            match found {
                Some((live, loaded)) => {
                    state.replace_fields(T::FIELDS, self.track(&live, T::FIELDS, loaded));
                    state.visitor = Visitor::Known(Box::new(live));
                }
                None => {
                    let absent = T::FIELDS.iter().map(FieldState::absent).collect();
                    state.replace_fields(T::FIELDS, absent);
                }
            }
        }
        self.refresh(loan);
        Ok(())
    }

    async fn look_up(
        &self,
        tokens: &[Token],
        specs: &'static [FieldSpec],
    ) -> Result<(), SessionError> {
        let found = self.find_any(tokens, &selection(specs)).await?;
        let mut state = self.state();
        match (found, &state.visitor) {
            (Some((live, loaded)), Visitor::Unread) => {
                state.add_fields(specs, self.track(&live, specs, loaded));
                state.visitor = Visitor::Known(Box::new(live));
            }
            // A second schema of the same session. Fields that are known already stay as they are.
            (Some((live, loaded)), Visitor::Known(known)) if live.token == known.token => {
                state.add_fields(specs, self.track(&live, specs, loaded));
            }
            (None, Visitor::Unread) => {
                state.visitor = Visitor::Anonymous;
                state.is_new = true;
            }
            (None, Visitor::Known(_)) => return Err(SessionError::Gone),
            // Another task of this request was faster, and ended or replaced the session.
            (Some(_), Visitor::Known(_)) | (_, Visitor::Anonymous) => {}
        }
        Ok(())
    }

    /// The one session that these tokens open; `None` where there is none or they open several.
    async fn find_any(
        &self,
        tokens: &[Token],
        selected: &[Selected<'_>],
    ) -> Result<Option<Opened>, SessionError> {
        let missing = match self.id() {
            Some(_) => events::gone,
            None => events::unknown_token,
        };
        if let [token] = tokens {
            let found = self.find(token, selected).await?;
            if found.is_none() {
                missing(token.id());
            }
            return Ok(found);
        }
        let mut searches = Vec::with_capacity(tokens.len());
        for token in tokens {
            searches.push(self.find(token, selected));
        }
        let mut found: Option<Opened> = None;
        for (token, next) in tokens.iter().zip(all(searches).await) {
            let Some(next) = next? else {
                missing(token.id());
                continue;
            };
            found = match found {
                None => Some(next),
                // Two tokens of one session, within the grace of a rotation: the new one counts.
                Some(first) if first.0.token.id() == token.id() => {
                    Some(if first.0.is_current { first } else { next })
                }
                Some((first, _)) => {
                    events::ambiguous_cookies(first.token.id(), token.id());
                    return Ok(None);
                }
            };
        }
        Ok(found)
    }

    /// The session that a token opens, if it opens one.
    async fn find(
        &self,
        token: &Token,
        selected: &[Selected<'_>],
    ) -> Result<Option<Opened>, SessionError> {
        let Some(loaded) = self.load(&token.id(), selected).await? else {
            return Ok(None);
        };
        let header = &loaded.header;
        let verifier = token.verifier();
        let is_current = header.verifier == verifier;
        let is_previous = || header.previous.is_some_and(|p| p.verifier == verifier);
        if !is_current && !is_previous() {
            let token_age = loaded.now.saturating_since(header.rotated);
            self.state().token_was_replaced |= token_age < self.shared().config.rotation_grace();
            return Ok(None);
        }
        let live = Live::loaded(*token, verifier, is_current, &loaded);
        Ok(Some((live, loaded)))
    }

    /// The session that this request has found before.
    pub(super) async fn find_again(
        &self,
        token: &Token,
        selected: &[Selected<'_>],
    ) -> Result<Opened, SessionError> {
        let found = self.find(token, selected).await?;
        if found.is_none() {
            events::gone(token.id());
        }
        found.ok_or(SessionError::Gone)
    }

    /// A session as the store holds it, whatever token opens it.
    pub(super) async fn load(
        &self,
        session: &SessionId,
        selected: &[Selected<'_>],
    ) -> Result<Option<Loaded>, SessionError> {
        let selection = Selection::fields(selected);
        let load = self.shared().store.load_boxed(session, &selection);
        let on_timeout = StoreErrorKind::Unavailable;
        self.shared().within_deadline(on_timeout, load).await
    }

    /// The fields of a load that asked for [`selection`], with sealed values opened.
    pub(super) fn track(
        &self,
        live: &Live,
        specs: &'static [FieldSpec],
        loaded: Loaded,
    ) -> Vec<FieldState> {
        let found = Found {
            session: &live.token.id(),
            sealer: self.shared().config.sealer.as_ref(),
            last_commit: loaded.header.last_commit,
            now: loaded.now,
        };
        let mut answers = loaded.fields.into_iter();
        let field = |spec: &'static FieldSpec| {
            let mut stored = answers.next().flatten();
            let mut under = None;
            for &alias in spec.aliases {
                let older = answers.next().flatten();
                if stored.is_none() && older.is_some() {
                    stored = older;
                    under = Some(alias);
                }
            }
            FieldState::loaded(spec, stored, under, found)
        };
        specs.iter().map(field).collect()
    }
}

/// The selection of a schema's load: every field under its name and its older ones.
pub(super) fn selection(specs: &'static [FieldSpec]) -> Vec<Selected<'static>> {
    let mut selected = Vec::with_capacity(specs.len());
    for spec in specs {
        // Only a renewal by reading has to know when the field ends.
        let ask = match spec.ttl.is_some() && spec.renew == Renew::Read {
            true => Selected::with_deadline,
            false => Selected::value,
        };
        selected.push(ask(spec.name));
        for alias in spec.aliases {
            selected.push(ask(alias));
        }
    }
    selected
}

/// Waits for all futures at the same time.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut places: Vec<Result<Pin<Box<F>>, F::Output>> = futures
        .into_iter()
        .map(|future| Ok(Box::pin(future)))
        .collect();
    poll_fn(|context| {
        for place in &mut places {
            if let Ok(future) = place
                && let Poll::Ready(output) = future.as_mut().poll(context)
            {
                *place = Err(output);
            }
        }
        match places.iter().any(Result::is_ok) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    })
    .await;
    places.into_iter().filter_map(Result::err).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(session_macros::Session, Default)]
    #[session(crate = crate)]
    struct Shop {
        #[session(ttl = "5m", renew = "read", alias = "client")]
        customer: Option<u32>,
        #[session(ttl = "5m")]
        otp: Option<u32>,
        cart: u32,
    }

    #[test]
    fn only_fields_that_a_visit_renews_are_asked_for_their_deadline() {
        let asked = selection(Shop::FIELDS);
        let asked: Vec<_> = asked.iter().map(|one| (one.name, one.deadline)).collect();
        assert_eq!(
            asked,
            [
                ("shop.customer", true),
                ("shop.client", true),
                ("shop.otp", false),
                ("shop.cart", false),
            ]
        );
    }
}
