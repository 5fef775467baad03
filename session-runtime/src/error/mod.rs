//! The errors of sessions and stores, and how a response shows them.

mod store;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum_core::response::{IntoResponse, Response};
use http::StatusCode;

pub use self::store::{StoreError, StoreErrorKind};
use crate::config_error::ConfigError;
use crate::token::RandomError;

/// A session could not be loaded or changed.
///
/// As a response it is the answer that the layer itself would give: 503 when the store failed, 409
/// when the session is gone or was changed meanwhile, 500 for mistakes of the application.
///
/// A handler that returns it needs nothing else:
///
/// ```
/// use session_runtime::{Session, SessionError};
///
/// #[derive(Session, Default)]
/// struct Visit {
///     count: u32,
/// }
///
/// async fn visit(mut session: Session<Visit>) -> Result<String, SessionError> {
///     session.count += 1;
///     session.save().await?;
///     Ok(format!("visit number {}", session.count))
/// }
/// ```
///
/// `Display` and `Debug` name fields and settings, never values, addresses or paths: some frameworks
/// show one of them to visitors. A store's own error is the [source](std::error::Error::source) and
/// belongs into logs only.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The store failed. [`StoreError::kind`] says whether a change can have been applied.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The session ended, or its token was replaced, after this request had loaded it. Nothing was
    /// changed.
    #[error("the session ended while the request was being answered")]
    Gone,
    /// Another request changed what this one relied on. Nothing was changed.
    #[error("another request changed the session meanwhile{}", in_field(.field))]
    Conflict {
        /// The stored name of the field with `merge = "reject"`; `None` when `update` gave up.
        field: Option<Cow<'static, str>>,
    },
    /// The principal has as many sessions as
    /// [`max_sessions`](crate::SessionLayerBuilder::max_sessions) allows. Nothing was changed.
    #[error("the limit of sessions for one principal is reached")]
    LimitReached,
    /// A field has more entries than it may have. Nothing was changed.
    #[error("the session field `{field}` has too many entries")]
    TooMany {
        /// The field's stored name.
        field: Cow<'static, str>,
    },
    /// The result of an `add` does not fit its type. Nothing was changed.
    #[error("the value of the session field `{field}` would leave its range")]
    OutOfRange {
        /// The field's stored name.
        field: Cow<'static, str>,
    },
    /// A value has no encoding, or one that does not give it back, such as an infinite number in
    /// JSON. Nothing was changed.
    #[error("the session field `{field}` has a value that its codec cannot write and read back")]
    Encode {
        /// The field's stored name.
        field: Cow<'static, str>,
    },
    /// A value is larger than
    /// [`max_field_bytes`](crate::SessionLayerBuilder::max_field_bytes) allows. Nothing was
    /// changed.
    #[error("the session field `{field}` has {size} bytes, more than the limit of {limit}")]
    FieldTooLarge {
        /// The field's stored name.
        field: Cow<'static, str>,
        /// The encoded size in bytes.
        size: usize,
        /// The layer's limit in bytes.
        limit: usize,
    },
    /// The session is larger than
    /// [`max_session_bytes`](crate::SessionLayerBuilder::max_session_bytes) allows. Nothing was
    /// changed.
    #[error("the session has {size} bytes, more than the limit of {limit}")]
    SessionTooLarge {
        /// The encoded size in bytes of all fields that this request knows.
        size: usize,
        /// The layer's limit in bytes.
        limit: usize,
    },
    /// The response has left, so a new token cannot reach the visitor any more. Nothing was changed.
    #[error("the response has left, a new session or token cannot reach the visitor")]
    ResponseSent,
    /// `add` needs a field that is stored as a decimal integer.
    #[error(
        "the session field `{field}` is not stored as a decimal integer; `add` needs the `Json` codec"
    )]
    NotDecimal {
        /// The field's stored name.
        field: Cow<'static, str>,
    },
    /// The schema asks for something that the layer was not given.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No new token could be made.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// As a derived one, but with the kind of a store's error in place of the error, which has a source.
impl fmt::Debug for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_field = |f: &mut fmt::Formatter<'_>, name, field: &dyn fmt::Debug| {
            f.debug_struct(name).field("field", field).finish()
        };
        match self {
            Self::Store(error) => f.debug_tuple("Store").field(&error.kind()).finish(),
            Self::Gone => f.write_str("Gone"),
            Self::Conflict { field } => in_field(f, "Conflict", field),
            Self::LimitReached => f.write_str("LimitReached"),
            Self::TooMany { field } => in_field(f, "TooMany", field),
            Self::OutOfRange { field } => in_field(f, "OutOfRange", field),
            Self::Encode { field } => in_field(f, "Encode", field),
            Self::FieldTooLarge { field, size, limit } => f
                .debug_struct("FieldTooLarge")
                .field("field", field)
                .field("size", size)
                .field("limit", limit)
                .finish(),
            Self::SessionTooLarge { size, limit } => f
                .debug_struct("SessionTooLarge")
                .field("size", size)
                .field("limit", limit)
                .finish(),
            Self::ResponseSent => f.write_str("ResponseSent"),
            Self::NotDecimal { field } => in_field(f, "NotDecimal", field),
            Self::Config(error) => f.debug_tuple("Config").field(error).finish(),
            Self::Random(error) => f.debug_tuple("Random").field(error).finish(),
        }
    }
}

fn in_field(field: &Option<Cow<'static, str>>) -> String {
    match field {
        Some(field) => format!(": field `{field}`"),
        None => String::new(),
    }
}

impl SessionError {
    /// Returns the status that the error has as a response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Gone | Self::Conflict { .. } | Self::LimitReached | Self::TooMany { .. } => {
                StatusCode::CONFLICT
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Turns an error into the response that replaces the handler's.
pub(crate) type OnError = Arc<dyn Fn(SessionError) -> Response + Send + Sync>;

/// The error that a handler answered with, on its way to the layer, which may have a page for it.
#[derive(Clone)]
pub(crate) struct Answered(pub(crate) SessionError);

/// The body names no field and no cause: those belong into the log. Where the layer has
/// [`on_error`](crate::SessionLayerBuilder::on_error), its response is sent instead.
impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        let body = match &self {
            Self::Store(error) if error.kind() == StoreErrorKind::OutcomeUnknown => {
                "The session store did not answer in time; a change may have been saved."
            }
            Self::Store(_) => "The session store is unavailable.",
            Self::Gone => "The session has ended.",
            Self::LimitReached => "There are too many sessions of this account.",
            Self::Conflict { .. } => "The session was changed by another request.",
            _ => "The session could not be saved.",
        };
        let mut response = (self.status(), body).into_response();
        response.extensions_mut().insert(Answered(self));
        response
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;

    use super::*;

    /// The visitor may see any of these texts.
    #[test]
    fn an_error_shows_no_address_and_no_path() {
        let cause = "cannot connect to 10.0.0.7:6379, cannot write in `/var/lib/sessions`";
        let kinds = [
            StoreErrorKind::Unavailable,
            StoreErrorKind::OutcomeUnknown,
            StoreErrorKind::Full,
            StoreErrorKind::Misconfigured,
            StoreErrorKind::Corrupt,
        ];
        for kind in kinds {
            let error: SessionError = StoreError::with_source(kind, io::Error::other(cause)).into();
            let result: Result<(), _> = Err(&error);
            for shown in [
                format!("{error}"),
                format!("{error:?}"),
                format!("{error:#?}"),
                format!("{result:?}"),
                format!("{:?}", Some(error.clone())),
            ] {
                for secret in ["10.0.0.7", "6379", "/var/lib", "cannot"] {
                    assert!(!shown.contains(secret), "{shown}");
                }
            }
            assert_eq!(
                error.source().map(ToString::to_string).as_deref(),
                Some(cause)
            );
        }
    }

    #[test]
    fn a_clone_has_the_same_source() {
        let source = io::Error::other("the disk is gone");
        let error = StoreError::with_source(StoreErrorKind::Unavailable, source);
        let error = SessionError::from(error);
        let clone = error.clone();
        assert_eq!(clone.to_string(), error.to_string());
        assert_eq!(clone.status(), error.status());
        let cause = |error: &SessionError| error.source().map(ToString::to_string);
        assert_eq!(cause(&clone), Some("the disk is gone".to_owned()));
        assert_eq!(cause(&clone), cause(&error));
    }
}
