//! Finding the present master through Sentinels.

use std::sync::atomic::{AtomicUsize, Ordering};

use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionInfo, RedisConnectionInfo, RedisResult};

/// The Sentinels, and how to greet the master that they name.
pub(super) struct Sentinel {
    pub(super) master: String,
    pub(super) sentinels: Vec<ConnectionInfo>,
    pub(super) greeting: RedisConnectionInfo,
    #[cfg(feature = "redis-tls")]
    pub(super) tls: Option<redis::TlsCertificates>,
    pub(super) first: AtomicUsize,
}

impl Sentinel {
    /// The master at this moment.
    ///
    /// Each time another Sentinel is asked first, so that one that does not answer cannot use up
    /// the time of every attempt.
    pub(super) async fn master(&self) -> RedisResult<Client> {
        let mut sentinels = self.sentinels.clone();
        let first = self.first.fetch_add(1, Ordering::Relaxed) % sentinels.len().max(1);
        sentinels.rotate_left(first);
        let greeting = sentinels[0].redis_settings().clone();
        let addresses = sentinels.iter().map(|info| info.addr().clone());
        let mut builder =
            SentinelClientBuilder::new(addresses, &self.master, SentinelServerType::Master)?
                .set_client_to_redis_tcp_settings(super::builder::tcp_settings())
                .set_client_to_redis_db(self.greeting.db())
                .set_client_to_redis_protocol(self.greeting.protocol());
        if let Some(name) = greeting.username() {
            builder = builder.set_client_to_sentinel_username(name);
        }
        if let Some(password) = greeting.password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some(name) = self.greeting.username() {
            builder = builder.set_client_to_redis_username(name);
        }
        if let Some(password) = self.greeting.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        #[cfg(feature = "redis-tls")]
        if let Some(certificates) = &self.tls {
            builder = builder
                .set_client_to_redis_tls_mode(redis::TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone());
            let is_tls =
                |info: &ConnectionInfo| matches!(info.addr(), redis::ConnectionAddr::TcpTls { .. });
            if sentinels.iter().all(is_tls) {
                builder = builder.set_client_to_sentinel_certificates(certificates.clone());
            }
        }
        builder.build()?.async_get_client().await
    }
}
