//! The addresses of servers.

use std::net::IpAddr;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};

use super::connect_error::RedisConnectError;

/// The server that a URL names, with RESP3 unless it names a protocol.
pub(super) fn connection_info(url: &str) -> Result<ConnectionInfo, RedisConnectError> {
    if cfg!(not(feature = "redis-tls")) && url.starts_with("rediss:") {
        return Err(RedisConnectError::TlsIsOff);
    }
    let invalid = |_| RedisConnectError::InvalidUrl;
    let info = url
        .into_connection_info()
        .map_err(invalid)?
        .set_tcp_settings(tcp_settings());
    if let ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } = info.addr()
        && !is_host(host)
    {
        return Err(RedisConnectError::InvalidUrl);
    }
    let settings = info.redis_settings();
    if settings.username().is_some() && settings.password().is_none() {
        return Err(RedisConnectError::NoPassword);
    }
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

/// Whether the connection is encrypted.
#[cfg(feature = "redis-tls")]
pub(super) fn is_tls(info: &ConnectionInfo) -> bool {
    matches!(info.addr(), ConnectionAddr::TcpTls { .. })
}

/// Whether this can be the name or the address of a host: the URL parser takes nearly anything.
fn is_host(host: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    host.parse::<IpAddr>().is_ok() || (!host.is_empty() && host.bytes().all(is_name))
}
