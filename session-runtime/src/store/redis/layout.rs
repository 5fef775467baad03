//! How a session is kept in a hash.
//!
//! | field | contents |
//! |---|---|
//! | `@` | what every session has, see below |
//! | `@recent` | the seven commits before the last one, 8 characters each |
//! | `@principals` | the principals that list the session: key and escaped name of the field, in turn |
//! | `@label` | the label |
//! | `@previous`, `@link` | the credentials beside the token: `@<until> <verifier>` |
//! | `@taken` | the values that were taken in the last 30 seconds, for a commit that arrives twice |
//! | `@sweep` | compatible tier: no field ends before |
//! | any other | a field of a schema |
//!
//! All but `@` are there only where there is something to keep. `@` is text at fixed positions, so
//! that a script reads it without a pattern, and short: Redis keeps a hash in a compact form as long
//! as no value has more than 64 bytes. It never begins with `@`, which marks a value with a deadline.
//!
//! | characters | contents |
//! |---|---|
//! | 1–22 | the verifier |
//! | 23–30 | the last commit |
//! | 31 | whether the cookie is persistent: `t`, `f`, `n` for not set |
//! | 32 | the sum of 1 for `@previous`, 2 for `@link`, 4 for `@taken` and 8 for `@label`, as a hexadecimal digit |
//! | 33–41 | the creation, in milliseconds since the Unix epoch |
//! | 42–49 | when the session was last seen, in milliseconds since the creation |
//! | 50–53 | the idle timeout: three digits and the unit, `D`, `H`, `M`, `S` or `T` for thousandths of a second; `none`; or `full` |
//! | 54–57 | the lifetime, likewise |
//! | 58– | when the token was made, in milliseconds since the creation; then, for each `full`, a full stop and the milliseconds |
//!
//! Numbers are in base 36.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;

use super::tier::Tier;
use crate::clock::Timestamp;
use crate::store::{Credential, FieldName, Header, Principal, PrincipalKey, StoredField, Timeouts};

const VERIFIER: usize = 22;
const COMMIT: usize = 8;
const CREATED: usize = 9;
const SEEN: usize = 8;
const TIMEOUT: usize = 4;

/// The units of timeouts, the largest first, in milliseconds.
const UNITS: [(char, u64); 5] = [
    ('D', 86_400_000),
    ('H', 3_600_000),
    ('M', 60_000),
    ('S', 1_000),
    ('T', 1),
];

/// Durations beyond this are as good as none: servers keep deadlines in 46 bits.
const LONGEST: u128 = (1 << 46) - 1;

/// A duration as the scripts take it: whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    // `LONGEST` fits.
    u64::try_from(duration.as_millis().min(LONGEST)).unwrap_or(u64::MAX)
}

/// The header fields that are there besides `@`, as `@` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Beside {
    pub(super) previous: bool,
    pub(super) link: bool,
    pub(super) label: bool,
}

impl Beside {
    /// All of them.
    pub(super) const ALL: Self = Self {
        previous: true,
        link: true,
        label: true,
    };

    /// Whether these include those.
    pub(super) fn include(self, others: Self) -> bool {
        (self.previous || !others.previous)
            && (self.link || !others.link)
            && (self.label || !others.label)
    }
}

/// Reads `@`: the header without what is kept beside it, and what that is. `None` when it makes no
/// sense, as the scripts see it too: nothing depends on characters 23–31 and the moment of the token.
pub(super) fn header(kept: &[u8]) -> Option<(Header, Beside)> {
    let text = std::str::from_utf8(kept).ok()?;
    let mut rest = text;
    let mut next = |length: usize| {
        let (part, others) = rest.split_at_checked(length)?;
        rest = others;
        Some(part)
    };
    let mut header = Header::new(next(VERIFIER)?.parse().ok()?, Timestamp::from_millis(0));
    header.last_commit = next(COMMIT)?.parse().ok();
    header.persistent = match next(1)? {
        "t" => Some(true),
        "f" => Some(false),
        _ => None,
    };
    let flags = u8::from_str_radix(next(1)?, 16).ok()?;
    let beside = Beside {
        previous: flags & 1 != 0,
        link: flags & 2 != 0,
        label: flags & 8 != 0,
    };
    header.created = Timestamp::from_millis(from_base36(next(CREATED)?)?);
    header.seen = header.created + Duration::from_millis(from_base36(next(SEEN)?)?);
    let limits = [next(TIMEOUT)?, next(TIMEOUT)?];
    if rest.is_empty() {
        return None;
    }
    let mut tail = rest.split('.');
    let rotated = from_base36(tail.next()?).unwrap_or(0);
    header.rotated = header.created + Duration::from_millis(rotated);
    let mut limits = limits.into_iter().map(|limit| match limit {
        "none" => Some(None),
        "full" => from_base36(tail.next()?).map(Some),
        limit => {
            let (count, unit) = limit.split_at_checked(3)?;
            let (_, size) = UNITS.iter().find(|(name, _)| unit.starts_with(*name))?;
            Some(Some(from_base36(count)? * size))
        }
    });
    header.idle = limits.next()??.map(Duration::from_millis);
    let lifetime = limits.next()??.map(Duration::from_millis);
    header.end = lifetime.map(|lifetime| header.created + lifetime);
    Some((header, beside))
}

/// Timeouts as `@` keeps them: characters 50–57, and what follows the moment of the token.
pub(super) fn timeouts(timeouts: Timeouts) -> String {
    let mut text = String::with_capacity(2 * TIMEOUT);
    let mut tail = String::new();
    for limit in [timeouts.idle(), timeouts.lifetime()] {
        let Some(limit) = limit.map(millis) else {
            text.push_str("none");
            continue;
        };
        let fits =
            |&&(_, size): &&(char, u64)| limit.is_multiple_of(size) && limit / size < 36_u64.pow(3);
        match UNITS.iter().find(fits) {
            Some((unit, size)) => {
                let count = to_base36(limit / size);
                // Writing to a string cannot fail.
                let _ = write!(text, "{count:0>3}{unit}");
            }
            None => {
                text.push_str("full");
                tail.push('.');
                tail.push_str(&to_base36(limit));
            }
        }
    }
    text + &tail
}

fn from_base36(digits: &str) -> Option<u64> {
    let add = |number: u64, digit| {
        let digit = char::from(digit).to_digit(36)?;
        number.checked_mul(36)?.checked_add(digit.into())
    };
    let number = digits.bytes().try_fold(0, add)?;
    (!digits.is_empty()).then_some(number)
}

fn to_base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).ok();
        digits.extend(digit.and_then(|digit| char::from_digit(digit, 36)));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

/// Reads `@previous` or `@link`. With a time, what is over is nothing; without, the server has
/// removed what is over.
pub(super) fn credential(kept: &Bytes, now: Option<Timestamp>) -> Option<Credential> {
    let now = now.unwrap_or(Timestamp::from_millis(0));
    let field = live(kept.clone(), Tier::Compatible, now)?;
    let until = field.deadline?;
    // The script takes no later one for a deadline.
    let is_kept = u128::from(until.as_millis()) <= LONGEST;
    is_kept.then_some(Credential::new(parse(&field.value)?, until))
}

/// Reads `@label`.
pub(super) fn label(kept: Bytes, tier: Tier) -> Option<std::sync::Arc<str>> {
    let field = live(kept, tier, Timestamp::from_millis(0))?;
    std::str::from_utf8(&field.value).ok().map(Into::into)
}

/// Reads `@principals`; a pair that makes no sense is left out.
pub(super) fn principals(kept: &[u8]) -> Vec<Principal> {
    let text = std::str::from_utf8(kept).unwrap_or_default();
    let words: Vec<&str> = text.split(' ').collect();
    let pair = |words: &[&str]| {
        let [key, name] = words else { return None };
        let key: PrincipalKey = key.parse().ok()?;
        Some(Principal::new(unescape(name)?, key))
    };
    words.chunks(2).filter_map(pair).collect()
}

/// A field's name without spaces, for `@principals`.
pub(super) fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        if character == '%' || character.is_ascii_whitespace() || character.is_ascii_control() {
            let _ = write!(escaped, "%{:02X}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<FieldName> {
    let mut parts = text.split('%');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        name.push(u8::from_str_radix(code, 16).ok()?.into());
        name.push_str(rest);
    }
    Some(name.into())
}

/// A kept value and its deadline as far as the value says, unless the deadline has come.
///
/// In the compatible layout a value with a deadline is `@<deadline> <value>`. No JSON begins with
/// `@`; another value that does is `@ <value>`.
pub(super) fn live(kept: Bytes, tier: Tier, now: Timestamp) -> Option<StoredField> {
    let tagged = match tier {
        Tier::Native => None,
        Tier::Compatible => kept.strip_prefix(b"@"),
    };
    let digits = tagged.and_then(|rest| rest.iter().position(|byte| !byte.is_ascii_digit()));
    let Some(space) = digits
        .map(|digits| digits + 1)
        .filter(|&end| kept[end] == b' ')
    else {
        return Some(StoredField::new(kept, None));
    };
    let deadline = parse(&kept.slice(1..space)).map(Timestamp::from_millis);
    let is_live = deadline.is_none_or(|deadline| now < deadline);
    is_live.then(|| StoredField::new(kept.slice(space + 1..), deadline))
}

fn parse<T: std::str::FromStr>(kept: &Bytes) -> Option<T> {
    std::str::from_utf8(kept).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{CommitId, Verifier};

    const VERIFIER: &str = "U5snejiJXqFmpYPbk8JZ5w";

    fn kept(parts: &str) -> Option<(Header, Beside)> {
        header(format!("{VERIFIER}BBBBBBBB{parts}").as_bytes())
    }

    #[test]
    fn a_usual_header_is_read_and_is_short() {
        let (header, beside) = kept("t8mkx3k2l1a0000rs0000uM001D9z").unwrap();
        assert_eq!(header.verifier, VERIFIER.parse::<Verifier>().unwrap());
        assert_eq!(header.last_commit, "BBBBBBBB".parse::<CommitId>().ok());
        assert_eq!(header.persistent, Some(true));
        assert_eq!(
            beside,
            Beside {
                label: true,
                ..Beside::default()
            }
        );
        let created = u64::from_str_radix("mkx3k2l1a", 36).unwrap();
        assert_eq!(header.created.as_millis(), created);
        assert_eq!(header.seen.as_millis() - created, 36_000 * 36);
        assert_eq!(header.rotated.as_millis() - created, 359);
        assert_eq!(header.idle, Some(Duration::from_secs(1800)));
        assert_eq!(
            header.end,
            Some(header.created + Duration::from_secs(86_400))
        );
        // A month, the longest at which Redis keeps the hash in its compact form.
        assert!(VERIFIER.len() + "BBBBBBBBt8mkx3k2l1a00fwqtc000uM00uDfwqtc00".len() <= 64);
    }

    #[test]
    fn timeouts_survive_whatever_they_are() {
        let day = Duration::from_secs(86_400);
        let limits = [
            Some(Duration::from_millis(1)),
            Some(Duration::from_millis(46_656)),
            Some(Duration::from_secs(1_800)),
            Some(Duration::from_millis(1_800_001)),
            Some(day + Duration::from_millis(1)),
            Some(46_655 * day),
            Some(46_656 * day),
            None,
        ];
        for (position, idle) in limits.iter().enumerate() {
            for lifetime in &limits[position..] {
                let kept_as = timeouts(Timeouts::new(*idle, *lifetime).unwrap());
                let (first, tail) = kept_as.split_at(2 * TIMEOUT);
                let text = format!("n000000000100000000{first}0{tail}");
                let (header, _) = kept(&text).unwrap_or_else(|| panic!("{text}"));
                assert_eq!(header.idle, *idle, "{text}");
                let end = lifetime.map(|lifetime| header.created + lifetime);
                assert_eq!(header.end, end, "{text}");
            }
        }
        let almost = Duration::MAX - Duration::from_secs(1);
        let longest = timeouts(Timeouts::new(almost, None).unwrap());
        assert_eq!(longest, "fullnone.oxyydezgf");
    }

    #[test]
    fn a_header_that_makes_no_sense_is_none() {
        assert!(kept("n00000000010000000000uM001D0").is_some());
        for damaged in [
            "",
            "n0",
            "ng0000000010000000000uM001D0",
            "n0000000001-000000000uM001D0",
            "n00000000010000000000uX001D0",
            "n00000000010000000000uM001D",
            "n00000000010000000000uMfull0",
        ] {
            assert!(kept(damaged).is_none(), "{damaged}");
        }
        assert!(header(b"\xff\xfe").is_none());
    }

    #[test]
    fn names_of_principals_survive_spaces() {
        let key = PrincipalKey::new("a", b"1");
        for name in ["shop.customer", "a b%c\n", "%", "\u{fc}ber.all"] {
            let text = format!("{key} {} {key} {}", escape(name), escape("other"));
            let expected = vec![
                Principal::new(name.to_owned(), key),
                Principal::new("other", key),
            ];
            assert_eq!(principals(text.as_bytes()), expected);
        }
        assert!(principals(b"\xff nonsense").is_empty());
    }
}
