//! One session as an embedded driver keeps it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::{FieldName, Fields, Header, Loaded, Selection, StoredField};
use crate::clock::Timestamp;
use crate::events;
use crate::token::{CommitId, SessionId, Verifier};

/// One session: its header and all its fields.
///
/// [`Commit::apply`](super::Commit::apply) changes it, [`load`](Self::load) reads it, and
/// [`to_bytes`](Self::to_bytes) is its form in a store that keeps bytes. A driver on top of these
/// keeps records and holds a lock; it contains no semantics.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Record {
    /// The session.
    pub session: SessionId,
    /// The session's header. [`Header::previous`] and [`Header::link`] may be over.
    pub header: Header,
    /// All fields of all schemas, those included that have run out.
    pub fields: Fields,
    /// The last commits that changed the record, oldest first.
    pub(super) recent: VecDeque<CommitId>,
    /// Values that were taken lately, so that a commit that arrives twice can answer twice.
    pub(super) taken: BTreeMap<FieldName, Taken>,
    /// Header lines that a later version wrote and this one does not know.
    pub(super) unknown_lines: Vec<String>,
}

/// A value that a [`Change::Take`](super::Change::Take) removed a moment ago.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    /// The commit that took it.
    pub(super) commit: CommitId,
    /// The field as it was; `deadline` is when it is dropped from here.
    pub(super) field: StoredField,
}

impl Record {
    /// A record with this header and nothing else.
    #[must_use]
    pub fn new(session: SessionId, header: Header) -> Self {
        Self {
            session,
            header,
            fields: Fields::default(),
            recent: VecDeque::new(),
            taken: BTreeMap::new(),
            unknown_lines: Vec::new(),
        }
    }

    /// Whether the session has ended by itself.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        let deadline = self.header.deadline();
        deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Whether this commit has been applied, as far as the record remembers.
    pub fn remembers(&self, commit: &CommitId) -> bool {
        self.recent.contains(commit)
    }

    /// Answers [`SessionStore::load`](super::SessionStore::load); `None` when the session has
    /// ended, which is reported by an event.
    pub fn load(&self, selection: &Selection<'_>, now: Timestamp) -> Option<Loaded> {
        if self.is_expired(now) {
            events::expired(self.session);
            return None;
        }
        let fields = selection.fields.iter().map(|selected| {
            let field = self.live(selected.name, now)?;
            let deadline = field.deadline.filter(|_| selected.deadline);
            Some(StoredField::new(field.value.clone(), deadline))
        });
        let mut header = self.header.clone();
        header.previous = header.previous.filter(|previous| now < previous.until);
        header.link = header.link.filter(|link| now < link.until);
        let mut loaded = Loaded::new(header, fields.collect(), now);
        if !selection.prefixes.is_empty() {
            let is_selected = |name: &str| {
                let mut prefixes = selection.prefixes.iter();
                prefixes.any(|prefix| name.starts_with(prefix))
            };
            let live = self.fields.iter().filter(|(_, field)| field.is_live(now));
            loaded.prefixed = live
                .filter(|(name, _)| is_selected(name))
                .map(|(name, field)| (name.clone(), StoredField::new(field.value.clone(), None)))
                .collect();
        }
        Some(loaded)
    }

    /// Drops the fields and the remembered values whose deadlines have come; answers whether there
    /// were any. Nothing depends on this: they are absent without it.
    pub fn reclaim(&mut self, now: Timestamp) -> bool {
        let before = self.fields.len() + self.taken.len();
        self.fields.retain(|_, field| field.is_live(now));
        self.taken.retain(|_, taken| taken.field.is_live(now));
        self.fields.len() + self.taken.len() < before
    }

    /// The field, unless its deadline has come.
    pub(super) fn live(&self, name: &str, now: Timestamp) -> Option<&StoredField> {
        self.fields.get(name).filter(|field| field.is_live(now))
    }

    /// The value that this commit took from the field before, if it is remembered.
    pub(super) fn taken_by(&self, commit: &CommitId, field: &str) -> Option<Bytes> {
        let taken = self.taken.get(field)?;
        (taken.commit == *commit).then(|| taken.field.value.clone())
    }

    /// Whether a credential opens the session: the token, the previous one in its grace, or the
    /// link.
    pub(super) fn is_opened_by(&self, verifier: &Verifier, now: Timestamp) -> bool {
        self.header.verifier == *verifier
            || self.is_opened_by_previous(verifier, now)
            || self.is_opened_by_link(verifier, now)
    }

    pub(super) fn is_opened_by_previous(&self, verifier: &Verifier, now: Timestamp) -> bool {
        let previous = self.header.previous.filter(|previous| now < previous.until);
        previous.is_some_and(|previous| previous.verifier == *verifier)
    }

    fn is_opened_by_link(&self, verifier: &Verifier, now: Timestamp) -> bool {
        let link = self.header.link.filter(|link| now < link.until);
        link.is_some_and(|link| link.verifier == *verifier)
    }
}
