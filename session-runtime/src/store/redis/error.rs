//! Errors between the driver and the server.
//!
//! The texts of a server's errors are never passed on: they quote keys and values. Errors are told
//! apart by their code, and named in this crate's own words.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind};

use crate::store::{StoreError, StoreErrorKind};

/// The reason why a request has no usable answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// Nothing was sent.
    NotSent(Reason),
    /// It was sent, or may have been, and no answer came.
    NoAnswer(Reason),
    /// The server answered with an error and did nothing.
    Refused(Refusal),
    /// Nothing was sent, because the application had no user and password for the connection.
    NoCredentials(Arc<dyn Error + Send + Sync>),
}

/// A server's refusal, by what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server does not know the script.
    NoScript,
    /// The key holds something else than a hash.
    WrongType,
    /// This server may accept the request later, over the same connection.
    Retry(&'static str),
    /// Another server may accept the request, and a new connection may lead to it.
    Elsewhere(&'static str),
    /// The key is not on this node of a Cluster.
    Slot(&'static str),
    /// There is no room.
    Full,
    /// The user may not do it.
    Forbidden,
    /// The user may not choose a database.
    SelectForbidden,
    /// The server does not know the command.
    UnknownCommand,
    /// The server does not know `HELLO`.
    NoHello,
    /// The user or the password is wrong.
    NotAuthenticated,
    /// The server wants a user and a password, and none were given.
    PasswordNeeded,
    /// A Sentinel refused the user or the password of its URL.
    #[cfg_attr(
        not(feature = "redis-sentinel"),
        allow(dead_code, reason = "there are no Sentinels to say so")
    )]
    SentinelUser,
    /// The Sentinels do not know the master's name.
    #[cfg_attr(
        not(feature = "redis-sentinel"),
        allow(dead_code, reason = "there are no Sentinels to say so")
    )]
    NoMaster,
    /// The server has no database of this number.
    NoDatabase,
    /// The server is of another kind than the settings say.
    Misplaced(&'static str),
    /// Anything else.
    Other,
    /// The answer is not what the command answers.
    Malformed,
}

/// The kind of failure, without any words of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason(pub(super) &'static str);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Reason {}

impl Failure {
    pub(super) const MALFORMED: Self = Self::Refused(Refusal::Malformed);

    /// Of the failures at several servers, the one that tells more: what a server says, rather than
    /// that another one is away; else the last.
    #[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
    pub(super) fn or_after(self, earlier: Option<Self>) -> Self {
        match (earlier, &self) {
            (Some(said @ Self::Refused(_)), Self::NotSent(_) | Self::NoAnswer(_)) => said,
            _ => self,
        }
    }

    /// As the error of a load, which changes nothing.
    pub(super) fn of_load(self) -> StoreError {
        match self {
            Self::NotSent(reason) | Self::NoAnswer(reason) => {
                StoreError::with_source(StoreErrorKind::Unavailable, reason)
            }
            Self::Refused(refusal) => refusal.into(),
            Self::NoCredentials(source) => {
                StoreError::with_source(StoreErrorKind::Unavailable, NoCredentials(source))
            }
        }
    }

    /// As the error of a commit. An answer that makes no sense says nothing about what was done.
    pub(super) fn of_commit(self) -> StoreError {
        let reason = match self {
            Self::NoAnswer(reason) => reason,
            Self::Refused(Refusal::Malformed) => Refusal::Malformed.reason(),
            other => return other.of_load(),
        };
        StoreError::with_source(StoreErrorKind::OutcomeUnknown, reason)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(reason) | Self::NoAnswer(reason) => reason.fmt(f),
            Self::Refused(refusal) => refusal.reason().fmt(f),
            Self::NoCredentials(_) => f.write_str("no user and password for a new connection"),
        }
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoCredentials(source) => Some(&**source),
            _ => None,
        }
    }
}

/// The application's own error, where it had no user and password.
#[derive(Debug, thiserror::Error)]
#[error("no user and password for a new connection")]
struct NoCredentials(#[source] Arc<dyn Error + Send + Sync>);

impl Refusal {
    pub(super) fn reason(self) -> Reason {
        Reason(match self {
            Self::NoScript => "the server forgot a script while it was being called",
            Self::WrongType => "the key holds something else than a hash",
            Self::Retry(reason)
            | Self::Elsewhere(reason)
            | Self::Slot(reason)
            | Self::Misplaced(reason) => reason,
            Self::Full => "the server has reached `maxmemory`",
            Self::Forbidden => "the server's user lacks the right to run a command",
            Self::SelectForbidden => "the server's user may not run `SELECT`",
            Self::UnknownCommand => "the server does not know a command",
            Self::NoHello => "the server does not know `HELLO`",
            Self::NotAuthenticated => "the server refused the user name or the password",
            Self::PasswordNeeded => "the server wants a user and a password, and none were given",
            Self::SentinelUser => "a Sentinel refused the user name or the password",
            Self::NoMaster => "the Sentinels know no master of this name",
            Self::NoDatabase => "the server has no database of this number",
            Self::Other => "the server answered with an error",
            Self::Malformed => "the server's answer is not what the command answers",
        })
    }

    /// Whether the same request may be accepted when it is sent again.
    pub(super) fn may_pass(self) -> bool {
        matches!(self, Self::Retry(_) | Self::Slot(_)) || self.is_cured_by_a_new_connection()
    }

    /// Whether a new connection may lead to a server that accepts the request, or to this one as
    /// another user.
    pub(super) fn is_cured_by_a_new_connection(self) -> bool {
        matches!(
            self,
            Self::Elsewhere(_) | Self::NotAuthenticated | Self::PasswordNeeded
        )
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Full => StoreErrorKind::Full,
            Refusal::Forbidden
            | Refusal::SelectForbidden
            | Refusal::UnknownCommand
            | Refusal::NoHello
            | Refusal::NotAuthenticated
            | Refusal::PasswordNeeded
            | Refusal::SentinelUser
            | Refusal::NoMaster
            | Refusal::NoDatabase
            | Refusal::Misplaced(_) => StoreErrorKind::Misconfigured,
            Refusal::WrongType | Refusal::Malformed => StoreErrorKind::Corrupt,
            Refusal::NoScript
            | Refusal::Retry(_)
            | Refusal::Elsewhere(_)
            | Refusal::Slot(_)
            | Refusal::Other => StoreErrorKind::Unavailable,
        };
        Self::with_source(kind, refusal.reason())
    }
}

impl From<&ServerError> for Refusal {
    fn from(error: &ServerError) -> Self {
        Self::new(error.code(), error.details())
    }
}

impl Refusal {
    pub(super) fn new(code: &str, details: Option<&str>) -> Self {
        // The only texts that are looked at: what has no code of its own.
        let says = |start: &str| details.is_some_and(|details| details.starts_with(start));
        match code {
            "NOSCRIPT" => Self::NoScript,
            "WRONGTYPE" => Self::WrongType,
            "OOM" => Self::Full,
            "NOPERM" => Self::Forbidden,
            "WRONGPASS" => Self::NotAuthenticated,
            "NOAUTH" => Self::PasswordNeeded,
            "READONLY" => Self::Elsewhere("the server is a read-only replica"),
            "MASTERDOWN" => Self::Elsewhere("the server is a replica without its master"),
            "LOADING" => Self::Retry("the server is loading its data"),
            "BUSY" => Self::Retry("the server is busy with a script"),
            "NOREPLICAS" => Self::Retry("the server has too few replicas to accept writes"),
            "MISCONF" => Self::Retry("the server cannot save to its disk"),
            "CLUSTERDOWN" => Self::Slot("the Cluster does not serve this key now"),
            "MOVED" | "ASK" | "TRYAGAIN" => Self::Slot("the key is on another node"),
            "NOPROTO" => {
                Self::Misplaced("the server does not speak RESP3; add `?protocol=resp2` to the URL")
            }
            "DENIED" => Self::Misplaced(
                "the server is in protected mode and takes connections of its own machine only; give its user a password, or set `bind` and `protected-mode`",
            ),
            "ERR" if says("unknown command") || says("Unknown Redis command") => {
                Self::UnknownCommand
            }
            "ERR" if says("ACL failure in script") => Self::Forbidden,
            // The same in Redis 7.0 and before.
            "ERR" if says("The user executing the script") => Self::Forbidden,
            "ERR" if says("max number of clients") => Self::Retry(
                "the server has as many connections as its `maxclients` allows; raise it, or end other connections",
            ),
            _ => Self::Other,
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Refused(Refusal::NotAuthenticated),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::MALFORMED,
            ErrorKind::Server(ServerErrorKind::CrossSlot) => Self::MALFORMED,
            ErrorKind::Server(_) | ErrorKind::Extension => {
                let code = error.code().unwrap_or_default();
                Self::Refused(Refusal::new(code, error.detail()))
            }
            ErrorKind::Io if error.is_timeout() => Self::NoAnswer(NO_ANSWER_IN_TIME),
            _ => Self::NoAnswer(Reason("the connection to the server was lost")),
        }
    }
}

pub(super) const NO_ANSWER_IN_TIME: Reason = Reason("the server did not answer in time");

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's text is looked at only from its beginning, and only where there is no code: keys,
    /// values and names of users stand in it.
    #[test]
    fn a_text_is_not_searched() {
        for words in [
            "NOPERM",
            "READONLY",
            "OOM",
            "max number of clients reached",
            "unknown command 'x'",
            "ACL failure in script",
            "MOVED 1 127.0.0.1:1",
            "NOAUTH",
        ] {
            for details in [
                format!("no such thing: 'session:{words}'"),
                format!("'{words}' {words}"),
                format!(" {words}"),
            ] {
                assert_eq!(
                    Refusal::new("ERR", Some(&details)),
                    Refusal::Other,
                    "{details}"
                );
            }
        }
        assert_eq!(Refusal::new("ERR", None), Refusal::Other);
        assert_eq!(Refusal::new("", None), Refusal::Other);
        // The code decides, whatever the text is.
        for details in [
            None,
            Some("unknown command 'HELLO'"),
            Some("max number of clients reached"),
        ] {
            assert_eq!(Refusal::new("OOM", details), Refusal::Full);
            assert_eq!(Refusal::new("NOPERM", details), Refusal::Forbidden);
        }
    }

    /// Only a refusal by the wrong server, or of the wrong user, gets a new connection.
    #[test]
    fn few_refusals_are_cured_by_a_new_connection() {
        let cured = ["READONLY", "MASTERDOWN", "NOAUTH", "WRONGPASS"];
        let stays = [
            "NOREPLICAS",
            "OOM",
            "MISCONF",
            "LOADING",
            "BUSY",
            "NOSCRIPT",
            "NOPERM",
            "CLUSTERDOWN",
            "TRYAGAIN",
            "MOVED",
            "ASK",
            "WRONGTYPE",
            "DENIED",
            "NOPROTO",
            "EXECABORT",
            "ERR",
            "",
        ];
        for code in cured {
            assert!(
                Refusal::new(code, None).is_cured_by_a_new_connection(),
                "{code}"
            );
        }
        for code in stays {
            assert!(
                !Refusal::new(code, None).is_cured_by_a_new_connection(),
                "{code}"
            );
        }
    }
}
