//! Where connections lead, and how they are opened.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use redis::ConnectionInfo;

use super::credentials::Provider;
use super::error::{Failure, Reason};
use super::shared::SharedConnection;
use super::{opening_error, server};

/// The server or servers that connections lead to.
pub(super) enum Endpoint {
    /// One server.
    Server(Box<Server>),
    /// The master that the Sentinels name. They are asked at every opening: a failover changes it.
    #[cfg(feature = "redis-sentinel")]
    Sentinel(Box<super::sentinel::Sentinel>),
    /// A Cluster.
    #[cfg(feature = "redis-cluster")]
    Cluster(Box<super::cluster::Cluster>),
    /// A connection that the application made and keeps alive.
    Given(SharedConnection),
}

/// One server.
pub(super) struct Server {
    pub(super) info: ConnectionInfo,
    pub(super) credentials: Option<Provider>,
}

/// The fewest connections to a Cluster, unless a number is set.
#[cfg(feature = "redis-cluster")]
const CLUSTER_CONNECTIONS: usize = 4;
/// How many requests are under way on one connection to a Cluster. With many more, the client
/// library stops for ever when a node's connection is lost.
#[cfg(feature = "redis-cluster")]
const CLUSTER_IN_FLIGHT: usize = 16;
/// How many cores have a connection to one server between them. With fewer, less is sent and read at
/// once, and that costs more than the second task brings.
const CORES_PER_CONNECTION: usize = 4;
/// How many requests in a row may stay without an answer before a connection is replaced.
const UNANSWERED_LIMIT: u32 = 3;

impl Endpoint {
    /// How many connections there are, and how many requests may be under way on each. Without a
    /// number that was set, this follows the machine's cores.
    pub(super) fn concurrency(&self, connections: Option<usize>) -> (usize, usize) {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self {
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(_) => (
                connections.unwrap_or(cores.max(CLUSTER_CONNECTIONS)),
                CLUSTER_IN_FLIGHT,
            ),
            Self::Given(_) => (1, tokio::sync::Semaphore::MAX_PERMITS),
            _ => (
                connections.unwrap_or(cores.div_ceil(CORES_PER_CONNECTION)),
                tokio::sync::Semaphore::MAX_PERMITS,
            ),
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
    /// application's may reconnect on its own, and may be one to a Cluster.
    pub(super) fn leads_to_one_server(&self) -> bool {
        !self.is_cluster() && !matches!(self, Self::Given(_))
    }

    /// Whether opening again gives another connection.
    pub(super) fn is_replaceable(&self) -> bool {
        !matches!(self, Self::Given(_))
    }

    /// How many requests in a row may stay without an answer before a connection is replaced.
    ///
    /// The Cluster client opens connections to nodes by itself, as the user that it was made with.
    /// Once that one's password is over, requests to the node stay without an answer, while those
    /// to others get theirs.
    pub(super) fn unanswered_limit(&self) -> u32 {
        match self {
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(cluster) if cluster.credentials.is_some() => 1,
            _ => UNANSWERED_LIMIT,
        }
    }

    /// Opens a connection; `lost` is set when the library finds that it is lost.
    pub(super) async fn open(
        &self,
        deadline: Duration,
        lost: Arc<AtomicBool>,
    ) -> Result<SharedConnection, Failure> {
        match self {
            Self::Server(server) => server.open(deadline, lost).await,
            #[cfg(feature = "redis-sentinel")]
            Self::Sentinel(sentinel) => {
                let connection = sentinel.open(deadline, lost).await?;
                Ok(SharedConnection::Server(connection))
            }
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(cluster) => cluster.open().await,
            Self::Given(connection) => Ok(connection.clone()),
        }
    }

    /// What it means that there is no connection when the time is over.
    pub(super) fn in_time(&self) -> Reason {
        match self {
            Self::Server(server) => opening_error::in_time(server.info.addr()),
            #[cfg(feature = "redis-sentinel")]
            Self::Sentinel(sentinel) => opening_error::in_time(sentinel.sentinels[0].addr()),
            #[cfg(feature = "redis-cluster")]
            Self::Cluster(cluster) => opening_error::in_time(cluster.nodes[0].addr()),
            Self::Given(_) => super::error::NO_ANSWER_IN_TIME,
        }
    }
}

impl Server {
    async fn open(
        &self,
        deadline: Duration,
        lost: Arc<AtomicBool>,
    ) -> Result<SharedConnection, Failure> {
        let connection = match &self.credentials {
            None => server::open(&self.info, deadline, lost).await?,
            Some(credentials) => {
                let settings = self.info.redis_settings().clone();
                let settings = credentials.apply(settings).await?;
                let info = self.info.clone().set_redis_settings(settings);
                server::open(&info, deadline, lost).await?
            }
        };
        Ok(SharedConnection::Server(connection))
    }
}
