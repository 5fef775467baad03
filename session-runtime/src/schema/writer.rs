//! From a schema's fields to bytes, and which of them a handler changed.

use std::ops::Range;

use bytes::Bytes;

use super::digest::digest;
use super::{FieldValue, exact};
use crate::codec::Codec;

/// Takes a schema's fields, one after the other. Called by what the derive generates.
#[derive(Debug)]
pub struct FieldWriter<'a> {
    encoded: Encoded,
    purpose: Purpose<'a>,
}

#[derive(Debug)]
enum Purpose<'a> {
    /// Encodes every field.
    All,
    /// Encodes the fields whose changes cannot be seen by comparison with what was shown.
    Baseline { shown: &'a [Option<Bytes>] },
    /// Encodes the fields that differ from what was shown, or from the baseline.
    Changes {
        shown: &'a [Option<Bytes>],
        baseline: &'a Encoded,
    },
}

/// Bytes that an encoded schema has room for at first: those of an ordinary one.
const USUAL_SIZE: usize = 256;

/// All fields of one schema, encoded into one buffer.
pub(crate) struct Encoded {
    buffer: Vec<u8>,
    slots: Vec<Slot>,
    /// The digests of values whose bytes can be those of other values too, by index.
    digests: Vec<(usize, Option<u64>)>,
}

/// The place of one encoded field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The same as what was shown or as the baseline.
    Unchanged,
    /// An `Option` that is `None`.
    Absent,
    /// These bytes of the buffer.
    Present(Range<usize>),
    /// The value has no encoding, or one that does not give it back.
    Failed,
}

impl<'a> FieldWriter<'a> {
    /// Encodes everything.
    pub(crate) fn all() -> Self {
        Self::new(Purpose::All)
    }

    /// Encodes what [`changes`](Self::changes) needs beside `shown`, the bytes that the fields were
    /// decoded from: absent fields, whose default may differ each time, and values that can encode
    /// to other bytes each time, such as a `HashSet`. Called before a handler changes anything.
    pub(crate) fn baseline(shown: &'a [Option<Bytes>]) -> Self {
        Self::new(Purpose::Baseline { shown })
    }

    /// Encodes what differs from `shown` or, where there is one, from the baseline.
    pub(crate) fn changes(shown: &'a [Option<Bytes>], baseline: &'a Encoded) -> Self {
        Self::new(Purpose::Changes { shown, baseline })
    }

    fn new(purpose: Purpose<'a>) -> Self {
        let slots = match &purpose {
            Purpose::All => Vec::new(),
            Purpose::Baseline { shown } | Purpose::Changes { shown, .. } => {
                Vec::with_capacity(shown.len())
            }
        };
        let encoded = Encoded {
            buffer: Vec::new(),
            slots,
            digests: Vec::new(),
        };
        Self { encoded, purpose }
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
        let index = self.encoded.slots.len();
        let start = self.encoded.buffer.len();
        if self.needs_no_encoding::<C, T>(value, index) {
            self.encoded.slots.push(Slot::Unchanged);
            return;
        }
        let mut slot = self.encode::<C, T>(value);
        if let (Some(value), Slot::Present(_)) = (value, &slot)
            && self.notes_digest::<C, T>(&slot)
        {
            self.encoded.digests.push((index, digest(value)));
        }
        if self.is_unchanged::<C, T>(index, &slot)
            && !self.is_hidden_change::<C, T>(value, index, &slot)
        {
            slot = Slot::Unchanged;
        }
        if self.is_lost::<C, T>(value, &slot) {
            slot = Slot::Failed;
        }
        if !matches!(slot, Slot::Present(_)) {
            self.encoded.buffer.truncate(start);
        }
        self.encoded.slots.push(slot);
    }

    /// Whether the field is unchanged, or will be seen to be, without an encoding.
    fn needs_no_encoding<C: Codec, T: FieldValue>(&self, value: Option<&T>, index: usize) -> bool {
        match &self.purpose {
            Purpose::All => false,
            Purpose::Baseline { shown } => is_comparable::<C>(shown, index),
            Purpose::Changes { shown, baseline } => {
                let shown = shown.get(index).and_then(Option::as_ref);
                let is_compared = baseline.slots.get(index) == Some(&Slot::Unchanged);
                let compared = value.zip(shown).filter(|_| is_compared);
                compared.is_some_and(|(value, shown)| {
                    C::encodes_to(value, shown) && !exact::is_ambiguous::<C, T>(shown)
                })
            }
        }
    }

    fn encode<C: Codec, T: FieldValue>(&mut self, value: Option<&T>) -> Slot {
        let buffer = &mut self.encoded.buffer;
        let start = buffer.len();
        if start == 0 {
            buffer.reserve(USUAL_SIZE);
        }
        match value.map(|value| C::encode(value, buffer)) {
            None => Slot::Absent,
            Some(Ok(())) => Slot::Present(start..buffer.len()),
            Some(Err(_)) => Slot::Failed,
        }
    }

    fn notes_digest<C: Codec, T: FieldValue>(&self, slot: &Slot) -> bool {
        match (&self.purpose, slot) {
            (Purpose::Changes { .. }, _) => false,
            (_, Slot::Present(bytes)) => {
                exact::is_ambiguous::<C, T>(&self.encoded.buffer[bytes.clone()])
            }
            _ => false,
        }
    }

    /// Whether the value changed although its bytes did not.
    fn is_hidden_change<C: Codec, T: FieldValue>(
        &self,
        value: Option<&T>,
        index: usize,
        slot: &Slot,
    ) -> bool {
        let (Purpose::Changes { baseline, .. }, Some(value), Slot::Present(new)) =
            (&self.purpose, value, slot)
        else {
            return false;
        };
        let new = &self.encoded.buffer[new.clone()];
        if !exact::is_ambiguous::<C, T>(new) {
            return false;
        }
        match baseline.digests.iter().find(|(at, _)| *at == index) {
            Some((_, before)) => digest(value) != *before,
            None => !exact::reads_back::<C, T>(value, new),
        }
    }

    /// Whether a changed value would be another one when it is loaded.
    fn is_lost<C: Codec, T: FieldValue>(&self, value: Option<&T>, slot: &Slot) -> bool {
        match (&self.purpose, value, slot) {
            (Purpose::Changes { .. }, Some(value), Slot::Present(new)) => {
                !exact::reads_back::<C, T>(value, &self.encoded.buffer[new.clone()])
            }
            _ => false,
        }
    }

    fn is_unchanged<C: Codec, T: FieldValue>(&self, index: usize, slot: &Slot) -> bool {
        let Purpose::Changes { shown, baseline } = &self.purpose else {
            return false;
        };
        match (baseline.slots.get(index), slot) {
            (Some(Slot::Absent), Slot::Absent) => true,
            // A value that never had an encoding was not what the handler changed.
            (Some(Slot::Failed), Slot::Failed) => true,
            (Some(Slot::Present(old)), Slot::Present(new)) => {
                let old = &baseline.buffer[old.clone()];
                let new = &self.encoded.buffer[new.clone()];
                old == new || C::same_meaning(old, new)
            }
            (Some(Slot::Unchanged), Slot::Present(new)) => {
                let new = &self.encoded.buffer[new.clone()];
                shown.get(index).is_some_and(|old| {
                    old.as_ref()
                        .is_some_and(|old| is_same_value::<C, T>(old, new))
                })
            }
            _ => false,
        }
    }
}

/// Whether a change of the field shows in a comparison with the bytes that it was decoded from.
fn is_comparable<C: Codec>(shown: &[Option<Bytes>], index: usize) -> bool {
    let shown = shown.get(index).and_then(Option::as_ref);
    shown.is_some_and(|shown| C::is_comparable(shown))
}

/// Whether the value that was decoded from `old` encodes to `new`. The old bytes may come from an
/// older version of the type, or be spelled otherwise than this program spells them.
fn is_same_value<C: Codec, T: FieldValue>(old: &[u8], new: &[u8]) -> bool {
    if old == new || C::same_meaning(old, new) {
        return true;
    }
    // An integer has one spelling.
    if C::DECIMAL_INTEGERS && C::is_exact::<T>() && is_integer(old) {
        return false;
    }
    let Ok(value) = C::decode::<T>(old) else {
        return false;
    };
    let mut again = Vec::with_capacity(new.len());
    C::encode(&value, &mut again).is_ok() && (again == new || C::same_meaning(&again, new))
}

fn is_integer(encoded: &[u8]) -> bool {
    let digits = encoded.strip_prefix(b"-").unwrap_or(encoded);
    digits.iter().all(u8::is_ascii_digit)
}

impl Encoded {
    /// The bytes of a field that is present.
    pub(crate) fn value(&self, index: usize) -> Option<&[u8]> {
        match self.slots.get(index)? {
            Slot::Present(range) => Some(&self.buffer[range.clone()]),
            _ => None,
        }
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Replaces one field by that of another encoding.
    pub(crate) fn replace(&mut self, index: usize, by: &Self) {
        self.digests.retain(|(at, _)| *at != index);
        let digest = by.digests.iter().find(|(at, _)| *at == index);
        self.digests.extend(digest);
        let slot = match by.value(index) {
            None => Slot::Absent,
            Some(value) => {
                let start = self.buffer.len();
                self.buffer.extend_from_slice(value);
                Slot::Present(start..self.buffer.len())
            }
        };
        if let Some(place) = self.slots.get_mut(index) {
            *place = slot;
        }
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
