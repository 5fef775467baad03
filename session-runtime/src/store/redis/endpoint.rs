//! Where connections lead, and how they are opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, PushKind};

use super::error::Failure;
use super::shared::SharedConnection;

/// The server or servers that connections lead to.
pub(super) enum Endpoint {
    /// One server.
    Server(Box<redis::Client>),
    /// The master that the Sentinels name. They are asked at every opening: a failover changes it.
    #[cfg(feature = "redis-sentinel")]
    Sentinel(Box<super::sentinel::Sentinel>),
    /// A Cluster.
    #[cfg(feature = "redis-cluster")]
    Cluster(Box<redis::cluster::ClusterClient>),
    /// A connection that the application made and keeps alive.
    Given(SharedConnection),
}

/// The number of connections to a Cluster.
#[cfg(feature = "redis-cluster")]
const CLUSTER_CONNECTIONS: usize = 4;
/// How many requests are under way on one connection to a Cluster. With many more, the client
/// library stops for ever when a node's connection is lost.
#[cfg(feature = "redis-cluster")]
const CLUSTER_IN_FLIGHT: usize = 16;

impl Endpoint {
    /// How many connections there are, and how many requests may be under way on each.
    pub(super) fn concurrency(&self) -> (usize, usize) {
        match self {
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(_) => (CLUSTER_CONNECTIONS, CLUSTER_IN_FLIGHT),
            _ => (1, tokio::sync::Semaphore::MAX_PERMITS),
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        match self {
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(_) => true,
            _ => false,
        }
    }

    /// Whether each connection leads to one server for as long as it lasts. A connection of the
    /// application's may reconnect on its own.
    pub(super) fn leads_to_one_server(&self) -> bool {
        !self.is_cluster() && !matches!(self, Self::Given(_))
    }

    /// Whether opening again gives another connection.
    pub(super) fn is_replaceable(&self) -> bool {
        !matches!(self, Self::Given(_))
    }

    /// Opens a connection; `lost` is set when the library finds that it is lost.
    pub(super) async fn open(
        &self,
        deadline: Duration,
        lost: Arc<AtomicBool>,
    ) -> Result<SharedConnection, Failure> {
        match self {
            Self::Server(client) => open_server(client, deadline, lost).await,
            #[cfg(feature = "redis-sentinel")]
            Self::Sentinel(sentinel) => {
                let master = sentinel.master().await?;
                open_server(&master, deadline, lost).await
            }
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(client) => {
                let connection = client.get_async_connection().await?;
                Ok(SharedConnection::new(connection))
            }
            Self::Given(connection) => Ok(connection.clone()),
        }
    }
}

async fn open_server(
    client: &redis::Client,
    deadline: Duration,
    lost: Arc<AtomicBool>,
) -> Result<SharedConnection, Failure> {
    // Requests have deadlines of their own.
    let mut config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(deadline))
        .set_response_timeout(None);
    let protocol = client.get_connection_info().redis_settings().protocol();
    if protocol == ProtocolVersion::RESP3 {
        config = config.set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                lost.store(true, Ordering::Release);
            }
            Ok::<(), std::convert::Infallible>(())
        });
    }
    let connection = client
        .get_multiplexed_async_connection_with_config(&config)
        .await?;
    Ok(SharedConnection::Server(connection))
}
