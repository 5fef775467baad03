//! The axum extractors.

use std::fmt;
use std::sync::Arc;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::config::OnError;
use crate::error::SessionError;
use crate::request::RequestSession;
use crate::schema::SessionSchema;
use crate::session::{ReadSession, Session};

impl<S: Sync, T: SessionSchema> FromRequestParts<S> for Session<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let (value, request) = extract(parts).await?;
        Ok(Self::new(value, request))
    }
}

impl<S: Sync, T: SessionSchema> FromRequestParts<S> for ReadSession<T> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let (value, request) = extract(parts).await?;
        Ok(Self::new(value, request))
    }
}

async fn extract<T: SessionSchema>(
    parts: &Parts,
) -> Result<(T, Arc<RequestSession>), SessionRejection> {
    let request = request_session(parts)?;
    match request.load(&parts.headers).await {
        Ok(value) => Ok((value, request)),
        Err(error) => Err(SessionRejection::failed(error, &request)),
    }
}

/// What the layer put into the request.
pub(crate) fn request_session(parts: &Parts) -> Result<Arc<RequestSession>, SessionRejection> {
    let request = parts.extensions.get::<Arc<RequestSession>>();
    request.cloned().ok_or_else(SessionRejection::layer_missing)
}

/// Why a handler did not get its session.
///
/// Take `Result<Session<T>, SessionRejection>` as an argument to answer without a session, for
/// example while the store is down.
pub struct SessionRejection {
    reason: Reason,
}

enum Reason {
    LayerMissing,
    Failed(SessionError, OnError),
}

impl SessionRejection {
    fn layer_missing() -> Self {
        tracing::error!(target: "session_runtime", event = "layer-missing", "{LAYER_MISSING}");
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

    /// What went wrong with the session; `None` when the router has no
    /// [`SessionLayer`](crate::SessionLayer).
    pub fn error(&self) -> Option<&SessionError> {
        match &self.reason {
            Reason::LayerMissing => None,
            Reason::Failed(error, _) => Some(error),
        }
    }
}

const LAYER_MISSING: &str = "no session layer; add `.layer(SessionLayer::new(store))` to the router, \
    after its routes and after any middleware that uses the session";

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        match self.reason {
            Reason::LayerMissing => {
                (StatusCode::INTERNAL_SERVER_ERROR, LAYER_MISSING).into_response()
            }
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
        f.debug_tuple("SessionRejection")
            .field(&self.error())
            .finish()
    }
}

impl std::error::Error for SessionRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error().and_then(std::error::Error::source)
    }
}
