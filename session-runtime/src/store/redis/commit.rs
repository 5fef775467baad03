//! The arguments and the answers of the script that commits; `scripts/commit.lua` has their order.

use redis::{Cmd, Value};

use super::answer;
use super::error::Failure;
use super::layout::{self, escape, millis};
use crate::clock::Timestamp;
use crate::store::{
    Action, Applied, Change, Commit, Condition, FieldTtl, Link, ListChange, MergeOperation,
    Outcome, Rotation, SessionStep,
};

/// The most changes that are written in the simplest way; Lua passes no more than some thousands of
/// values.
const MOST_PLAIN: usize = 1000;

const NONE: &str = "";

/// Appends a commit in the one order that the short and the long way through the script read.
pub(super) fn append(command: &mut Cmd, commit: &Commit) {
    // A touch is not remembered, so it needs no id.
    match commit.is_touch() {
        true => command.arg(NONE),
        false => command.arg(commit.id.to_string()),
    };
    let (action, verifier) = match &commit.action {
        Action::Create { verifier, .. } => ("create", verifier.to_string()),
        Action::Update { verifier, .. } => ("update", verifier.to_string()),
        Action::Destroy { verifier } => ("destroy", verifier.to_string()),
        Action::Revoke => ("revoke", String::new()),
    };
    command.arg(action).arg(verifier);
    let plain = Plain::of(&commit.changes);
    match &plain {
        Some(plain) => plain.append(command),
        None => {
            command.arg(6).arg(0);
        }
    }
    if plain.is_none() || !only_writes(commit) {
        append_rest(command, commit, plain.is_none());
    }
}

/// Whether the commit does nothing besides its changes of fields.
fn only_writes(commit: &Commit) -> bool {
    matches!(commit.action, Action::Update { rotation: None, .. })
        && commit.timeouts.is_none()
        && commit.persistent.is_none()
        && commit.label.is_none()
        && !commit.end_grace
        && !commit.close_link
        && commit.lists.is_empty()
        && commit.conditions.is_empty()
}

/// Changes that only write values in the simplest way, each to a field of its own, so that their
/// order does not matter.
struct Plain<'a> {
    lasting: Vec<Write<'a>>,
    /// By their time to live in milliseconds.
    timed: Vec<(u64, Vec<Write<'a>>)>,
}

/// The name and the value of a field.
type Write<'a> = (&'a [u8], &'a [u8]);

impl<'a> Plain<'a> {
    fn of(changes: &'a [Change]) -> Option<Self> {
        if changes.len() > MOST_PLAIN {
            return None;
        }
        let (mut lasting, mut timed) = (Vec::new(), Vec::<(u64, Vec<_>)>::new());
        for (position, change) in changes.iter().enumerate() {
            let Change::Set {
                name,
                value,
                ttl,
                only_if_absent: false,
            } = change
            else {
                return None;
            };
            let is_repeated = changes[..position]
                .iter()
                .any(|earlier| earlier.name() == name);
            // A value that begins with `@` is kept in another form in the compatible tier.
            if is_repeated || value.starts_with(b"@") {
                return None;
            }
            let write = (name.as_bytes(), value.as_ref());
            match ttl.map(|ttl| (millis(ttl.duration), ttl.restart)) {
                None => lasting.push(write),
                Some((ttl @ 1.., true)) => {
                    match timed.iter_mut().find(|(group, _)| *group == ttl) {
                        Some((_, writes)) => writes.push(write),
                        None => timed.push((ttl, vec![write])),
                    }
                }
                Some(_) => return None,
            }
        }
        Some(Self { lasting, timed })
    }

    fn append(&self, command: &mut Cmd) {
        let append = |command: &mut Cmd, writes: &[Write<'_>]| {
            for (name, value) in writes {
                command.arg(*name).arg(*value);
            }
        };
        let timed = self.timed.iter().map(|(_, writes)| 2 + 2 * writes.len());
        command.arg(6 + 2 * self.lasting.len() + timed.sum::<usize>());
        command.arg(self.lasting.len());
        append(command, &self.lasting);
        for (ttl, writes) in &self.timed {
            command.arg(*ttl).arg(writes.len());
            append(command, writes);
        }
    }
}

/// Appends the arguments of the long way; the changes only where they are not plain.
fn append_rest(command: &mut Cmd, commit: &Commit, with_changes: bool) {
    let (mut rotation, mut link) = (None, None);
    match &commit.action {
        Action::Create { link: created, .. } => link = created.as_ref(),
        Action::Update { rotation: made, .. } => rotation = made.as_ref(),
        _ => {}
    }
    command.arg(commit.session.to_string());
    append_rotation(command, rotation);
    match link {
        Some(Link { verifier, keep, .. }) => {
            command.arg(verifier.to_string()).arg(millis(*keep));
        }
        None => {
            command.arg(NONE).arg(NONE);
        }
    }
    command.arg(commit.timeouts.map(layout::timeouts).unwrap_or_default());
    command.arg(match commit.persistent {
        Some(true) => "t",
        Some(false) => "f",
        None => NONE,
    });
    match &commit.label {
        Some(label) => command.arg(format!("={label}")),
        None => command.arg(NONE),
    };
    command
        .arg(flag(commit.end_grace))
        .arg(flag(commit.close_link));
    command.arg(commit.conditions.len());
    for condition in &commit.conditions {
        append_condition(command, condition);
    }
    if with_changes {
        command.arg(commit.changes.len());
        for change in &commit.changes {
            append_change(command, change);
        }
    } else {
        command.arg(0);
    }
    for list in &commit.lists {
        append_list(command, list);
    }
}

fn append_rotation(command: &mut Cmd, rotation: Option<&Rotation>) {
    match rotation {
        Some(rotation) => {
            command.arg(rotation.verifier.to_string());
            command.arg(optional(rotation.grace.map(millis)));
            command.arg(flag(rotation.from_previous));
        }
        None => {
            command.arg(NONE).arg(NONE).arg(NONE);
        }
    }
}

fn append_condition(command: &mut Cmd, condition: &Condition) {
    match condition {
        Condition::Field { name, value } => {
            command.arg("field").arg(name.as_bytes());
            command.arg(flag(value.is_some()));
            command.arg(value.as_deref().unwrap_or_default());
        }
        Condition::LastCommit(id) => {
            command.arg("last").arg(NONE).arg(flag(id.is_some()));
            command.arg(optional(*id));
        }
        Condition::Principal { field, principal } => {
            command.arg("principal").arg(escape(field));
            command.arg(flag(true)).arg(principal.to_string());
        }
    }
}

fn append_change(command: &mut Cmd, change: &Change) {
    let kind = match change {
        Change::Set {
            only_if_absent: false,
            ..
        } => "set",
        Change::Set { .. } => "set if absent",
        Change::Remove { .. } => "remove",
        Change::Merge { .. } => "merge",
        Change::Renew { .. } => "renew",
        Change::Take { .. } => "take",
        Change::Bound { .. } => "bound",
    };
    command.arg(kind).arg(change.name().as_bytes());
    match change {
        Change::Set { value, ttl, .. } => {
            command.arg(value.as_ref());
            append_ttl(command, *ttl);
        }
        Change::Merge {
            operation,
            operand,
            initial,
            range,
            ttl,
            ..
        } => {
            command.arg(match operation {
                MergeOperation::Add => "add",
                MergeOperation::Max => "max",
                MergeOperation::Min => "min",
            });
            command.arg(operand).arg(initial);
            command.arg(range.min).arg(range.max);
            command.arg(flag(range.stop_at_min));
            append_ttl(command, *ttl);
        }
        Change::Renew { ttl, restore, .. } => {
            append_ttl(command, Some(FieldTtl::restarting(*ttl)));
            command.arg(flag(restore.is_some()));
            match restore {
                Some(restore) => {
                    command.arg(restore.value.as_ref());
                    command.arg(optional(restore.last_commit));
                }
                None => {
                    command.arg(NONE).arg(NONE);
                }
            }
        }
        Change::Bound { max, evict, .. } => {
            command.arg(*max).arg(flag(*evict));
        }
        Change::Remove { .. } | Change::Take { .. } => {}
    }
}

fn append_ttl(command: &mut Cmd, ttl: Option<FieldTtl>) {
    command.arg(optional(ttl.map(|ttl| millis(ttl.duration))));
    command.arg(flag(ttl.is_some_and(|ttl| ttl.restart)));
}

fn append_list(command: &mut Cmd, list: &ListChange) {
    match list {
        ListChange::Add {
            field,
            principal,
            keep,
            limit,
        } => {
            command.arg("add").arg(escape(field));
            command.arg(principal.to_string());
            command.arg(optional(keep.map(millis)));
            command.arg(optional(*limit));
        }
        ListChange::Remove { field, principal } => {
            command.arg("remove").arg(escape(field));
            command.arg(principal.to_string()).arg(NONE).arg(NONE);
        }
    }
}

fn flag(is_set: bool) -> &'static str {
    if is_set { "1" } else { NONE }
}

pub(super) fn optional(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// The script's answer, with the server's time if it changed the session.
pub(super) enum Committed {
    /// The commit was applied or refused.
    Step(SessionStep, Option<Timestamp>),
    /// The key holds something that is no session.
    NoSession,
}

/// Reads the script's answer to this commit.
pub(super) fn answer(commit: &Commit, value: Value) -> Result<Committed, Failure> {
    let parts = match value {
        // The short way has nothing more to say than the time.
        Value::Int(_) => {
            let applied = Applied::new(vec![None; commit.changes.len()]);
            let step = SessionStep::new(Outcome::Applied(applied), false);
            return Ok(Committed::Step(step, Some(answer::moment(&value)?)));
        }
        value => answer::array(value)?,
    };
    let mut parts = parts.into_iter();
    let mut next = || parts.next().ok_or(Failure::MALFORMED);
    let word = answer::bytes(next()?)?.ok_or(Failure::MALFORMED)?;
    let place = |place: Value| match place {
        Value::Int(place) => usize::try_from(place).map_err(|_| Failure::MALFORMED),
        _ => Err(Failure::MALFORMED),
    };
    let refused = |outcome| Ok(Committed::Step(SessionStep::new(outcome, false), None));
    let change = |place| commit.changes.get(place).ok_or(Failure::MALFORMED);
    match &*word {
        b"applied" | b"repeated" => {
            let now = answer::moment(&next()?)?;
            let values = commit.changes.iter().map(|_| answer::bytes(next()?));
            let applied = Applied::new(values.collect::<Result<_, _>>()?);
            let step = SessionStep::new(Outcome::Applied(applied), &*word == b"repeated");
            Ok(Committed::Step(step, Some(now)))
        }
        b"other" => Ok(Committed::NoSession),
        b"gone" => refused(Outcome::Gone),
        b"taken" => refused(Outcome::IdTaken),
        b"conflict" => {
            let condition = commit.conditions.get(place(next()?)?);
            let field = match condition.ok_or(Failure::MALFORMED)? {
                Condition::Field { name: field, .. } | Condition::Principal { field, .. } => {
                    Some(field.clone())
                }
                Condition::LastCommit(_) => None,
            };
            refused(Outcome::Conflict { field })
        }
        b"full" => {
            let list = commit.lists.get(place(next()?)?);
            let principal = *list.ok_or(Failure::MALFORMED)?.principal();
            refused(Outcome::LimitReached { principal })
        }
        b"changed" => {
            let field = Some(change(place(next()?)?)?.name().clone());
            refused(Outcome::Conflict { field })
        }
        b"out of range" => {
            let field = change(place(next()?)?)?.name().clone();
            refused(Outcome::OutOfRange { field })
        }
        b"too many" => {
            let prefix = change(place(next()?)?)?.name().clone();
            refused(Outcome::TooMany { prefix })
        }
        _ => Err(Failure::MALFORMED),
    }
}
