//! Sessions in Redis or Valkey, one hash each.
//!
//! 1. A session is the hash `<prefix>:<id>`. Header fields begin with `@`; every other field is one
//!    field of a schema, under its own name and readable as it is.
//! 2. A load is one trip. A commit is one script and one trip, whatever it does; the script decides
//!    everything before it writes anything, and does what [`Record::commit`](super::Record::commit)
//!    does. Only on a Cluster a commit that also changes lists of principals takes several, one for
//!    each step.
//! 3. All times are the server's.
//! 4. The key expires when the session ends, so the server forgets sessions without being asked.
//! 5. Where a field's deadline is kept is the [`Tier`]. It is a property of the data: recorded in
//!    `<prefix>:@layout` by the first program that connects, kept by all others.

mod builder;
mod connection;
mod endpoint;
mod error;
mod index;
mod layout;
mod probe;
mod script;
#[cfg(feature = "redis-sentinel")]
mod sentinel;

use std::fmt;

use futures_core::future::BoxFuture;
use redis::{Cmd, Pipeline, Value};

pub use self::builder::{RedisConnectError, RedisStoreBuilder};
use self::connection::Connections;
use self::error::{Failure, Refusal};
use self::layout::HEADER;
use self::script::{Answer, Script};
use super::{
    Commit, Count, IndexChange, IndexEntries, IndexEntry, Loaded, Outcome, PrincipalKey, Selected,
    SessionStep, SessionStore, StoreError, commit_in_steps,
};
use crate::token::SessionId;

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
///     +hmget +hget +hgetall +hset +hsetex +hpexpiretime +hdel +exists +del +pexpireat +persist
///     +time +eval +evalsha +dbsize
/// ```
///
/// On a server without them, leave out `+hsetex` and `+hpexpiretime`. A Cluster needs
/// `+cluster|slots` besides, a master behind Sentinel `+role`.
///
/// # Lists of principals
///
/// A principal's sessions are one more hash, `<prefix>:@principal:<key>`, named by a digest. One
/// server changes it in the script that commits to the session, so a sign-in is a load and a commit
/// like any other. On a Cluster the two may be on different nodes: a sign-in takes two trips more, a
/// sign-out one. A process that dies in between leaves an entry too many, never one too few, and the
/// next look at the list removes it; see [`commit_in_steps`](super::commit_in_steps).
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
/// A commit that got no answer in time is [`OutcomeUnknown`](super::StoreErrorKind::OutcomeUnknown). After
/// a lost connection it is sent again within its deadline; the session remembers its last eight
/// commits, so it takes effect once unless eight others of the same session come first.
///
/// A server that evicts keys signs visitors out: `maxmemory-policy noeviction` refuses new data
/// instead ([`Full`](super::StoreErrorKind::Full)), and logging out still works.
pub struct RedisStore {
    connections: Connections,
    prefix: String,
    tier: Tier,
    commit: Script,
    load: Script,
    index: Script,
}

/// Bytes that a command has room for at first, for each of its words.
const USUAL_WORD: usize = 16;

/// Who removes a field whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// The server, also while no program runs: Redis 8.0 and Valkey 9.0, and later ones.
    Native,
    /// The next commit of the session; no load shows it until then. The deadline is kept in the
    /// value. Works on Redis 6.2 and Valkey 7, and later ones, among them Redis 7.4, which can
    /// expire fields but cannot write a value together with its deadline.
    Compatible,
}

impl Tier {
    const ALL: [Self; 2] = [Self::Native, Self::Compatible];

    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Compatible => "compatible",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl RedisStore {
    /// Connects to one server, `redis://user:password@host:port/database`, with the default
    /// settings.
    ///
    /// # Errors
    ///
    /// As [`RedisStoreBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> Result<Self, RedisConnectError> {
        Self::builder().url(url).connect().await
    }

    /// Settings for a store.
    pub fn builder() -> RedisStoreBuilder {
        RedisStoreBuilder::new()
    }

    /// Who removes fields whose time has come.
    pub fn tier(&self) -> Tier {
        self.tier
    }

    fn new(connections: Connections, prefix: String, tier: Tier) -> Self {
        tracing::info!(target: "session_runtime", %prefix, %tier, "connected to Redis");
        Self {
            connections,
            prefix,
            tier,
            commit: Script::commit(tier),
            load: Script::load(),
            index: Script::index(tier),
        }
    }

    fn key(&self, session: &SessionId) -> String {
        format!("{}:{session}", self.prefix)
    }

    async fn load_session(
        &self,
        session: &SessionId,
        selected: &[Selected<'_>],
    ) -> Result<Option<Loaded>, Failure> {
        let answer = if self.tier == Tier::Native && selected.iter().any(|field| field.deadline) {
            self.read_with_deadlines(session, selected).await
        } else {
            self.read(session, selected).await
        };
        let (now, kept, deadlines) = match answer {
            Err(Failure::Refused(Refusal::WrongType)) => {
                foreign(session);
                return Ok(None);
            }
            answer => answer?,
        };
        let nonsense = |_| Failure::NONSENSE;
        let now = layout::time(now).map_err(nonsense)?;
        let Value::Array(kept) = kept else {
            return Err(Failure::NONSENSE);
        };
        let kept = kept.into_iter().map(layout::bytes);
        let mut kept: Vec<_> = kept.collect::<Result<_, _>>().map_err(nonsense)?;
        if kept.len() != HEADER.len() + selected.len() {
            return Err(Failure::NONSENSE);
        }
        let fields = kept.split_off(HEADER.len());
        match layout::header(&kept, self.tier, now) {
            Ok(header) => Ok(header.map(|header| Loaded {
                header,
                fields: layout::fields(fields, selected, &deadlines, self.tier, now),
                now,
            })),
            Err(_) => {
                foreign(session);
                Ok(None)
            }
        }
    }

    /// The time and the fields, in one trip. The time may be a moment older than the fields.
    async fn read(
        &self,
        session: &SessionId,
        selected: &[Selected<'_>],
    ) -> Result<(Value, Value, Vec<i64>), Failure> {
        let words = 2 + HEADER.len() + selected.len();
        let mut read = Cmd::with_capacity(words, words * USUAL_WORD);
        read.arg("HMGET").arg(self.key(session)).arg(&HEADER);
        for field in selected {
            read.arg(field.name);
        }
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.ignore_errors();
        pipeline.cmd("TIME").add_command(read);
        let answers = self.connections.pipeline(&pipeline).await?;
        for answer in &answers {
            if let Value::ServerError(error) = answer {
                return Err(Failure::Refused(error.into()));
            }
        }
        match <[Value; 2]>::try_from(answers) {
            Ok([now, kept]) => Ok((now, kept, Vec::new())),
            Err(_) => Err(Failure::NONSENSE),
        }
    }

    /// The same with deadlines. A script, so that all of it is of one moment.
    async fn read_with_deadlines(
        &self,
        session: &SessionId,
        selected: &[Selected<'_>],
    ) -> Result<(Value, Value, Vec<i64>), Failure> {
        let arguments = |command: &mut Cmd| {
            command.arg(HEADER.len() + selected.len()).arg(&HEADER);
            for field in selected {
                command.arg(field.name);
            }
            for field in selected.iter().filter(|field| field.deadline) {
                command.arg(field.name);
            }
        };
        let keys = [self.key(session)];
        let answer = self.load.run(&self.connections, &keys, arguments).await?;
        let Value::Array(parts) = answer else {
            return Err(Failure::NONSENSE);
        };
        let Ok([now, kept, deadlines]) = <[Value; 3]>::try_from(parts) else {
            return Err(Failure::NONSENSE);
        };
        let deadlines = redis::from_redis_value(deadlines).map_err(|_| Failure::NONSENSE)?;
        Ok((now, kept, deadlines))
    }

    /// Applies a commit to its session and, in the same step, to these lists.
    async fn apply(&self, commit: &Commit, lists: &[IndexChange]) -> Result<SessionStep, Failure> {
        let mut keys = vec![self.key(&commit.session)];
        keys.extend(lists.iter().map(|list| self.list_key(list.principal())));
        let arguments = |command: &mut Cmd| script::append_commit(command, commit, lists);
        let value = self.commit.run(&self.connections, &keys, arguments).await?;
        Ok(match script::answer(commit, value)? {
            Answer::Step(step) => step,
            Answer::Foreign => {
                foreign(&commit.session);
                SessionStep {
                    outcome: Outcome::Gone,
                    repeated: false,
                }
            }
        })
    }

    /// The error of a call that changes nothing.
    fn load_failed(&self, failure: Failure) -> StoreError {
        self.heed(&failure);
        failure.of_load()
    }

    fn commit_failed(&self, failure: Failure) -> StoreError {
        self.heed(&failure);
        failure.of_commit()
    }

    fn heed(&self, failure: &Failure) {
        if matches!(failure, Failure::Refused(Refusal::Nonsense)) {
            self.connections.distrust();
        }
    }

    async fn count(&self) -> Result<Count, Failure> {
        let answer = self.connections.command(&redis::cmd("DBSIZE")).await?;
        let count = redis::from_redis_value(answer).map_err(|_| Failure::NONSENSE)?;
        Ok(Count::Estimated(count))
    }
}

/// Reports a key that has a session's name and is none. It counts as absent.
fn foreign(session: &SessionId) {
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
    fn load<'a>(
        &'a self,
        session: &'a SessionId,
        fields: &'a [Selected<'a>],
    ) -> BoxFuture<'a, Result<Option<Loaded>, StoreError>> {
        Box::pin(async move {
            let loaded = self.load_session(session, fields).await;
            loaded.map_err(|failure| self.load_failed(failure))
        })
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> BoxFuture<'a, Result<Outcome, StoreError>> {
        Box::pin(async move {
            if self.connections.is_cluster() {
                return commit_in_steps(self, commit).await;
            }
            let step = self.apply(commit, &commit.index).await;
            step.map(|step| step.outcome)
                .map_err(|failure| self.commit_failed(failure))
        })
    }

    fn index<'a>(
        &'a self,
        principal: &'a PrincipalKey,
    ) -> BoxFuture<'a, Result<IndexEntries, StoreError>> {
        Box::pin(async move {
            self.list(principal)
                .await
                .map_err(|failure| self.load_failed(failure))
        })
    }

    fn forget<'a>(
        &'a self,
        principal: &'a PrincipalKey,
        entry: &'a IndexEntry,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let forgotten = self.forget_entry(principal, entry).await;
            forgotten.map_err(|failure| self.load_failed(failure))
        })
    }

    /// The number of keys in the database, those of other applications and prefixes included.
    fn len(&self) -> BoxFuture<'_, Result<Count, StoreError>> {
        Box::pin(async move {
            self.count()
                .await
                .map_err(|failure| self.load_failed(failure))
        })
    }

    /// Nothing to do: the server forgets sessions by itself.
    fn sweep(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async { Ok(0) })
    }
}
