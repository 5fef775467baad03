//! Typed handles: one per field, made by the derive as `Shop::OTP`.

use std::fmt;
use std::marker::PhantomData;

use super::{FieldSpec, FieldValue, SessionSchema, exact};
use crate::codec::{Codec, CodecError};

/// Names one field of a schema, with its type.
///
/// `S` is the schema and `V` the field's type. `T` is what the store holds: `V` itself, or what is
/// inside it when `V` is an `Option`.
pub struct Field<S, V, T = V> {
    index: usize,
    decode: fn(&[u8]) -> Result<T, CodecError>,
    encode: fn(&T, &mut Vec<u8>) -> Result<(), CodecError>,
    decimal: bool,
    marker: PhantomData<fn() -> (S, V)>,
}

impl<S: SessionSchema, V, T: FieldValue> Field<S, V, T> {
    /// The handle of the field with this index in [`SessionSchema::FIELDS`]. For the derive.
    #[doc(hidden)]
    pub const fn new<C: Codec>(index: usize) -> Self {
        Self {
            index,
            decode: C::decode::<T>,
            encode: exact::encode::<C, T>,
            decimal: C::DECIMAL_INTEGERS,
            marker: PhantomData,
        }
    }
}

/// For the derive. Nothing is asked of the type here: the derive has done that, in a way that
/// reports a type that does not fit once.
impl<S, V, T> Field<S, V, T> {
    /// The handle of the field with this index in [`SessionSchema::FIELDS`].
    #[doc(hidden)]
    pub const fn with_codec(
        index: usize,
        decode: fn(&[u8]) -> Result<T, CodecError>,
        encode: fn(&T, &mut Vec<u8>) -> Result<(), CodecError>,
        decimal: bool,
    ) -> Self {
        Self {
            index,
            decode,
            encode,
            decimal,
            marker: PhantomData,
        }
    }

    /// A handle in a program that does not compile for another reason.
    #[doc(hidden)]
    pub const fn invalid() -> Self {
        Self::with_codec(0, |_| Err(CodecError), |_, _| Err(CodecError), false)
    }
}

impl<S: SessionSchema, V, T> Field<S, V, T> {
    /// The field's stored name.
    pub fn name(&self) -> &'static str {
        self.spec().name
    }

    pub(crate) fn spec(&self) -> &'static FieldSpec {
        &S::FIELDS[self.index]
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<T, CodecError> {
        (self.decode)(bytes)
    }

    pub(crate) fn encode(&self, value: &T, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
        (self.encode)(value, buffer)
    }

    pub(crate) fn is_decimal(&self) -> bool {
        self.decimal
    }
}

impl<S, V, T> Clone for Field<S, V, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, V, T> Copy for Field<S, V, T> {}

impl<S: SessionSchema, V, T> fmt::Debug for Field<S, V, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Field").field(&self.name()).finish()
    }
}
