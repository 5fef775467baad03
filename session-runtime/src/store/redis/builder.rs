//! How a store is reached, and with which settings.

use std::fmt;
use std::time::Duration;

#[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
use redis::ProtocolVersion;
use redis::aio::ConnectionLike;
use redis::{ConnectionInfo, RedisConnectionInfo};

use super::address::connection_info;
use super::connect_error::RedisConnectError;
use super::connection::{Connections, Deadlines};
use super::endpoint::Endpoint;
use super::probe;
use super::shared::SharedConnection;
use super::store::RedisStore;
use super::tier::Tier;

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
/// `redis-cluster`) and `sentinel` (feature `redis-sentinel`) says where the sessions are; the last
/// call counts. All other calls may come in any order, and [`connect`](Self::connect) refuses those
/// that do not go with it. `Debug` shows no address and no password.
#[must_use]
pub struct RedisStoreBuilder {
    servers: Servers,
    user: Option<(String, String)>,
    database: Option<i64>,
    prefix: String,
    tier: Option<Tier>,
    deadlines: Deadlines,
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
            user: None,
            database: None,
            prefix: "session".to_owned(),
            tier: None,
            deadlines: Deadlines {
                connect: Duration::from_secs(1),
                command: Duration::from_millis(250),
            },
            #[cfg(feature = "redis-tls")]
            root_certificates: None,
            #[cfg(feature = "redis-tls")]
            client_certificate: None,
        }
    }

    /// One server: `redis://user:password@host:port/database`, or `rediss://…` for TLS (feature
    /// `redis-tls`). With `?protocol=resp2` the older protocol is spoken.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.servers = Servers::Url(url.into());
        self
    }

    /// A Cluster, of which these nodes are asked for the others.
    #[cfg(feature = "redis-cluster")]
    pub fn cluster<S: Into<String>>(mut self, urls: impl IntoIterator<Item = S>) -> Self {
        self.servers = Servers::Cluster(urls.into_iter().map(Into::into).collect());
        self
    }

    /// The master that these Sentinels know by this name. User and password of the URLs are for the
    /// Sentinels; the master's own are set with [`user`](Self::user), its database with
    /// [`database`](Self::database). Where the Sentinels' URLs are `rediss://`, the master is
    /// reached over TLS too.
    #[cfg(feature = "redis-sentinel")]
    pub fn sentinel<S: Into<String>>(
        mut self,
        master: impl Into<String>,
        urls: impl IntoIterator<Item = S>,
    ) -> Self {
        self.servers = Servers::Sentinel {
            master: master.into(),
            sentinels: urls.into_iter().map(Into::into).collect(),
        };
        self
    }

    /// The user and the password for the servers that keep the sessions: those of the URLs, or the
    /// master that Sentinels find. URLs of servers must not name others.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some((name.into(), password.into()));
        self
    }

    /// The number of the database, 0 by default. A URL must not name another, and a Cluster has only
    /// that one.
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
        self.servers = Servers::Given(Endpoint::Given(SharedConnection::new(connection)));
        self
    }

    /// Sets the prefix of the keys, `session` by default: a session is `<prefix>:<id>`. Applications
    /// with different prefixes on one server do not see each other.
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

    /// How long opening a connection may take, 1 s by default.
    pub fn connect_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines.connect = deadline;
        self
    }

    /// How long a load or a commit may take once there is a connection, 250 ms by default.
    pub fn command_deadline(mut self, deadline: Duration) -> Self {
        self.deadlines.command = deadline;
        self
    }

    /// The certificates that servers must be signed by, as PEM, instead of those of the system.
    #[cfg(feature = "redis-tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// The certificate and its private key, both as PEM, that are shown to servers.
    #[cfg(feature = "redis-tls")]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Connects, and finds out what the server can do.
    ///
    /// # Errors
    ///
    /// Fails when the settings make no sense, when the server does not answer in time, or when it
    /// cannot keep sessions.
    pub async fn connect(self) -> Result<RedisStore, RedisConnectError> {
        if self.prefix.is_empty() || self.prefix.contains(['{', '}']) {
            return Err(RedisConnectError::InvalidPrefix);
        }
        let (required, deadlines, prefix) = (self.tier, self.deadlines, self.prefix.clone());
        let connections = Connections::new(self.endpoint()?, deadlines);
        connections.connect().await?;
        let tier = probe::tier(&connections, &prefix, required).await?;
        Ok(RedisStore::new(connections, prefix, tier))
    }

    fn endpoint(mut self) -> Result<Endpoint, RedisConnectError> {
        let servers = std::mem::replace(&mut self.servers, Servers::Unset);
        #[cfg(feature = "redis-tls")]
        let tls = super::certificates::Certificates::new(
            self.root_certificates.take(),
            self.client_certificate.take(),
        )?;
        match servers {
            Servers::Unset => Err(RedisConnectError::NoServer),
            Servers::Given(endpoint) => {
                #[cfg(feature = "redis-tls")]
                tls.refuse_without_tls()?;
                match (self.user, self.database) {
                    (None, None) => Ok(endpoint),
                    _ => Err(RedisConnectError::Contradiction(
                        "a connection that the application made already has its user and database; set them there instead of with `user` and `database`",
                    )),
                }
            }
            Servers::Url(url) => {
                let info = self.with_settings(connection_info(&url)?)?;
                #[cfg(feature = "redis-tls")]
                let client = if super::address::is_tls(&info) {
                    redis::Client::build_with_tls(info, tls.for_library())
                } else {
                    tls.refuse_without_tls()?;
                    redis::Client::open(info)
                };
                #[cfg(not(feature = "redis-tls"))]
                let client = redis::Client::open(info);
                client
                    .map(|client| Endpoint::Server(Box::new(client)))
                    .map_err(|_| RedisConnectError::InvalidSettings)
            }
            #[cfg(feature = "redis-cluster")]
            Servers::Cluster(urls) => {
                let nodes = urls
                    .iter()
                    .map(|url| self.with_settings(connection_info(url)?))
                    .collect::<Result<Vec<_>, _>>()?;
                if nodes.iter().any(|node| node.redis_settings().db() != 0) {
                    return Err(RedisConnectError::Contradiction(
                        "a Cluster has no databases but 0",
                    ));
                }
                let mut builder = redis::cluster::ClusterClientBuilder::new(nodes.clone())
                    .use_protocol(ProtocolVersion::RESP3)
                    .tcp_settings(super::address::tcp_settings())
                    .connection_timeout(self.deadlines.connect)
                    .response_timeout(self.deadlines.command)
                    .overall_response_timeout(Some(self.deadlines.command))
                    .retries(16)
                    .min_retry_wait(10)
                    .max_retry_wait(100)
                    .retry_wait_formula(10, 2);
                let first = nodes.first().ok_or(RedisConnectError::NoServer)?;
                if first.redis_settings().protocol() == ProtocolVersion::RESP2 {
                    builder = builder.use_protocol(ProtocolVersion::RESP2);
                }
                #[cfg(feature = "redis-tls")]
                if tls.is_for_all(&nodes)? {
                    let certificates = tls.for_library();
                    builder = builder.tls(redis::TlsMode::Secure).certs(certificates);
                }
                builder
                    .build()
                    .map(|client| Endpoint::Cluster(Box::new(client)))
                    .map_err(|_| RedisConnectError::InvalidSettings)
            }
            #[cfg(feature = "redis-sentinel")]
            Servers::Sentinel { master, sentinels } => {
                let sentinels = sentinels
                    .iter()
                    .map(|url| connection_info(url))
                    .collect::<Result<Vec<_>, _>>()?;
                if sentinels.is_empty() {
                    return Err(RedisConnectError::NoServer);
                }
                if sentinels.iter().any(|info| info.redis_settings().db() != 0) {
                    return Err(RedisConnectError::Contradiction(
                        "a Sentinel has no databases; the master's is set with `database`",
                    ));
                }
                let mut master_settings =
                    RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
                if let Some(number) = self.database {
                    master_settings = master_settings.set_db(number);
                }
                if let Some((name, password)) = self.user {
                    master_settings = master_settings.set_username(name).set_password(password);
                }
                Ok(Endpoint::Sentinel(Box::new(super::sentinel::Sentinel {
                    master,
                    #[cfg(feature = "redis-tls")]
                    tls: tls.is_for_all(&sentinels)?.then(|| tls.for_library()),
                    sentinels,
                    master_settings,
                    first: std::sync::atomic::AtomicUsize::new(0),
                })))
            }
        }
    }

    /// A server of a URL, with the user and the database that were set beside it.
    fn with_settings(&self, info: ConnectionInfo) -> Result<ConnectionInfo, RedisConnectError> {
        let mut settings: RedisConnectionInfo = info.redis_settings().clone();
        if let Some((name, password)) = &self.user {
            if settings.password().is_some() {
                return Err(RedisConnectError::Contradiction(
                    "the URL and `user` both name a user or a password",
                ));
            }
            settings = settings.set_username(name).set_password(password);
        }
        if let Some(number) = self.database {
            if ![0, number].contains(&settings.db()) {
                return Err(RedisConnectError::Contradiction(
                    "the URL and `database` name different databases",
                ));
            }
            settings = settings.set_db(number);
        }
        Ok(info.set_redis_settings(settings))
    }
}
