//! The end of a request: the commit, then the session's headers on the response.

use axum_core::response::Response;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue, VARY};

use super::RequestSession;
use super::plan::Moment;
use super::state::CookieChange;
use crate::cookie::LONGEST_MAX_AGE;
use crate::error::{Answered, SessionError};
use crate::events;

impl RequestSession {
    /// Commits the waiting changes and puts the cookie on the response. If the commit fails, the
    /// response is replaced by the error, because it says that the changes were saved.
    pub(crate) async fn finish(&self, response: Response) -> Response {
        let saved = self.save_at(Moment::Response).await;
        self.answer(response, saved)
    }

    /// Whether the response can leave at once, with [`answer`](Self::answer): most requests leave
    /// nothing to commit.
    pub(crate) fn is_settled(&self) -> bool {
        let mut state = self.state();
        state.is_closed = true;
        state.was_abandoned || !state.needs_commit(self.shared())
    }

    /// Puts the session's cookie and its headers on the response, or replaces it by an error.
    pub(crate) fn answer(
        &self,
        mut response: Response,
        saved: Result<(), SessionError>,
    ) -> Response {
        // An error that the handler itself answered with gets the same page.
        let answered = response.extensions_mut().remove::<Answered>();
        let error = match saved {
            Ok(()) => answered.map(|answered| answered.0),
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            response = (self.shared().config.on_error)(error);
        }
        let headers = response.headers_mut();
        vary_on_cookie(headers);
        if let Some(cookie) = self.cookie_header() {
            self.cookie().apply(headers, cookie);
            forbid_storing(headers);
        }
        response
    }

    fn cookie_header(&self) -> Option<HeaderValue> {
        let state = self.state();
        let config = &self.shared().config;
        match (state.cookie?, state.live()) {
            (CookieChange::Set, Some(live)) => {
                let is_persistent = live.persistent.unwrap_or(config.cookie.persistent);
                if state.cookie_is_lost {
                    let report = || events::secure_over_http(&config.cookie.name);
                    self.shared().plain_http.call_once(report);
                }
                let max_age = is_persistent.then(|| live.remaining().unwrap_or(LONGEST_MAX_AGE));
                self.cookie().set(&live.token, max_age)
            }
            (CookieChange::Remove, _) => self.cookie().remove(),
            (CookieChange::Set, None) => None,
        }
    }
}

/// The page depends on the cookie (RFC 9110, section 12.5.5).
fn vary_on_cookie(headers: &mut HeaderMap) {
    let varies = headers.get_all(VARY).iter().any(|value| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"cookie"))
    });
    if !varies {
        headers.append(VARY, HeaderValue::from_static("cookie"));
    }
}

/// No cache may keep a response that hands out a token (RFC 9111, section 5.2.2.5).
fn forbid_storing(headers: &mut HeaderMap) {
    let forbids = headers.get_all(CACHE_CONTROL).iter().any(|value| {
        value
            .as_bytes()
            .split(|&byte| byte == b',')
            .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-store"))
    });
    if !forbids {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
