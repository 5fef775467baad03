//! From the request's cookie to a schema's values: at most one store call per token and schema.

use http::HeaderMap;

use super::RequestSession;
use super::state::{Live, Visitor};
use super::tracked::TrackedField;
use crate::config::check_schema;
use crate::error::SessionError;
use crate::events;
use crate::schema::{FieldSpec, Renew, SessionSchema};
use crate::store::{Loaded, Selected, StoreErrorKind};
use crate::token::{SessionId, Token};

impl RequestSession {
    /// The schema's values, from the store unless this request knows them already.
    pub(crate) async fn load<T: SessionSchema>(
        &self,
        headers: &HeaderMap,
    ) -> Result<T, SessionError> {
        check_schema::<T>(self.shared())?;
        let tokens = {
            let mut state = self.state();
            state.asked = true;
            match &state.visitor {
                Visitor::Anonymous => Vec::new(),
                Visitor::Known(_) if state.knows(T::FIELDS) => Vec::new(),
                Visitor::Known(live) => vec![live.token],
                Visitor::Unread => {
                    let presented = self.shared().config.cookie.presented(headers);
                    if presented.forged {
                        events::forged_cookie();
                    }
                    if presented.is_empty() {
                        state.visitor = Visitor::Anonymous;
                        state.new = true;
                        state.useless_cookie = presented.forged;
                        state.cookie_is_lost = self.cookie_is_lost(headers);
                    }
                    // Of three live sessions the third would be believed: `look_up` knows two.
                    presented.tokens().take(2).copied().collect()
                }
            }
        };
        if !tokens.is_empty() {
            self.look_up(&tokens, T::FIELDS).await?;
        }
        Ok(self.view())
    }

    /// Looked at only until it was reported.
    fn cookie_is_lost(&self, headers: &HeaderMap) -> bool {
        let shared = self.shared();
        !shared.plain_http.is_completed() && shared.config.cookie.is_lost_over_http(headers)
    }

    /// Loads the schema's values as the store holds them now. What this request changed in them
    /// and did not save is forgotten.
    pub(crate) async fn reload<T: SessionSchema>(&self) -> Result<(), SessionError> {
        let token = self.state().live().map(|live| live.token);
        let found = match &token {
            Some(token) => Some(self.find_again(token, &selection(T::FIELDS)).await?),
            None => None,
        };
        let mut state = self.state();
        let stays = |field: &TrackedField| !T::FIELDS.iter().any(|spec| field.is(spec));
        state.fields.retain(stays);
        if let Some((live, loaded)) = found {
            state.fields.extend(self.track(&live, T::FIELDS, loaded));
            state.visitor = Visitor::Known(Box::new(live));
        }
        Ok(())
    }

    async fn look_up(
        &self,
        tokens: &[Token],
        specs: &'static [FieldSpec],
    ) -> Result<(), SessionError> {
        let selected = selection(specs);
        let missing = match self.id() {
            Some(_) => events::gone,
            None => events::unknown_token,
        };
        let mut found: Option<(Live, Loaded)> = None;
        for token in tokens {
            let Some(next) = self.find(token, &selected).await? else {
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
                    None
                }
            };
        }

        let mut state = self.state();
        match (found, &state.visitor) {
            (Some((live, loaded)), Visitor::Unread) => {
                state.fields.extend(self.track(&live, specs, loaded));
                state.visitor = Visitor::Known(Box::new(live));
            }
            // A second schema of the same session; what is known already may have changed since.
            (Some((live, loaded)), Visitor::Known(known)) if live.token == known.token => {
                for field in self.track(&live, specs, loaded) {
                    if !state.fields.iter().any(|known| known.is_same(&field)) {
                        state.fields.push(field);
                    }
                }
            }
            (None, Visitor::Unread) => {
                state.visitor = Visitor::Anonymous;
                state.new = true;
                state.useless_cookie = !state.late;
            }
            (None, Visitor::Known(_)) => return Err(SessionError::Gone),
            // Another task of this request was faster, and ended or replaced the session.
            (Some(_), Visitor::Known(_)) | (_, Visitor::Anonymous) => {}
        }
        Ok(())
    }

    /// The session that a token opens, if it opens one.
    pub(super) async fn find(
        &self,
        token: &Token,
        selected: &[Selected<'_>],
    ) -> Result<Option<(Live, Loaded)>, SessionError> {
        let Some(loaded) = self.load_now(&token.id(), selected).await? else {
            return Ok(None);
        };
        let header = &loaded.header;
        let verifier = token.verifier();
        let is_current = header.verifier == verifier;
        if !is_current && header.previous != Some(verifier) {
            let token_age = loaded.now.saturating_since(header.rotated);
            self.state().late |= token_age < self.shared().config.rotation_grace();
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
    ) -> Result<(Live, Loaded), SessionError> {
        let found = self.find(token, selected).await?;
        if found.is_none() {
            events::gone(token.id());
        }
        found.ok_or(SessionError::Gone)
    }

    /// What the store holds under an id, whoever may open it.
    pub(super) async fn load_now(
        &self,
        session: &SessionId,
        selected: &[Selected<'_>],
    ) -> Result<Option<Loaded>, SessionError> {
        let load = self.shared().store.load(session, selected);
        let late = StoreErrorKind::Unavailable;
        self.shared().within_deadline(late, load).await
    }

    /// The fields of a load that asked for [`selection`], with what is sealed opened.
    pub(super) fn track(
        &self,
        live: &Live,
        specs: &'static [FieldSpec],
        loaded: Loaded,
    ) -> Vec<TrackedField> {
        let mut fields = track(specs, loaded);
        for field in &mut fields {
            field.open(self.shared().config.sealer.as_ref(), &live.token.id());
        }
        fields
    }
}

/// What a load asks for: every field under its name and its older ones.
pub(super) fn selection(specs: &'static [FieldSpec]) -> Vec<Selected<'static>> {
    let names = specs.iter().flat_map(|spec| {
        // Only a renewal by reading has to know when the field ends.
        let deadline = spec.ttl.is_some() && spec.renew == Renew::Read;
        std::iter::once(&spec.name)
            .chain(spec.aliases)
            .map(move |name| Selected { name, deadline })
    });
    names.collect()
}

/// The answer to [`selection`], field by field.
fn track(specs: &'static [FieldSpec], loaded: Loaded) -> Vec<TrackedField> {
    let now = loaded.now;
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
        TrackedField::loaded(spec, stored, under, now)
    };
    specs.iter().map(field).collect()
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
    fn only_what_a_visit_renews_is_asked_for_its_deadline() {
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
