//! Why a store could not be connected.

use std::error::Error;
use std::sync::Arc;

use super::error::{Failure, Refusal};
use super::tier::Tier;
use crate::config_error::ConfigError;
use crate::store::StoreError;

/// A [`RedisStore`](super::RedisStore) could not be connected.
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
    /// A part of a URL means nothing. The URL is not quoted: it may hold a password.
    #[error("the URL {0}")]
    UrlPart(&'static str),
    /// A URL asks for TLS, which was not compiled in.
    #[error(
        "the URL begins with `rediss:`, which needs the feature `redis-tls`: `cargo add session-runtime --features redis-tls`"
    )]
    TlsIsOff,
    /// A user name comes without a password. It would not be used: the connection would be that of
    /// the user `default`.
    #[error(
        "a user name needs a password, `redis://user:password@host`; for a user without one, any password will do"
    )]
    NoPassword,
    /// A setting does not go with where the sessions are, or says another thing than a URL.
    #[error("{0}")]
    Contradiction(&'static str),
    /// A setting is empty.
    #[error("`{setting}` was given {what} that is empty, expected {expected}")]
    Empty {
        /// The setting.
        setting: &'static str,
        /// The part of it that is empty.
        what: &'static str,
        /// What was expected instead.
        expected: &'static str,
    },
    /// The number is none that a database can have.
    #[error("`database` is {found}, expected a number from 0 to 2147483647")]
    InvalidDatabase {
        /// The number that was given.
        found: i64,
    },
    /// The number of connections is none, or makes no sense.
    #[error("`connections` is {found}, expected a number from 1 to 1024")]
    InvalidConnections {
        /// The number that was given.
        found: usize,
    },
    /// A deadline is too short for anything.
    #[error(transparent)]
    Setting(#[from] ConfigError),
    /// Certificates or a private key cannot be read.
    #[error(
        "the {0} cannot be used; PEM is expected, text with lines such as `-----BEGIN CERTIFICATE-----`"
    )]
    InvalidCertificate(&'static str),
    /// The private key is not that of the certificate.
    #[error(
        "the key that was given to `client_certificate` is not that of the certificate; the certificate comes first, and before those of its authorities"
    )]
    OtherKey,
    /// The prefix is empty or contains braces, which would place all keys on one Cluster node.
    #[error(
        "`prefix` must have 1 to 256 bytes, with no `{{`, no `}}`, no white space and no control character"
    )]
    InvalidPrefix,
    /// A key of this prefix holds something else than a hash, so another program uses the prefix.
    #[error(
        "`{key}` holds something else than a hash, so another program uses this prefix; choose another"
    )]
    PrefixInUse {
        /// A key that is in the way.
        key: String,
    },
    /// The client library refuses the settings.
    #[error("the connection's settings or certificates cannot be used")]
    InvalidSettings,
    /// The server cannot be reached or does not work now; trying later may help.
    #[error("the session store is unavailable: {0}")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// The closure of `credentials` failed.
    #[error("`credentials` gave no user and password: {0}")]
    NoCredentials(#[source] Arc<dyn Error + Send + Sync>),
    /// The server refused the user or the password.
    #[error(
        "the server refused the user name or the password; in a URL both are percent-encoded, and a password without a user is `redis://:password@host`"
    )]
    NotAuthenticated,
    /// The server wants a user and a password.
    #[error(
        "the server wants a user and a password, and none were given; `redis://user:password@host`, or `redis://:password@host` where there is only a password; behind Sentinel and on a Cluster `user`"
    )]
    PasswordNeeded,
    /// A Sentinel refused the user or the password of its URL, or wants one.
    #[error(
        "a Sentinel refused the user name or the password of its URL, or wants them; those of the master are set with `user`"
    )]
    SentinelNotAuthenticated,
    /// The Sentinels do not know the master.
    #[error(
        "the Sentinels know no master of the name that was given to `sentinel`; their configuration has it, `sentinel monitor NAME …`"
    )]
    UnknownMaster,
    /// The server has no database of this number.
    #[error(
        "the server has no database of this number; `databases` in its configuration says how many there are, and a Cluster has only 0"
    )]
    NoDatabase,
    /// The server is of another kind than the settings say.
    #[error("{0}")]
    WrongServer(&'static str),
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
    /// The sessions that are there were written by an earlier version of this crate, in a layout that
    /// this version does not read.
    #[error(
        "`{key}` says that the sessions are in the layout of an earlier version of `session-runtime`, which this version does not read; use another prefix, or remove that key once these sessions have ended"
    )]
    EarlierLayout {
        /// The key that records it.
        key: String,
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
        let refusal = match failure {
            Failure::NoCredentials(source) => return Self::NoCredentials(source),
            Failure::Refused(refusal) => refusal,
            failure => return Self::Unavailable(failure.into()),
        };
        match refusal {
            Refusal::NotAuthenticated => Self::NotAuthenticated,
            Refusal::PasswordNeeded => Self::PasswordNeeded,
            Refusal::SentinelUser => Self::SentinelNotAuthenticated,
            Refusal::NoMaster => Self::UnknownMaster,
            Refusal::NoDatabase => Self::NoDatabase,
            Refusal::SelectForbidden => Self::MissingRight { command: "SELECT" },
            Refusal::NoHello => Self::MissingCommand { command: "HELLO" },
            Refusal::Misplaced(what) => Self::WrongServer(what),
            refusal => Self::Unavailable(Failure::Refused(refusal).into()),
        }
    }
}

impl From<RedisConnectError> for StoreError {
    fn from(error: RedisConnectError) -> Self {
        use crate::store::StoreErrorKind::{Misconfigured, Unavailable};
        let kind = match error {
            RedisConnectError::Unavailable(_) | RedisConnectError::NoCredentials(_) => Unavailable,
            _ => Misconfigured,
        };
        Self::with_source(kind, error)
    }
}
