//! The codecs that turn field values into bytes.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::io;

use memchr::{memchr, memmem};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Turns field values into bytes and back.
///
/// A schema or a single field names its codec with `#[session(codec = …)]`; [`Json`] is the
/// default.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a codec",
    label = "not a codec",
    note = "use `Json` or `Postcard`, or implement `Codec` for it"
)]
pub trait Codec {
    /// Says whether integers are encoded as decimal text, so that a store can calculate with them.
    /// Fields that are merged with `add`, `max` or `min` need it.
    const DECIMAL_INTEGERS: bool = false;

    /// Appends the encoded value to `buffer`.
    ///
    /// # Errors
    ///
    /// Fails when the value has no encoding. Bytes that were appended by then are ignored.
    fn encode<T: Serialize + ?Sized>(value: &T, buffer: &mut Vec<u8>) -> Result<(), CodecError>;

    /// Decodes a value. The bytes come from a store and can be anything.
    ///
    /// # Errors
    ///
    /// Fails when the bytes do not encode a `T`.
    fn decode<T: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, CodecError>;

    /// Says whether a value encodes to exactly these bytes, without a buffer for its encoding.
    ///
    /// `false` is always safe: the value is then encoded, and the encodings are compared.
    fn encodes_to<T: Serialize + 'static>(value: &T, encoded: &[u8]) -> bool {
        let _ = (value, encoded);
        false
    }

    /// Says whether two encodings mean the same value. It is called only for encodings that differ.
    ///
    /// `false` is always safe: the field is then written once more.
    fn same_meaning(first: &[u8], second: &[u8]) -> bool {
        let _ = (first, second);
        false
    }

    /// Whether all encodings of the value behind these bytes have the same meaning by
    /// [`same_meaning`](Self::same_meaning), so that a change of the value can be told from a
    /// collection that is written in another order each time, such as a `HashSet`.
    ///
    /// `false` is always safe: the value is then encoded once more before a handler can change it.
    fn is_comparable(encoded: &[u8]) -> bool {
        let _ = encoded;
        false
    }

    /// Whether these bytes can be the encoding of two values of one type, so that a change from one
    /// to the other does not show in them.
    ///
    /// `true` is always safe: such a value is compared with care.
    fn is_ambiguous(encoded: &[u8]) -> bool {
        let _ = encoded;
        true
    }

    /// Whether every value of this type decodes from its encoding as it was. A value of another type
    /// is decoded again before it is written, and refused if it is not the same.
    ///
    /// `false` is always safe.
    fn is_exact<T: 'static>() -> bool {
        false
    }
}

/// A value could not be encoded or decoded.
///
/// It carries no detail on purpose: the error texts of serialization libraries often quote the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the value does not fit its encoding")]
#[non_exhaustive]
pub struct CodecError;

impl CodecError {
    /// Makes the error, for codecs outside this crate.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Default for CodecError {
    fn default() -> Self {
        Self::new()
    }
}

/// JSON: readable in the store, integers in decimal. The default codec.
#[derive(Debug, Clone, Copy)]
pub enum Json {}

impl Codec for Json {
    const DECIMAL_INTEGERS: bool = true;

    fn encode<T: Serialize + ?Sized>(value: &T, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
        serde_json::to_writer(buffer, value).map_err(|_| CodecError)
    }

    fn decode<T: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, CodecError> {
        match decode_string(bytes) {
            Some(string) => Ok(string),
            None => serde_json::from_slice(bytes).map_err(|_| CodecError),
        }
    }

    fn encodes_to<T: Serialize + 'static>(value: &T, encoded: &[u8]) -> bool {
        if let Some(string) = (value as &dyn Any).downcast_ref::<String>()
            && let Some(unescaped) = unescaped(encoded)
        {
            return string.as_bytes() == unescaped;
        }
        let mut comparison = Comparison { rest: encoded };
        serde_json::to_writer(&mut comparison, value).is_ok() && comparison.rest.is_empty()
    }

    /// Compares objects without regard to the order of their keys; everything else has one spelling.
    fn same_meaning(first: &[u8], second: &[u8]) -> bool {
        // A serializer that wrote the same value twice wrote the same number of bytes.
        first.len() == second.len()
            && matches!(
                (std::str::from_utf8(first), std::str::from_utf8(second)),
                (Ok(first), Ok(second)) if same_json(first, second)
            )
    }

    /// Only an array's order can say nothing, and only arrays and objects contain arrays.
    fn is_comparable(encoded: &[u8]) -> bool {
        match encoded.first() {
            Some(b'[') => false,
            Some(b'{') => memchr(b'[', encoded).is_none(),
            _ => true,
        }
    }

    /// `null` is `None`, `()`, an infinite number and others.
    fn is_ambiguous(encoded: &[u8]) -> bool {
        memmem::find(encoded, b"null").is_some()
    }

    fn is_exact<T: 'static>() -> bool {
        is_plain::<T>()
    }
}

/// Decodes a string without escapes; `None` for everything else. Most fields of most sessions are
/// such strings, and the parser for any JSON takes several times as long.
fn decode_string<T: 'static>(bytes: &[u8]) -> Option<T> {
    let mut string = None::<String>;
    let place: &mut dyn Any = &mut string;
    if !place.is::<Option<T>>() {
        return None;
    }
    string = String::from_utf8(unescaped(bytes)?.to_vec()).ok();
    let place: &mut dyn Any = &mut string;
    place.downcast_mut::<Option<T>>()?.take()
}

/// The contents of a JSON string that stand for themselves.
fn unescaped(encoded: &[u8]) -> Option<&[u8]> {
    let [b'"', contents @ .., b'"'] = encoded else {
        return None;
    };
    // No early end, so that the compiler compares many bytes at a time.
    let is_special = |&byte: &u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    let special = contents
        .iter()
        .map(is_special)
        .fold(false, |one, other| one | other);
    (!special).then_some(contents)
}

/// Takes an encoding while it is written, and compares it with another one.
struct Comparison<'a> {
    rest: &'a [u8],
}

impl io::Write for Comparison<'_> {
    fn write(&mut self, written: &[u8]) -> io::Result<usize> {
        match self.rest.strip_prefix(written) {
            Some(rest) => self.rest = rest,
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(written.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Compares leaves as text: parsed numbers could be rounded, and two values taken for one.
fn same_json(first: &str, second: &str) -> bool {
    type Object<'a> = BTreeMap<String, &'a RawValue>;
    type Array<'a> = Vec<&'a RawValue>;

    fn parse<'a, T: Deserialize<'a>>(first: &'a str, second: &'a str) -> Option<(T, T)> {
        let first = serde_json::from_str(first).ok()?;
        let second = serde_json::from_str(second).ok()?;
        Some((first, second))
    }

    if first == second {
        return true;
    }
    match (first.as_bytes().first(), second.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => parse::<Object<'_>>(first, second).is_some_and(|(a, b)| {
            a.len() == b.len()
                && a.iter().all(|(key, value)| {
                    b.get(key)
                        .is_some_and(|other| same_json(value.get(), other.get()))
                })
        }),
        (Some(b'['), Some(b'[')) => parse::<Array<'_>>(first, second).is_some_and(|(a, b)| {
            a.len() == b.len()
                && a.iter()
                    .zip(&b)
                    .all(|(value, other)| same_json(value.get(), other.get()))
        }),
        _ => false,
    }
}

/// [Postcard](https://docs.rs/postcard): a compact binary encoding, for large or numerous values.
///
/// The encoding does not describe itself: appending fields to a struct needs care, and a store's own
/// tools show bytes. Keep recursive types in JSON: Postcard decodes them as deep as the stored bytes
/// say.
#[derive(Debug, Clone, Copy)]
pub enum Postcard {}

impl Codec for Postcard {
    fn encode<T: Serialize + ?Sized>(value: &T, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
        postcard::to_extend(value, std::mem::take(buffer))
            .map(|extended| *buffer = extended)
            .map_err(|_| CodecError)
    }

    fn decode<T: DeserializeOwned + 'static>(bytes: &[u8]) -> Result<T, CodecError> {
        match postcard::take_from_bytes(bytes) {
            Ok((value, [])) => Ok(value),
            _ => Err(CodecError),
        }
    }

    /// Every part of a value has an encoding of its own, unless a type leaves parts out.
    fn is_ambiguous(_: &[u8]) -> bool {
        false
    }

    fn is_exact<T: 'static>() -> bool {
        is_plain::<T>()
    }
}

/// Whether it is text, a truth value or an integer, or an `Option` or a `Vec` of these. Floats are
/// not among them: JSON has no infinite ones. The compiler makes a constant of it.
fn is_plain<T: 'static>() -> bool {
    macro_rules! is_any_of {
        ($($type:ty)*) => {
            false $(
                || TypeId::of::<T>() == TypeId::of::<$type>()
                || TypeId::of::<T>() == TypeId::of::<Option<$type>>()
                || TypeId::of::<T>() == TypeId::of::<Vec<$type>>()
            )*
        };
    }
    is_any_of!(String bool char u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn encoded<C: Codec>(value: &impl Serialize) -> Vec<u8> {
        let mut buffer = b"before".to_vec();
        C::encode(value, &mut buffer).unwrap();
        buffer.split_off(6)
    }

    #[test]
    fn codecs_append_and_read_back() {
        let value = BTreeMap::from([("a".to_owned(), 1_i64), ("b".to_owned(), -2)]);
        assert_eq!(Json::decode(&encoded::<Json>(&value)), Ok(value.clone()));
        assert_eq!(Postcard::decode(&encoded::<Postcard>(&value)), Ok(value));
        assert_eq!(encoded::<Json>(&i64::MIN), i64::MIN.to_string().as_bytes());
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encoded::<Postcard>(&7_u8);
        bytes.push(0);
        assert_eq!(Postcard::decode::<u8>(&bytes), Err(CodecError));
        assert_eq!(Json::decode::<u8>(b"7 8"), Err(CodecError));
    }

    #[test]
    fn json_objects_are_compared_without_order() {
        assert!(Json::same_meaning(br#"{"a":1,"b":2}"#, br#"{"b":2,"a":1}"#));
        assert!(!Json::same_meaning(
            br#"{"a":1,"b":2}"#,
            br#"{"b":1,"a":2}"#
        ));
        assert!(!Json::same_meaning(b"[1,2]", b"[2,1]"));
        assert!(Json::same_meaning(
            br#"[{"a":{"x":1,"y":2}}]"#,
            br#"[{"a":{"y":2,"x":1}}]"#
        ));
        assert!(!Json::same_meaning(b"nonsense", b"nonsens2"));
        assert!(!Json::same_meaning(b"{nonsense", b"{nonsens2"));
        // Beyond u64 a parsed number would be rounded.
        let large = u128::MAX.to_string();
        let other = (u128::MAX - 1).to_string();
        assert!(!Json::same_meaning(large.as_bytes(), other.as_bytes()));
    }

    /// The short way for strings decides as the parser does, on whatever a store holds.
    #[test]
    fn strings_decode_as_the_parser_decodes_them() {
        let texts = [
            "",
            "a",
            "ä€😀",
            "a\\b",
            "a\"b",
            "a\nb",
            "\u{7f}",
            "\0",
            "nul\0",
            "a'b/",
        ];
        let mut encodings: Vec<Vec<u8>> = texts.iter().map(encoded::<Json>).collect();
        for text in texts {
            encodings.push(format!("\"{text}\"").into_bytes());
            encodings.push(text.into());
        }
        encodings.extend([b"\"\xff\"".to_vec(), b"\"".to_vec(), b"\"\\\"".to_vec()]);
        encodings.extend([b" \"a\"".to_vec(), b"\"a\" ".to_vec(), b"7".to_vec()]);
        for bytes in encodings {
            let parsed = serde_json::from_slice::<String>(&bytes).map_err(|_| CodecError);
            assert_eq!(Json::decode::<String>(&bytes), parsed, "{bytes:?}");
        }
        assert_eq!(
            Json::decode::<Option<String>>(b"\"a\""),
            Ok(Some("a".into()))
        );
        assert_eq!(Json::decode::<u8>(b"\"7\""), Err(CodecError));
    }

    #[test]
    fn an_encoding_is_recognized_without_being_made() {
        let texts = ["", "a", "ä€😀", "a\\b", "a\"b", "a\nb", "\u{7f}"].map(str::to_owned);
        for value in &texts {
            for other in &texts {
                let is_same = value == other;
                let bytes = encoded::<Json>(other);
                assert_eq!(
                    Json::encodes_to(value, &bytes),
                    is_same,
                    "{value:?} {other:?}"
                );
                let (value, bytes) = (vec![value.clone()], encoded::<Json>(&[other]));
                assert_eq!(Json::encodes_to(&value, &bytes), is_same);
            }
            let unescaped = format!("\"{value}\"");
            let is_canonical = unescaped.as_bytes() == encoded::<Json>(value);
            let answer = Json::encodes_to(value, unescaped.as_bytes());
            assert_eq!(answer, is_canonical, "{value:?}");
        }
        assert!(Json::encodes_to(&17, b"17"));
        for other in ["1", "171", "18", "17 ", ""] {
            assert!(!Json::encodes_to(&17, other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn what_has_no_encoding_is_an_error() {
        let keys_are_no_strings = BTreeMap::from([((1, 2), 3)]);
        assert_eq!(
            Json::encode(&keys_are_no_strings, &mut Vec::new()),
            Err(CodecError)
        );
    }
}
