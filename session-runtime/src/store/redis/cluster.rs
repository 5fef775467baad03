//! Opening a connection to a Cluster.

use std::sync::Arc;
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::{ConnectionInfo, RedisConnectionInfo, RedisResult};

use super::credentials::Provider;
use super::error::{Failure, Reason, Refusal};
use super::shared::SharedConnection;
use super::{address, server};

const NO_NODES: Reason = Reason(
    "a node of the Cluster answers, but none at the addresses that the nodes name; `cluster-announce-ip` and `cluster-announce-port` set them",
);

/// The nodes of a Cluster that are known beforehand, and how all nodes are reached.
pub(super) struct Cluster {
    /// At least one, all with the same settings.
    pub(super) nodes: Vec<ConnectionInfo>,
    /// The user and the password of all nodes, and the protocol.
    pub(super) settings: RedisConnectionInfo,
    pub(super) credentials: Option<Provider>,
    pub(super) connect_deadline: Duration,
    pub(super) command_deadline: Duration,
    #[cfg(feature = "redis-tls")]
    pub(super) tls: Option<redis::TlsCertificates>,
}

impl Cluster {
    /// Makes the library's client, which opens no connection yet.
    pub(super) fn client(&self, settings: &RedisConnectionInfo) -> RedisResult<ClusterClient> {
        let nodes: Vec<_> = self.nodes_as(settings).collect();
        let builder = ClusterClientBuilder::new(nodes)
            .use_protocol(settings.protocol())
            .tcp_settings(address::tcp_settings())
            .connection_timeout(self.connect_deadline)
            .response_timeout(self.command_deadline)
            .overall_response_timeout(Some(self.command_deadline))
            .retries(16)
            .min_retry_wait(10)
            .max_retry_wait(100)
            .retry_wait_formula(10, 2);
        #[cfg(feature = "redis-tls")]
        let builder = match &self.tls {
            Some(certificates) => builder
                .tls(redis::TlsMode::Secure)
                .certs(certificates.clone()),
            None => builder,
        };
        builder.build()
    }

    /// Opens a connection to the nodes.
    pub(super) async fn open(&self) -> Result<SharedConnection, Failure> {
        let mut settings = self.settings.clone();
        if let Some(credentials) = &self.credentials {
            settings = credentials.apply(settings).await?;
        }
        let opened = match self.client(&settings) {
            Ok(client) => client.get_async_connection().await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(connection) => Ok(SharedConnection::new(connection)),
            Err(_) => Err(self.diagnose(&settings).await),
        }
    }

    /// Finds out why no connection could be opened: the library makes one error of all reasons.
    async fn diagnose(&self, settings: &RedisConnectionInfo) -> Failure {
        let mut told = None;
        for node in self.nodes_as(settings) {
            let failure = match server::open(&node, self.connect_deadline, Arc::default()).await {
                Ok(connection) => describe(connection).await,
                Err(failure) => failure,
            };
            told = Some(failure.or_after(told));
        }
        told.unwrap_or(Failure::NotSent(NO_NODES))
    }

    fn nodes_as(&self, settings: &RedisConnectionInfo) -> impl Iterator<Item = ConnectionInfo> {
        let nodes = self.nodes.iter().cloned();
        nodes.map(|node| node.set_redis_settings(settings.clone()))
    }
}

/// Why a server that answers is no way to a Cluster.
async fn describe(mut connection: redis::aio::MultiplexedConnection) -> Failure {
    let mode = server::hello(&mut connection).await.map(|hello| hello.mode);
    match mode.as_deref() {
        Some("standalone") => {
            return Failure::Refused(Refusal::Misplaced(
                "the server is not part of a Cluster; name it with `url` instead of `cluster`",
            ));
        }
        Some("sentinel") => {
            return Failure::Refused(Refusal::Misplaced(
                "the server is a Sentinel; name it with `sentinel` instead of `cluster`",
            ));
        }
        _ => {}
    }
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    match command
        .query_async::<redis::Value>(&mut connection)
        .await
        .map_err(|error| error.code().map(|code| Refusal::new(code, None)))
    {
        Err(Some(Refusal::Forbidden)) => Failure::Refused(Refusal::Misplaced(
            "the server's user may not run `CLUSTER SLOTS`, which a Cluster needs; allow it with `+cluster|slots`",
        )),
        Err(Some(refusal)) => Failure::Refused(refusal),
        _ => Failure::NotSent(NO_NODES),
    }
}
