//! The check that a codec gives a value back: a value that would be another one when it is loaded
//! is not written.

use super::FieldValue;
use super::digest::digest;
use crate::codec::{Codec, CodecError};

/// Whether `encoded` decodes to the value that it was made of.
///
/// The values are compared as serde shows them, not by their encodings: `Some(f64::NAN)` and `None`
/// are both `null` in JSON.
pub(super) fn reads_back<C: Codec, T: FieldValue>(value: &T, encoded: &[u8]) -> bool {
    if C::is_exact::<T>() {
        return true;
    }
    let Ok(read) = C::decode::<T>(encoded) else {
        return false;
    };
    let value = digest(value);
    value.is_some() && value == digest(&read)
}

/// Whether these bytes can be the encoding of other values of the type too.
pub(super) fn is_ambiguous<C: Codec, T: FieldValue>(encoded: &[u8]) -> bool {
    !C::is_exact::<T>() && C::is_ambiguous(encoded)
}

/// Appends the encoded value to `buffer`. Fails where it does not read back.
pub(super) fn encode<C: Codec, T: FieldValue>(
    value: &T,
    buffer: &mut Vec<u8>,
) -> Result<(), CodecError> {
    let start = buffer.len();
    C::encode(value, buffer)?;
    match reads_back::<C, T>(value, &buffer[start..]) {
        true => Ok(()),
        false => Err(CodecError::new()),
    }
}
