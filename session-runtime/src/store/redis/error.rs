//! Errors between the driver and the server.
//!
//! The texts of a server's errors are never passed on: they quote keys and values. Errors are told
//! apart by their code, and named in this crate's own words.

use std::error::Error;
use std::fmt;

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
}

/// A server's refusal, by what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server does not know the script.
    NoScript,
    /// The key holds something else than a hash.
    WrongType,
    /// Another server, or this one later, may accept the request.
    Retry(&'static str),
    /// There is no room.
    Full,
    /// The user may not do it.
    Forbidden,
    /// The server does not know the command.
    UnknownCommand,
    /// The user or the password is wrong.
    NotAuthenticated,
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

    /// As the error of a load, which changes nothing.
    pub(super) fn of_load(self) -> StoreError {
        match self {
            Self::NotSent(reason) | Self::NoAnswer(reason) => {
                StoreError::with_source(StoreErrorKind::Unavailable, reason)
            }
            Self::Refused(refusal) => refusal.into(),
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
        }
    }
}

impl Error for Failure {}

impl Refusal {
    fn reason(self) -> Reason {
        Reason(match self {
            Self::NoScript => "the server forgot a script while it was being called",
            Self::WrongType => "the key holds something else than a hash",
            Self::Retry(reason) => reason,
            Self::Full => "the server has reached `maxmemory`",
            Self::Forbidden => "the server's user lacks the right to run a command",
            Self::UnknownCommand => "the server does not know a command",
            Self::NotAuthenticated => "the server refused the user name or the password",
            Self::Other => "the server answered with an error",
            Self::Malformed => "the server's answer is not what the command answers",
        })
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::Full => StoreErrorKind::Full,
            Refusal::Forbidden | Refusal::UnknownCommand | Refusal::NotAuthenticated => {
                StoreErrorKind::Misconfigured
            }
            Refusal::WrongType | Refusal::Malformed => StoreErrorKind::Corrupt,
            Refusal::NoScript | Refusal::Retry(_) | Refusal::Other => StoreErrorKind::Unavailable,
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
    fn new(code: &str, details: Option<&str>) -> Self {
        // The only texts that are looked at: what has no code of its own.
        let says = |start: &str| details.is_some_and(|details| details.starts_with(start));
        match code {
            "NOSCRIPT" => Self::NoScript,
            "WRONGTYPE" => Self::WrongType,
            "OOM" => Self::Full,
            "NOPERM" => Self::Forbidden,
            "NOAUTH" | "WRONGPASS" => Self::NotAuthenticated,
            "READONLY" => Self::Retry("the server is a read-only replica"),
            "LOADING" => Self::Retry("the server is loading its data"),
            "MASTERDOWN" => Self::Retry("the server is a replica without its master"),
            "CLUSTERDOWN" => Self::Retry("the Cluster does not serve this key now"),
            "MOVED" | "ASK" | "TRYAGAIN" => Self::Retry("the key is on another node"),
            "BUSY" => Self::Retry("the server is busy with a script"),
            "NOREPLICAS" => Self::Retry("the server has too few replicas to accept writes"),
            "MISCONF" => Self::Retry("the server cannot save to its disk"),
            "ERR" if says("unknown command") || says("Unknown Redis command") => {
                Self::UnknownCommand
            }
            "ERR" if says("ACL failure in script") => Self::Forbidden,
            // The same in Redis 7.0 and before.
            "ERR" if says("The user executing the script") => Self::Forbidden,
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

/// Nothing could be sent.
pub(super) const UNREACHABLE: Reason = Reason(
    "no connection; does the server run at this host and port, and speak TLS where the URL says `rediss:`?",
);
pub(super) const NO_CONNECTION_IN_TIME: Reason =
    Reason("no connection in time; are host and port right, and does no firewall stand between?");
pub(super) const NO_ANSWER_IN_TIME: Reason = Reason("the server did not answer in time");
