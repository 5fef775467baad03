//! The scripts that run on the server, and their arguments and answers.

use bytes::Bytes;
use redis::{Cmd, Value};

use super::Tier;
use super::connection::Connections;
use super::error::{Failure, Refusal};
use super::layout;
use crate::store::{
    Action, Applied, Change, Commit, Condition, FieldTtl, IndexChange, MergeOperation, Outcome,
    SessionStep,
};

const COMMIT_NATIVE: &str = concat!(
    include_str!("scripts/start.lua"),
    "local is_native = true\n",
    include_str!("scripts/plain.lua"),
    include_str!("scripts/batches.lua"),
    include_str!("scripts/native.lua"),
    include_str!("scripts/lists.lua"),
    include_str!("scripts/native_lists.lua"),
    include_str!("scripts/decimal.lua"),
    include_str!("scripts/commit.lua"),
);
const COMMIT_COMPATIBLE: &str = concat!(
    include_str!("scripts/start.lua"),
    "local is_native = false\n",
    include_str!("scripts/plain.lua"),
    include_str!("scripts/batches.lua"),
    include_str!("scripts/compatible.lua"),
    include_str!("scripts/lists.lua"),
    include_str!("scripts/compatible_lists.lua"),
    include_str!("scripts/decimal.lua"),
    include_str!("scripts/commit.lua"),
);
const INDEX_NATIVE: &str = concat!(
    include_str!("scripts/start.lua"),
    include_str!("scripts/lists.lua"),
    include_str!("scripts/native_lists.lua"),
    include_str!("scripts/index.lua"),
);
const INDEX_COMPATIBLE: &str = concat!(
    include_str!("scripts/start.lua"),
    include_str!("scripts/lists.lua"),
    include_str!("scripts/compatible_lists.lua"),
    include_str!("scripts/index.lua"),
);
const LOAD: &str = include_str!("scripts/load.lua");

/// Durations beyond this are as good as none: servers keep deadlines in 46 bits.
const LONGEST: u128 = (1 << 46) - 1;

/// A script, called by its hash and sent whole when the server does not have it.
pub(super) struct Script {
    source: &'static str,
    hash: String,
}

impl Script {
    pub(super) fn commit(tier: Tier) -> Self {
        Self::new(match tier {
            Tier::Native => COMMIT_NATIVE,
            Tier::Compatible => COMMIT_COMPATIBLE,
        })
    }

    pub(super) fn load() -> Self {
        Self::new(LOAD)
    }

    pub(super) fn index(tier: Tier) -> Self {
        Self::new(match tier {
            Tier::Native => INDEX_NATIVE,
            Tier::Compatible => INDEX_COMPATIBLE,
        })
    }

    fn new(source: &'static str) -> Self {
        let hash = redis::Script::new(source).get_hash().to_owned();
        Self { source, hash }
    }

    /// Runs the script on these keys. `arguments` appends its arguments to the command.
    pub(super) async fn run(
        &self,
        connections: &Connections,
        keys: &[String],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Value, Failure> {
        let command = |name: &str, script: &str| {
            let mut command = Cmd::with_capacity(16, 256);
            command.arg(name).arg(script).arg(keys.len()).arg(keys);
            arguments(&mut command);
            command
        };
        let by_hash = command("EVALSHA", &self.hash);
        match connections.command(&by_hash).await {
            // `EVAL` keeps the script too, and needs no right of its own beyond it.
            Err(Failure::Refused(Refusal::NoScript)) => {
                connections.command(&command("EVAL", self.source)).await
            }
            answer => answer,
        }
    }
}

/// Appends a commit in the order that `plain.lua` or `commit.lua` reads, with the lists that change
/// with it.
pub(super) fn append_commit(command: &mut Cmd, commit: &Commit, lists: &[IndexChange]) {
    if !lists.is_empty() || !append_plain(command, commit) {
        append_any(command, commit, lists);
    }
}

/// The most changes of a commit for `plain.lua`; Lua passes no more than some thousands of values.
const MOST_PLAIN: usize = 1000;

/// Appends a commit that only writes values in the simplest way; answers whether it is one.
fn append_plain(command: &mut Cmd, commit: &Commit) -> bool {
    let Action::Update {
        verifier,
        rotation: None,
    } = &commit.action
    else {
        return false;
    };
    let changes_header = commit.timeouts.is_some()
        || commit.persistent.is_some()
        || commit.label.is_some()
        || commit.end_grace;
    if changes_header || !commit.conditions.is_empty() || commit.changes.len() > MOST_PLAIN {
        return false;
    }
    let (mut lasting, mut timed) = (Vec::new(), Vec::new());
    for (position, change) in commit.changes.iter().enumerate() {
        let Change::Set {
            name,
            value,
            ttl,
            only_if_absent: false,
        } = change
        else {
            return false;
        };
        let is_repeated = commit.changes[..position]
            .iter()
            .any(|earlier| earlier.name() == name);
        if is_repeated || value.starts_with(b"@") {
            return false;
        }
        match ttl {
            None => lasting.push((name, value)),
            Some(ttl) if ttl.restart && ttl.duration.as_millis() > 0 => {
                timed.push((millis(ttl.duration), name, value));
            }
            Some(_) => return false,
        }
    }
    append_id(command, commit);
    command.arg("write").arg(verifier.to_string());
    command.arg(lasting.len());
    for (name, value) in lasting {
        command.arg(name.as_bytes()).arg(value.as_ref());
    }
    for (ttl, name, value) in timed {
        command.arg(ttl).arg(name.as_bytes()).arg(value.as_ref());
    }
    true
}

/// A touch is not remembered, so it needs no id.
fn append_id(command: &mut Cmd, commit: &Commit) {
    match commit.is_touch() {
        true => command.arg(""),
        false => command.arg(commit.id.to_string()),
    };
}

fn append_any(command: &mut Cmd, commit: &Commit, lists: &[IndexChange]) {
    let none = "";
    let (action, verifier, rotation) = match &commit.action {
        Action::Create { verifier } => ("create", Some(verifier), None),
        Action::Update { verifier, rotation } => ("update", Some(verifier), rotation.as_ref()),
        Action::Destroy { verifier } => ("destroy", Some(verifier), None),
        Action::Revoke => ("revoke", None, None),
    };
    append_id(command, commit);
    command.arg(action);
    command.arg(verifier.map(ToString::to_string).unwrap_or_default());
    match rotation {
        Some(rotation) => {
            command.arg(rotation.verifier.to_string());
            command.arg(rotation.grace.map(millis).unwrap_or_default());
        }
        None => {
            command.arg(none).arg(none);
        }
    }
    match commit.timeouts {
        Some(timeouts) => {
            for limit in [timeouts.idle(), timeouts.lifetime()] {
                command.arg(limit.map_or_else(|| "none".to_owned(), millis));
            }
        }
        None => {
            command.arg(none).arg(none);
        }
    }
    command.arg(match commit.persistent {
        Some(true) => "true",
        Some(false) => "false",
        None => none,
    });
    match &commit.label {
        Some(label) => command.arg(format!("={label}")),
        None => command.arg(none),
    };
    command.arg(flag(commit.end_grace));
    command.arg(commit.conditions.len());
    for condition in &commit.conditions {
        match condition {
            Condition::Field { name, value } => {
                command.arg(name.as_bytes()).arg(flag(value.is_some()));
                command.arg(value.as_deref().unwrap_or_default());
            }
            Condition::LastCommit(id) => {
                command.arg("@commits").arg(flag(id.is_some()));
                command.arg(id.map(|id| id.to_string()).unwrap_or_default());
            }
        }
    }
    command.arg(commit.changes.len());
    for change in &commit.changes {
        append_change(command, change);
    }
    for list in lists {
        match list {
            IndexChange::Add { keep, limit, .. } => {
                command.arg("add").arg(keep.map(millis).unwrap_or_default());
                match limit {
                    Some(limit) => command.arg(limit),
                    None => command.arg(none),
                };
            }
            IndexChange::Remove { .. } => {
                command.arg("remove").arg(none).arg(none);
            }
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
        Change::Renew { ttl, .. } => append_ttl(command, Some(FieldTtl::restarting(*ttl))),
        Change::Remove { .. } | Change::Take { .. } => {}
    }
}

fn append_ttl(command: &mut Cmd, ttl: Option<FieldTtl>) {
    command.arg(ttl.map(|ttl| millis(ttl.duration)).unwrap_or_default());
    command.arg(flag(ttl.is_some_and(|ttl| ttl.restart)));
}

pub(super) fn millis(duration: std::time::Duration) -> String {
    duration.as_millis().min(LONGEST).to_string()
}

fn flag(is_set: bool) -> &'static str {
    if is_set { "1" } else { "" }
}

/// What the commit's script answered.
pub(super) enum Answer {
    Step(SessionStep),
    /// The key holds something that is no session.
    Foreign,
}

/// Reads the answer of the commit's script to this commit.
pub(super) fn answer(commit: &Commit, value: Value) -> Result<Answer, Failure> {
    let parts = match value {
        Value::Array(parts) => parts,
        // What was only written has nothing more to say.
        Value::BulkString(word) if word == b"written" => {
            let values = vec![None; commit.changes.len()];
            return Ok(Answer::Step(SessionStep {
                outcome: Outcome::Applied(Applied::new(values)),
                repeated: false,
            }));
        }
        _ => return Err(Failure::NONSENSE),
    };
    let mut parts = parts.into_iter();
    let mut next = || {
        let part = parts.next().ok_or(Failure::NONSENSE)?;
        layout::bytes(part).map_err(|_| Failure::NONSENSE)
    };
    let place = |place: Option<Bytes>| {
        let text = place.as_deref().map(std::str::from_utf8);
        let place: Option<usize> = text.and_then(|text| text.ok()?.parse().ok());
        place.ok_or(Failure::NONSENSE)
    };
    let word = next()?;
    let repeated = word.as_deref() == Some(b"repeated");
    let outcome = match word.as_deref() {
        Some(b"applied" | b"repeated") => {
            let values = commit.changes.iter().map(|_| next());
            Outcome::Applied(Applied::new(values.collect::<Result<_, _>>()?))
        }
        Some(b"gone") => Outcome::Gone,
        Some(b"foreign") => return Ok(Answer::Foreign),
        Some(b"conflict") => {
            let condition = commit.conditions.get(place(next()?)?);
            let field = match condition.ok_or(Failure::NONSENSE)? {
                Condition::Field { name, .. } => Some(name.clone()),
                Condition::LastCommit(_) => None,
            };
            Outcome::Conflict { field }
        }
        Some(b"limit reached") => {
            let change = commit.index.get(place(next()?)?);
            let principal = *change.ok_or(Failure::NONSENSE)?.principal();
            Outcome::LimitReached { principal }
        }
        Some(b"out of range") => {
            let change = commit.changes.get(place(next()?)?);
            let field = change.ok_or(Failure::NONSENSE)?.name().clone();
            Outcome::OutOfRange { field }
        }
        _ => return Err(Failure::NONSENSE),
    };
    Ok(Answer::Step(SessionStep { outcome, repeated }))
}
