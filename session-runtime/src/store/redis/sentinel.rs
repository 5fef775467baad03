//! Finding the present master through Sentinels.

use std::sync::atomic::{AtomicUsize, Ordering};

use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{Client, ConnectionInfo, RedisConnectionInfo, RedisResult};

use super::address;

/// The Sentinels, and the settings of connections to the master that they name.
pub(super) struct Sentinel {
    pub(super) master: String,
    pub(super) sentinels: Vec<ConnectionInfo>,
    /// User, password, database and protocol for the master.
    pub(super) master_settings: RedisConnectionInfo,
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
        let own = sentinels[0].redis_settings().clone();
        let addresses = sentinels.iter().map(|info| info.addr().clone());
        let mut builder =
            SentinelClientBuilder::new(addresses, &self.master, SentinelServerType::Master)?
                .set_client_to_redis_tcp_settings(address::tcp_settings())
                .set_client_to_redis_db(self.master_settings.db())
                .set_client_to_redis_protocol(self.master_settings.protocol());
        if let Some(name) = own.username() {
            builder = builder.set_client_to_sentinel_username(name);
        }
        if let Some(password) = own.password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        if let Some(name) = self.master_settings.username() {
            builder = builder.set_client_to_redis_username(name);
        }
        if let Some(password) = self.master_settings.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        #[cfg(feature = "redis-tls")]
        if let Some(certificates) = &self.tls {
            builder = builder
                .set_client_to_redis_tls_mode(redis::TlsMode::Secure)
                .set_client_to_redis_certificates(certificates.clone());
            if sentinels.iter().all(address::is_tls) {
                builder = builder.set_client_to_sentinel_certificates(certificates.clone());
            }
        }
        builder.build()?.async_get_client().await
    }
}
