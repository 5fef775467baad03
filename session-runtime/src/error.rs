//! What a handler and a visitor are told when a session cannot do what was asked.

use std::sync::{Arc, Mutex, PoisonError};

use axum_core::response::{IntoResponse, Response};
use http::StatusCode;

use crate::config_error::ConfigError;
use crate::store::{StoreError, StoreErrorKind};
use crate::token::RandomError;

/// A session could not be loaded or changed.
///
/// As a response it is what the layer itself would answer: 503 when the store failed, 409 when the
/// session is gone or changed meanwhile, 500 for what only the application can mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store failed. Whether a change was applied says [`StoreError::kind`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session ended, or its token was replaced, after this request had loaded it. Nothing was
    /// changed.
    #[error("the session ended while the request was being answered")]
    Gone,
    /// Another request changed what this one relied on. Nothing was changed.
    #[error("another request changed the session meanwhile{}", in_field(.field))]
    Conflict {
        /// The field with `merge = "reject"`; `None` when `update` gave up.
        field: Option<String>,
    },
    /// The principal has as many sessions as
    /// [`max_sessions`](crate::SessionLayerBuilder::max_sessions) allows. Nothing was changed.
    #[error("the limit of sessions for one principal is reached")]
    LimitReached,
    /// The result of an `add` does not fit its type. Nothing was changed.
    #[error("the value of the session field `{field}` would leave its range")]
    OutOfRange {
        /// The field's stored name.
        field: String,
    },
    /// A value has no encoding. Nothing was changed.
    #[error("the value of the session field `{field}` has no encoding")]
    Encode {
        /// The field's stored name.
        field: &'static str,
    },
    /// A value is larger than the layer allows. Nothing was changed.
    #[error("the session field `{field}` has {size} bytes, more than the limit of {limit}")]
    FieldTooLarge {
        /// The field's stored name.
        field: &'static str,
        /// Its encoded size in bytes.
        size: usize,
        /// The layer's limit in bytes.
        limit: usize,
    },
    /// The session is larger than the layer allows. Nothing was changed.
    #[error("the session has {size} bytes, more than the limit of {limit}")]
    SessionTooLarge {
        /// The encoded size in bytes of all fields that this request knows.
        size: usize,
        /// The layer's limit in bytes.
        limit: usize,
    },
    /// The response has left, so that a new token cannot reach the visitor any more. Nothing was
    /// changed.
    #[error("the response has left, a new session or token cannot reach the visitor")]
    ResponseSent,
    /// `add` needs a field that is stored as a decimal integer.
    #[error(
        "the session field `{field}` is not stored as a decimal integer; `add` needs the `Json` codec"
    )]
    NotDecimal {
        /// The field's stored name.
        field: &'static str,
    },
    /// The schema asks for something that the layer was not given.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No new token could be made.
    #[error(transparent)]
    Random(#[from] RandomError),
}

fn in_field(field: &Option<String>) -> String {
    match field {
        Some(field) => format!(": field `{field}`"),
        None => String::new(),
    }
}

impl SessionError {
    /// The status that the error has as a response.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Gone | Self::Conflict { .. } | Self::LimitReached => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The error that a handler answered with, on its way to the layer, which may have a page for it.
#[derive(Clone)]
pub(crate) struct Answered(Arc<Mutex<Option<SessionError>>>);

impl Answered {
    /// The error, the first time that somebody asks.
    pub(crate) fn take(&self) -> Option<SessionError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The body names no field and no cause: those are for the log. Where the layer has
/// [`on_error`](crate::SessionLayerBuilder::on_error), that answers instead.
impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let mut response = self.plain_response();
        let answered = Answered(Arc::new(Mutex::new(Some(self))));
        response.extensions_mut().insert(answered);
        response
    }
}

impl SessionError {
    fn plain_response(&self) -> Response {
        let body = match self {
            Self::Store(error) if error.kind() == StoreErrorKind::FateUnknown => {
                "The session store did not answer in time; a change may have been saved."
            }
            Self::Store(_) => "The session store is unavailable.",
            Self::Gone => "The session has ended.",
            Self::LimitReached => "There are too many sessions of this account.",
            Self::Conflict { .. } => "The session was changed by another request.",
            _ => "The session could not be saved.",
        };
        (self.status(), body).into_response()
    }
}
