//! The store: loads, commits and lists over the connections of one server or Cluster.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::commit::{self, Committed};
use super::connection::Connections;
use super::error::{Failure, Refusal};
use super::lists::Lists;
use super::load::{Absent, Loads};
use super::script::Script;
use super::tier::Tier;
use crate::events;
use crate::store::{
    Action, AddStep, Commit, Count, ListEntry, Listing, Loaded, NewEntry, Outcome, PrincipalKey,
    Selection, SessionStep, SessionStore, SteppedStore, StoreError, commit_in_steps,
};
use crate::token::{CommitId, SessionId};

/// Characters of a session's key after the prefix: a colon and the id.
const SUFFIX: usize = 23;

/// Keeps sessions in Redis or Valkey: one server, behind Sentinel, or a Cluster.
///
/// ```no_run
/// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
/// use session_runtime::RedisStore;
///
/// let store = RedisStore::connect("redis://shop:secret@127.0.0.1:6379/0").await?;
/// # Ok(())
/// # }
/// ```
///
/// # What the server's user needs
///
/// ```text
/// ACL SETUSER shop on >secret ~session:* resetchannels -@all
///     +hmget +hget +hgetall +hkeys +hset +hsetex +hpexpiretime +hdel +exists +del +pexpireat
///     +persist +time +eval +evalsha +dbsize
/// ```
///
/// On a server without them, leave out `+hsetex` and `+hpexpiretime`. A Cluster needs
/// `+cluster|slots` besides, a database other than 0 `+select`. The user at the Sentinels needs
/// `+sentinel|get-master-addr-by-name` (`+sentinel` before Redis 7).
///
/// # Lists of principals
///
/// A principal's sessions are one more hash, `<prefix>:@principal:<key>`, named by a digest. One
/// server changes it in the script that commits to the session, so a sign-in is a load and a commit
/// like any other. On a Cluster the two may be on different nodes: a sign-in takes two trips more, a
/// sign-out one. A process that dies in between leaves an entry too many, never one too few, and the
/// next look at the list removes it; see [`commit_in_steps`](crate::store::commit_in_steps).
///
/// Lists clean themselves. In the native tier the server removes each entry when its session can no
/// longer live; in the compatible tier the next change of the same list does, and the server removes
/// the list with its last entry. What a list costs depends on its own sessions only.
///
/// # Guarantees
///
/// A commit that is acknowledged is on the master. Redis copies to replicas afterwards, so a
/// failover can lose the last acknowledged commits; it never brings back what they removed from a
/// master that stays. Sessions are never read from replicas.
///
/// A commit that got no answer in time is [`OutcomeUnknown`](crate::store::StoreErrorKind::OutcomeUnknown). After
/// a lost connection it is sent again within its deadline; the session remembers its last eight
/// commits, so it takes effect once unless eight others of the same session come first.
///
/// A server that evicts keys signs visitors out: `maxmemory-policy noeviction` refuses new data
/// instead ([`Full`](crate::store::StoreErrorKind::Full)). Commits that add nothing still work then:
/// touches, renewals by reading, removals and signing out.
///
/// On one server and behind Sentinel, in the native tier, a load that asks for no deadline is one
/// `HMGET`: the server itself removes what has ended, and the load's time is estimated from what the
/// server last answered on the same connection; one load in nine asks for `TIME` too. Where a key
/// has lost its expiry, by `PERSIST` or from a backup, such a load sees the end of the session up
/// to a minute late, and every commit sees it at once.
///
/// # Earlier versions
///
/// `<prefix>:@layout` records the layout of the sessions. Sessions of the first layout (one field for
/// each part of the header) are refused at connect
/// ([`EarlierLayout`](crate::store::RedisConnectError::EarlierLayout)), and a program of that version
/// refuses these. Use another prefix, or remove the record once the old sessions have ended.
pub struct RedisStore {
    connections: Connections,
    prefix: String,
    tier: Tier,
    commit: Script,
    loads: Loads,
    lists: Lists,
}

impl RedisStore {
    pub(super) fn new(connections: Connections, prefix: String, tier: Tier) -> Self {
        tracing::info!(target: "session_runtime", %prefix, %tier, "connected to Redis");
        Self {
            connections,
            prefix,
            tier,
            commit: Script::commit(tier),
            loads: Loads::new(tier),
            lists: Lists::new(tier),
        }
    }

    /// The storage tier, which decides who removes fields whose time has come.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    fn key(&self, session: &SessionId) -> String {
        let mut key = String::with_capacity(self.prefix.len() + SUFFIX);
        key.push_str(&self.prefix);
        key.push(':');
        // Writing to a string cannot fail.
        let _ = write!(key, "{session}");
        key
    }

    fn list_key(&self, principal: &PrincipalKey) -> String {
        format!("{}:@principal:{principal}", self.prefix)
    }

    /// Applies a commit to its session and, in the same step, to these lists.
    async fn apply(
        &self,
        commit: &Commit,
        lists: impl Iterator<Item = String>,
    ) -> Result<SessionStep, Failure> {
        let mut keys = vec![self.key(&commit.session)];
        keys.extend(lists);
        let append = |command: &mut redis::Cmd| commit::append(command, commit);
        let time = &mut self.connections.begin();
        let answer = self.commit.run(&self.connections, time, &keys, append);
        let answer = answer.await?;
        match commit::answer(commit, answer.value)? {
            Committed::Step(step, now) => {
                if let Some(now) = now {
                    answer.clock.set(now);
                }
                Ok(step)
            }
            Committed::NoSession => {
                report_other_data(&commit.session);
                let outcome = match commit.action {
                    Action::Create { .. } => Outcome::IdTaken,
                    _ => Outcome::Gone,
                };
                Ok(SessionStep::new(outcome, false))
            }
        }
    }

    /// The error of a call that changes nothing, or may be made again.
    fn load_failed(&self, failure: Failure) -> StoreError {
        self.replace_after(&failure);
        failure.of_load()
    }

    fn commit_failed(&self, failure: Failure) -> StoreError {
        self.replace_after(&failure);
        failure.of_commit()
    }

    /// Replaces the connections after an answer that makes no sense: it may be that of another
    /// request.
    fn replace_after(&self, failure: &Failure) {
        if matches!(failure, Failure::Refused(Refusal::Malformed)) {
            self.connections.replace_all();
        }
    }

    async fn count(&self) -> Result<Count, Failure> {
        let time = &mut self.connections.begin();
        let answer = self
            .connections
            .command(&redis::cmd("DBSIZE"), time)
            .await?;
        let count = redis::from_redis_value(answer.value).map_err(|_| Failure::MALFORMED)?;
        Ok(Count::Estimated(count))
    }
}

/// Reports a key that has a session's name but is not a session. It counts as absent.
fn report_other_data(session: &SessionId) {
    tracing::warn!(
        target: "session_runtime",
        ?session,
        "a key with a session's name holds something else; it is left alone"
    );
}

/// Shows no address and no password.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}

impl SessionStore for RedisStore {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        let key = self.key(session);
        let found = self.loads.load(&self.connections, &key, selection).await;
        match found.map_err(|failure| self.load_failed(failure))? {
            Ok(loaded) => return Ok(Some(loaded)),
            Err(Absent::Nothing) => {}
            Err(Absent::Ended) => events::expired(*session),
            Err(Absent::Other) => report_other_data(session),
        }
        Ok(None)
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        if self.connections.is_cluster() {
            return commit_in_steps(self, commit).await;
        }
        let lists = commit.lists.iter().map(|list| list.principal());
        let step = self.apply(commit, lists.map(|list| self.list_key(list)));
        let step = step.await.map_err(|failure| self.commit_failed(failure))?;
        Ok(step.outcome)
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        let listing = self.lists.list(&self.connections, self.list_key(principal));
        listing.await.map_err(|failure| self.load_failed(failure))
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        let key = self.list_key(principal);
        let removed = self.lists.remove_stale(&self.connections, key, entry);
        removed.await.map_err(|failure| self.load_failed(failure))
    }

    /// The connect deadline and the command deadline together. A commit on a Cluster can take several
    /// calls and has no such bound.
    fn answers_within(&self) -> Option<Duration> {
        (!self.connections.is_cluster()).then(|| self.connections.longest_call())
    }

    /// The number of keys in the database, those of other applications and prefixes included.
    async fn len(&self) -> Result<Count, StoreError> {
        let count = self.count().await;
        count.map_err(|failure| self.load_failed(failure))
    }
}

/// The steps of a commit on a Cluster.
impl SteppedStore for RedisStore {
    async fn commit_session(&self, commit: &Commit) -> Result<SessionStep, StoreError> {
        let step = self.apply(commit, std::iter::empty()).await;
        step.map_err(|failure| self.commit_failed(failure))
    }

    async fn add_entry(
        &self,
        principal: &PrincipalKey,
        entry: &NewEntry,
    ) -> Result<AddStep, StoreError> {
        let key = self.list_key(principal);
        let added = self.lists.add(&self.connections, key, entry).await;
        added.map_err(|failure| self.load_failed(failure))
    }

    async fn confirm_entry(
        &self,
        principal: &PrincipalKey,
        session: &SessionId,
        mark: &CommitId,
    ) -> Result<bool, StoreError> {
        let key = self.list_key(principal);
        let confirmed = self.lists.confirm(&self.connections, key, session, mark);
        confirmed.await.map_err(|failure| self.load_failed(failure))
    }

    async fn remove_entry(
        &self,
        principal: &PrincipalKey,
        session: &SessionId,
    ) -> Result<(), StoreError> {
        let key = self.list_key(principal);
        let removed = self.lists.remove(&self.connections, key, session).await;
        removed.map_err(|failure| self.load_failed(failure))
    }
}
