//! The changes and conditions that checks are made of, and the outcomes that they expect.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;

use crate::store::{
    Change, Condition, FieldTtl, IntegerRange, MergeOperation, Outcome, PrincipalKey, Restore,
};
use crate::token::CommitId;

pub(super) fn text(value: impl AsRef<[u8]>) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(value.as_ref()))
}

pub(super) fn set(name: &str, value: impl AsRef<[u8]>) -> Change {
    set_until(name, value, None)
}

pub(super) fn set_for(name: &str, value: impl AsRef<[u8]>, ttl: FieldTtl) -> Change {
    set_until(name, value, Some(ttl))
}

fn set_until(name: &str, value: impl AsRef<[u8]>, ttl: Option<FieldTtl>) -> Change {
    Change::Set {
        name: name.to_owned().into(),
        value: Bytes::copy_from_slice(value.as_ref()),
        ttl,
        only_if_absent: false,
    }
}

pub(super) fn set_first(name: &str, value: impl AsRef<[u8]>, ttl: Option<FieldTtl>) -> Change {
    Change::Set {
        name: name.to_owned().into(),
        value: Bytes::copy_from_slice(value.as_ref()),
        ttl,
        only_if_absent: true,
    }
}

pub(super) fn remove(name: &str) -> Change {
    Change::Remove {
        name: name.to_owned().into(),
    }
}

pub(super) fn take(name: &str) -> Change {
    Change::Take {
        name: name.to_owned().into(),
    }
}

pub(super) fn renew(name: &str, ttl: Duration) -> Change {
    Change::Renew {
        name: name.to_owned().into(),
        ttl,
        restore: None,
    }
}

/// Restarts the time to live of a field, or writes this value where the field has run out and the
/// session's last commit is still this one.
pub(super) fn restore(
    name: &str,
    ttl: Duration,
    value: &str,
    last_commit: Option<CommitId>,
) -> Change {
    let value = Bytes::copy_from_slice(value.as_bytes());
    Change::Renew {
        name: name.to_owned().into(),
        ttl,
        restore: Some(Restore::new(value, last_commit)),
    }
}

/// Refuses more fields with this prefix.
pub(super) fn bound(prefix: &str, max: usize) -> Change {
    Change::Bound {
        prefix: prefix.to_owned().into(),
        max,
        evict: false,
    }
}

/// Evicts the fields with this prefix that are too many.
pub(super) fn evict(prefix: &str, max: usize) -> Change {
    Change::Bound {
        prefix: prefix.to_owned().into(),
        max,
        evict: true,
    }
}

/// Adds to an integer that is 0 where it is absent and may be any.
pub(super) fn add(name: &str, operand: i64) -> Change {
    merge(
        name,
        MergeOperation::Add,
        operand,
        0,
        range(i64::MIN..=i64::MAX),
        None,
    )
}

/// Adds, with a time to live.
pub(super) fn add_for(name: &str, operand: i64, ttl: FieldTtl) -> Change {
    let any = range(i64::MIN..=i64::MAX);
    merge(name, MergeOperation::Add, operand, 0, any, Some(ttl))
}

pub(super) fn merge(
    name: &str,
    operation: MergeOperation,
    operand: i64,
    initial: i64,
    range: IntegerRange,
    ttl: Option<FieldTtl>,
) -> Change {
    Change::Merge {
        name: name.to_owned().into(),
        operation,
        operand,
        initial,
        range,
        ttl,
    }
}

pub(super) fn range(allowed: RangeInclusive<i64>) -> IntegerRange {
    IntegerRange {
        min: *allowed.start(),
        max: *allowed.end(),
        stop_at_min: false,
    }
}

pub(super) fn stopping_at_min(allowed: RangeInclusive<i64>) -> IntegerRange {
    IntegerRange {
        stop_at_min: true,
        ..range(allowed)
    }
}

pub(super) fn field_is(name: &str, value: Option<&str>) -> Condition {
    Condition::Field {
        name: name.to_owned().into(),
        value: value.and_then(text),
    }
}

/// The header lists this principal under this field.
pub(super) fn principal_is(field: &str, principal: PrincipalKey) -> Condition {
    Condition::Principal {
        field: field.to_owned().into(),
        principal,
    }
}

pub(super) fn conflict_at(name: &str) -> Outcome {
    Outcome::Conflict {
        field: Some(name.to_owned().into()),
    }
}

pub(super) fn out_of_range(name: &str) -> Outcome {
    Outcome::OutOfRange {
        field: name.to_owned().into(),
    }
}

pub(super) fn too_many(prefix: &str) -> Outcome {
    Outcome::TooMany {
        prefix: prefix.to_owned().into(),
    }
}
