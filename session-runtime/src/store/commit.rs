//! One guarded, atomic change of one session.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{ListChange, PrincipalKey};
use crate::timeouts::Timeouts;
use crate::token::{CommitId, SessionId, Verifier};

/// The stored name of a field, `<schema>.<field>`. Names that begin with `@` belong to the header.
pub type FieldName = Cow<'static, str>;

/// All changes of one session that take effect together or not at all.
///
/// [`Commit::apply`] has its semantics, in this order: a known [`CommitId`]; the guard of the
/// [`Action`]; the [`Condition`]s; the limits of the lists; the [`Change`]s, one after the other;
/// the header, `seen` and the lists. An outcome other than [`Outcome::Applied`] leaves everything
/// as it was.
///
/// A commit without changes is a touch: it moves `seen`, and its id need not be remembered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Commit {
    /// The session.
    pub session: SessionId,
    /// Names this commit; a commit that arrives twice is applied once.
    pub id: CommitId,
    /// The action on the session as a whole, and the credential that it takes.
    pub action: Action,
    /// New timeouts; `None` leaves them. Always `Some` in a creation.
    pub timeouts: Option<Timeouts>,
    /// A new value for [`Header::persistent`](super::Header::persistent); `None` leaves it.
    pub persistent: Option<bool>,
    /// A new value for [`Header::label`](super::Header::label); `None` leaves it.
    pub label: Option<Arc<str>>,
    /// Ends the previous token's grace now. A rotation in the same commit begins a new grace.
    pub end_grace: bool,
    /// Closes the [`Link`] of the session's creation, so that only its tokens open it.
    pub close_link: bool,
    /// Changes of principals' lists.
    pub lists: Vec<ListChange>,
    /// The conditions under which the commit is applied.
    pub conditions: Vec<Condition>,
    /// Changes of the fields.
    pub changes: Vec<Change>,
}

impl Commit {
    /// A commit of this session that, so far, does nothing but its action.
    pub fn new(session: SessionId, id: CommitId, action: Action) -> Self {
        Self {
            session,
            id,
            action,
            timeouts: None,
            persistent: None,
            label: None,
            end_grace: false,
            close_link: false,
            lists: Vec::new(),
            conditions: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The principals whose lists the commit changes, each once, in the order in which a store
    /// locks them.
    pub fn principals(&self) -> Vec<PrincipalKey> {
        let mut principals: Vec<_> = self.lists.iter().map(|list| *list.principal()).collect();
        principals.sort_unstable();
        principals.dedup();
        principals
    }

    /// Whether nothing but `seen` and field deadlines change, so that the commit need not be
    /// remembered.
    pub fn is_touch(&self) -> bool {
        matches!(self.action, Action::Update { rotation: None, .. })
            && self.timeouts.is_none()
            && self.persistent.is_none()
            && self.label.is_none()
            && !self.end_grace
            && !self.close_link
            && self.lists.is_empty()
            && self
                .changes
                .iter()
                .all(|change| matches!(change, Change::Renew { restore: None, .. }))
    }
}

/// The action of a commit on the session as a whole, and the guard that it must pass.
///
/// A session is opened by its token's verifier, by the previous token's within its grace
/// ([`Header::previous`](super::Header::previous)), and by its link while that is open
/// ([`Header::link`](super::Header::link)).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Action {
    /// Creates the session. Guard: there is none of this id, else [`Outcome::IdTaken`].
    Create {
        /// The verifier of the new session's token.
        verifier: Verifier,
        /// A second credential that opens the session for a while.
        link: Option<Link>,
    },
    /// Changes the session. Guard: it exists and `verifier` opens it, else [`Outcome::Gone`].
    Update {
        /// The verifier of the credential that loaded the session.
        verifier: Verifier,
        /// Replaces the token.
        rotation: Option<Rotation>,
    },
    /// Removes the session and everything in it. Of the rest of the commit only the lists count.
    /// Guard: as for `Update`.
    Destroy {
        /// The verifier of the credential that loaded the session.
        verifier: Verifier,
    },
    /// Removes the session without its token, as a revocation does. Of the rest of the commit only
    /// conditions and lists count. Guard: the session exists.
    Revoke,
}

/// A new token for the same session.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Rotation {
    /// The new token's verifier.
    pub verifier: Verifier,
    /// How long the old token still works; `None` for no longer at all.
    pub grace: Option<Duration>,
    /// Whether the guard also admits the previous token in its grace. Otherwise, of two rotations
    /// of one token, one wins and the other is [`Outcome::Gone`].
    pub from_previous: bool,
}

impl Rotation {
    /// A rotation to this token.
    #[must_use]
    pub fn new(verifier: Verifier, grace: Option<Duration>) -> Self {
        Self {
            verifier,
            grace,
            from_previous: false,
        }
    }
}

/// A second credential that a session is created with. It is no token: no cookie can match it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Link {
    /// Compared like a token's verifier.
    pub verifier: Verifier,
    /// How long it opens the session.
    pub keep: Duration,
}

impl Link {
    /// A link that opens the session for this long.
    #[must_use]
    pub fn new(verifier: Verifier, keep: Duration) -> Self {
        Self { verifier, keep }
    }
}

/// A condition that a session must meet for a commit to be applied.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// The field is absent (`None`) or has exactly this encoded value.
    Field {
        /// The field.
        name: FieldName,
        /// The value that the field must have; `None` for an absent field.
        value: Option<Bytes>,
    },
    /// The last commit that changed the session is this one.
    LastCommit(Option<CommitId>),
    /// The header lists this principal under this field
    /// ([`Header::principals`](super::Header::principals)).
    Principal {
        /// The principal's field.
        field: FieldName,
        /// The principal.
        principal: PrincipalKey,
    },
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { name, .. } => f
                .debug_struct("Field")
                .field("name", name)
                .finish_non_exhaustive(),
            Self::LastCommit(id) => f.debug_tuple("LastCommit").field(id).finish(),
            Self::Principal { field, .. } => f
                .debug_struct("Principal")
                .field("field", field)
                .finish_non_exhaustive(),
        }
    }
}

/// A change of one field.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Writes a value.
    Set {
        /// The field.
        name: FieldName,
        /// Its encoded value.
        value: Bytes,
        /// Its time to live; `None` makes it live as long as the session.
        ttl: Option<FieldTtl>,
        /// Writes only where the field is absent; where it is present the change only answers the
        /// present value in [`Applied::values`].
        only_if_absent: bool,
    },
    /// Removes a field; nothing happens where it is absent.
    Remove {
        /// The field.
        name: FieldName,
    },
    /// Combines an integer with the stored one, exactly, and answers the result in
    /// [`Applied::values`].
    ///
    /// The stored value is decimal text. A stored value that is not counts as absent, though its
    /// deadline is kept like any other.
    Merge {
        /// The field.
        name: FieldName,
        /// How the two are combined.
        operation: MergeOperation,
        /// The number that is combined with the stored value.
        operand: i64,
        /// The number that counts as stored where the field is absent.
        initial: i64,
        /// The results that are allowed.
        range: IntegerRange,
        /// Its time to live; `None` makes it live as long as the session.
        ttl: Option<FieldTtl>,
    },
    /// Restarts the time to live of a present field. The value stays.
    Renew {
        /// The field.
        name: FieldName,
        /// From now on.
        ttl: Duration,
        /// The value to write where the field is absent; `None` leaves it absent.
        restore: Option<Restore>,
    },
    /// Removes the field and answers what it held in [`Applied::values`].
    Take {
        /// The field.
        name: FieldName,
    },
    /// Bounds how many fields there are whose names begin with a prefix, after the changes before
    /// this one.
    Bound {
        /// The prefix of the names.
        prefix: FieldName,
        /// The most of them that stay.
        max: usize,
        /// Whether those too many are removed: the ones that end soonest, by name among equals,
        /// and never one that this commit writes. If not, or if those that this commit writes are
        /// too many, the commit answers [`Outcome::TooMany`].
        evict: bool,
    },
}

/// A value that a [`Change::Renew`] writes where its field has run out.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restore {
    /// The encoded value.
    pub value: Bytes,
    /// The session's last commit when the value was loaded. If it is another one now, another
    /// request may have removed the field, and the commit answers [`Outcome::Conflict`] of it.
    pub last_commit: Option<CommitId>,
}

impl Restore {
    /// This value, if no commit came between.
    #[must_use]
    pub fn new(value: Bytes, last_commit: Option<CommitId>) -> Self {
        Self { value, last_commit }
    }
}

/// Names and kinds, never values.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, ttl) = match self {
            Self::Set { ttl, .. } => ("Set", *ttl),
            Self::Remove { .. } => ("Remove", None),
            Self::Merge { ttl, .. } => ("Merge", *ttl),
            Self::Renew { ttl, .. } => ("Renew", Some(FieldTtl::restarting(*ttl))),
            Self::Take { .. } => ("Take", None),
            Self::Bound { .. } => ("Bound", None),
        };
        f.debug_struct(kind)
            .field("name", self.name())
            .field("ttl", &ttl)
            .finish_non_exhaustive()
    }
}

impl Change {
    /// Whether the field may be there afterwards though it was not before.
    pub fn is_write(&self) -> bool {
        matches!(
            self,
            Self::Set { .. }
                | Self::Merge { .. }
                | Self::Renew {
                    restore: Some(_),
                    ..
                }
        )
    }

    /// The field that changes; for a [`Change::Bound`] the prefix.
    pub fn name(&self) -> &FieldName {
        match self {
            Self::Set { name, .. }
            | Self::Remove { name }
            | Self::Merge { name, .. }
            | Self::Renew { name, .. }
            | Self::Take { name }
            | Self::Bound { prefix: name, .. } => name,
        }
    }
}

/// A field's time to live in a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldTtl {
    /// From the moment it starts.
    pub duration: Duration,
    /// Whether the write starts it anew. If not, a field that is present and has a deadline keeps
    /// that deadline.
    pub restart: bool,
}

impl FieldTtl {
    /// A time to live that each write starts anew.
    pub fn restarting(duration: Duration) -> Self {
        Self {
            duration,
            restart: true,
        }
    }

    /// A time to live that only the first write starts.
    pub fn fixed(duration: Duration) -> Self {
        Self {
            duration,
            restart: false,
        }
    }
}

/// How a [`Change::Merge`] combines the stored integer with its operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MergeOperation {
    /// The sum.
    Add,
    /// The larger one.
    Max,
    /// The smaller one.
    Min,
}

/// The results that a [`Change::Merge`] may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntegerRange {
    /// The smallest result.
    pub min: i64,
    /// The largest result. Beyond it the commit answers [`Outcome::OutOfRange`].
    pub max: i64,
    /// Whether a result below `min` becomes `min`; if not, the commit answers
    /// [`Outcome::OutOfRange`].
    pub stop_at_min: bool,
}

/// The outcome of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It took effect, now or when it arrived before.
    Applied(Applied),
    /// There is no such session, or the credential does not open it.
    Gone,
    /// A creation found a session of this id.
    IdTaken,
    /// A [`Condition`] does not hold.
    Conflict {
        /// The field whose condition it was; `None` for [`Condition::LastCommit`].
        field: Option<FieldName>,
    },
    /// There are more fields of a prefix than a [`Change::Bound`] allows.
    TooMany {
        /// The prefix.
        prefix: FieldName,
    },
    /// A principal has as many sessions as it may have.
    LimitReached {
        /// The principal.
        principal: PrincipalKey,
    },
    /// The result of a [`Change::Merge`] is not in its range.
    OutOfRange {
        /// The field.
        field: FieldName,
    },
}

/// The answers of a commit that was applied.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// One entry per change: what a [`Change::Take`] found, what a [`Change::Merge`] resulted in,
    /// what a [`Change::Set`] with `only_if_absent` kept, `None` for the others. A repeated commit
    /// answers the present value for the last two.
    pub values: Vec<Option<Bytes>>,
}

impl Applied {
    /// The answer with these values.
    pub fn new(values: Vec<Option<Bytes>>) -> Self {
        Self { values }
    }
}

impl fmt::Debug for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Applied")
            .field("values", &self.values.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a visitor without a session gets one depends on it.
    #[test]
    fn only_what_may_leave_a_field_is_a_write() {
        let name = || FieldName::from("a");
        let set = Change::Set {
            name: name(),
            value: Bytes::new(),
            ttl: None,
            only_if_absent: true,
        };
        let merge = Change::Merge {
            name: name(),
            operation: MergeOperation::Add,
            operand: 1,
            initial: 0,
            range: IntegerRange {
                min: 0,
                max: 1,
                stop_at_min: false,
            },
            ttl: None,
        };
        let ttl = Duration::from_secs(1);
        assert!(set.is_write() && merge.is_write());
        for change in [
            Change::Remove { name: name() },
            Change::Renew {
                name: name(),
                ttl,
                restore: None,
            },
            Change::Take { name: name() },
        ] {
            assert!(!change.is_write(), "{change:?}");
            assert_eq!(change.name(), "a");
        }
    }
}
