//! The addresses of servers.
//!
//! A URL is taken apart here, part by part, before the client library reads it: the library passes
//! over what it does not know, and so would connect elsewhere than the URL says. No part of a URL is
//! ever quoted, since any of them can hold a piece of a password that was not percent-encoded.

use std::borrow::Cow;
use std::net::IpAddr;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use super::connect_error::RedisConnectError;

/// The schemes of TCP, of TCP with TLS, and of a socket's path.
const PLAIN: [&str; 2] = ["redis", "valkey"];
const TLS: [&str; 2] = ["rediss", "valkeys"];
const SOCKET: [&str; 3] = ["unix", "redis+unix", "valkey+unix"];

/// Longest host name, and longest part of one between two dots (RFC 1035, section 2.3.4).
const LONGEST_HOST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// The largest number of a database: servers count them in 32 bits.
const LAST_DATABASE: i64 = i32::MAX as i64;

/// The server that a URL names, with RESP3 unless it names a protocol.
///
/// White space around the URL, such as the end of a file's line, is ignored.
pub(super) fn connection_info(url: &str) -> Result<ConnectionInfo, RedisConnectError> {
    let text = url.trim();
    // The URL parser would drop some of it, out of a password too.
    if text.contains(|it: char| it.is_whitespace() || it.is_control()) {
        return refused("contains white space or a control character; percent-encode it");
    }
    let url = redis::parse_redis_url(text).ok_or_else(|| unreadable(text))?;
    let is_socket = SOCKET.contains(&url.scheme());
    if cfg!(not(feature = "redis-tls")) && TLS.contains(&url.scheme()) {
        return Err(RedisConnectError::TlsIsOff);
    }
    if url.fragment().is_some() {
        return refused(
            "has a part after `#`, which means nothing; a `#` in a password is written `%23`, and certificates are always checked",
        );
    }
    let has_protocol = check_query(url.query_pairs(), is_socket)?;
    if is_socket {
        if !authority(text).is_empty() {
            return refused(
                "of a socket has a host or a user; its form is `unix:///path/of/the.sock?user=…&pass=…&db=…`",
            );
        }
        if url.path().trim_matches('/').is_empty() {
            return refused("of a socket has no path; its form is `unix:///path/of/the.sock`");
        }
    } else {
        check_authority(authority(text))?;
        check_host(url.host_str())?;
        if !is_database(url.path().strip_prefix('/').unwrap_or_default()) {
            return refused(
                "has a path that is no number of a database; its form is `redis://host:port/database`",
            );
        }
    }
    let info = text
        .into_connection_info()
        .map_err(|_| RedisConnectError::InvalidUrl)?
        .set_tcp_settings(tcp_settings());
    let settings = info.redis_settings();
    let is_empty = |text: Option<&str>| text.is_none_or(str::is_empty);
    if settings.username().is_some() && is_empty(settings.password()) {
        return Err(RedisConnectError::NoPassword);
    }
    if settings.password() == Some("") {
        return Err(EMPTY_PASSWORD);
    }
    // Saying which library this is takes a right that the user need not have, and each refusal would
    // be a line in the server's log of denied commands.
    let mut settings = info.redis_settings().clone().set_skip_set_lib_name();
    if !has_protocol {
        settings = settings.set_protocol(ProtocolVersion::RESP3);
    }
    Ok(info.set_redis_settings(settings))
}

/// Whether a URL that can be read names a database, though it may be 0.
pub(super) fn names_database(url: &str) -> bool {
    redis::parse_redis_url(url.trim()).is_some_and(|url| match SOCKET.contains(&url.scheme()) {
        true => url.query_pairs().any(|(name, _)| name == "db"),
        false => url.path().len() > 1,
    })
}

/// A request must not wait for the answer to the one before it.
pub(super) fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true)
}

/// Whether the connection is encrypted.
#[cfg(feature = "redis-tls")]
pub(super) fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. })
}

/// Whether the server is reached by a path on this machine.
#[cfg(any(feature = "redis-cluster", feature = "redis-sentinel"))]
pub(super) fn is_socket(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), redis::ConnectionAddr::Unix(_))
}

/// Whether a server can have a database of this number.
pub(super) fn has_database(number: i64) -> bool {
    (0..=LAST_DATABASE).contains(&number)
}

const EMPTY_PASSWORD: RedisConnectError = RedisConnectError::UrlPart(
    "has a `:` or an `@` and no password between them; without a password it is `redis://host:port/database`",
);

fn refused<T>(problem: &'static str) -> Result<T, RedisConnectError> {
    Err(RedisConnectError::UrlPart(problem))
}

/// Why the URL parser refuses a URL, as far as it can be seen.
fn unreadable(url: &str) -> RedisConnectError {
    let Some((scheme, _)) = url.split_once("://") else {
        return RedisConnectError::InvalidUrl;
    };
    let scheme = scheme.to_ascii_lowercase();
    let known = [&PLAIN[..], &TLS, &SOCKET].concat();
    match known.contains(&&*scheme) {
        true => check_authority(authority(url))
            .err()
            .unwrap_or(RedisConnectError::InvalidUrl),
        false => RedisConnectError::InvalidUrl,
    }
}

/// The part between `//` and the path: user, password, host and port.
fn authority(url: &str) -> &str {
    let rest = url.split_once("//").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Refuses what the URL parser would read in another way than it is written.
fn check_authority(authority: &str) -> Result<(), RedisConnectError> {
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    if let Some(user) = user {
        match user.split_once(':') {
            // Both belong to a variant of their own when a user is named.
            Some(("", "")) => return Err(EMPTY_PASSWORD),
            None if user.is_empty() => return Err(EMPTY_PASSWORD),
            _ => {}
        }
        if !is_percent_encoded(user) {
            return refused(
                "has a `%` in the user or the password that two hexadecimal digits do not follow; a `%` is written `%25`",
            );
        }
    }
    // An IPv6 address has colons of its own.
    let after_address = match (place.rsplit_once(']'), place.starts_with('[')) {
        (Some((_, rest)), true) => rest,
        (None, true) => "",
        _ => place,
    };
    if let Some((_, port)) = after_address.rsplit_once(':')
        && !port.parse::<u16>().is_ok_and(|port| port > 0)
        // Text is more likely a password with `/`, `?` or `#` in it, of which the general message
        // speaks.
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        return refused("has a port that is not a number from 1 to 65535");
    }
    Ok(())
}

/// Whether each `%` begins the code of a byte.
fn is_percent_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let code = rest.as_bytes().get(..2);
        code.is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Refuses a host that is none: the URL parser takes nearly anything.
fn check_host(host: Option<&str>) -> Result<(), RedisConnectError> {
    let Some(host) = host else {
        return Err(RedisConnectError::InvalidUrl);
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return match address.is_unspecified() {
            true => refused(
                "has the address of all interfaces, which only servers use; `127.0.0.1` or `[::1]` is this machine",
            ),
            false => Ok(()),
        };
    }
    match is_host_name(host) {
        true => Ok(()),
        false => Err(RedisConnectError::InvalidUrl),
    }
}

/// Whether this can be the name of a host. A name whose last part is a number is an address, and was
/// none.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(is_name_byte)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= LONGEST_HOST
        && host.split('.').all(is_label)
        && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the path of a URL is the number of a database, or nothing.
fn is_database(path: &str) -> bool {
    path.is_empty()
        || (path.bytes().all(|byte| byte.is_ascii_digit()) && path.parse().is_ok_and(has_database))
}

/// Refuses parameters that would be passed over, and answers whether there is a protocol.
fn check_query<'a>(
    pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    is_socket: bool,
) -> Result<bool, RedisConnectError> {
    let mut seen: Vec<Cow<'a, str>> = Vec::new();
    for (name, value) in pairs {
        if seen.contains(&name) {
            return refused("gives a parameter after `?` twice");
        }
        match &*name {
            "protocol" if ["2", "resp2", "3", "resp3"].contains(&&*value) => {}
            "protocol" => return refused("has a `protocol` that is neither `resp2` nor `resp3`"),
            "db" if is_socket && !value.is_empty() && is_database(&value) => {}
            "db" if is_socket => return refused("has a `db` that is no number of a database"),
            "user" if is_socket && !value.is_empty() => {}
            "pass" if is_socket && !value.is_empty() => {}
            "user" | "pass" if is_socket => return refused("has an empty `user` or `pass`"),
            _ => {
                return refused(match is_socket {
                    true => {
                        "has a parameter after `?` that is none of `db`, `user`, `pass` and `protocol`"
                    }
                    false => {
                        "has a parameter after `?` that is not `protocol`; the database is the path, `redis://host:port/database`, and all else has a method of the builder"
                    }
                });
            }
        }
        seen.push(name);
    }
    Ok(seen.iter().any(|name| name == "protocol"))
}

#[cfg(test)]
mod tests;
