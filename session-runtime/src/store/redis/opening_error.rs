//! Why a connection could not be opened, in words and with the next step.
//!
//! The kinds and codes of errors decide, never their texts.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use redis::{ConnectionAddr, ErrorKind, RedisError};

use super::error::{Failure, Reason, Refusal};

const UNREACHABLE: Reason = Reason("no connection; does the server run at this host and port?");
const REFUSED: Reason = Reason(
    "the connection was refused; does the server run, and does it listen at this host and port?",
);
const UNKNOWN_HOST: Reason = Reason(
    "the host name cannot be resolved; is it spelled right, and does this machine's name server know it?",
);
const NO_ROUTE: Reason =
    Reason("there is no way to this address; are host and network of this machine right?");
const FORBIDDEN: Reason = Reason("this machine does not permit the connection");
const CLOSED: Reason = Reason(
    "the server closed the connection before it answered; is it Redis or Valkey, and does it want TLS at this port (`rediss:`)?",
);
pub(super) const NOT_REDIS: Reason =
    Reason("something else than Redis or Valkey answers at this host and port; is the port right?");
const NO_CONNECTION_IN_TIME: Reason =
    Reason("no connection in time; are host and port right, and does no firewall stand between?");
const NO_TLS_IN_TIME: Reason = Reason(
    "no encrypted connection in time; does the server speak TLS at this port, and does no firewall stand between?",
);
const NO_SOCKET: Reason =
    Reason("there is no socket at this path; `unixsocket` in the server's configuration names it");
const SOCKET_FORBIDDEN: Reason = Reason(
    "this user may not use the socket; `unixsocketperm` in the server's configuration says who may",
);
const SOCKET_REFUSED: Reason = Reason("no server listens at the socket of this path");

/// What an error at opening means. Nothing was sent yet.
pub(super) fn failure(error: &RedisError, to: &ConnectionAddr) -> Failure {
    let reason = match error.kind() {
        ErrorKind::AuthenticationFailed => return Failure::Refused(Refusal::NotAuthenticated),
        ErrorKind::RESP3NotSupported => return Failure::Refused(Refusal::NoHello),
        ErrorKind::Server(_) | ErrorKind::Extension => {
            let code = error.code().unwrap_or_default();
            return Failure::Refused(match Refusal::new(code, error.detail()) {
                Refusal::UnknownCommand => Refusal::NoHello,
                refusal => refusal,
            });
        }
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => NOT_REDIS,
        // The client library's words for a name without an address.
        ErrorKind::InvalidClientConfig => UNKNOWN_HOST,
        _ if error.is_timeout() => in_time(to),
        _ => match cause(error) {
            Some(cause) => of_io(cause, to),
            None => UNREACHABLE,
        },
    };
    Failure::NotSent(reason)
}

/// What it means that there is no connection when the time is over.
pub(super) fn in_time(to: &ConnectionAddr) -> Reason {
    match to {
        ConnectionAddr::TcpTls { .. } => NO_TLS_IN_TIME,
        _ => NO_CONNECTION_IN_TIME,
    }
}

/// Whether the server closed the connection, for which it may have had a reason.
pub(super) fn is_closed(failure: &Failure) -> bool {
    matches!(failure, Failure::NotSent(reason) if *reason == CLOSED)
}

/// What the answer to `AUTH` means where it is no consent.
pub(super) fn of_auth(refusal: Refusal) -> Option<Refusal> {
    Some(match refusal {
        Refusal::Other | Refusal::Forbidden => Refusal::NotAuthenticated,
        refusal => refusal,
    })
}

/// What the answer to `SELECT` means where it is no consent.
pub(super) fn of_select(refusal: Refusal) -> Option<Refusal> {
    Some(match refusal {
        Refusal::Other => Refusal::NoDatabase,
        Refusal::Forbidden => Refusal::SelectForbidden,
        refusal => refusal,
    })
}

/// What the answer to `HELLO` means where nothing is asked for by it.
pub(super) fn of_hello(refusal: Refusal) -> Option<Refusal> {
    match refusal {
        Refusal::UnknownCommand | Refusal::Forbidden | Refusal::Other => None,
        refusal => Some(refusal),
    }
}

/// The operating system's error. The client library keeps it in an `Arc`.
fn cause(error: &RedisError) -> Option<&io::Error> {
    let source = error.source()?;
    let inner = source.downcast_ref::<Arc<dyn Error + Send + Sync>>();
    inner.map_or_else(
        || source.downcast_ref(),
        |inner| inner.downcast_ref::<io::Error>(),
    )
}

fn of_io(error: &io::Error, to: &ConnectionAddr) -> Reason {
    use std::io::ErrorKind::{
        AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset,
        HostUnreachable, NetworkDown, NetworkUnreachable, NotConnected, NotFound, PermissionDenied,
        TimedOut, UnexpectedEof,
    };
    #[cfg(feature = "redis-tls")]
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
        return tls::reason(error);
    }
    #[cfg(feature = "redis-tls")]
    let is_tls = matches!(to, ConnectionAddr::TcpTls { .. });
    let is_socket = matches!(to, ConnectionAddr::Unix(_));
    match error.kind() {
        NotFound if is_socket => NO_SOCKET,
        PermissionDenied if is_socket => SOCKET_FORBIDDEN,
        ConnectionRefused if is_socket => SOCKET_REFUSED,
        PermissionDenied => FORBIDDEN,
        ConnectionRefused => REFUSED,
        TimedOut => in_time(to),
        HostUnreachable | NetworkUnreachable | NetworkDown | AddrNotAvailable => NO_ROUTE,
        #[cfg(feature = "redis-tls")]
        ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof | NotConnected
            if is_tls =>
        {
            tls::CLOSED
        }
        ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof | NotConnected => CLOSED,
        // The resolver has errors of its own, which are not the operating system's.
        _ if error.raw_os_error().is_none() && has_name(to) => UNKNOWN_HOST,
        _ => UNREACHABLE,
    }
}

/// Whether the server is named, not addressed.
fn has_name(to: &ConnectionAddr) -> bool {
    match to {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => {
            host.parse::<IpAddr>().is_err()
        }
        _ => false,
    }
}

/// Errors of TLS, by their structure.
#[cfg(feature = "redis-tls")]
mod tls {
    use rustls::{AlertDescription, CertificateError, Error};

    use super::Reason;

    pub(super) const CLOSED: Reason = Reason(
        "the server closed the connection during the TLS handshake; does it speak TLS at this port, and does it want a `client_certificate`?",
    );

    pub(super) fn reason(error: &Error) -> Reason {
        Reason(match error {
            Error::InvalidCertificate(error) => of_certificate(error),
            Error::NoCertificatesPresented => "the server showed no certificate",
            Error::InvalidMessage(_) | Error::InappropriateMessage { .. } => {
                "the server does not speak TLS at this port; the URL begins with `rediss:` only where the server has a `tls-port`"
            }
            Error::AlertReceived(AlertDescription::CertificateRequired) => {
                "the server wants a certificate; give one with `client_certificate`, or set `tls-auth-clients no` at the server"
            }
            Error::AlertReceived(
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError,
            ) => {
                "the server refused the certificate of `client_certificate`; is it signed by the authority of the server's `tls-ca-cert-file`, and not expired?"
            }
            Error::AlertReceived(
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity,
            )
            | Error::PeerIncompatible(_) => {
                "the server refused the TLS handshake; TLS 1.2 or 1.3 is needed at both ends, and perhaps a `client_certificate`"
            }
            _ => "the TLS handshake failed",
        })
    }

    fn of_certificate(error: &CertificateError) -> &'static str {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has expired; renew it, and look at this machine's clock"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet; look at this machine's clock"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the server's certificate is for another host name than the URL has; use a name that stands in the certificate"
            }
            // Another authority of the same name is unknown too.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the server's certificate is signed by an authority that is not known here; give the authority's certificate with `root_certificates`"
            }
            CertificateError::Revoked => "the server's certificate has been revoked",
            CertificateError::BadEncoding => "the server's certificate cannot be read",
            CertificateError::InvalidPurpose => "the server's certificate is not meant for servers",
            _ => {
                "the server's certificate cannot be accepted; is it signed by the authority, and not the authority's own?"
            }
        }
    }
}
