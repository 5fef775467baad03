//! The lists of principals: one hash each, `<prefix>:@principal:<key>`.
//!
//! No other prefix leads to such a key, or to that of a session: after the last colon there are 43
//! characters of the base64url alphabet in a list's key, 22 in a session's, and an `@` in the others.
//!
//! A list and a session are different keys. On one server the script that commits changes both. On a
//! Cluster they may be on different nodes, and change [in steps](crate::store::commit_in_steps).

use redis::Value;

use super::answer::{array, is, time};
use super::commit::optional;
use super::connection::Connections;
use super::error::Failure;
use super::layout::millis;
use super::script::Script;
use super::tier::Tier;
use crate::clock::Timestamp;
use crate::store::{AddStep, ListEntry, Listing, NewEntry};
use crate::token::{CommitId, SessionId};

/// Reads lists, and changes them where that is a step of its own.
pub(super) struct Lists(Script);

impl Lists {
    pub(super) fn new(tier: Tier) -> Self {
        Self(Script::list(tier))
    }

    /// Runs one operation on a list.
    async fn run(
        &self,
        connections: &Connections,
        key: String,
        arguments: &[&str],
    ) -> Result<Value, Failure> {
        let append = |command: &mut redis::Cmd| {
            command.arg(arguments);
        };
        let time = &mut connections.begin();
        let answer = self.0.run(connections, time, &[key], append).await?;
        Ok(answer.value)
    }

    pub(super) async fn list(
        &self,
        connections: &Connections,
        key: String,
    ) -> Result<Listing, Failure> {
        let mut parts = array(self.run(connections, key, &["list"]).await?)?.into_iter();
        let now = time(parts.next().ok_or(Failure::MALFORMED)?)?;
        // An entry that makes no sense lists no session.
        let entries = parts.filter_map(entry).collect();
        Ok(Listing::new(entries, now))
    }

    pub(super) async fn remove_stale(
        &self,
        connections: &Connections,
        key: String,
        entry: &ListEntry,
    ) -> Result<(), Failure> {
        let (session, mark) = (entry.session.to_string(), entry.mark.to_string());
        let arriving = if entry.arriving { "1" } else { "" };
        let arguments = ["remove stale", session.as_str(), mark.as_str(), arriving];
        self.run(connections, key, &arguments).await.map(drop)
    }

    pub(super) async fn add(
        &self,
        connections: &Connections,
        key: String,
        entry: &NewEntry,
    ) -> Result<AddStep, Failure> {
        let (session, mark) = (entry.session.to_string(), entry.mark.to_string());
        let (keep, limit) = (optional(entry.keep.map(millis)), optional(entry.limit));
        let arguments = ["add", &session, &mark, &keep, &limit];
        match self.run(connections, key, &arguments).await? {
            answer if is(&answer, "added") => Ok(AddStep::Added),
            answer if is(&answer, "replaced") => Ok(AddStep::Replaced),
            answer if is(&answer, "limit reached") => Ok(AddStep::LimitReached),
            _ => Err(Failure::MALFORMED),
        }
    }

    pub(super) async fn confirm(
        &self,
        connections: &Connections,
        key: String,
        session: &SessionId,
        mark: &CommitId,
    ) -> Result<bool, Failure> {
        let (session, mark) = (session.to_string(), mark.to_string());
        let arguments = ["confirm", session.as_str(), mark.as_str()];
        Ok(is(&self.run(connections, key, &arguments).await?, "listed"))
    }

    pub(super) async fn remove(
        &self,
        connections: &Connections,
        key: String,
        session: &SessionId,
    ) -> Result<(), Failure> {
        let arguments = ["remove", &session.to_string(), ""];
        self.run(connections, key, &arguments).await.map(drop)
    }
}

fn entry(value: Value) -> Option<ListEntry> {
    let words: Vec<String> = redis::from_redis_value(value).ok()?;
    let [session, mark, added, until, state] = words.as_slice() else {
        return None;
    };
    let moment = |millis: &str| Some(Timestamp::from_millis(millis.parse().ok()?));
    let entry = ListEntry::new(session.parse().ok()?, mark.parse().ok()?, moment(added)?);
    let entry = match until.as_str() {
        "" => entry,
        until => entry.until(Some(moment(until)?)),
    };
    Some(match state.as_str() {
        "listed" => entry,
        _ => entry.arriving(),
    })
}
