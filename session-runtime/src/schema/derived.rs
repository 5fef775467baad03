//! What the derive's expansion asks of the types that a struct names.
//!
//! Each trait is implemented for every type that fits; they exist for what the compiler says about
//! one that does not. `do_not_recommend` keeps it from explaining how the implementation works.

use super::{FieldReader, FieldValue, FieldWriter};
use crate::codec::{Codec, CodecError};

/// A field's type: every [`FieldValue`], without its supertraits, which would be reported instead.
#[diagnostic::on_unimplemented(
    message = "a session cannot store `{Self}`",
    label = "not storable in a session",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it and for the types inside it, or mark the field `#[session(skip)]`"
)]
pub trait Storable: Sized {
    /// The value of field `index`, if it has one.
    fn read<C: Codec>(fields: &mut FieldReader<'_>, index: usize) -> Option<Self>;

    /// The next field.
    fn write<C: Codec>(value: Option<&Self>, fields: &mut FieldWriter<'_>);

    /// What [`Codec::decode`] does.
    fn decode<C: Codec>(bytes: &[u8]) -> Result<Self, CodecError>;

    /// What [`Codec::encode`] does.
    fn encode<C: Codec>(value: &Self, buffer: &mut Vec<u8>) -> Result<(), CodecError>;
}

#[diagnostic::do_not_recommend]
impl<T: FieldValue> Storable for T {
    fn read<C: Codec>(fields: &mut FieldReader<'_>, index: usize) -> Option<Self> {
        fields.optional::<C, T>(index)
    }

    fn write<C: Codec>(value: Option<&Self>, fields: &mut FieldWriter<'_>) {
        fields.optional::<C, T>(value);
    }

    fn decode<C: Codec>(bytes: &[u8]) -> Result<Self, CodecError> {
        C::decode(bytes)
    }

    fn encode<C: Codec>(value: &Self, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
        C::encode(value, buffer)
    }
}

/// A field's type that has a value where the store has none: every [`Default`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default value",
    label = "needs a value for when the session has none",
    note = "add `#[session(default = …)]`, make the field an `Option<{Self}>`, or implement `Default` for it"
)]
pub trait FieldDefault: Sized {
    /// The default value.
    fn field_default() -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Default> FieldDefault for T {
    fn field_default() -> Self {
        T::default()
    }
}

/// A type named in `codec = …`: every [`Codec`].
pub trait UsableCodec {
    /// The type. As an associated type it takes further errors about a type that is none.
    type Itself: Codec;
}

#[diagnostic::do_not_recommend]
impl<C: Codec> UsableCodec for C {
    type Itself = C;
}
