//! The end of a request: commit, then say in the response what became of the session.

use axum_core::response::Response;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderValue, VARY};

use super::RequestSession;
use super::plan::Moment;
use super::state::CookieChange;
use crate::cookie::LONGEST_MAX_AGE;
use crate::error::{Answered, SessionError};
use crate::events;

impl RequestSession {
    /// Commits what waits and puts the cookie on the response. If the commit fails, the response
    /// is replaced: what the handler said did not come true.
    pub(crate) async fn finish(&self, response: Response) -> Response {
        let saved = self.save_at(Moment::Response).await;
        self.answer(response, saved)
    }

    /// Whether the response can leave at once, with [`answer`](Self::answer): most requests leave
    /// nothing to commit.
    pub(crate) fn is_settled(&self) -> bool {
        let mut state = self.state();
        state.closed = true;
        state.abandoned || !state.owes_commit(&self.shared().config)
    }

    /// Puts on the response what became of the session.
    pub(crate) fn answer(
        &self,
        mut response: Response,
        saved: Result<(), SessionError>,
    ) -> Response {
        // An error that the handler itself answered with gets the same page.
        let answered = response.extensions_mut().remove::<Answered>();
        let (saved, error) = match saved {
            Ok(()) => (true, answered.map(|answered| answered.0)),
            Err(error) => (false, Some(error)),
        };
        if let Some(error) = error {
            response = (self.shared().config.on_error)(error);
        }
        let headers = response.headers_mut();
        vary_on_cookie(headers);
        if let Some(cookie) = self.cookie_header(saved) {
            self.shared().config.cookie.apply(headers, cookie);
            forbid_storing(headers);
        }
        response
    }

    fn cookie_header(&self, saved: bool) -> Option<HeaderValue> {
        let state = self.state();
        let config = &self.shared().config;
        match (&state.cookie, state.live()) {
            (Some(CookieChange::Set), Some(live)) => {
                let is_persistent = live.persistent.unwrap_or(config.cookie.persistent);
                if state.cookie_is_lost {
                    let report = || events::secure_over_http(&config.cookie.name);
                    self.shared().plain_http.call_once(report);
                }
                let max_age = is_persistent.then(|| live.remaining().unwrap_or(LONGEST_MAX_AGE));
                config.cookie.set(&live.token, max_age)
            }
            (Some(_), _) => config.cookie.remove(),
            (None, _) if state.useless_cookie && saved => config.cookie.remove(),
            (None, _) => None,
        }
    }
}

/// What the visitor is shown depends on the cookie (RFC 9110, section 12.5.5).
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
