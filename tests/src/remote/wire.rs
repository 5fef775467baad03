//! What a test and a process of its own say to each other: one line of JSON each.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use session_runtime::store::{
    Action, Applied, Change, Commit, Condition, FieldTtl, Header, IntegerRange, Loaded,
    MergeOperation, Outcome, Rotation, StoredField, Timeouts,
};
use session_runtime::{Timestamp, Verifier};

/// A call of the store, under a number that its answer repeats.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Call {
    /// Of these fields with their deadlines.
    Load {
        /// Which session.
        session: String,
        /// Which fields.
        fields: Vec<String>,
    },
    /// Of a commit that changes no list.
    Commit(Box<WireCommit>),
}

/// What the store answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// A session, or none.
    Loaded(Option<WireLoaded>),
    /// What became of a commit.
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
    conditions: Vec<WireCondition>,
    changes: Vec<WireChange>,
}

#[derive(Debug, Serialize, Deserialize)]
enum WireAction {
    Create(Bits),
    Update(Bits, Option<(Bits, Option<Duration>)>),
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
    Renew(String, Duration),
    Take(String),
}

/// An [`Outcome`] of such a commit.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum WireOutcome {
    /// With the values of its changes.
    Applied(Vec<Option<Vec<u8>>>),
    /// As [`Outcome::Gone`].
    Gone,
    /// With the field.
    Conflict(Option<String>),
    /// With the field.
    OutOfRange(String),
}

/// A [`Loaded`] session.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireLoaded {
    verifier: Bits,
    previous: Option<Bits>,
    created: u64,
    rotated: u64,
    seen: u64,
    idle: Option<Duration>,
    end: Option<u64>,
    persistent: Option<bool>,
    label: Option<String>,
    last_commit: Option<String>,
    fields: Vec<Option<(Vec<u8>, Option<u64>)>>,
    now: u64,
}

const OPERATIONS: [MergeOperation; 3] = [
    MergeOperation::Add,
    MergeOperation::Max,
    MergeOperation::Min,
];

impl From<&Commit> for WireCommit {
    fn from(commit: &Commit) -> Self {
        assert!(commit.index.is_empty(), "lists are not sent");
        let bits = |verifier: &Verifier| *verifier.as_bytes();
        let action = match &commit.action {
            Action::Create { verifier } => WireAction::Create(bits(verifier)),
            Action::Update { verifier, rotation } => {
                let rotation = rotation.as_ref();
                let rotation = rotation.map(|new| (bits(&new.verifier), new.grace));
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
            timeouts: commit.timeouts.map(|both| (both.idle, both.lifetime)),
            persistent: commit.persistent,
            label: commit.label.as_deref().map(str::to_owned),
            end_grace: commit.end_grace,
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
            Change::Renew { ttl, .. } => Self::Renew(name, *ttl),
            Change::Take { .. } => Self::Take(name),
            other => panic!("{other:?} is not sent"),
        }
    }
}

impl WireCommit {
    /// The commit.
    pub(super) fn read(self) -> Commit {
        let verifier = Verifier::from_bytes;
        let action = match self.action {
            WireAction::Create(bits) => Action::Create {
                verifier: verifier(bits),
            },
            WireAction::Update(bits, rotation) => Action::Update {
                verifier: verifier(bits),
                rotation: rotation.map(|(bits, grace)| Rotation {
                    verifier: verifier(bits),
                    grace,
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
        commit.timeouts = timeouts.map(|(idle, lifetime)| Timeouts { idle, lifetime });
        commit.persistent = self.persistent;
        commit.label = self.label.map(Into::into);
        commit.end_grace = self.end_grace;
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
            Self::Renew(name, ttl) => Change::Renew {
                name: name.into(),
                ttl,
            },
            Self::Take(name) => Change::Take { name: name.into() },
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
        Self {
            verifier: *header.verifier.as_bytes(),
            previous: header.previous.map(|verifier| *verifier.as_bytes()),
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
            now: loaded.now.as_millis(),
        }
    }
}

impl WireLoaded {
    /// What was loaded.
    pub(super) fn read(self) -> Loaded {
        let moment = Timestamp::from_millis;
        let field = |(value, deadline): (Vec<u8>, Option<u64>)| StoredField {
            value: value.into(),
            deadline: deadline.map(moment),
        };
        let id = |id: String| id.parse().expect("a commit's id");
        Loaded {
            header: Header {
                verifier: Verifier::from_bytes(self.verifier),
                previous: self.previous.map(Verifier::from_bytes),
                created: moment(self.created),
                rotated: moment(self.rotated),
                seen: moment(self.seen),
                idle: self.idle,
                end: self.end.map(moment),
                persistent: self.persistent,
                label: self.label.map(Into::into),
                last_commit: self.last_commit.map(id),
            },
            fields: self.fields.into_iter().map(|one| one.map(field)).collect(),
            now: moment(self.now),
        }
    }
}
