//! The lists of principals: one hash each, `<prefix>:@principal:<key>`.
//!
//! No other prefix leads to such a key, or to that of a session: after the last colon there are 43
//! characters of the base64url alphabet in a list's key, 22 in a session's, and an `@` in the others.
//!
//! A list and a session are different keys. On one server the script that commits changes both. On a
//! Cluster they may be on different nodes, and change [in steps](crate::store::commit_in_steps).

use futures_core::future::BoxFuture;
use redis::Value;

use super::error::Failure;
use super::script::millis;
use super::{RedisStore, layout};
use crate::clock::Timestamp;
use crate::store::{
    AddStep, Commit, IndexEntries, IndexEntry, NewEntry, PrincipalKey, SessionStep, SteppedStore,
    StoreError,
};
use crate::token::{CommitId, SessionId};

impl RedisStore {
    pub(super) fn list_key(&self, principal: &PrincipalKey) -> String {
        format!("{}:@principal:{principal}", self.prefix)
    }

    /// Runs one operation on a principal's list.
    async fn change_list(
        &self,
        principal: &PrincipalKey,
        arguments: &[&str],
    ) -> Result<Value, Failure> {
        let keys = [self.list_key(principal)];
        let append = |command: &mut redis::Cmd| {
            command.arg(arguments);
        };
        self.index.run(&self.connections, &keys, append).await
    }

    pub(super) async fn list(&self, principal: &PrincipalKey) -> Result<IndexEntries, Failure> {
        let answer = self.change_list(principal, &["list"]).await?;
        let Value::Array(parts) = answer else {
            return Err(Failure::NONSENSE);
        };
        let mut parts = parts.into_iter();
        let now = parts.next().ok_or(Failure::NONSENSE)?;
        let now = layout::time(now).map_err(|_| Failure::NONSENSE)?;
        // An entry that makes no sense lists no session.
        let entries = parts.filter_map(entry).collect();
        Ok(IndexEntries::new(entries, now))
    }

    pub(super) async fn forget_entry(
        &self,
        principal: &PrincipalKey,
        entry: &IndexEntry,
    ) -> Result<(), Failure> {
        let (session, mark) = (entry.session.to_string(), entry.mark.to_string());
        let arriving = if entry.arriving { "1" } else { "" };
        let arguments = ["forget", session.as_str(), mark.as_str(), arriving];
        self.change_list(principal, &arguments).await.map(drop)
    }
}

fn entry(value: Value) -> Option<IndexEntry> {
    let words: Vec<String> = redis::from_redis_value(value).ok()?;
    let [session, mark, added, state] = words.as_slice() else {
        return None;
    };
    let added = Timestamp::from_millis(added.parse().ok()?);
    let entry = IndexEntry::new(session.parse().ok()?, mark.parse().ok()?, added);
    Some(if state == "listed" {
        entry
    } else {
        entry.arriving()
    })
}

/// Whether the answer is this word.
fn is(answer: &Value, word: &str) -> bool {
    matches!(answer, Value::BulkString(bytes) if bytes == word.as_bytes())
}

impl SteppedStore for RedisStore {
    fn commit_session<'a>(
        &'a self,
        commit: &'a Commit,
    ) -> BoxFuture<'a, Result<SessionStep, StoreError>> {
        Box::pin(async move {
            self.apply(commit, &[])
                .await
                .map_err(|failure| self.commit_failed(failure))
        })
    }

    fn add_entry<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a NewEntry,
    ) -> BoxFuture<'a, Result<AddStep, StoreError>> {
        Box::pin(async move {
            let (session, mark) = (entry.session.to_string(), entry.mark.to_string());
            let keep = entry.keep.map(millis).unwrap_or_default();
            let limit = entry.limit.map(|limit| limit.to_string());
            let limit = limit.unwrap_or_default();
            let arguments = ["add", &session, &mark, &keep, &limit];
            let answer = self.change_list(principal, &arguments).await;
            match answer.map_err(|failure| self.load_failed(failure))? {
                answer if is(&answer, "added") => Ok(AddStep::Added),
                answer if is(&answer, "replaced") => Ok(AddStep::Replaced),
                answer if is(&answer, "limit reached") => Ok(AddStep::LimitReached),
                _ => Err(self.load_failed(Failure::NONSENSE)),
            }
        })
    }

    fn confirm_entry<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        session: &'a SessionId,
        mark: &'a CommitId,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let (session, mark) = (session.to_string(), mark.to_string());
            let arguments = ["confirm", session.as_str(), mark.as_str()];
            let answer = self.change_list(principal, &arguments).await;
            Ok(is(
                &answer.map_err(|failure| self.load_failed(failure))?,
                "listed",
            ))
        })
    }

    fn remove_entry<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        session: &'a SessionId,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let arguments = ["remove", &session.to_string(), ""];
            let answer = self.change_list(principal, &arguments).await;
            answer
                .map(drop)
                .map_err(|failure| self.load_failed(failure))
        })
    }
}
