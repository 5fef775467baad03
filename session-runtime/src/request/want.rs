//! The change that a request wants of one field, apart from the field's own state.

use bytes::Bytes;

use crate::schema::{FieldSpec, Merge};
use crate::store::IntegerRange;

/// The change that a request wants of a field.
#[derive(Clone)]
pub(super) enum Want {
    /// A write of another value.
    Write {
        value: Written,
        /// Whether the field is removed first, so that the value meets nothing in the store.
        anew: bool,
        /// Whether the time to live restarts whatever the field's `renew` says.
        restart: bool,
        /// The value that the request's first change started from.
        origin: Origin,
    },
    /// A removal.
    Remove,
    /// A restart of the time to live, with the same value.
    Renew,
}

/// A value to be written, by how it is combined with the stored one.
#[derive(Clone)]
pub(super) enum Written {
    /// Replaces it. A field with `merge = "reject"` must still have its loaded value.
    Set(Bytes),
    /// Replaces it in any case.
    Overwrite(Bytes),
    /// Counts only where the field is absent.
    First(Bytes),
    /// Is added to it; `initial` counts where the field is absent.
    Add { delta: i128, initial: i64 },
    /// The larger of both; `initial` counts where the field is absent.
    Max { operand: i64, initial: i64 },
    /// The smaller of both; `initial` counts where the field is absent.
    Min { operand: i64, initial: i64 },
}

/// A value that a field had before this request changed it.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The one in the store.
    Stored,
    /// Another one, such as the default of a field that the store does not have.
    Other(Option<Bytes>),
}

impl Want {
    /// The value with this change applied, as far as this request knows.
    pub(super) fn apply(&self, value: Option<Bytes>, spec: &FieldSpec) -> Option<Bytes> {
        let (written, value) = match self {
            Self::Renew => return value,
            Self::Remove => return None,
            Self::Write {
                value: written,
                anew,
                ..
            } => (written, value.filter(|_| !anew)),
        };
        match (written, spec.merge) {
            (Written::Set(new) | Written::Overwrite(new), _) => Some(new.clone()),
            (Written::First(new), _) => Some(value.unwrap_or_else(|| new.clone())),
            (merged, Merge::Integer { range, .. }) => {
                let merged = merged.shown(integer(value.as_deref()), range);
                Some(merged.to_string().into())
            }
            (_, _) => value,
        }
    }
}

impl Written {
    /// Combines two contributions to one field.
    pub(super) fn and(self, later: Self) -> Self {
        match (self, later) {
            (Self::Add { delta, initial }, Self::Add { delta: more, .. }) => Self::Add {
                delta: delta + more,
                initial,
            },
            (Self::Max { operand, initial }, Self::Max { operand: other, .. }) => Self::Max {
                operand: operand.max(other),
                initial,
            },
            (Self::Min { operand, initial }, Self::Min { operand: other, .. }) => Self::Min {
                operand: operand.min(other),
                initial,
            },
            (_, later) => later,
        }
    }

    /// The integer afterwards, which may leave the field's range.
    pub(super) fn exactly(&self, value: Option<i64>) -> i128 {
        match self {
            Self::Add { delta, initial } => i128::from(value.unwrap_or(*initial)) + delta,
            Self::Max { operand, initial } => value.unwrap_or(*initial).max(*operand).into(),
            Self::Min { operand, initial } => value.unwrap_or(*initial).min(*operand).into(),
            Self::Set(_) | Self::Overwrite(_) | Self::First(_) => value.unwrap_or_default().into(),
        }
    }

    /// The integer as it is shown. The store refuses later what leaves the range; until then the
    /// nearest value in it is shown.
    pub(super) fn shown(&self, value: Option<i64>, range: IntegerRange) -> i64 {
        let nearest = self
            .exactly(value)
            .clamp(range.min.into(), range.max.into());
        // Between two `i64`s there is nothing else.
        i64::try_from(nearest).unwrap_or(range.max)
    }
}

/// A difference in summands that each fit an `i64`: that of two `i64` can need two.
pub(super) fn steps(mut delta: i128) -> impl Iterator<Item = i64> {
    std::iter::from_fn(move || {
        let step = delta.clamp(i64::MIN.into(), i64::MAX.into());
        delta -= step;
        i64::try_from(step).ok().filter(|&step| step != 0)
    })
}

pub(super) fn integer(encoded: Option<&[u8]>) -> Option<i64> {
    std::str::from_utf8(encoded?).ok()?.parse().ok()
}
