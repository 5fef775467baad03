//! How a session is kept in a hash: the names and forms of the header fields, and of the values.

use bytes::Bytes;
use redis::Value;

use super::Tier;
use crate::clock::Timestamp;
use crate::store::{Header, Selected, StoredField};
use crate::token::CommitId;

/// The header fields of a session, in the order in which they are read.
pub(super) const HEADER: [&str; 10] = [
    "@verifier",
    "@previous",
    "@created",
    "@rotated",
    "@seen",
    "@idle",
    "@end",
    "@persistent",
    "@label",
    "@commits",
];

/// A hash that says it is a session but is none.
pub(super) struct Undecodable;

/// The header, from what a hash has for [`HEADER`]; nothing when the hash is no session.
pub(super) fn header(
    kept: &[Option<Bytes>],
    tier: Tier,
    now: Timestamp,
) -> Result<Option<Header>, Undecodable> {
    let [
        verifier,
        previous,
        created,
        rotated,
        seen,
        idle,
        end,
        persistent,
        label,
        commits,
    ] = kept
    else {
        return Err(Undecodable);
    };
    let Some(verifier) = verifier else {
        let is_empty = kept.iter().all(Option::is_none);
        return if is_empty { Ok(None) } else { Err(Undecodable) };
    };
    let value = |kept: &Option<Bytes>| {
        let kept = kept.clone()?;
        live(kept, tier, now).map(|field| field.value)
    };
    let header = Header {
        verifier: parse(verifier)?,
        previous: value(previous).as_ref().map(parse).transpose()?,
        created: moment(created.as_ref().ok_or(Undecodable)?)?,
        rotated: moment(rotated.as_ref().ok_or(Undecodable)?)?,
        seen: moment(seen.as_ref().ok_or(Undecodable)?)?,
        idle: idle
            .as_ref()
            .map(|idle| parse(idle).map(std::time::Duration::from_millis))
            .transpose()?,
        end: end.as_ref().map(moment).transpose()?,
        persistent: persistent.as_ref().map(parse).transpose()?,
        label: value(label)
            .map(|label| parse::<String>(&label).map(Into::into))
            .transpose()?,
        last_commit: commits.as_ref().map(last_commit).transpose()?,
    };
    let has_ended = header.deadline().is_some_and(|deadline| deadline <= now);
    Ok((!has_ended).then_some(header))
}

fn parse<T: std::str::FromStr>(kept: &Bytes) -> Result<T, Undecodable> {
    let text = std::str::from_utf8(kept).map_err(|_| Undecodable)?;
    text.parse().map_err(|_| Undecodable)
}

fn moment(kept: &Bytes) -> Result<Timestamp, Undecodable> {
    parse(kept).map(Timestamp::from_millis)
}

fn last_commit(kept: &Bytes) -> Result<CommitId, Undecodable> {
    let start = kept.len().checked_sub(8).ok_or(Undecodable)?;
    parse(&kept.slice(start..))
}

/// A kept value and its deadline as far as the value says, unless the deadline has come.
///
/// In the compatible layout a value with a deadline is `@<deadline> <value>`. No JSON begins with
/// `@`; another value that does is `@ <value>`.
pub(super) fn live(kept: Bytes, tier: Tier, now: Timestamp) -> Option<StoredField> {
    let plain = |value| StoredField {
        value,
        deadline: None,
    };
    let tagged = match tier {
        Tier::Native => None,
        Tier::Compatible => kept.strip_prefix(b"@"),
    };
    let digits = tagged.and_then(|rest| rest.iter().position(|byte| !byte.is_ascii_digit()));
    let Some(space) = digits
        .map(|digits| digits + 1)
        .filter(|&end| kept[end] == b' ')
    else {
        return Some(plain(kept));
    };
    let deadline = parse(&kept.slice(1..space))
        .ok()
        .map(Timestamp::from_millis);
    let is_live = deadline.is_none_or(|deadline| now < deadline);
    is_live.then(|| StoredField {
        value: kept.slice(space + 1..),
        deadline,
    })
}

/// The fields of an answer to a load.
pub(super) fn fields(
    kept: Vec<Option<Bytes>>,
    selected: &[Selected<'_>],
    deadlines: &[i64],
    tier: Tier,
    now: Timestamp,
) -> Vec<Option<StoredField>> {
    let mut asked = deadlines.iter();
    kept.into_iter()
        .zip(selected)
        .map(|(kept, selected)| {
            let deadline = selected.deadline.then(|| asked.next()).flatten();
            let mut field = live(kept?, tier, now)?;
            if !selected.deadline {
                field.deadline = None;
            } else if let Some(millis) = deadline.and_then(|&millis| u64::try_from(millis).ok()) {
                field.deadline = Some(Timestamp::from_millis(millis));
            }
            Some(field)
        })
        .collect()
}

/// The bytes of an answer, nothing for nil; an error for what is neither.
pub(super) fn bytes(value: Value) -> Result<Option<Bytes>, Undecodable> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        Value::SimpleString(text) => Ok(Some(text.into_bytes().into())),
        Value::Int(number) => Ok(Some(number.to_string().into_bytes().into())),
        _ => Err(Undecodable),
    }
}

/// The server's time, from what `TIME` answers.
pub(super) fn time(value: Value) -> Result<Timestamp, Undecodable> {
    let Value::Array(parts) = value else {
        return Err(Undecodable);
    };
    let mut numbers = parts.into_iter().map(|part| {
        let digits = bytes(part)?.ok_or(Undecodable)?;
        parse::<u64>(&digits)
    });
    match (numbers.next(), numbers.next()) {
        (Some(Ok(seconds)), Some(Ok(micros))) => {
            let seconds = std::time::Duration::from_secs(seconds);
            Ok(Timestamp::from_millis(micros / 1000) + seconds)
        }
        _ => Err(Undecodable),
    }
}
