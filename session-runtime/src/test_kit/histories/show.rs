//! Shows programs and histories in words, to find the defect by.

use std::fmt;

use super::linearize::Unexplained;
use super::program::NAMES;
use super::run::{Answer, Call, History};
use crate::store::{
    Action, Change, Commit, Condition, FieldTtl, ListChange, Loaded, Outcome, PrincipalKey,
};
use crate::token::{CommitId, SessionId, Verifier};

/// A history and why nothing explains it.
pub(super) struct Shown<'a>(pub(super) &'a History, pub(super) &'a Unexplained);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(history, unexplained) = self;
        let width = history.calls.iter().map(|call| call.began).max();
        let width = width.unwrap_or(0).to_string().len();
        let line = |f: &mut fmt::Formatter<'_>, call: &Call| {
            match call.answered {
                Some(answered) => write!(f, "  {:>width$}…{answered:<width$}", call.began)?,
                None => write!(f, "  {:>width$}…{:<width$}", call.began, "?")?,
            }
            match call.task {
                0 => write!(f, " alone   ")?,
                task => write!(f, " task {task}  ")?,
            }
            writeln!(f, "{}", describe_call(history, call))
        };
        writeln!(f, "what happened (begin…answer, task, call, answer):")?;
        for call in &history.calls {
            line(f, call)?;
        }
        writeln!(f, "the longest order that explains its answers:")?;
        for &index in &unexplained.explained {
            line(f, &history.calls[index])?;
        }
        write!(f, "none of the others can follow")
    }
}

fn describe_call(history: &History, call: &Call) -> String {
    match &call.answer {
        Answer::Committed(index, outcome) => {
            let commit = describe_commit(&history.commits[*index]);
            match outcome {
                Some(outcome) => format!("{commit} -> {}", describe_outcome(outcome)),
                None => format!("{commit} -> not awaited"),
            }
        }
        Answer::Loaded(session, loaded) => {
            let loaded = loaded.as_ref().map_or("none".to_owned(), describe_loaded);
            format!("load session {} -> {loaded}", of_session(session))
        }
        Answer::Listed(principal, sessions) => {
            let sessions: Vec<_> = sessions.iter().map(of_session).collect();
            format!("list principal {} -> {sessions:?}", of_principal(principal))
        }
        Answer::Passed(time) => format!("{time:?} pass"),
    }
}

fn describe_commit(commit: &Commit) -> String {
    let mut words = vec![format!("commit {}", of_commit(&commit.id))];
    let session = of_session(&commit.session);
    words.push(match &commit.action {
        Action::Create { verifier, link } => {
            let link =
                link.map(|link| format!(", link {} for {:?}", of(&link.verifier), link.keep));
            let link = link.unwrap_or_default();
            format!(
                "creates session {session} with token {}{link}",
                of(verifier)
            )
        }
        Action::Update { verifier, rotation } => {
            let rotation = rotation.as_ref().map(|rotation| {
                let grace = rotation.grace;
                let from = if rotation.from_previous {
                    ", also from the one before"
                } else {
                    ""
                };
                format!(
                    ", new token {} (grace {grace:?}{from})",
                    of(&rotation.verifier)
                )
            });
            let rotation = rotation.unwrap_or_default();
            format!(
                "updates session {session} with token {}{rotation}",
                of(verifier)
            )
        }
        Action::Destroy { verifier } => {
            format!("destroys session {session} with token {}", of(verifier))
        }
        Action::Revoke => format!("revokes session {session}"),
    });
    for condition in &commit.conditions {
        words.push(match condition {
            Condition::Field { name, value } => format!("if {name} = {value:?}"),
            Condition::LastCommit(id) => {
                format!("if the last commit is {:?}", id.as_ref().map(of_commit))
            }
            Condition::Principal { field, principal } => {
                format!("if {field} names principal {}", of_principal(principal))
            }
        });
    }
    words.extend(commit.changes.iter().map(describe_change));
    if let Some(timeouts) = &commit.timeouts {
        words.push(format!(
            "idle {:?}, lifetime {:?}",
            timeouts.idle(),
            timeouts.lifetime()
        ));
    }
    words.extend(commit.persistent.map(|value| format!("persistent {value}")));
    words.extend(
        commit
            .label
            .as_ref()
            .map(|label| format!("label {label:?}")),
    );
    words.extend(commit.end_grace.then(|| "end of the grace".to_owned()));
    words.extend(commit.close_link.then(|| "end of the link".to_owned()));
    for change in &commit.lists {
        let principal = of_principal(change.principal());
        words.push(match change {
            ListChange::Add { limit, .. } => format!("listed by {principal} (limit {limit:?})"),
            ListChange::Remove { .. } => format!("not listed by {principal}"),
        });
    }
    words.join("; ")
}

fn describe_change(change: &Change) -> String {
    let until = |ttl: &Option<FieldTtl>| match ttl {
        None => String::new(),
        Some(ttl) if ttl.restart => format!(" for {:?}", ttl.duration),
        Some(ttl) => format!(" for {:?} from the first write", ttl.duration),
    };
    match change {
        Change::Set {
            name,
            value,
            ttl,
            only_if_absent,
        } => {
            let first = if *only_if_absent { " if absent" } else { "" };
            format!("{name} = {value:?}{first}{}", until(ttl))
        }
        Change::Remove { name } => format!("remove {name}"),
        Change::Merge {
            name,
            operation,
            operand,
            initial,
            range,
            ttl,
        } => {
            let stop = if range.stop_at_min { ", stops" } else { "" };
            let range = match (range.min, range.max) {
                (i64::MIN, i64::MAX) => "any".to_owned(),
                (min, max) => format!("{min}..={max}{stop}"),
            };
            let until = until(ttl);
            format!("{name} {operation:?} {operand} (from {initial}, {range}){until}")
        }
        Change::Renew { name, ttl, restore } => {
            let restore = restore.as_ref().map(|restore| {
                let last = restore.last_commit.as_ref().map(of_commit);
                format!(", else {:?} if the last commit is {last:?}", restore.value)
            });
            format!("renew {name} for {ttl:?}{}", restore.unwrap_or_default())
        }
        Change::Take { name } => format!("take {name}"),
        Change::Bound { prefix, max, evict } => {
            let or = if *evict { "evicting" } else { "refusing" };
            format!("at most {max} {prefix}*, {or} others")
        }
    }
}

fn describe_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied(applied) => format!("applied {:?}", applied.values),
        Outcome::LimitReached { principal } => {
            format!("limit of principal {} reached", of_principal(principal))
        }
        other => format!("{other:?}"),
    }
}

fn describe_loaded(loaded: &Loaded) -> String {
    let header = &loaded.header;
    let fields = NAMES.iter().zip(&loaded.fields).map(|(name, field)| {
        let field = field.as_ref();
        let value = field.map(|field| (&field.value, field.deadline.map(|at| at.as_millis())));
        format!("{name} = {value:?}")
    });
    let prefixed = loaded.prefixed.iter();
    let prefixed = prefixed.map(|(name, field)| format!("{name} = {:?}", field.value));
    let principals = header.principals.iter();
    let principals = principals.map(|one| format!("{} {}", one.field, of_principal(&one.key)));
    format!(
        "at {}: token {}, before {:?}, link {:?}, created {}, rotated {}, seen {}, idle {:?}, end {:?}, \
         persistent {:?}, label {:?}, last commit {:?}, principals {:?}, {}",
        loaded.now,
        of(&header.verifier),
        header.previous.map(|previous| of(&previous.verifier)),
        header.link.map(|link| of(&link.verifier)),
        header.created,
        header.rotated,
        header.seen,
        header.idle,
        header.end.map(|end| end.as_millis()),
        header.persistent,
        header.label,
        header.last_commit.as_ref().map(of_commit),
        principals.collect::<Vec<_>>(),
        fields.chain(prefixed).collect::<Vec<_>>().join(", "),
    )
}

fn of(verifier: &Verifier) -> u8 {
    verifier.as_bytes()[0]
}

fn of_session(session: &SessionId) -> u8 {
    session.as_bytes()[0]
}

fn of_commit(id: &CommitId) -> String {
    format!("#{}", id.to_string().trim_start_matches('0'))
}

fn of_principal(principal: &PrincipalKey) -> String {
    let known = super::program::principals().position(|known| known == *principal);
    known.map_or("unknown".to_owned(), |number| number.to_string())
}
