//! The protocol between a test and a process of its own: one line of JSON for each message.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use session_runtime::store::{
    Action, Applied, Change, Commit, Condition, Credential, FieldTtl, Header, IntegerRange, Link,
    Loaded, MergeOperation, Outcome, Restore, Rotation, StoredField, Timeouts,
};
use session_runtime::store::{CommitId, Timestamp, Verifier};

/// A call of the store, under a number that its answer repeats.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Call {
    /// Of these fields with their deadlines.
    Load {
        /// Which session.
        session: String,
        /// Which fields.
        fields: Vec<String>,
        /// The prefixes of further fields.
        prefixes: Vec<String>,
    },
    /// Of a commit that changes no list.
    Commit(Box<WireCommit>),
}

/// The store's answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// A session, or none.
    Loaded(Option<Box<WireLoaded>>),
    /// The outcome of a commit.
    Committed(WireOutcome),
    /// The store failed.
    Failed(String),
}

type Bits = [u8; 16];
type Ttl = Option<(Duration, bool)>;

/// A [`Commit`] that changes no list.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireCommit {
    session: String,
    id: String,
    action: WireAction,
    timeouts: Option<(Option<Duration>, Option<Duration>)>,
    persistent: Option<bool>,
    label: Option<String>,
    end_grace: bool,
    close_link: bool,
    conditions: Vec<WireCondition>,
    changes: Vec<WireChange>,
}

#[derive(Debug, Serialize, Deserialize)]
enum WireAction {
    Create(Bits, Option<(Bits, Duration)>),
    /// With a rotation: the new token, the grace, and whether the previous token is admitted.
    Update(Bits, Option<(Bits, Option<Duration>, bool)>),
    Destroy(Bits),
    Revoke,
}

#[derive(Debug, Serialize, Deserialize)]
enum WireCondition {
    Field(String, Option<Vec<u8>>),
    LastCommit(Option<String>),
}

#[derive(Debug, Serialize, Deserialize)]
enum WireChange {
    Set {
        name: String,
        value: Vec<u8>,
        ttl: Ttl,
        only_if_absent: bool,
    },
    Remove(String),
    Merge {
        name: String,
        operation: u8,
        operand: i64,
        initial: i64,
        range: (i64, i64, bool),
        ttl: Ttl,
    },
    /// With what to restore: the value, and the last commit that it was loaded at.
    Renew(String, Duration, Option<(Vec<u8>, Option<String>)>),
    Take(String),
    Bound(String, usize, bool),
}

/// An [`Outcome`] of such a commit.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WireOutcome {
    /// With the values of its changes.
    Applied(Vec<Option<Vec<u8>>>),
    /// As [`Outcome::Gone`].
    Gone,
    /// As [`Outcome::IdTaken`].
    IdTaken,
    /// With the field.
    Conflict(Option<String>),
    /// With the prefix.
    TooMany(String),
    /// With the field.
    OutOfRange(String),
}

/// A [`Loaded`] session.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireLoaded {
    verifier: Bits,
    previous: Option<(Bits, u64)>,
    link: Option<(Bits, u64)>,
    created: u64,
    rotated: u64,
    seen: u64,
    idle: Option<Duration>,
    end: Option<u64>,
    persistent: Option<bool>,
    label: Option<String>,
    last_commit: Option<String>,
    fields: Vec<Option<(Vec<u8>, Option<u64>)>>,
    prefixed: Vec<(String, Vec<u8>)>,
    now: u64,
}

const OPERATIONS: [MergeOperation; 3] = [
    MergeOperation::Add,
    MergeOperation::Max,
    MergeOperation::Min,
];

impl From<&Commit> for WireCommit {
    fn from(commit: &Commit) -> Self {
        assert!(commit.lists.is_empty(), "lists are not sent");
        let bits = |verifier: &Verifier| *verifier.as_bytes();
        let action = match &commit.action {
            Action::Create { verifier, link } => {
                let link = link.map(|link| (bits(&link.verifier), link.keep));
                WireAction::Create(bits(verifier), link)
            }
            Action::Update { verifier, rotation } => {
                let rotation = rotation.as_ref();
                let rotation =
                    rotation.map(|new| (bits(&new.verifier), new.grace, new.from_previous));
                WireAction::Update(bits(verifier), rotation)
            }
            Action::Destroy { verifier } => WireAction::Destroy(bits(verifier)),
            Action::Revoke => WireAction::Revoke,
            other => panic!("{other:?} is not sent"),
        };
        let condition = |condition: &Condition| match condition {
            Condition::Field { name, value } => {
                WireCondition::Field(name.to_string(), value.as_ref().map(|value| value.to_vec()))
            }
            Condition::LastCommit(id) => WireCondition::LastCommit(id.map(|id| id.to_string())),
            other => panic!("{other:?} is not sent"),
        };
        Self {
            session: commit.session.to_string(),
            id: commit.id.to_string(),
            action,
            timeouts: commit.timeouts.map(|both| (both.idle(), both.lifetime())),
            persistent: commit.persistent,
            label: commit.label.as_deref().map(str::to_owned),
            end_grace: commit.end_grace,
            close_link: commit.close_link,
            conditions: commit.conditions.iter().map(condition).collect(),
            changes: commit.changes.iter().map(WireChange::from).collect(),
        }
    }
}

impl From<&Change> for WireChange {
    fn from(change: &Change) -> Self {
        let name = change.name().to_string();
        let wire = |ttl: &Option<FieldTtl>| ttl.map(|ttl| (ttl.duration, ttl.restart));
        match change {
            Change::Set {
                value,
                ttl,
                only_if_absent,
                ..
            } => Self::Set {
                name,
                value: value.to_vec(),
                ttl: wire(ttl),
                only_if_absent: *only_if_absent,
            },
            Change::Remove { .. } => Self::Remove(name),
            Change::Merge {
                operation,
                operand,
                initial,
                range,
                ttl,
                ..
            } => {
                let place = OPERATIONS.iter().position(|known| known == operation);
                Self::Merge {
                    name,
                    operation: place.expect("a known operation") as u8,
                    operand: *operand,
                    initial: *initial,
                    range: (range.min, range.max, range.stop_at_min),
                    ttl: wire(ttl),
                }
            }
            Change::Renew { ttl, restore, .. } => {
                let id = |id: CommitId| id.to_string();
                let restore = restore.as_ref();
                let restore = restore.map(|one| (one.value.to_vec(), one.last_commit.map(id)));
                Self::Renew(name, *ttl, restore)
            }
            Change::Take { .. } => Self::Take(name),
            Change::Bound { max, evict, .. } => Self::Bound(name, *max, *evict),
            other => panic!("{other:?} is not sent"),
        }
    }
}

impl WireCommit {
    /// The commit.
    pub(super) fn read(self) -> Commit {
        let verifier = Verifier::from_bytes;
        let action = match self.action {
            WireAction::Create(bits, link) => Action::Create {
                verifier: verifier(bits),
                link: link.map(|(bits, keep)| Link::new(verifier(bits), keep)),
            },
            WireAction::Update(bits, rotation) => Action::Update {
                verifier: verifier(bits),
                rotation: rotation.map(|(bits, grace, from_previous)| {
                    let mut rotation = Rotation::new(verifier(bits), grace);
                    rotation.from_previous = from_previous;
                    rotation
                }),
            },
            WireAction::Destroy(bits) => Action::Destroy {
                verifier: verifier(bits),
            },
            WireAction::Revoke => Action::Revoke,
        };
        let condition = |condition| match condition {
            WireCondition::Field(name, value) => Condition::Field {
                name: name.into(),
                value: value.map(Bytes::from),
            },
            WireCondition::LastCommit(id) => {
                Condition::LastCommit(id.map(|id| id.parse().expect("a commit's id")))
            }
        };
        let session = self.session.parse().expect("a session's id");
        let id = self.id.parse().expect("a commit's id");
        let mut commit = Commit::new(session, id, action);
        let timeouts = self.timeouts;
        commit.timeouts = timeouts.map(|(idle, lifetime)| {
            Timeouts::new(idle, lifetime).expect("timeouts that were valid before")
        });
        commit.persistent = self.persistent;
        commit.label = self.label.map(Into::into);
        commit.end_grace = self.end_grace;
        commit.close_link = self.close_link;
        commit.conditions = self.conditions.into_iter().map(condition).collect();
        commit.changes = self.changes.into_iter().map(WireChange::read).collect();
        commit
    }
}

impl WireChange {
    fn read(self) -> Change {
        let read = |ttl: Ttl| ttl.map(|(duration, restart)| FieldTtl { duration, restart });
        match self {
            Self::Set {
                name,
                value,
                ttl,
                only_if_absent,
            } => Change::Set {
                name: name.into(),
                value: value.into(),
                ttl: read(ttl),
                only_if_absent,
            },
            Self::Remove(name) => Change::Remove { name: name.into() },
            Self::Merge {
                name,
                operation,
                operand,
                initial,
                range: (min, max, stop_at_min),
                ttl,
            } => Change::Merge {
                name: name.into(),
                operation: OPERATIONS[usize::from(operation)],
                operand,
                initial,
                range: IntegerRange {
                    min,
                    max,
                    stop_at_min,
                },
                ttl: read(ttl),
            },
            Self::Renew(name, ttl, restore) => {
                let id = |id: String| id.parse().expect("a commit's id");
                let restore = restore.map(|(value, last)| Restore::new(value.into(), last.map(id)));
                Change::Renew {
                    name: name.into(),
                    ttl,
                    restore,
                }
            }
            Self::Take(name) => Change::Take { name: name.into() },
            Self::Bound(prefix, max, evict) => Change::Bound {
                prefix: prefix.into(),
                max,
                evict,
            },
        }
    }
}

impl From<Outcome> for WireOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Applied(applied) => {
                let values = applied.values.into_iter();
                Self::Applied(values.map(|value| value.map(Vec::from)).collect())
            }
            Outcome::Gone => Self::Gone,
            Outcome::IdTaken => Self::IdTaken,
            Outcome::TooMany { prefix } => Self::TooMany(prefix.into()),
            Outcome::Conflict { field } => Self::Conflict(field.map(Into::into)),
            Outcome::OutOfRange { field } => Self::OutOfRange(field.into()),
            other => panic!("{other:?} is not sent"),
        }
    }
}

impl WireOutcome {
    /// The outcome.
    pub(super) fn read(self) -> Outcome {
        match self {
            Self::Applied(values) => {
                let values = values.into_iter().map(|value| value.map(Bytes::from));
                Outcome::Applied(Applied::new(values.collect()))
            }
            Self::Gone => Outcome::Gone,
            Self::IdTaken => Outcome::IdTaken,
            Self::TooMany(prefix) => Outcome::TooMany {
                prefix: prefix.into(),
            },
            Self::Conflict(field) => Outcome::Conflict {
                field: field.map(Into::into),
            },
            Self::OutOfRange(field) => Outcome::OutOfRange {
                field: field.into(),
            },
        }
    }
}

impl From<Loaded> for WireLoaded {
    fn from(loaded: Loaded) -> Self {
        let header = loaded.header;
        let field = |field: StoredField| {
            let deadline = field.deadline.map(Timestamp::as_millis);
            (field.value.to_vec(), deadline)
        };
        let credential = |one: Credential| (*one.verifier.as_bytes(), one.until.as_millis());
        let prefixed = loaded.prefixed.into_iter();
        Self {
            verifier: *header.verifier.as_bytes(),
            previous: header.previous.map(credential),
            link: header.link.map(credential),
            created: header.created.as_millis(),
            rotated: header.rotated.as_millis(),
            seen: header.seen.as_millis(),
            idle: header.idle,
            end: header.end.map(Timestamp::as_millis),
            persistent: header.persistent,
            label: header.label.as_deref().map(str::to_owned),
            last_commit: header.last_commit.map(|id| id.to_string()),
            fields: loaded
                .fields
                .into_iter()
                .map(|one| one.map(field))
                .collect(),
            prefixed: prefixed
                .map(|(name, field)| (name.into(), field.value.to_vec()))
                .collect(),
            now: loaded.now.as_millis(),
        }
    }
}

impl WireLoaded {
    /// Converts it into the result of a load.
    pub(super) fn read(self) -> Loaded {
        let moment = Timestamp::from_millis;
        let field = |(value, deadline): (Vec<u8>, Option<u64>)| {
            StoredField::new(value.into(), deadline.map(moment))
        };
        let credential = |(bits, until)| Credential::new(Verifier::from_bytes(bits), moment(until));
        let id = |id: String| id.parse().expect("a commit's id");
        let mut header = Header::new(Verifier::from_bytes(self.verifier), moment(self.created));
        header.previous = self.previous.map(credential);
        header.link = self.link.map(credential);
        header.rotated = moment(self.rotated);
        header.seen = moment(self.seen);
        header.idle = self.idle;
        header.end = self.end.map(moment);
        header.persistent = self.persistent;
        header.label = self.label.map(Into::into);
        header.last_commit = self.last_commit.map(id);
        let fields = self.fields.into_iter().map(|one| one.map(field));
        let prefixed = self.prefixed.into_iter();
        let prefixed =
            prefixed.map(|(name, value)| (name.into(), StoredField::new(value.into(), None)));
        Loaded::new(header, fields.collect(), moment(self.now)).with_prefixed(prefixed.collect())
    }
}
