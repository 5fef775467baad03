//! The axum extractors, and their rejection.

use std::fmt;
use std::sync::Arc;

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::error::{OnError, SessionError};
use crate::events;
use crate::request::{Loan, RequestSession};
use crate::schema::SessionSchema;
use crate::session::{ReadSession, Session};

impl<S: Sync, T: SessionSchema> FromRequestParts<S> for Session<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let (loan, request) = extract(parts).await?;
        Ok(Self::new(loan, request))
    }
}

impl<S: Sync, T: SessionSchema> FromRequestParts<S> for ReadSession<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let (loan, request) = extract(parts).await?;
        Ok(Self::new(loan.value, request))
    }
}

/// `None` only for a visitor without a live session. A store failure and a missing layer are
/// rejections.
impl<S: Sync, T: SessionSchema> OptionalFromRequestParts<S> for Session<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<Option<Self>, SessionRejection> {
        let (loan, request) = extract(parts).await?;
        let lives = request.id().is_some();
        Ok(lives.then(|| Self::new(loan, request)))
    }
}

/// `None` only for a visitor without a live session. A store failure and a missing layer are
/// rejections.
impl<S: Sync, T: SessionSchema> OptionalFromRequestParts<S> for ReadSession<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<Option<Self>, SessionRejection> {
        let (loan, request) = extract(parts).await?;
        let lives = request.id().is_some();
        Ok(lives.then(|| Self::new(loan.value, request)))
    }
}

async fn extract<T: SessionSchema>(
    parts: &Parts,
) -> Result<(Loan<T>, Arc<RequestSession>), SessionRejection> {
    let request = request_session(parts)?;
    match request.open(&parts.headers).await {
        Ok(loan) => Ok((loan, request)),
        Err(error) => Err(SessionRejection::failed(error, &request)),
    }
}

/// Returns the state that the layer put into the request.
pub(crate) fn request_session(parts: &Parts) -> Result<Arc<RequestSession>, SessionRejection> {
    let request = parts.extensions.get::<Arc<RequestSession>>();
    request.cloned().ok_or_else(SessionRejection::layer_missing)
}

/// The reason why a handler did not get its session.
///
/// Take `Result<Session<T>, SessionRejection>` as an argument to answer without a session, for
/// example while the store is down:
///
/// ```
/// use session_runtime::{Session, SessionRejection};
///
/// #[derive(Session, Default)]
/// struct Visit {
///     count: u32,
/// }
///
/// async fn front_page(visit: Result<Session<Visit>, SessionRejection>) -> String {
///     match visit {
///         Ok(visit) => format!("visit number {}", visit.count),
///         Err(rejection) => format!("welcome, although {rejection}"),
///     }
/// }
/// ```
///
/// `Debug` and `Display` are the same text, which names no address and no path, so a rejection that
/// ends up in a response by mistake gives nothing away. The store's own error is the
/// [source](std::error::Error::source) and belongs into logs only.
pub struct SessionRejection {
    reason: Reason,
}

enum Reason {
    LayerMissing,
    Failed(SessionError, OnError),
}

impl SessionRejection {
    fn layer_missing() -> Self {
        events::layer_missing(LAYER_MISSING);
        Self {
            reason: Reason::LayerMissing,
        }
    }

    fn failed(error: SessionError, request: &RequestSession) -> Self {
        let on_error = request.shared().config.on_error.clone();
        Self {
            reason: Reason::Failed(error, on_error),
        }
    }

    /// Returns the session's error; `None` when the router has no
    /// [`SessionLayer`](crate::SessionLayer).
    #[must_use]
    pub fn error(&self) -> Option<&SessionError> {
        match &self.reason {
            Reason::LayerMissing => None,
            Reason::Failed(error, _) => Some(error),
        }
    }

    /// Returns the status that the rejection has as a response, unless the layer's
    /// [`on_error`](crate::SessionLayerBuilder::on_error) answers with another one.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.error()
            .map_or(StatusCode::INTERNAL_SERVER_ERROR, SessionError::status)
    }
}

const LAYER_MISSING: &str = "no session layer; add `.layer(SessionLayer::new(store))` to the router, \
    after its routes and after any middleware that uses the session";

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        let status = self.status();
        match self.reason {
            Reason::LayerMissing => (status, LAYER_MISSING).into_response(),
            Reason::Failed(error, on_error) => on_error(error),
        }
    }
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::LayerMissing => f.write_str(LAYER_MISSING),
            Reason::Failed(error, _) => error.fmt(f),
        }
    }
}

impl fmt::Debug for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SessionRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error().and_then(std::error::Error::source)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;

    use super::*;
    use crate::error::{StoreError, StoreErrorKind};

    fn failed(error: SessionError) -> SessionRejection {
        let on_error: OnError = Arc::new(IntoResponse::into_response);
        SessionRejection {
            reason: Reason::Failed(error, on_error),
        }
    }

    #[test]
    fn a_rejection_shows_no_address_and_no_path() {
        let cause = "cannot connect to 10.0.0.7:6379, cannot write in `/var/lib/sessions`";
        for kind in [
            StoreErrorKind::Unavailable,
            StoreErrorKind::OutcomeUnknown,
            StoreErrorKind::Full,
            StoreErrorKind::Misconfigured,
            StoreErrorKind::Corrupt,
        ] {
            let error = StoreError::with_source(kind, io::Error::other(cause));
            let rejection = failed(error.into());
            let shown = format!("{rejection:?}");
            assert_eq!(shown, rejection.to_string());
            for secret in ["10.0.0.7", "6379", "/var/lib", "cannot"] {
                assert!(!shown.contains(secret), "{shown}");
            }
            let source = rejection.source().unwrap();
            assert_eq!(source.to_string(), cause, "for the log");
        }
    }

    #[test]
    fn a_rejection_has_the_status_of_its_response() {
        let store = StoreError::new(StoreErrorKind::Unavailable);
        for (rejection, expected) in [
            (failed(store.into()), StatusCode::SERVICE_UNAVAILABLE),
            (failed(SessionError::Gone), StatusCode::CONFLICT),
            (
                SessionRejection::layer_missing(),
                StatusCode::INTERNAL_SERVER_ERROR,
            ),
        ] {
            assert_eq!(rejection.status(), expected);
            assert_eq!(format!("{rejection:?}"), rejection.to_string());
            assert_eq!(rejection.into_response().status(), expected);
        }
    }
}
