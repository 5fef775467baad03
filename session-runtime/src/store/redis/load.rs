//! Reading a session.
//!
//! 1. A load is one trip. The usual one is a single `HMGET` of `@`, `@principals` and the fields; the
//!    server removes what has ended, and the time is an estimate. One in nine takes `TIME` along.
//! 2. The server's own time is read along where a deadline is asked for, and always where the driver
//!    has to judge deadlines itself (compatible tier) or does not know which server answers (Cluster,
//!    a connection of the application's).
//! 3. What is rarely there is not asked for. Where `@` says that it is there, the load is made again
//!    with it: after a rotation, until the new token was seen. Sessions with labels or links make all
//!    later loads of this store ask for these.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use redis::{Cmd, Value};

use super::answer::{self, array, bytes, is};
use super::connection::{CallTime, Connections};
use super::error::{Failure, Refusal};
use super::layout::{self, Beside};
use super::script::Script;
use super::tier::Tier;
use crate::clock::Timestamp;
use crate::store::{FieldName, Header, Loaded, Selection, StoredField};

/// How far the end of a session must be past on an estimated clock before a load says so.
const ESTIMATE_TOLERANCE: Duration = Duration::from_secs(60);
/// Bytes that a command has room for at first, for each of its words.
const USUAL_WORD: usize = 16;

/// Why a key holds no session.
pub(super) enum Absent {
    Nothing,
    /// A session whose end is past though its key is there.
    Ended,
    /// Something that is no session.
    Other,
}

/// Reads sessions.
pub(super) struct Loads {
    tier: Tier,
    script: Script,
    /// Whether there are sessions with labels, and with links.
    labels: AtomicBool,
    links: AtomicBool,
}

/// The answers of one trip.
struct Read {
    /// The header fields and the selected ones.
    values: Vec<Option<Bytes>>,
    deadlines: Vec<i64>,
    prefixed: Vec<(FieldName, Bytes)>,
    now: Timestamp,
    is_exact: bool,
}

impl Loads {
    pub(super) fn new(tier: Tier) -> Self {
        Self {
            tier,
            script: Script::load(),
            labels: AtomicBool::new(false),
            links: AtomicBool::new(false),
        }
    }

    pub(super) async fn load(
        &self,
        connections: &Connections,
        key: &str,
        selection: &Selection<'_>,
    ) -> Result<Result<Loaded, Absent>, Failure> {
        let mut asked = Beside {
            previous: false,
            link: self.links.load(Ordering::Relaxed),
            label: self.labels.load(Ordering::Relaxed),
        };
        let time = &mut connections.begin();
        loop {
            let read = self.read(connections, time, key, asked, selection);
            let Some(read) = read.await? else {
                return Ok(Err(Absent::Other));
            };
            let Some(kept) = &read.values[0] else {
                let is_empty = read.values.iter().all(Option::is_none) && read.prefixed.is_empty();
                return Ok(Err(if is_empty {
                    Absent::Nothing
                } else {
                    Absent::Other
                }));
            };
            let Some((header, beside)) = layout::header(kept) else {
                return Ok(Err(Absent::Other));
            };
            if asked.include(beside) {
                return Ok(self.found(header, asked, read, selection));
            }
            self.links.fetch_or(beside.link, Ordering::Relaxed);
            self.labels.fetch_or(beside.label, Ordering::Relaxed);
            asked = Beside::ALL;
        }
    }

    /// Reads once; `None` when the key is no hash.
    async fn read(
        &self,
        connections: &Connections,
        time: &mut CallTime,
        key: &str,
        beside: Beside,
        selection: &Selection<'_>,
    ) -> Result<Option<Read>, Failure> {
        let header = header_names(beside);
        let with_deadlines = selection.fields.iter().any(|field| field.deadline);
        let read =
            if !selection.prefixes.is_empty() || (with_deadlines && self.tier == Tier::Native) {
                // Boxed, as it is rare and larger than the other.
                Box::pin(self.read_by_script(connections, time, key, &header, selection)).await
            } else {
                self.read_by_name(connections, time, key, &header, selection)
                    .await
            };
        let read = match read {
            Err(Failure::Refused(Refusal::WrongType)) => return Ok(None),
            read => read?,
        };
        match read {
            Some(read) if read.values.len() == header.len() + selection.fields.len() => {
                Ok(Some(read))
            }
            Some(_) => Err(Failure::MALFORMED),
            None => Ok(None),
        }
    }

    async fn read_by_name(
        &self,
        connections: &Connections,
        time: &mut CallTime,
        key: &str,
        header: &[&str],
        selection: &Selection<'_>,
    ) -> Result<Option<Read>, Failure> {
        let words = 2 + header.len() + selection.fields.len();
        let mut command = Cmd::with_capacity(words, words * USUAL_WORD);
        command.arg("HMGET").arg(key).arg(header);
        for field in selection.fields {
            command.arg(field.name);
        }
        let may_estimate = self.tier == Tier::Native;
        let read = connections.read(&command, may_estimate, time).await?;
        Ok(Some(Read {
            values: values(read.value)?,
            deadlines: Vec::new(),
            prefixed: Vec::new(),
            now: read.now,
            is_exact: read.is_exact,
        }))
    }

    /// The same with deadlines and by prefixes, all of one moment.
    async fn read_by_script(
        &self,
        connections: &Connections,
        time: &mut CallTime,
        key: &str,
        header: &[&str],
        selection: &Selection<'_>,
    ) -> Result<Option<Read>, Failure> {
        let with_deadline = || {
            let fields = selection.fields.iter();
            fields.filter(|field| field.deadline && self.tier == Tier::Native)
        };
        let arguments = |command: &mut Cmd| {
            command.arg(header.len() + selection.fields.len());
            command.arg(header);
            for field in selection.fields {
                command.arg(field.name);
            }
            command.arg(with_deadline().count());
            for field in with_deadline() {
                command.arg(field.name);
            }
            command.arg(selection.prefixes);
        };
        let keys = [key.to_owned()];
        let answer = self.script.run(connections, time, &keys, arguments).await?;
        if is(&answer.value, "other") {
            return Ok(None);
        }
        let parts: [Value; 4] = array(answer.value)?
            .try_into()
            .map_err(|_| Failure::MALFORMED)?;
        let [now, kept, deadlines, prefixed] = parts;
        let now = answer::time(now)?;
        answer.clock.set(now);
        let mut prefixed = values(prefixed)?.into_iter();
        let mut pairs = Vec::new();
        while let (Some(name), Some(value)) = (prefixed.next(), prefixed.next()) {
            let name = name.as_deref().map(std::str::from_utf8);
            // A name that is no text is of no schema.
            if let (Some(Ok(name)), Some(value)) = (name, value) {
                pairs.push((FieldName::Owned(name.to_owned()), value));
            }
        }
        Ok(Some(Read {
            values: values(kept)?,
            deadlines: redis::from_redis_value(deadlines).map_err(|_| Failure::MALFORMED)?,
            prefixed: pairs,
            now,
            is_exact: true,
        }))
    }

    fn found(
        &self,
        mut header: Header,
        asked: Beside,
        read: Read,
        selection: &Selection<'_>,
    ) -> Result<Loaded, Absent> {
        // An estimate is late; the session was seen by another connection or program meanwhile.
        let (tier, now) = (
            self.tier,
            if read.is_exact {
                read.now
            } else {
                read.now.max(header.seen)
            },
        );
        let tolerance = match read.is_exact {
            true => Duration::ZERO,
            false => ESTIMATE_TOLERANCE,
        };
        let has_ended = header
            .deadline()
            .is_some_and(|deadline| deadline + tolerance <= now);
        if has_ended {
            return Err(Absent::Ended);
        }
        let mut values = read.values.into_iter().skip(1);
        let mut next = || values.next().flatten();
        if let Some(kept) = next() {
            header.principals = layout::principals(&kept);
        }
        // On an estimated clock only the server has judged.
        let judged = read.is_exact.then_some(now);
        let mut credential = |is_asked: bool| {
            let kept = if is_asked { next() } else { None };
            kept.and_then(|kept| layout::credential(&kept, judged))
        };
        header.previous = credential(asked.previous);
        header.link = credential(asked.link);
        if asked.label {
            header.label = next().and_then(|kept| layout::label(kept, tier));
        }
        let mut deadlines = read.deadlines.iter();
        let fields = values.zip(selection.fields).map(|(kept, selected)| {
            let deadline = match selected.deadline {
                true => deadlines.next(),
                false => None,
            };
            let mut field = layout::live(kept?, tier, now)?;
            if !selected.deadline {
                field.deadline = None;
            } else if let Some(millis) = deadline.and_then(|&millis| u64::try_from(millis).ok()) {
                field.deadline = Some(Timestamp::from_millis(millis));
            }
            Some(field)
        });
        let fields = fields.collect();
        let prefixed = read.prefixed.into_iter().filter_map(|(name, kept)| {
            let field = layout::live(kept, tier, now)?;
            Some((name, StoredField::new(field.value, None)))
        });
        // A hash has no order.
        let mut prefixed: Vec<_> = prefixed.collect();
        prefixed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(Loaded::new(header, fields, now).with_prefixed(prefixed))
    }
}

/// The header fields that a load always reads.
const USUAL_HEADER: [&str; 2] = ["@", "@principals"];

/// The header fields of a load, in the order in which they are read.
fn header_names(beside: Beside) -> Cow<'static, [&'static str]> {
    if beside == Beside::default() {
        return Cow::Borrowed(&USUAL_HEADER);
    }
    let mut names = USUAL_HEADER.to_vec();
    for (is_asked, name) in [
        (beside.previous, "@previous"),
        (beside.link, "@link"),
        (beside.label, "@label"),
    ] {
        if is_asked {
            names.push(name);
        }
    }
    Cow::Owned(names)
}

/// The values of an answer, as parts of one buffer: a clone of a part costs no allocation.
fn values(value: Value) -> Result<Vec<Option<Bytes>>, Failure> {
    let values = array(value)?;
    let length = |value: &Value| match value {
        Value::BulkString(bytes) => bytes.len(),
        _ => 0,
    };
    let mut buffer = BytesMut::with_capacity(values.iter().map(length).sum());
    let part = |value| match value {
        Value::BulkString(bytes) => {
            buffer.extend_from_slice(&bytes);
            Ok(Some(buffer.split().freeze()))
        }
        value => bytes(value),
    };
    values.into_iter().map(part).collect()
}
