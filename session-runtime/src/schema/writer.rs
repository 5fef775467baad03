//! From a schema's fields to bytes, and which of them changed.

use std::ops::Range;

use super::FieldValue;
use crate::codec::Codec;

/// Takes a schema's fields, one after the other. Called by what the derive generates.
#[derive(Debug)]
pub struct FieldWriter<'a> {
    encoded: Encoded,
    baseline: Option<&'a Encoded>,
}

/// Bytes that a baseline has room for at first: those of an ordinary schema.
const USUAL_SIZE: usize = 256;

/// All fields of one schema, encoded into one buffer.
pub(crate) struct Encoded {
    buffer: Vec<u8>,
    slots: Vec<Slot>,
}

/// Where one field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The same as in the baseline.
    Unchanged,
    /// An `Option` that is `None`.
    Absent,
    /// These bytes of the buffer.
    Present(Range<usize>),
    /// The value has no encoding.
    Failed,
}

impl<'a> FieldWriter<'a> {
    /// Encodes everything, to compare with later.
    pub(crate) fn baseline() -> Self {
        Self {
            encoded: Encoded::with_capacity(USUAL_SIZE, 0),
            baseline: None,
        }
    }

    /// Encodes what differs from `baseline`.
    pub(crate) fn changes_since(baseline: &'a Encoded) -> Self {
        Self {
            encoded: Encoded::with_capacity(baseline.buffer.len(), baseline.slots.len()),
            baseline: Some(baseline),
        }
    }

    pub(crate) fn finish(self) -> Encoded {
        self.encoded
    }

    /// The next field.
    pub fn value<C: Codec, T: FieldValue>(&mut self, value: &T) {
        self.optional::<C, T>(Some(value));
    }

    /// The next field, an `Option`.
    pub fn optional<C: Codec, T: FieldValue>(&mut self, value: Option<&T>) {
        let start = self.encoded.buffer.len();
        let slot = match value.map(|value| C::encode(value, &mut self.encoded.buffer)) {
            None => Slot::Absent,
            Some(Ok(())) => Slot::Present(start..self.encoded.buffer.len()),
            Some(Err(_)) => Slot::Failed,
        };
        let slot = if self.is_unchanged::<C>(&slot) {
            Slot::Unchanged
        } else {
            slot
        };
        if !matches!(slot, Slot::Present(_)) {
            self.encoded.buffer.truncate(start);
        }
        self.encoded.slots.push(slot);
    }

    fn is_unchanged<C: Codec>(&self, slot: &Slot) -> bool {
        let Some(baseline) = self.baseline else {
            return false;
        };
        match (baseline.slots.get(self.encoded.slots.len()), slot) {
            (Some(Slot::Absent), Slot::Absent) => true,
            // A value that never had an encoding was not what the handler changed.
            (Some(Slot::Failed), Slot::Failed) => true,
            (Some(Slot::Present(old)), Slot::Present(new)) => {
                let old = &baseline.buffer[old.clone()];
                let new = &self.encoded.buffer[new.clone()];
                old == new || C::same_meaning(old, new)
            }
            _ => false,
        }
    }
}

impl Encoded {
    fn with_capacity(bytes: usize, fields: usize) -> Self {
        Self {
            buffer: Vec::with_capacity(bytes),
            slots: Vec::with_capacity(fields),
        }
    }

    /// The bytes of a field that is present.
    pub(crate) fn value(&self, index: usize) -> Option<&[u8]> {
        match self.slots.get(index)? {
            Slot::Present(range) => Some(&self.buffer[range.clone()]),
            _ => None,
        }
    }

    /// Which fields are not [`Slot::Unchanged`].
    pub(crate) fn changed(&self) -> impl Iterator<Item = usize> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(index, slot)| (*slot != Slot::Unchanged).then_some(index))
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }
}

impl std::fmt::Debug for Encoded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoded")
            .field("bytes", &self.buffer.len())
            .field("slots", &self.slots)
            .finish()
    }
}
