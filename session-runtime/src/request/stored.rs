//! A stored field, as far as one request knows it.

use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::schema::FieldSpec;
use crate::sealing::Sealer;
use crate::store::StoredField;
use crate::token::{CommitId, SessionId};

/// The stored field, as far as this request knows it.
#[derive(Clone, Default)]
pub(super) struct Stored {
    /// The value; opened where the field is sealed.
    pub(super) value: Option<Bytes>,
    /// Whether all this comes from a load, and not from a commit since.
    pub(super) is_loaded: bool,
    /// The session's last commit at that moment.
    pub(super) last_commit: Option<CommitId>,
    // Boxed, as most fields of most requests have nothing of it.
    unusual: Option<Box<Unusual>>,
}

/// What a stored field has besides its value.
#[derive(Clone, Default)]
struct Unusual {
    sealed: Option<Bytes>,
    is_bad: bool,
    is_reported: bool,
    alias: Option<&'static str>,
    remaining: Option<Duration>,
}

impl Stored {
    /// A field that no store holds.
    pub(super) fn absent() -> Self {
        Self {
            is_loaded: true,
            ..Self::default()
        }
    }

    /// A field as a load found it, perhaps under an older name.
    pub(super) fn loaded(
        spec: &FieldSpec,
        field: Option<StoredField>,
        alias: Option<&'static str>,
        found: Found<'_>,
    ) -> Self {
        let deadline = field.as_ref().and_then(|field| field.deadline);
        let mut stored = Self {
            value: field.map(|field| field.value),
            is_loaded: true,
            last_commit: found.last_commit,
            unusual: None,
        };
        if alias.is_some() || deadline.is_some() {
            let unusual = stored.unusual();
            unusual.alias = alias;
            unusual.remaining = deadline.map(|deadline| deadline.saturating_since(found.now));
        }
        if spec.encrypted {
            stored.open(spec, alias.unwrap_or(spec.name), found);
        }
        stored
    }

    /// A field as a commit left it.
    pub(super) fn settled(spec: &FieldSpec, value: Option<Bytes>, found: Found<'_>) -> Self {
        let mut stored = Self {
            value,
            is_loaded: false,
            last_commit: found.last_commit,
            unusual: None,
        };
        if spec.encrypted {
            stored.open(spec, spec.name, found);
        }
        stored
    }

    /// Opens the sealed value. One that was read under an older name was sealed under it.
    fn open(&mut self, spec: &FieldSpec, name: &str, found: Found<'_>) {
        let Some(sealed) = self.value.take() else {
            return;
        };
        self.value = opened(spec, found.sealer, found.session, name, sealed.clone());
        let is_bad = self.value.is_none();
        let unusual = self.unusual();
        unusual.sealed = Some(sealed);
        unusual.is_bad = is_bad;
    }

    /// The bytes in the store.
    pub(super) fn in_store(&self) -> Option<&Bytes> {
        let sealed = self
            .unusual
            .as_ref()
            .and_then(|unusual| unusual.sealed.as_ref());
        sealed.or(self.value.as_ref())
    }

    /// Whether the store holds something that does not open or does not decode. It counts as
    /// absent.
    pub(super) fn is_bad(&self) -> bool {
        self.unusual.as_ref().is_some_and(|unusual| unusual.is_bad)
    }

    /// Notes that the value does not decode.
    pub(super) fn mark_bad(&mut self) {
        self.unusual().is_bad = true;
    }

    /// Whether the value is bad and this is asked for the first time.
    pub(super) fn is_news(&mut self) -> bool {
        let bad = self.unusual.as_mut().filter(|unusual| unusual.is_bad);
        bad.is_some_and(|bad| !std::mem::replace(&mut bad.is_reported, true))
    }

    /// The older name that it was read under.
    pub(super) fn alias(&self) -> Option<&'static str> {
        self.unusual.as_ref()?.alias
    }

    /// How much of its time was left at the load, if the load asked for it.
    pub(super) fn remaining(&self) -> Option<Duration> {
        self.unusual.as_ref()?.remaining
    }

    fn unusual(&mut self) -> &mut Unusual {
        self.unusual.get_or_insert_default()
    }
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
