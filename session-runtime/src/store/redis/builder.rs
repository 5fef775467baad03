//! How a store is reached, and with which settings.

use std::fmt;
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::io::tcp::TcpSettings;
use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use super::connection::{Connections, Deadlines, SharedConnection};
use super::endpoint::Endpoint;
use super::error::{Failure, Refusal};
use super::{RedisStore, Tier, probe};
use crate::store::StoreError;

/// Settings of a [`RedisStore`].
///
/// One of [`url`](Self::url), [`connection`](Self::connection), `cluster` (feature
/// `redis-cluster`) and `sentinel` (feature `redis-sentinel`) says where the sessions are; the last
/// call counts. `Debug` shows no address and no password.
#[must_use]
pub struct RedisStoreBuilder {
    servers: Servers,
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
        user: Option<(String, String)>,
        database: i64,
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

    /// The master that these Sentinels know by this name. User, password and database of the URLs
    /// are for the Sentinels; the master's own are set with [`user`](Self::user) and
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
            user: None,
            database: 0,
        };
        self
    }

    /// The user and the password for the master that [`sentinel`](Self::sentinel) finds.
    #[cfg(feature = "redis-sentinel")]
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        if let Servers::Sentinel { user, .. } = &mut self.servers {
            *user = Some((name.into(), password.into()));
        }
        self
    }

    /// The database of the master that [`sentinel`](Self::sentinel) finds.
    #[cfg(feature = "redis-sentinel")]
    pub fn database(mut self, number: i64) -> Self {
        if let Servers::Sentinel { database, .. } = &mut self.servers {
            *database = number;
        }
        self
    }

    /// A connection of the `redis` crate that the application made and keeps alive: reconnecting is
    /// then its own affair, and only the deadline for commands counts.
    ///
    /// A connection to a Cluster belongs to [`cluster`](Self::cluster) instead: the library's own
    /// can stop answering for ever, and nobody would replace it.
    pub fn connection<C>(mut self, connection: C) -> Self
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
    {
        self.servers = Servers::Given(Endpoint::Given(SharedConnection::new(connection)));
        self
    }

    /// What the keys begin with, `session` by default: a session is `<prefix>:<id>`. Applications
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

    fn endpoint(self) -> Result<Endpoint, RedisConnectError> {
        #[cfg(feature = "redis-tls")]
        let tls = self.certificates();
        match self.servers {
            Servers::Unset => Err(RedisConnectError::NoServer),
            Servers::Given(endpoint) => Ok(endpoint),
            Servers::Url(url) => {
                let info = connection_info(&url)?;
                #[cfg(feature = "redis-tls")]
                let client = if is_tls(&info) {
                    redis::Client::build_with_tls(info, tls)
                } else {
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
                    .map(|url| connection_info(url))
                    .collect::<Result<Vec<_>, _>>()?;
                let mut builder = redis::cluster::ClusterClientBuilder::new(nodes.clone())
                    .use_protocol(ProtocolVersion::RESP3)
                    .tcp_settings(tcp_settings())
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
                if nodes.iter().all(is_tls) {
                    builder = builder.tls(redis::TlsMode::Secure).certs(tls);
                }
                builder
                    .build()
                    .map(|client| Endpoint::Cluster(Box::new(client)))
                    .map_err(|_| RedisConnectError::InvalidSettings)
            }
            #[cfg(feature = "redis-sentinel")]
            Servers::Sentinel {
                master,
                sentinels,
                user,
                database,
            } => {
                let sentinels = sentinels
                    .iter()
                    .map(|url| connection_info(url))
                    .collect::<Result<Vec<_>, _>>()?;
                if sentinels.is_empty() {
                    return Err(RedisConnectError::NoServer);
                }
                let mut greeting = redis::RedisConnectionInfo::default()
                    .set_db(database)
                    .set_protocol(ProtocolVersion::RESP3);
                if let Some((name, password)) = user {
                    greeting = greeting.set_username(name).set_password(password);
                }
                Ok(Endpoint::Sentinel(Box::new(super::sentinel::Sentinel {
                    master,
                    #[cfg(feature = "redis-tls")]
                    tls: sentinels.iter().all(is_tls).then_some(tls),
                    sentinels,
                    greeting,
                    first: std::sync::atomic::AtomicUsize::new(0),
                })))
            }
        }
    }

    #[cfg(feature = "redis-tls")]
    fn certificates(&self) -> redis::TlsCertificates {
        // Without one the client library panics where more than one provider is compiled in.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails when another thread was faster, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let client_tls =
            self.client_certificate
                .as_ref()
                .map(|(certificate, key)| redis::ClientTlsConfig {
                    client_cert: certificate.clone(),
                    client_key: key.clone(),
                });
        redis::TlsCertificates {
            client_tls,
            root_cert: self.root_certificates.clone(),
        }
    }
}

/// What a URL says, with RESP3 unless it names a protocol.
fn connection_info(url: &str) -> Result<ConnectionInfo, RedisConnectError> {
    if cfg!(not(feature = "redis-tls")) && url.starts_with("rediss:") {
        return Err(RedisConnectError::TlsIsOff);
    }
    let invalid = |_| RedisConnectError::InvalidUrl;
    let info = url
        .into_connection_info()
        .map_err(invalid)?
        .set_tcp_settings(tcp_settings());
    // Saying which library this is takes a right that the user need not have, and each refusal would
    // be a line in the server's log of denied commands.
    let mut settings = info.redis_settings().clone().set_skip_set_lib_name();
    if !url.contains("protocol=") {
        settings = settings.set_protocol(ProtocolVersion::RESP3);
    }
    Ok(info.set_redis_settings(settings))
}

/// A request must not wait for the answer to the one before it.
pub(super) fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

#[cfg(feature = "redis-tls")]
fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. })
}

/// A [`RedisStore`] could not be connected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedisConnectError {
    /// No server was named.
    #[error("no server is named; call `url`, `sentinel`, `cluster` or `connection` first")]
    NoServer,
    /// A URL cannot be read.
    #[error(
        "the URL is not of the form `redis://user:password@host:port/database`, with `/`, `@`, `:` and the like percent-encoded in user and password"
    )]
    InvalidUrl,
    /// A URL asks for TLS, which was not compiled in.
    #[error(
        "the URL begins with `rediss:`, which needs the feature `redis-tls`: `cargo add session-runtime --features redis-tls`"
    )]
    TlsIsOff,
    /// The prefix is empty or contains braces, which would place all keys on one Cluster node.
    #[error("a key prefix must not be empty and must not contain `{{` or `}}`")]
    InvalidPrefix,
    /// The certificates or other settings cannot be used.
    #[error("the connection's settings or certificates cannot be used")]
    InvalidSettings,
    /// The server cannot be reached or does not work now; trying later may help.
    #[error("the session store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server refused the user or the password.
    #[error(
        "the server refused the user name or the password; in a URL both are percent-encoded, and a password without a user is `redis://:password@host`"
    )]
    NotAuthenticated,
    /// The server's user lacks a right.
    #[error(
        "the server's user may not run `{command}` on the session keys; allow it with `ACL SETUSER`, as the documentation of `RedisStore` shows"
    )]
    MissingRight {
        /// The command.
        command: &'static str,
    },
    /// The server is too old.
    #[error(
        "the server does not know `{command}`; Redis 6.2 or Valkey 7 are the oldest that can keep sessions"
    )]
    MissingCommand {
        /// The command.
        command: &'static str,
    },
    /// The native tier is required, and the server has no deadlines of fields.
    #[error(
        "the server cannot give fields a time to live; `Tier::Native` needs Redis 8.0 or Valkey 9.0"
    )]
    NoFieldDeadlines,
    /// The sessions that are there have another layout than this server or the settings allow.
    #[error(
        "`{key}` says that the sessions are kept in the {recorded} layout, which this server cannot keep or the settings refuse; use another prefix, or remove that key once these sessions have ended"
    )]
    OtherLayout {
        /// The key that records it.
        key: String,
        /// The layout that is recorded.
        recorded: Tier,
    },
    /// The layout that is recorded is of no version of this crate that is known to this one.
    #[error(
        "`{key}` names a layout that this version does not know; use another prefix, or a newer version of `session-runtime`"
    )]
    UnknownLayout {
        /// The key that records it.
        key: String,
    },
}

impl From<Failure> for RedisConnectError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(Refusal::NotAuthenticated) => Self::NotAuthenticated,
            Failure::Refused(Refusal::WrongType) => Self::InvalidPrefix,
            failure => Self::Unavailable(failure.into()),
        }
    }
}

impl From<RedisConnectError> for StoreError {
    fn from(error: RedisConnectError) -> Self {
        use crate::store::StoreErrorKind::{Misconfigured, Unavailable};
        let kind = match error {
            RedisConnectError::Unavailable(_) => Unavailable,
            _ => Misconfigured,
        };
        Self::with_source(kind, error)
    }
}
