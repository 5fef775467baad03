//! A record as text: what `cat` shows.
//!
//! ```text
//! session-record 1
//! @session 3fa85f6457174562b3fc2c963f66afa6
//! @verifier 47DEQpj8HBSa-_TImW-5JA
//! @created 2026-03-14T09:26:53.589Z
//! @rotated 2026-03-14T09:26:53.589Z
//! @seen 2026-03-14T09:31:02.118Z
//! @idle 1800000ms
//! @end 2026-03-15T09:26:53.589Z
//! @label text Firefox on Linux
//! @commit q83vEjRW
//! @last-commit q83vEjRW
//! shop.cart - text {"pear":2}
//! shop.otp 2026-03-14T09:36:02.118Z text "428117"
//! shop.visits - base64 AAECAw==
//! @check 5d1c9f0e2b7a4c36
//! ```
//!
//! 1. The first line names the format and its version. The last one is a check over all before it,
//!    so a file that was cut short, grew or rotted is told from a whole one. These two lines keep
//!    their form in every version.
//! 2. A line that begins with `@` belongs to the header. Names that this version does not know are
//!    kept and written again, so what a later version adds without a new number survives.
//! 3. Every other line is a field: name, deadline (`-` for none), encoding, value. In names,
//!    spaces, control characters, `%` and a leading `@` are percent-encoded.
//! 4. A value is text as it is, or base64 where it is not UTF-8 or has control characters: a value
//!    never ends its own line and never speaks to the terminal that shows it.
//! 5. Whatever the bytes are, reading them does not panic and takes memory in proportion to them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use self::FormatError::{Damaged, Newer};
use super::name::{RecordName, hex};
use crate::clock::Timestamp;
use crate::store::{FieldName, Header, Record, StoredField, Taken};
use crate::token::{CommitId, Verifier};

const FIRST_LINE: &str = "session-record ";
/// Of records and of lists.
pub(super) const VERSION: u64 = 1;
const LAST_LINE: &str = "@check ";

/// What one file holds.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) record: Record,
    /// Header lines that this version does not know, as they are.
    pub(super) unknown: Vec<String>,
}

/// Why bytes are not a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    /// It is not what any version wrote.
    #[error("{0}")]
    Damaged(&'static str),
    /// It is whole, and a later version wrote it.
    #[error("the file has format {0}, and this program reads format {VERSION}; update it")]
    Newer(u64),
}

impl Document {
    /// The text of the file of this name.
    pub(super) fn to_text(&self, name: &RecordName) -> String {
        let Record {
            header,
            previous_until,
            fields,
            recent,
            taken,
            ..
        } = &self.record;
        let mut text = Text(format!("{FIRST_LINE}{VERSION}\n"));
        text.line("@session", name.as_str());
        text.line("@verifier", header.verifier);
        if let (Some(previous), Some(until)) = (header.previous, previous_until) {
            text.line("@previous", format_args!("{previous} {}", Time(*until)));
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
        for commit in recent {
            text.line("@commit", commit);
        }
        if let Some(commit) = header.last_commit {
            text.line("@last-commit", commit);
        }
        for (field, taken) in taken {
            let (commit, field) = (taken.commit, Field(field, &taken.field));
            text.line("@taken", format_args!("{commit} {field}"));
        }
        for line in &self.unknown {
            text.0.push_str(line);
            text.0.push('\n');
        }
        for (name, field) in fields {
            // Writing to a string cannot fail.
            let _ = writeln!(text.0, "{}", Field(name, field));
        }
        with_check(text.0)
    }

    /// Reads the file of this name.
    pub(super) fn parse(name: &RecordName, bytes: &[u8]) -> Result<Self, FormatError> {
        let mut document = Lines::default();
        for line in lines_of(bytes, FIRST_LINE)? {
            document.read(name, line).ok_or(BAD_LINE)?;
        }
        if !document.is_for_this_session {
            return Err(Damaged(
                "the record is not the one that the file's name says",
            ));
        }
        document
            .finish()
            .ok_or(Damaged("a line that every record has is missing"))
    }
}

/// What the lines of a file have said so far.
#[derive(Default)]
struct Lines {
    is_for_this_session: bool,
    verifier: Option<Verifier>,
    previous: Option<(Verifier, Timestamp)>,
    created: Option<Timestamp>,
    rotated: Option<Timestamp>,
    seen: Option<Timestamp>,
    idle: Option<Duration>,
    end: Option<Timestamp>,
    persistent: Option<bool>,
    label: Option<Arc<str>>,
    last_commit: Option<CommitId>,
    recent: VecDeque<CommitId>,
    taken: BTreeMap<FieldName, Taken>,
    fields: BTreeMap<FieldName, StoredField>,
    unknown: Vec<String>,
}

impl Lines {
    /// Reads one line; `None` when it has not the form that it should have.
    fn read(&mut self, name: &RecordName, line: &str) -> Option<()> {
        if !line.starts_with('@') {
            let (name, field) = parse_field(line)?;
            self.fields.insert(name, field);
            return Some(());
        }
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "@session" => self.is_for_this_session = value == name.as_str(),
            "@verifier" => self.verifier = Some(value.parse().ok()?),
            "@previous" => {
                let (verifier, until) = value.split_once(' ')?;
                self.previous = Some((verifier.parse().ok()?, parse_time(until)?));
            }
            "@created" => self.created = Some(parse_time(value)?),
            "@rotated" => self.rotated = Some(parse_time(value)?),
            "@seen" => self.seen = Some(parse_time(value)?),
            "@idle" => {
                let millis = value.strip_suffix("ms")?.parse().ok()?;
                self.idle = Some(Duration::from_millis(millis));
            }
            "@end" => self.end = Some(parse_time(value)?),
            "@persistent" => self.persistent = Some(value.parse().ok()?),
            "@label" => {
                let label = parse_value(value)?;
                self.label = Some(std::str::from_utf8(&label).ok()?.into());
            }
            "@commit" => self.recent.push_back(value.parse().ok()?),
            "@last-commit" => self.last_commit = Some(value.parse().ok()?),
            "@taken" => {
                let (commit, field) = value.split_once(' ')?;
                let commit = commit.parse().ok()?;
                let (name, field) = parse_field(field)?;
                self.taken.insert(name, Taken { commit, field });
            }
            _ => self.unknown.push(line.to_owned()),
        }
        Some(())
    }

    /// The whole; `None` when a line is missing.
    fn finish(self) -> Option<Document> {
        let header = Header {
            verifier: self.verifier?,
            previous: self.previous.map(|(verifier, _)| verifier),
            created: self.created?,
            rotated: self.rotated?,
            seen: self.seen?,
            idle: self.idle,
            end: self.end,
            persistent: self.persistent,
            label: self.label,
            last_commit: self.last_commit,
        };
        let record = Record {
            previous_until: self.previous.map(|(_, until)| until),
            fields: self.fields,
            recent: self.recent,
            taken: self.taken,
            ..Record::new(header)
        };
        let unknown = self.unknown;
        Some(Document { record, unknown })
    }
}

pub(super) const BAD_LINE: FormatError = Damaged("a line has not the form that it should have");

/// The lines between the first, which must name this format, and the last, the check.
pub(super) fn lines_of<'a>(
    bytes: &'a [u8],
    first_line: &str,
) -> Result<impl Iterator<Item = &'a str>, FormatError> {
    if bytes.is_empty() {
        return Err(Damaged("the file is empty"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Damaged("the file is not text"))?;
    let mut lines = checked(text)?.split_terminator('\n');
    let version = lines.next().and_then(|line| line.strip_prefix(first_line));
    match version.and_then(|version| version.parse().ok()) {
        Some(VERSION) => Ok(lines),
        Some(newer) if newer > VERSION => Err(Newer(newer)),
        _ => Err(Damaged("the first line names no known format")),
    }
}

/// The lines before the last one, if the last one is the right check over them.
fn checked(text: &str) -> Result<&str, FormatError> {
    const TRUNCATED: FormatError = Damaged("the file does not end with a check");
    let lines = text.strip_suffix('\n').ok_or(TRUNCATED)?;
    let last = lines.rfind('\n').map_or(0, |end| end + 1);
    let (body, last) = lines.split_at(last);
    match last.strip_prefix(LAST_LINE) {
        None => Err(TRUNCATED),
        Some(found) if found == check(body.as_bytes()) => Ok(body),
        Some(_) => Err(Damaged("the check does not match")),
    }
}

/// The text and its last line.
pub(super) fn with_check(mut text: String) -> String {
    let check = check(text.as_bytes());
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{LAST_LINE}{check}");
    text
}

/// Half of what is needed against an adversary, and far more than is needed against a bad disk.
fn check(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..8])
}

struct Text(String);

impl Text {
    fn line(&mut self, name: &str, value: impl fmt::Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name} {value}");
    }
}

struct Field<'a>(&'a str, &'a StoredField);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, field) = self;
        for (index, character) in name.char_indices() {
            if is_escaped(index, character) {
                let mut utf8 = [0; 4];
                for byte in character.encode_utf8(&mut utf8).bytes() {
                    write!(f, "%{byte:02X}")?;
                }
            } else {
                f.write_char(character)?;
            }
        }
        match field.deadline {
            Some(deadline) => write!(f, " {}", Time(deadline))?,
            None => f.write_str(" -")?,
        }
        write!(f, " {}", Value(&field.value))
    }
}

fn is_escaped(index: usize, character: char) -> bool {
    let leads = index == 0 && character == '@';
    leads || character == '%' || character.is_whitespace() || character.is_control()
}

fn parse_field(line: &str) -> Option<(FieldName, StoredField)> {
    let (name, rest) = line.split_once(' ')?;
    let (deadline, value) = rest.split_once(' ')?;
    let deadline = match deadline {
        "-" => None,
        time => Some(parse_time(time)?),
    };
    let value = parse_value(value)?;
    let field = StoredField { value, deadline };
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
pub(super) struct Time(pub(super) Timestamp);

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

pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    if let Ok(millis) = text.parse() {
        return Some(Timestamp::from_millis(millis));
    }
    humantime::parse_rfc3339(text).ok().map(Timestamp::from)
}

#[cfg(test)]
mod tests;
