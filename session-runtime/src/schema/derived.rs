//! The traits that the derive's expansion requires of the types that a struct names.
//!
//! Each trait is implemented for every type that fits. The traits exist for the compiler's message
//! about a type that does not fit; `do_not_recommend` keeps implementation details out of it.

use super::{FieldReader, FieldValue, FieldWriter, exact};
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

    /// Calls [`Codec::decode`].
    fn decode<C: Codec>(bytes: &[u8]) -> Result<Self, CodecError>;

    /// Calls [`Codec::encode`], and fails where the value does not read back.
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
        exact::encode::<C, Self>(value, buffer)
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
    /// The type itself. As an associated type it absorbs further errors about a type that is no
    /// codec.
    type Itself: Codec;
}

#[diagnostic::do_not_recommend]
impl<C: Codec> UsableCodec for C {
    type Itself = C;
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::schema::{FieldReader, FieldWriter, SessionSchema};

    #[derive(session_macros::Session, Debug, PartialEq)]
    #[session(crate = crate)]
    struct Shop {
        otp: Option<String>,
        #[session(skip, default = 9)]
        scratch: u8,
        #[session(default = 3)]
        tries: u8,
        #[session(default = Some(7))]
        lucky: Option<u8>,
        list: Vec<u8>,
    }

    impl Shop {
        fn of(otp: Option<&str>, tries: u8, lucky: Option<u8>, list: &[u8]) -> Self {
            Self {
                otp: otp.map(str::to_owned),
                scratch: 9,
                tries,
                lucky,
                list: list.to_vec(),
            }
        }
    }

    const NOTHING: [Option<Bytes>; 4] = [const { None }; 4];

    fn stored(values: [&'static str; 4]) -> [Option<Bytes>; 4] {
        values.map(|value| Some(Bytes::from_static(value.as_bytes())))
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let mut fields = FieldReader::new(&NOTHING);
        assert_eq!(Shop::read(&mut fields), Shop::of(None, 3, Some(7), &[]));
    }

    #[test]
    fn what_is_stored_is_read() {
        let stored = stored(["\"1234\"", "5", "null", "[1,2]"]);
        let mut fields = FieldReader::new(&stored);
        let shop = Shop::read(&mut fields);
        assert_eq!(shop, Shop::of(Some("1234"), 5, None, &[1, 2]));
        assert_eq!(fields.undecodable(), [0; 0]);
    }

    #[test]
    fn what_does_not_decode_is_absent_and_reported() {
        let stored = stored(["7", "300", "8", "[]"]);
        let mut fields = FieldReader::new(&stored);
        assert_eq!(Shop::read(&mut fields), Shop::of(None, 3, Some(8), &[]));
        assert_eq!(fields.undecodable(), [0, 1]);
    }

    #[test]
    fn one_field_is_read_again_alone() {
        let stored = stored(["\"1234\"", "5", "null", "[1,2]"]);
        let before = || Shop::of(Some("old"), 1, Some(1), &[0]);
        for (index, after) in [
            (0, Shop::of(Some("1234"), 1, Some(1), &[0])),
            (1, Shop::of(Some("old"), 5, Some(1), &[0])),
            (2, Shop::of(Some("old"), 1, None, &[0])),
            (3, Shop::of(Some("old"), 1, Some(1), &[1, 2])),
            (4, before()),
        ] {
            let mut shop = before();
            shop.read_field(index, &mut FieldReader::new(&stored));
            assert_eq!(shop, after);
        }
    }

    #[test]
    fn none_is_absent_unless_the_field_has_a_default_of_its_own() {
        let mut fields = FieldWriter::all();
        Shop::of(None, 5, None, &[1]).write(&mut fields);
        let encoded = fields.finish();
        let written = [0, 1, 2, 3].map(|index| encoded.value(index).map(Bytes::copy_from_slice));
        let [_, tries, lucky, list] = stored(["", "5", "null", "[1]"]);
        assert_eq!(written, [None, tries, lucky, list]);
    }

    /// The handle reads and writes what the schema does.
    #[test]
    fn a_handle_has_its_fields_codec() {
        let mut buffer = Vec::new();
        Shop::OTP.encode(&"1234".to_owned(), &mut buffer).unwrap();
        assert_eq!(buffer, b"\"1234\"");
        assert_eq!(Shop::LUCKY.decode(b"null"), Ok(None));
        assert_eq!((Shop::OTP.index(), Shop::LIST.index()), (0, 3));
        assert!(Shop::TRIES.is_decimal());
    }
}
