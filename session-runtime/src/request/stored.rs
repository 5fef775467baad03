//! A stored field, as far as one request knows it.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::schema::FieldSpec;
use crate::sealing::Sealer;
use crate::token::{CommitId, SessionId};

/// The stored field, as far as this request knows it.
#[derive(Clone, Default)]
pub(super) struct Stored {
    /// The value; opened where the field is sealed.
    pub(super) value: Option<Bytes>,
    /// The sealed form of the value; boxed, as few fields are sealed.
    pub(super) sealed: Option<Box<Bytes>>,
    /// Whether the store holds something that does not open or does not decode. It counts as
    /// absent.
    pub(super) is_bad: bool,
    /// Whether that was reported.
    pub(super) is_reported: bool,
    /// The older name that it was read under.
    pub(super) alias: Option<&'static str>,
    /// How much of its time was left at the load, if the load asked for it.
    pub(super) remaining: Option<Duration>,
    /// Whether all this comes from a load, and not from a commit since.
    pub(super) is_loaded: bool,
    /// The session's last commit at that moment.
    pub(super) last_commit: Option<CommitId>,
}

/// The session and the moment of a load, which its fields are interpreted by.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) session: &'a SessionId,
    pub(super) sealer: Option<&'a Sealer>,
    pub(super) last_commit: Option<CommitId>,
    pub(super) now: Timestamp,
}

/// The encoded value behind a field's stored bytes; `None` where they are sealed and do not open. A
/// value that was read under an older name was sealed under it.
pub(super) fn opened(
    spec: &FieldSpec,
    sealer: Option<&Sealer>,
    session: &SessionId,
    name: &str,
    stored: Bytes,
) -> Option<Bytes> {
    match spec.encrypted {
        true => sealer?.open(session, name, &stored),
        false => Some(stored),
    }
}
