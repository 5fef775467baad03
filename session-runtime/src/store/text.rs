//! The byte forms of a record and of a principal's list: text, as `cat` shows it.
//!
//! ```text
//! session-record 2
//! @session 3fa85f6457174562b3fc2c963f66afa6
//! @verifier 47DEQpj8HBSa-_TImW-5JA
//! @created 2026-03-14T09:26:53.589Z
//! @rotated 2026-03-14T09:26:53.589Z
//! @seen 2026-03-14T09:31:02.118Z
//! @idle 1800000ms
//! @end 2026-03-15T09:26:53.589Z
//! @label text Firefox on Linux
//! @principal shop.customer 0b1JCmZcuvqVa8JpGgEYFQWaIEtp7bEPe1gzo4vkY6s
//! @commit q83vEjRW
//! shop.cart - text {"pear":2}
//! shop.otp 2026-03-14T09:36:02.118Z text "428117"
//! shop.visits - base64 AAECAw==
//! @check 5d1c9f0e2b7a4c36
//!
//! session-list 2
//! @principal 0b1JCmZcuvqVa8JpGgEYFQWaIEtp7bEPe1gzo4vkY6s
//! 3fa85f6457174562b3fc2c963f66afa6 q83vEjRW 2026-03-14T09:26:53.589Z 2026-03-15T09:26:53.589Z
//! 9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d 8zKq0a1P 2026-03-14T11:02:11.004Z -
//! @check 9e1f55a07d3c2b18
//! ```
//!
//! 1. The first line names the form and its version. The last one is a check over all before it,
//!    so bytes that were cut short, extended or damaged are recognised. These two lines keep
//!    their form in every version.
//! 2. A line that begins with `@` belongs to the header. Lines with names that this version does
//!    not know are kept and written again, so what a later version adds without a new number
//!    survives.
//! 3. Every other line of a record is a field: name, deadline (`-` for none), encoding, value. In
//!    names, spaces, control characters, `%` and a leading `@` are percent-encoded.
//! 4. A value is text as it is, or base64 where it is not UTF-8 or has control characters: a value
//!    never ends its own line and never speaks to the terminal that shows it.
//! 5. Every other line of a list is an entry: the session's id, the commit that listed it, when
//!    that was, when the entry goes (`-` for never), and `arriving` where it is.
//! 6. Reading any bytes does not panic and takes memory in proportion to them.

use std::fmt::{self, Write as _};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use self::TextError::{Damaged, OtherVersion};
use super::record::Taken;
use super::{
    Credential, FieldName, Header, ListEntry, Principal, PrincipalKey, PrincipalList, Record,
    StoredField,
};
use crate::clock::Timestamp;
use crate::token::{SessionId, Verifier};

const RECORD: &str = "session-record ";
const LIST: &str = "session-list ";
/// The first lines of forms that earlier versions wrote and that had other names, and their version.
const EARLIER_FORMS: &[(&str, u64)] = &[("session-index ", 1)];
const CHECK: &str = "@check ";
/// Of records and of lists.
const VERSION: u64 = 2;

/// Bytes that are no record or no list of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// No version wrote these bytes.
    #[error("{0}")]
    Damaged(&'static str),
    /// The bytes are whole, and another version wrote them.
    #[error(
        "the data has format {0}, and this version of `session-runtime` reads format {VERSION}"
    )]
    OtherVersion(u64),
}

const BAD_LINE: TextError = Damaged("a line does not have the form that it should have");
const MISSING_LINE: TextError = Damaged("a line that is always there is missing");

impl Record {
    /// The record as text: readable, checked against damage, and with a version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = &self.header;
        let mut text = Text(format!("{RECORD}{VERSION}\n"));
        text.line("@session", Hex(self.session.as_bytes()));
        text.line("@verifier", header.verifier);
        for (name, credential) in [("@previous", header.previous), ("@link", header.link)] {
            if let Some(Credential { verifier, until }) = credential {
                text.line(name, format_args!("{verifier} {}", Time(until)));
            }
        }
        text.line("@created", Time(header.created));
        text.line("@rotated", Time(header.rotated));
        text.line("@seen", Time(header.seen));
        if let Some(idle) = header.idle {
            let millis = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
            text.line("@idle", format_args!("{millis}ms"));
        }
        if let Some(end) = header.end {
            text.line("@end", Time(end));
        }
        if let Some(persistent) = header.persistent {
            text.line("@persistent", persistent);
        }
        if let Some(label) = &header.label {
            text.line("@label", Value(label.as_bytes()));
        }
        for Principal { field, key } in &header.principals {
            text.line("@principal", format_args!("{} {key}", Name(field)));
        }
        for commit in &self.recent {
            text.line("@commit", commit);
        }
        for (name, taken) in &self.taken {
            let (commit, field) = (taken.commit, Field(name, &taken.field));
            text.line("@taken", format_args!("{commit} {field}"));
        }
        text.lines(&self.unknown_lines);
        for (name, field) in self.fields.iter() {
            text.lines([Field(name, field)]);
        }
        text.with_check()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`TextError::OtherVersion`] where another version wrote it, [`TextError::Damaged`] for
    /// anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TextError> {
        let mut session = None;
        let mut verifier = None;
        let (mut created, mut rotated, mut seen) = (None, None, None);
        // The values are replaced by those of the lines that every record has.
        let placeholder = Verifier::from_bytes(Default::default());
        let header = Header::new(placeholder, Timestamp::from_millis(0));
        let mut record = Self::new(SessionId::from_bytes([0; 16]), header);
        for line in lines_of(bytes, RECORD)? {
            let (name, value) = line.split_once(' ').unwrap_or((line, ""));
            match name {
                "@session" => session = Some(parse_session(value).ok_or(BAD_LINE)?),
                "@verifier" => verifier = Some(value.parse().map_err(|_| BAD_LINE)?),
                "@created" => created = Some(parse_time(value).ok_or(BAD_LINE)?),
                "@rotated" => rotated = Some(parse_time(value).ok_or(BAD_LINE)?),
                "@seen" => seen = Some(parse_time(value).ok_or(BAD_LINE)?),
                _ => record.read_line(line, name, value).ok_or(BAD_LINE)?,
            }
        }
        record.session = session.ok_or(MISSING_LINE)?;
        record.header.verifier = verifier.ok_or(MISSING_LINE)?;
        record.header.created = created.ok_or(MISSING_LINE)?;
        record.header.rotated = rotated.ok_or(MISSING_LINE)?;
        record.header.seen = seen.ok_or(MISSING_LINE)?;
        record.header.last_commit = record.recent.back().copied();
        Ok(record)
    }

    /// Reads a line that not every record has; `None` when its form is wrong.
    fn read_line(&mut self, line: &str, name: &str, value: &str) -> Option<()> {
        let header = &mut self.header;
        match name {
            "@previous" => header.previous = Some(parse_credential(value)?),
            "@link" => header.link = Some(parse_credential(value)?),
            "@idle" => {
                let millis = value.strip_suffix("ms")?.parse().ok()?;
                header.idle = Some(Duration::from_millis(millis));
            }
            "@end" => header.end = Some(parse_time(value)?),
            "@persistent" => header.persistent = Some(value.parse().ok()?),
            "@label" => {
                let label = parse_value(value)?;
                header.label = Some(std::str::from_utf8(&label).ok()?.into());
            }
            "@principal" => {
                let (field, key) = value.split_once(' ')?;
                let principal = Principal::new(parse_name(field)?, key.parse().ok()?);
                header.principals.push(principal);
            }
            "@commit" => self.recent.push_back(value.parse().ok()?),
            "@taken" => {
                let (commit, field) = value.split_once(' ')?;
                let commit = commit.parse().ok()?;
                let (name, field) = parse_field(field)?;
                self.taken.insert(name, Taken { commit, field });
            }
            _ if name.starts_with('@') => self.unknown_lines.push(line.to_owned()),
            _ => {
                let (name, field) = parse_field(line)?;
                self.fields.insert(name, field);
            }
        }
        Some(())
    }
}

impl PrincipalList {
    /// The list as text: readable, checked against damage, and with a version.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = Text(format!("{LIST}{VERSION}\n"));
        text.line("@principal", self.principal);
        text.lines(&self.unknown_lines);
        text.lines(self.entries.iter().map(Entry));
        text.with_check()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`TextError::OtherVersion`] where another version wrote it, [`TextError::Damaged`] for
    /// anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TextError> {
        let mut list = Self::new(PrincipalKey::from_bytes([0; 32]));
        let mut principal = None;
        for line in lines_of(bytes, LIST)? {
            if let Some(key) = line.strip_prefix("@principal ") {
                principal = Some(key.parse().map_err(|_| BAD_LINE)?);
            } else if line.starts_with('@') {
                list.unknown_lines.push(line.to_owned());
            } else {
                let entry = parse_entry(line).ok_or(BAD_LINE)?;
                list.insert(entry);
            }
        }
        list.principal = principal.ok_or(MISSING_LINE)?;
        Ok(list)
    }
}

/// The lines between the first, which must name this form, and the last, the check.
fn lines_of<'a>(
    bytes: &'a [u8],
    form: &str,
) -> Result<impl Iterator<Item = &'a str> + use<'a>, TextError> {
    if bytes.is_empty() {
        return Err(Damaged("there are no bytes"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Damaged("the bytes are not text"))?;
    let mut lines = checked(text)?.split_terminator('\n');
    let version = lines.next().and_then(|line| line.strip_prefix(form));
    match version.and_then(|version| version.parse().ok()) {
        Some(VERSION) => Ok(lines),
        Some(other) => Err(OtherVersion(other)),
        None => match earlier_version(text) {
            Some(earlier) => Err(OtherVersion(earlier)),
            None => Err(Damaged("the first line names no known form")),
        },
    }
}

fn earlier_version(text: &str) -> Option<u64> {
    let mut forms = EARLIER_FORMS.iter();
    let is_this = |(form, _): &&(&str, u64)| text.starts_with(form);
    forms.find(is_this).map(|(_, version)| *version)
}

/// The lines before the last one, if the last one is the right check over them.
fn checked(text: &str) -> Result<&str, TextError> {
    const TRUNCATED: TextError = Damaged("the text does not end with a check");
    let lines = text.strip_suffix('\n').ok_or(TRUNCATED)?;
    let last = lines.rfind('\n').map_or(0, |end| end + 1);
    let (body, last) = lines.split_at(last);
    match last.strip_prefix(CHECK) {
        None => Err(TRUNCATED),
        Some(found) if found == check(body.as_bytes()) => Ok(body),
        Some(_) => Err(Damaged("the check does not match")),
    }
}

/// Half of what is needed against an adversary, and far more than is needed against a bad disk.
fn check(bytes: &[u8]) -> String {
    Hex(&Sha256::digest(bytes)[..8]).to_string()
}

struct Text(String);

impl Text {
    fn line(&mut self, name: &str, value: impl fmt::Display) {
        self.lines([format_args!("{name} {value}")]);
    }

    fn lines<T: fmt::Display>(&mut self, lines: impl IntoIterator<Item = T>) {
        for line in lines {
            // Writing to a string cannot fail.
            let _ = writeln!(self.0, "{line}");
        }
    }

    fn with_check(mut self) -> Vec<u8> {
        let check = check(self.0.as_bytes());
        self.lines([format_args!("{CHECK}{check}")]);
        self.0.into_bytes()
    }
}

/// Lower-case hexadecimal.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn parse_session(hex: &str) -> Option<SessionId> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if hex.len() != 32 || !hex.bytes().all(is_hex) {
        return None;
    }
    let bytes = u128::from_str_radix(hex, 16).ok()?.to_be_bytes();
    Some(SessionId::from_bytes(bytes))
}

fn parse_credential(text: &str) -> Option<Credential> {
    let (verifier, until) = text.split_once(' ')?;
    Some(Credential::new(verifier.parse().ok()?, parse_time(until)?))
}

struct Entry<'a>(&'a ListEntry);

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(entry) = self;
        let (session, added) = (Hex(entry.session.as_bytes()), Time(entry.added));
        write!(f, "{session} {} {added} ", entry.mark)?;
        match entry.until {
            Some(until) => Time(until).fmt(f)?,
            None => f.write_str("-")?,
        }
        f.write_str(if entry.arriving { " arriving" } else { "" })
    }
}

fn parse_entry(line: &str) -> Option<ListEntry> {
    let mut words = line.split(' ');
    let session = parse_session(words.next()?)?;
    let mark = words.next()?.parse().ok()?;
    let entry = ListEntry::new(session, mark, parse_time(words.next()?)?);
    let entry = entry.until(parse_deadline(words.next()?)?);
    match (words.next(), words.next()) {
        (None, None) => Some(entry),
        (Some("arriving"), None) => Some(entry.arriving()),
        _ => None,
    }
}

struct Field<'a>(&'a str, &'a StoredField);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, field) = self;
        Name(name).fmt(f)?;
        match field.deadline {
            Some(deadline) => write!(f, " {}", Time(deadline))?,
            None => f.write_str(" -")?,
        }
        write!(f, " {}", Value(&field.value))
    }
}

struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, character) in self.0.char_indices() {
            if is_escaped(index, character) {
                let mut utf8 = [0; 4];
                for byte in character.encode_utf8(&mut utf8).bytes() {
                    write!(f, "%{byte:02X}")?;
                }
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

fn is_escaped(index: usize, character: char) -> bool {
    let leads = index == 0 && character == '@';
    leads || character == '%' || character.is_whitespace() || character.is_control()
}

fn parse_field(line: &str) -> Option<(FieldName, StoredField)> {
    let (name, rest) = line.split_once(' ')?;
    let (deadline, value) = rest.split_once(' ')?;
    let field = StoredField::new(parse_value(value)?, parse_deadline(deadline)?);
    Some((parse_name(name)?, field))
}

fn parse_name(text: &str) -> Option<FieldName> {
    let mut parts = text.split('%');
    let mut name = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        name.push(u8::from_str_radix(code, 16).ok()?);
        name.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(name).ok().map(FieldName::Owned)
}

struct Value<'a>(&'a [u8]);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) if !text.contains(char::is_control) => write!(f, "text {text}"),
            _ => write!(f, "base64 {}", STANDARD.encode(self.0)),
        }
    }
}

fn parse_value(text: &str) -> Option<Bytes> {
    match text.split_once(' ')? {
        ("text", value) => Some(Bytes::copy_from_slice(value.as_bytes())),
        ("base64", value) => STANDARD.decode(value).ok().map(Bytes::from),
        _ => None,
    }
}

/// A moment as people write it, or as milliseconds where it is beyond the year 9999.
struct Time(Timestamp);

impl Time {
    /// The last moment that has four digits for its year.
    const LAST_WRITABLE: u64 = 253_402_300_799_999;
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_millis() > Self::LAST_WRITABLE {
            return self.0.fmt(f);
        }
        humantime::format_rfc3339_millis(SystemTime::from(self.0)).fmt(f)
    }
}

fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(millis) = text.parse() {
        return Some(Timestamp::from_millis(millis));
    }
    humantime::parse_rfc3339(text).ok().map(Timestamp::from)
}

/// A moment, or `-` for none; `None` for what is neither.
fn parse_deadline(text: &str) -> Option<Option<Timestamp>> {
    match text {
        "-" => Some(None),
        time => parse_time(time).map(Some),
    }
}

#[cfg(test)]
mod tests;
