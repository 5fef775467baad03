//! From stored bytes to a schema's fields.

use bytes::Bytes;

use super::FieldValue;
use crate::codec::Codec;

/// Gives a schema the fields that a store holds. Called by what the derive generates.
///
/// A value that does not decode counts as absent and is reported: one bad field costs one field.
#[derive(Debug)]
pub struct FieldReader<'a> {
    stored: &'a [Option<Bytes>],
    undecodable: Vec<usize>,
}

impl<'a> FieldReader<'a> {
    /// `stored` has one entry per field of the schema.
    pub(crate) fn new(stored: &'a [Option<Bytes>]) -> Self {
        Self {
            stored,
            undecodable: Vec::new(),
        }
    }

    /// The value of field `index`, or its default.
    pub fn value<C: Codec, T: FieldValue>(
        &mut self,
        index: usize,
        default: impl FnOnce() -> T,
    ) -> T {
        self.optional::<C, T>(index).unwrap_or_else(default)
    }

    /// The value of field `index`, if it has one.
    pub fn optional<C: Codec, T: FieldValue>(&mut self, index: usize) -> Option<T> {
        let bytes = self.stored.get(index)?.as_ref()?;
        match C::decode(bytes) {
            Ok(value) => Some(value),
            Err(_) => {
                self.undecodable.push(index);
                None
            }
        }
    }

    /// Which fields held something that did not decode.
    pub(crate) fn undecodable(self) -> Vec<usize> {
        self.undecodable
    }
}
