//! The forms of a server's answers.

use std::time::Duration;

use bytes::Bytes;
use redis::Value;

use super::error::Failure;
use crate::clock::Timestamp;

/// The bytes of an answer, nothing for nil.
pub(super) fn bytes(value: Value) -> Result<Option<Bytes>, Failure> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        Value::SimpleString(text) => Ok(Some(text.into_bytes().into())),
        Value::Int(number) => Ok(Some(number.to_string().into_bytes().into())),
        _ => Err(Failure::MALFORMED),
    }
}

/// The items of an array.
pub(super) fn array(value: Value) -> Result<Vec<Value>, Failure> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(Failure::MALFORMED),
    }
}

/// The server's time, from the answer to `TIME`.
pub(super) fn time(value: Value) -> Result<Timestamp, Failure> {
    let (seconds, micros): (u64, u64) =
        redis::from_redis_value(value).map_err(|_| Failure::MALFORMED)?;
    Ok(Timestamp::from_millis(micros / 1000) + Duration::from_secs(seconds))
}

/// A moment that a script answers in milliseconds.
pub(super) fn moment(value: &Value) -> Result<Timestamp, Failure> {
    let millis = match value {
        Value::Int(millis) => u64::try_from(*millis).ok(),
        _ => None,
    };
    millis.map(Timestamp::from_millis).ok_or(Failure::MALFORMED)
}

/// Whether the answer is this word.
pub(super) fn is(answer: &Value, word: &str) -> bool {
    matches!(answer, Value::BulkString(bytes) if bytes == word.as_bytes())
}
