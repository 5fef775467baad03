//! Finding the present master through Sentinels.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo, Value};

use super::credentials::Provider;
use super::error::{Failure, Refusal};
use super::opening_error as errors;
use super::{address, server};

/// The Sentinels, and the settings of connections to the master that they name.
pub(super) struct Sentinel {
    pub(super) master: String,
    /// At least one, each with a user and a password of its own.
    pub(super) sentinels: Vec<ConnectionInfo>,
    /// User, password, database and protocol for the master.
    pub(super) master_settings: RedisConnectionInfo,
    pub(super) credentials: Option<Provider>,
    #[cfg(feature = "redis-tls")]
    pub(super) tls: Option<redis::TlsCertificates>,
    pub(super) first: AtomicUsize,
}

impl Sentinel {
    /// Opens a connection to the master of this moment.
    pub(super) async fn open(
        &self,
        deadline: Duration,
        lost: Arc<std::sync::atomic::AtomicBool>,
    ) -> Result<MultiplexedConnection, Failure> {
        let master = self.master(deadline).await?;
        let mut settings = self.master_settings.clone();
        if let Some(credentials) = &self.credentials {
            settings = credentials.apply(settings).await?;
        }
        let master = master.set_redis_settings(settings);
        let mut connection = server::open(&master, deadline, lost).await?;
        // Sentinels learn late, or too early, that a master has become a replica.
        match server::hello(&mut connection).await {
            Some(hello) if hello.role.as_deref() == Some("replica") => Err(Failure::Refused(
                Refusal::Elsewhere("the Sentinels still name a server that has become a replica"),
            )),
            _ => Ok(connection),
        }
    }

    /// Asks one Sentinel after the other where the master is.
    ///
    /// Each time another is asked first, and none may use up the time of the others.
    async fn master(&self, deadline: Duration) -> Result<ConnectionInfo, Failure> {
        let count = self.sentinels.len();
        let first = self.first.fetch_add(1, Ordering::Relaxed);
        let each = deadline / u32::try_from(count).unwrap_or(u32::MAX);
        let mut told = None;
        for turn in 0..count {
            let sentinel = &self.sentinels[first.wrapping_add(turn) % count];
            let asked = tokio::time::timeout(each, self.ask(sentinel, each)).await;
            match asked.unwrap_or_else(|_| Err(Failure::NotSent(errors::in_time(sentinel.addr()))))
            {
                Ok(master) => return Ok(master),
                Err(failure) => told = Some(failure.or_after(told)),
            }
        }
        Err(told.unwrap_or(Failure::Refused(Refusal::NoMaster)))
    }

    async fn ask(
        &self,
        sentinel: &ConnectionInfo,
        deadline: Duration,
    ) -> Result<ConnectionInfo, Failure> {
        let opened = server::open(sentinel, deadline, Arc::default()).await;
        let mut connection = opened.map_err(|failure| match failure {
            Failure::Refused(Refusal::NotAuthenticated | Refusal::PasswordNeeded) => {
                Failure::Refused(Refusal::SentinelUser)
            }
            failure => failure,
        })?;
        let answer: Value = redis::cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(&self.master)
            .query_async(&mut connection)
            .await
            .map_err(|error| match errors::failure(&error, sentinel.addr()) {
                // As the answer to `SENTINEL`, it says that this is none.
                Failure::Refused(Refusal::NoHello) => Failure::Refused(Refusal::Misplaced(
                    "a URL of `sentinel` leads to a server that is no Sentinel; Sentinels listen at a port of their own, 26379 by default",
                )),
                Failure::Refused(Refusal::PasswordNeeded) => {
                    Failure::Refused(Refusal::SentinelUser)
                }
                Failure::Refused(Refusal::Forbidden) => Failure::Refused(Refusal::Misplaced(
                    "the user at the Sentinels may not run `SENTINEL GET-MASTER-ADDR-BY-NAME`; allow it with `+sentinel|get-master-addr-by-name`",
                )),
                failure => failure,
            })?;
        if answer == Value::Nil {
            return Err(Failure::Refused(Refusal::NoMaster));
        }
        let (host, port): (String, u16) =
            redis::from_redis_value(answer).map_err(|_| Failure::MALFORMED)?;
        self.at(host, port)
    }

    /// The master at this address. It is reached over TLS if the Sentinels are.
    fn at(&self, host: String, port: u16) -> Result<ConnectionInfo, Failure> {
        let unusable = |_| Failure::MALFORMED;
        let info = (host.as_str(), port).into_connection_info();
        let info = info
            .map_err(unusable)?
            .set_tcp_settings(address::tcp_settings());
        #[cfg(feature = "redis-tls")]
        if let Some(certificates) = &self.tls {
            let info = info.set_addr(redis::ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            });
            let client = redis::Client::build_with_tls(info, certificates.clone());
            return Ok(client.map_err(unusable)?.get_connection_info().clone());
        }
        Ok(info)
    }
}
