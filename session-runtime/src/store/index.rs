//! The index from a principal (an account, a customer) to its sessions.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::token::{CommitId, SessionId, decode_base64, write_base64};

/// Names a principal in the index: the SHA-256 of a field's stored name and its encoded value.
///
/// It has one length and one alphabet whatever the application uses as its key, so no value can
/// be mistaken for another, contain a separator, or be a pattern. `Display` and `FromStr` are 43
/// base64url characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrincipalKey([u8; 32]);

impl PrincipalKey {
    /// The key of this value of this field.
    pub fn new(field: &str, encoded: &[u8]) -> Self {
        let mut hash = Sha256::new();
        // The length keeps one field's name from running into another's value.
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
        hash.update(encoded);
        Self(hash.finalize().into())
    }

    /// The 32 bytes, for a store that names its entries by something else than the text form.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
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
        decode_base64(text.as_bytes())
            .map(Self)
            .ok_or(ParsePrincipalKeyError)
    }
}

/// What a commit does to the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexChange {
    /// Lists the session under the principal, marked with the commit's id. An entry of the same
    /// session is replaced.
    Add {
        /// The principal.
        principal: PrincipalKey,
        /// How long the entry is kept, at least as long as the session can live; `None` for ever.
        keep: Option<Duration>,
        /// How many sessions the principal may have, this one included. Where as many others are
        /// listed already the commit answers [`Outcome::LimitReached`](super::Outcome).
        limit: Option<u32>,
    },
    /// Takes the session off the principal's list.
    Remove {
        /// The principal.
        principal: PrincipalKey,
    },
}

impl IndexChange {
    /// Whose list changes.
    pub fn principal(&self) -> &PrincipalKey {
        match self {
            Self::Add { principal, .. } | Self::Remove { principal } => principal,
        }
    }
}

/// One session on a principal's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexEntry {
    /// The session. It may have ended, or belong to somebody else by now: the index is a superset.
    pub session: SessionId,
    /// The commit that listed it.
    pub mark: CommitId,
    /// When, on the store's clock.
    pub added: Timestamp,
    /// Whether the commit that listed it may still be on its way to the session. Only a store that
    /// changes index and sessions in [several steps](super::commit_in_steps) has such entries.
    pub arriving: bool,
}

impl IndexEntry {
    /// The entry of this session, listed by a commit that is complete.
    pub fn new(session: SessionId, mark: CommitId, added: Timestamp) -> Self {
        Self {
            session,
            mark,
            added,
            arriving: false,
        }
    }

    /// Whether it is the same entry in the same state, so that it may be
    /// [forgotten](super::SessionStore::forget) on the ground of what the other one showed.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.session, self.mark, self.arriving) == (other.session, other.mark, other.arriving)
    }

    /// The entry of a session that the commit has perhaps not reached yet.
    #[must_use]
    pub fn arriving(mut self) -> Self {
        self.arriving = true;
        self
    }
}

/// A principal's list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IndexEntries {
    /// In no particular order.
    pub entries: Vec<IndexEntry>,
    /// The store's time.
    pub now: Timestamp,
}

impl IndexEntries {
    /// The list as it was at the moment `now`.
    pub fn new(entries: Vec<IndexEntry>, now: Timestamp) -> Self {
        Self { entries, now }
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
        let text = key.to_string();
        assert_eq!(decode_base64(text.as_bytes()), Some(*key.as_bytes()));
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
