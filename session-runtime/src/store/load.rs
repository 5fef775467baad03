//! The selection of a load, and its result.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{FieldName, Principal};
use crate::clock::Timestamp;
use crate::token::{CommitId, Verifier};

/// The selection of a load: fields by their names, and all fields whose names begin with a prefix.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct Selection<'a> {
    /// Fields by name.
    pub fields: &'a [Selected<'a>],
    /// The prefixes of further fields' names.
    pub prefixes: &'a [&'a str],
}

impl<'a> Selection<'a> {
    /// These fields.
    #[must_use]
    pub fn fields(fields: &'a [Selected<'a>]) -> Self {
        let prefixes = &[];
        Self { fields, prefixes }
    }

    /// And all fields with one of these prefixes.
    #[must_use]
    pub fn with_prefixes(mut self, prefixes: &'a [&'a str]) -> Self {
        self.prefixes = prefixes;
        self
    }
}

/// One field that a load asks for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Selected<'a> {
    /// The stored name.
    pub name: &'a str,
    /// Whether the answer must say when the field ends. Asking costs some stores extra work.
    pub deadline: bool,
}

impl<'a> Selected<'a> {
    /// The value of this field.
    #[must_use]
    pub const fn value(name: &'a str) -> Self {
        let deadline = false;
        Self { name, deadline }
    }

    /// The value of this field, and when it ends.
    #[must_use]
    pub const fn with_deadline(name: &'a str) -> Self {
        let deadline = true;
        Self { name, deadline }
    }
}

/// The result of a load.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Loaded {
    /// The session's header.
    pub header: Header,
    /// One entry per field of [`Selection::fields`], in that order; `None` where it is absent.
    pub fields: Vec<Option<StoredField>>,
    /// The present fields with one of [`Selection::prefixes`], by name.
    pub prefixed: Vec<(FieldName, StoredField)>,
    /// The store's time by which the load judged what is over. Where the load asked for no
    /// deadline, a store on a server may give an estimate.
    pub now: Timestamp,
}

impl Loaded {
    /// A session with this header and these fields, at the moment `now`.
    #[must_use]
    pub fn new(header: Header, fields: Vec<Option<StoredField>>, now: Timestamp) -> Self {
        Self {
            header,
            fields,
            prefixed: Vec::new(),
            now,
        }
    }

    /// With these fields that a prefix asked for.
    #[must_use]
    pub fn with_prefixed(mut self, prefixed: Vec<(FieldName, StoredField)>) -> Self {
        self.prefixed = prefixed;
        self
    }
}

/// One field as a store keeps it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredField {
    /// The encoded value.
    pub value: Bytes,
    /// When the field ends; `None` when it lives as long as the session, or when the load did not
    /// ask for it.
    pub deadline: Option<Timestamp>,
}

impl StoredField {
    /// This value until its deadline.
    #[must_use]
    pub fn new(value: Bytes, deadline: Option<Timestamp>) -> Self {
        Self { value, deadline }
    }

    /// Whether the deadline has not come.
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.deadline.is_none_or(|deadline| now < deadline)
    }
}

/// Shows the size, never the value.
impl fmt::Debug for StoredField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredField")
            .field("bytes", &self.value.len())
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// The part of a record that every session has, besides its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// Opens the session: compared with what the cookie's secret hashes to.
    pub verifier: Verifier,
    /// The verifier before the last rotation, while its grace lasts. A load leaves it out
    /// afterwards.
    pub previous: Option<Credential>,
    /// The link that the session was created with, while it is open. A load leaves it out
    /// afterwards.
    pub link: Option<Credential>,
    /// When the session was created.
    pub created: Timestamp,
    /// When its present token was made: at the creation or the last rotation.
    pub rotated: Timestamp,
    /// When the last commit was applied, a touch included.
    pub seen: Timestamp,
    /// How long after `seen` the session ends; `None` for no such limit.
    pub idle: Option<Duration>,
    /// When the session ends in any case; `None` for never.
    pub end: Option<Timestamp>,
    /// Whether this visitor's cookie outlives the browser's session; `None` when only the layer's
    /// setting decides.
    pub persistent: Option<bool>,
    /// The application's name for this session in a list, such as "Firefox on Linux".
    pub label: Option<Arc<str>>,
    /// The last commit that changed more than `seen` and deadlines.
    pub last_commit: Option<CommitId>,
    /// The principals that list the session, at most one per field.
    pub principals: Vec<Principal>,
}

/// A verifier beside the token's that opens a session for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credential {
    /// Compared like the token's.
    pub verifier: Verifier,
    /// When it stops opening the session.
    pub until: Timestamp,
}

impl Credential {
    /// This verifier until this moment.
    #[must_use]
    pub fn new(verifier: Verifier, until: Timestamp) -> Self {
        Self { verifier, until }
    }
}

impl Header {
    /// The header of a session that was created at this moment and has no timeouts.
    #[must_use]
    pub fn new(verifier: Verifier, created: Timestamp) -> Self {
        Self {
            verifier,
            previous: None,
            link: None,
            created,
            rotated: created,
            seen: created,
            idle: None,
            end: None,
            persistent: None,
            label: None,
            last_commit: None,
            principals: Vec::new(),
        }
    }

    /// When the session ends if nothing touches it; `None` for never.
    pub fn deadline(&self) -> Option<Timestamp> {
        let idle_end = self.idle.map(|idle| self.seen + idle);
        match (idle_end, self.end) {
            (Some(idle_end), Some(end)) => Some(idle_end.min(end)),
            (one, other) => one.or(other),
        }
    }

    /// The principal that this field names, if one is listed.
    pub fn principal(&self, field: &str) -> Option<&Principal> {
        let mut principals = self.principals.iter();
        principals.find(|principal| principal.field == field)
    }
}

/// How many sessions a store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Count {
    /// Counted.
    Exact(u64),
    /// Estimated, because counting would cost too much.
    Estimated(u64),
    /// The store does not count.
    Unknown,
}
