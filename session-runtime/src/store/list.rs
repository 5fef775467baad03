//! Which sessions a principal (an account, a customer) has.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::FieldName;
use crate::clock::Timestamp;
use crate::token::{CommitId, SessionId, decode_base64, write_base64};

/// Names a principal: the SHA-256 of a field's stored name and its encoded value.
///
/// It has one length and one alphabet whatever the application uses as its key, so no value can
/// be mistaken for another, contain a separator, or be a pattern. `Display` and `FromStr` are 43
/// base64url characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrincipalKey([u8; 32]);

impl PrincipalKey {
    /// The key of this value of this field.
    #[must_use]
    pub fn new(field: &str, encoded: &[u8]) -> Self {
        let mut hash = Sha256::new();
        // The length keeps one field's name from running into another's value.
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
        hash.update(encoded);
        Self(hash.finalize().into())
    }

    /// The 32 bytes, for a store that names its lists by something else than the text form.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key that a store kept as bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for PrincipalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base64(f, &self.0)
    }
}

/// A text that is not a principal key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a principal key is 43 base64url characters")]
pub struct ParsePrincipalKeyError;

impl FromStr for PrincipalKey {
    type Err = ParsePrincipalKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = decode_base64(text.as_bytes());
        bytes.map(Self).ok_or(ParsePrincipalKeyError)
    }
}

/// One principal of a session, as its header says: the field that names it and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Principal {
    /// The stored name of the field.
    pub field: FieldName,
    /// The principal.
    pub key: PrincipalKey,
}

impl Principal {
    /// The principal that this field names.
    #[must_use]
    pub fn new(field: impl Into<FieldName>, key: PrincipalKey) -> Self {
        let field = field.into();
        Self { field, key }
    }
}

/// A change of a principal's list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListChange {
    /// Lists the session under the principal, marked with the commit's id, and says so in the
    /// session's header, where it replaces the field's principal. An entry of the same session is
    /// replaced.
    ///
    /// Where the header names another principal under this field, the commit has a
    /// [`Remove`](Self::Remove) of that one too: a store locks the lists that a commit names, and
    /// only those lose an entry.
    Add {
        /// The stored name of the principal's field.
        field: FieldName,
        /// The principal.
        principal: PrincipalKey,
        /// How long the entry is kept, at least as long as the session can live; `None` for ever.
        keep: Option<Duration>,
        /// How many sessions the principal may have, this one included. Where as many others are
        /// listed already the commit answers [`Outcome::LimitReached`](super::Outcome).
        limit: Option<u32>,
    },
    /// Takes the session off the principal's list, and the principal out of the session's header.
    Remove {
        /// The stored name of the principal's field.
        field: FieldName,
        /// The principal.
        principal: PrincipalKey,
    },
}

impl ListChange {
    /// The principal whose list changes.
    pub fn principal(&self) -> &PrincipalKey {
        match self {
            Self::Add { principal, .. } | Self::Remove { principal, .. } => principal,
        }
    }
}

/// One session on a principal's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListEntry {
    /// The session. It may have ended, or belong to another principal by now: a list is a superset
    /// of the truth.
    pub session: SessionId,
    /// The commit that listed it.
    pub mark: CommitId,
    /// When it was listed, on the store's clock.
    pub added: Timestamp,
    /// When the entry goes by itself; `None` for never.
    pub until: Option<Timestamp>,
    /// Whether the commit that listed it may still be on its way to the session. Only a store that
    /// changes lists and sessions [in steps](super::commit_in_steps) has such entries.
    pub arriving: bool,
}

impl ListEntry {
    /// The entry of this session, listed by a commit that is complete, without an end of its own.
    #[must_use]
    pub fn new(session: SessionId, mark: CommitId, added: Timestamp) -> Self {
        Self {
            session,
            mark,
            added,
            until: None,
            arriving: false,
        }
    }

    /// The entry with this end.
    #[must_use]
    pub fn until(mut self, until: Option<Timestamp>) -> Self {
        self.until = until;
        self
    }

    /// The entry of a session that the commit has perhaps not reached yet.
    #[must_use]
    pub fn arriving(mut self) -> Self {
        self.arriving = true;
        self
    }

    /// Whether it is the same entry in the same state, so that
    /// [`remove_stale`](super::SessionStore::remove_stale) may remove the one on the evidence of
    /// the other.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.session, self.mark, self.arriving) == (other.session, other.mark, other.arriving)
    }

    fn is_live(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// The sessions that [`SessionStore::list`](super::SessionStore::list) found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// In no particular order.
    pub entries: Vec<ListEntry>,
    /// The store's time.
    pub now: Timestamp,
}

impl Listing {
    /// These entries, as they were at the moment `now`.
    #[must_use]
    pub fn new(entries: Vec<ListEntry>, now: Timestamp) -> Self {
        Self { entries, now }
    }
}

/// The list of one principal, for drivers that keep lists themselves.
///
/// [`Commit::apply`](super::Commit::apply) changes it together with the session's
/// [`Record`](super::Record). [`to_bytes`](Self::to_bytes) is its form in a store that keeps bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrincipalList {
    /// The principal.
    pub principal: PrincipalKey,
    /// At most one entry per session, in no particular order, those included that have ended.
    pub entries: Vec<ListEntry>,
    /// Header lines that a later version wrote and this one does not know.
    pub(super) unknown_lines: Vec<String>,
}

impl PrincipalList {
    /// A list without entries.
    #[must_use]
    pub fn new(principal: PrincipalKey) -> Self {
        Self {
            principal,
            entries: Vec::new(),
            unknown_lines: Vec::new(),
        }
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Answers [`SessionStore::list`](super::SessionStore::list) at the moment `now`.
    pub fn listing(&self, now: Timestamp) -> Listing {
        let live = self.entries.iter().filter(|entry| entry.is_live(now));
        Listing::new(live.copied().collect(), now)
    }

    /// Does the work of [`SessionStore::remove_stale`](super::SessionStore::remove_stale): removes
    /// an entry if it is still the one that was seen. Returns whether it did.
    pub fn remove_stale(&mut self, stale: &ListEntry) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| !entry.is_same(stale));
        self.entries.len() < before
    }

    /// Lists a session; its entry so far is replaced.
    pub fn insert(&mut self, entry: ListEntry) {
        self.remove(&entry.session);
        self.entries.push(entry);
    }

    /// Takes a session off the list.
    pub fn remove(&mut self, session: &SessionId) {
        self.entries.retain(|entry| entry.session != *session);
    }

    /// The entry of a session.
    pub fn get(&self, session: &SessionId) -> Option<&ListEntry> {
        self.entries.iter().find(|entry| entry.session == *session)
    }

    /// Drops the entries that have ended; answers whether there were any.
    pub fn reclaim(&mut self, now: Timestamp) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.is_live(now));
        self.entries.len() < before
    }

    /// Whether as many sessions are listed beside this one as there may be in all.
    pub fn is_full(&self, session: &SessionId, limit: u32, now: Timestamp) -> bool {
        let others = self
            .entries
            .iter()
            .filter(|entry| entry.session != *session && entry.is_live(now));
        others.count() >= limit as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_form() {
        let key = PrincipalKey::new("shop.customer", b"7");
        assert_eq!(key.to_string().len(), 43);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(PrincipalKey::from_bytes(*key.as_bytes()), key);
        assert_eq!("".parse::<PrincipalKey>(), Err(ParsePrincipalKeyError));
    }

    #[test]
    fn a_name_does_not_run_into_a_value() {
        let keys = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc")];
        let keys = keys.map(|(field, value)| PrincipalKey::new(field, value.as_bytes()));
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key));
        }
    }
}
