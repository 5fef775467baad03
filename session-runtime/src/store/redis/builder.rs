//! How a store is reached, and with which settings.

mod servers;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use redis::aio::ConnectionLike;

use super::address::has_database;
use super::connect_error::RedisConnectError;
use super::connection::{Connections, Deadlines};
use super::credentials::{Provider, RedisCredentials};
use super::endpoint::Endpoint;
use super::probe;
use super::shared::SharedConnection;
use super::store::RedisStore;
use super::tier::Tier;
use crate::timeouts::at_least_a_millisecond;

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
}

/// Settings of a [`RedisStore`].
///
/// One of [`url`](Self::url), [`connection`](Self::connection), `cluster` (feature
/// `redis-cluster`) and `sentinel` (feature `redis-sentinel`) says where the sessions are. Calls may
/// come in any order; another call of the same setting replaces the one before, except that where
/// the sessions are, and each kind of certificate, can be given once only.
/// [`connect`](Self::connect) refuses that, and settings that do not go together. `Debug` shows no
/// address and no password.
#[must_use]
pub struct RedisStoreBuilder {
    servers: Servers,
    /// The settings that were given twice and cannot be.
    repeated: Option<&'static str>,
    user: Option<(String, String)>,
    credentials: Option<Provider>,
    database: Option<i64>,
    prefix: String,
    tier: Option<Tier>,
    deadlines: Deadlines,
    connections: Option<usize>,
    #[cfg(feature = "redis-tls")]
    root_certificates: Option<Vec<u8>>,
    #[cfg(feature = "redis-tls")]
    client_certificate: Option<(Vec<u8>, Vec<u8>)>,
}

enum Servers {
    Unset,
    Url(String),
    #[cfg(feature = "redis-cluster")]
    Cluster(Vec<String>),
    #[cfg(feature = "redis-sentinel")]
    Sentinel {
        master: String,
        sentinels: Vec<String>,
    },
    Given(Endpoint),
}

/// Longest prefix in bytes: it stands in every key and in every request.
const LONGEST_PREFIX: usize = 256;

/// Most connections: more are a mistake.
const MOST_CONNECTIONS: usize = 1024;

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("tier", &self.tier)
            .field("deadlines", &self.deadlines)
            .finish_non_exhaustive()
    }
}

impl RedisStoreBuilder {
    pub(super) fn new() -> Self {
        Self {
            servers: Servers::Unset,
            repeated: None,
            user: None,
            credentials: None,
            database: None,
            prefix: "session".to_owned(),
            tier: None,
            deadlines: Deadlines {
                connect: Duration::from_secs(1),
                command: Duration::from_millis(250),
            },
            connections: None,
            #[cfg(feature = "redis-tls")]
            root_certificates: None,
            #[cfg(feature = "redis-tls")]
            client_certificate: None,
        }
    }

    /// One server: `redis://user:password@host:port/database`, or `rediss://…` for TLS (feature
    /// `redis-tls`). With `?protocol=resp2` the older protocol is spoken.
    ///
    /// User and password are percent-encoded: `pa/ss` is `pa%2Fss`. A password without a user is
    /// `redis://:password@host`. A server on this machine can be reached by the path of its socket:
    /// `unix:///run/redis.sock?user=…&pass=…&db=…` or `redis+unix://…`, where a `+` is `%2B`. A part
    /// that means nothing is refused.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.set_servers(Servers::Url(url.into()));
        self
    }

    /// A Cluster, of which these nodes are asked for the others. All have one user and one password,
    /// those of the URLs or of [`user`](Self::user).
    #[cfg(feature = "redis-cluster")]
    pub fn cluster<S: Into<String>>(mut self, urls: impl IntoIterator<Item = S>) -> Self {
        self.set_servers(Servers::Cluster(urls.into_iter().map(Into::into).collect()));
        self
    }

    /// The master that these Sentinels know by this name. User and password of the URLs are for the
    /// Sentinels, each its own; the master's are set with [`user`](Self::user) (`default` where the
    /// master knows only a password), its database with [`database`](Self::database). Where the
    /// Sentinels' URLs are `rediss://`, the master is reached over TLS too, and where they say
    /// `?protocol=resp2`, so is the master spoken to.
    #[cfg(feature = "redis-sentinel")]
    pub fn sentinel<S: Into<String>>(
        mut self,
        master: impl Into<String>,
        urls: impl IntoIterator<Item = S>,
    ) -> Self {
        self.set_servers(Servers::Sentinel {
            master: master.into(),
            sentinels: urls.into_iter().map(Into::into).collect(),
        });
        self
    }

    /// The user and the password for the servers that keep the sessions: those of the URLs, or the
    /// master that Sentinels find. URLs of servers must not name others. The user of a server that
    /// knows only a password (`requirepass`) is `default`.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// Asks for the user and the password each time a connection is opened, instead of once: for
    /// passwords that change and tokens that run out while the program runs.
    ///
    /// The closure is called within the [`connect_deadline`](Self::connect_deadline), by one task at
    /// a time for each connection. An error, or no answer in time, is that of the requests that wait
    /// for the connection; the next request asks again. A connection that is open stays open when
    /// its password changes, as long as the server lets it.
    ///
    /// ```no_run
    /// use session_runtime::RedisStore;
    /// use session_runtime::store::RedisCredentials;
    ///
    /// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = RedisStore::builder()
    ///     .url("redis://redis.example:6379")
    ///     .credentials(|| async {
    ///         // Or a request to the provider of short-lived tokens.
    ///         let token = std::fs::read_to_string("/run/secrets/redis-token")?;
    ///         Ok(RedisCredentials::new("shop", token.trim()))
    ///     })
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Behind Sentinel the closure is for the master; the Sentinels' user and password stay in their
    /// URLs. On a Cluster, what it answers also serves the connections to further nodes that the
    /// client library opens later by itself; when a node refuses them, or does not answer, the next
    /// request gets a new connection with a new user and password.
    pub fn credentials<F, A>(mut self, provider: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<RedisCredentials, Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        self.credentials = Some(Provider::new(provider));
        self
    }

    /// The number of the database, 0 by default. A URL must not name another, and a Cluster has only
    /// that one. The user needs the right to `SELECT` for any but 0.
    pub fn database(mut self, number: i64) -> Self {
        self.database = Some(number);
        self
    }

    /// A connection of the `redis` crate that the application made and keeps alive: reconnecting is
    /// then its own affair, and only the deadline for commands counts.
    ///
    /// A connection to a Cluster belongs to [`cluster`](Self::cluster) instead: the library's own
    /// can stop answering for ever, and the store could not replace it.
    pub fn connection<C>(mut self, connection: C) -> Self
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
    {
        let endpoint = Endpoint::Given(SharedConnection::new(connection));
        self.set_servers(Servers::Given(endpoint));
        self
    }

    /// Sets the prefix of the keys, `session` by default: a session is `<prefix>:<id>`. Applications
    /// with different prefixes on one server do not see each other. It has 1 to 256 bytes, no braces,
    /// no white space and no control characters.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Refuses a server or sessions of another tier. Without it the sessions that are there decide,
    /// and where there are none the best tier of the server is taken.
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = Some(tier);
        self
    }

    /// How long opening a connection may take, 1 s by default; at least a millisecond.
    /// `Duration::MAX` is no limit.
    pub fn connect_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines.connect = deadline;
        self
    }

    /// How long a load or a commit may take once there is a connection, 250 ms by default; at least a
    /// millisecond. `Duration::MAX` is no limit.
    pub fn command_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines.command = deadline;
        self
    }

    /// How many connections the store has, 1 to 1024. By default it follows the machine: one for each
    /// four cores, and on a Cluster one for each core, at least four.
    ///
    /// Each connection is read by one task, so one that keeps a core busy is too few; more of them send
    /// and read less at once, which costs both sides more. On a Cluster at most 16 requests are under
    /// way on each; with `n` connections and `t` seconds on the way a process does at most `16 n / t`
    /// requests a second.
    pub fn connections(mut self, number: usize) -> Self {
        self.connections = Some(number);
        self
    }

    /// The certificates that servers must be signed by, as PEM, instead of those of the system.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        let again = self.root_certificates.replace(pem.into()).is_some();
        self.cannot_repeat(
            again,
            "`root_certificates` is called twice; several certificates are one PEM text",
        );
        self
    }

    /// The certificate and its private key, both as PEM, that are shown to servers.
    #[cfg(feature = "redis-tls")]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        let both = (certificate.into(), key.into());
        let again = self.client_certificate.replace(both).is_some();
        self.cannot_repeat(
            again,
            "`client_certificate` is called twice; there is one, with those of its authorities behind it",
        );
        self
    }

    /// Connects, and finds out what the server can do.
    ///
    /// # Errors
    ///
    /// Fails when the settings make no sense, when the server does not answer in time, or when it
    /// cannot keep sessions.
    pub async fn connect(self) -> Result<RedisStore, RedisConnectError> {
        self.check()?;
        let count = self.connections;
        let (required, deadlines, prefix) = (self.tier, self.deadlines, self.prefix.clone());
        let connections = Connections::new(self.endpoint()?, deadlines, count);
        connections.connect().await?;
        let tier = probe::tier(&connections, &prefix, required).await?;
        Ok(RedisStore::new(connections, prefix, tier))
    }

    fn set_servers(&mut self, servers: Servers) {
        let before = std::mem::replace(&mut self.servers, servers);
        self.cannot_repeat(
            !matches!(before, Servers::Unset),
            "it is said twice where the sessions are: call one of `url`, `cluster`, `sentinel` and `connection`, once",
        );
    }

    fn cannot_repeat(&mut self, again: bool, what: &'static str) {
        if again {
            self.repeated.get_or_insert(what);
        }
    }

    /// Refuses settings that mean nothing, wherever the sessions are.
    fn check(&self) -> Result<(), RedisConnectError> {
        if let Some(what) = self.repeated {
            return Err(RedisConnectError::Contradiction(what));
        }
        let is_bad = |it: char| it.is_whitespace() || it.is_control() || "{}".contains(it);
        if !(1..=LONGEST_PREFIX).contains(&self.prefix.len()) || self.prefix.contains(is_bad) {
            return Err(RedisConnectError::InvalidPrefix);
        }
        at_least_a_millisecond("connect_deadline", self.deadlines.connect)?;
        at_least_a_millisecond("command_deadline", self.deadlines.command)?;
        if let Some((name, password)) = &self.user {
            let empty = |what, expected| RedisConnectError::Empty {
                setting: "user",
                what,
                expected,
            };
            if name.is_empty() {
                let expected = "`default` where the server knows only a password";
                return Err(empty("a name", expected));
            }
            if password.is_empty() {
                let expected = "any other one where the user needs none";
                return Err(empty("a password", expected));
            }
            if self.credentials.is_some() {
                return Err(RedisConnectError::Contradiction(
                    "`user` and `credentials` both give a user and a password",
                ));
            }
        }
        if let Some(found) = self.connections
            && !(1..=MOST_CONNECTIONS).contains(&found)
        {
            return Err(RedisConnectError::InvalidConnections { found });
        }
        match self.database {
            Some(found) if !has_database(found) => {
                Err(RedisConnectError::InvalidDatabase { found })
            }
            _ => Ok(()),
        }
    }
}
