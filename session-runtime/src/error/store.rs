//! The error of a store.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// A store could not do what it was asked. It never means that a session does not exist.
///
/// `Display` says what kind of failure it was and nothing more. The [source](Error::source), for
/// logs, is the driver's own error: it may name a server's address or a folder, and never contains
/// field values, tokens or verifiers.
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The kind of failure behind a [`StoreError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The store could not be reached or refused to work. Nothing was applied.
    Unavailable,
    /// The request was sent and no answer came in time. A commit may have been applied.
    OutcomeUnknown,
    /// There is no room for more data. Nothing was applied.
    Full,
    /// The store lacks a right, a command or a setting that sessions need. Nothing was applied.
    Misconfigured,
    /// The store's answer or file makes no sense. Nothing was applied.
    Corrupt,
}

impl StoreError {
    /// Makes an error of this kind without a source.
    #[must_use]
    pub fn new(kind: StoreErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// Makes an error of this kind that was caused by the driver's own error.
    ///
    /// The source must not contain field values, tokens or verifiers in its text: it is logged.
    #[must_use]
    pub fn with_source(
        kind: StoreErrorKind,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Some(Arc::from(source.into())),
        }
    }

    /// Returns the kind of failure.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            StoreErrorKind::Unavailable => "the session store is unavailable",
            StoreErrorKind::OutcomeUnknown => {
                "the session store did not answer in time; a commit may have been applied"
            }
            StoreErrorKind::Full => "the session store is full",
            StoreErrorKind::Misconfigured => "the session store lacks a right or a command",
            StoreErrorKind::Corrupt => "the session store gave an answer that makes no sense",
        })
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn Error + 'static))
    }
}
