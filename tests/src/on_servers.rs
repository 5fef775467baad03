//! How the checks of the test kit get a store on a real server or Cluster: under a prefix of its
//! own, as a user with no more rights than the documentation of `RedisStore` grants.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_core::future::BoxFuture;
use session_runtime::store::Tier;
use session_runtime::test_kit::{Harness, Pace};
use session_runtime::{RedisStore, SessionStore};

use crate::servers::{Cluster, Generation, Server, missing};

const PACE: Pace = Pace::Real {
    unit: Duration::from_millis(250),
};

/// A name that no other store has.
fn new_name() -> String {
    static STORES: AtomicUsize = AtomicUsize::new(0);
    format!("kit-{}", STORES.fetch_add(1, Ordering::Relaxed))
}

/// One server that all checks share.
#[derive(Debug)]
pub struct OnServer {
    generation: Generation,
    server: Option<Arc<Server>>,
    tier: Tier,
    protocol: &'static str,
}

impl OnServer {
    /// In this tier, over `resp2` or `resp3`.
    pub fn new(generation: Generation, tier: Tier, protocol: &'static str) -> Self {
        let is_there = missing(generation).is_none();
        Self {
            generation,
            server: is_there.then(|| Server::shared(generation)),
            tier,
            protocol,
        }
    }
}

impl Harness for OnServer {
    fn store(&self) -> BoxFuture<'_, Arc<dyn SessionStore>> {
        Box::pin(async {
            let name = new_name();
            let server = self.server.as_ref().expect("checks run only with a server");
            server.allow_application(&name, "secret", &name);
            let port = server.port();
            let protocol = self.protocol;
            let store = RedisStore::builder()
                .url(format!(
                    "redis://{name}:secret@127.0.0.1:{port}?protocol={protocol}"
                ))
                .prefix(name)
                .tier(self.tier)
                .command_deadline(Duration::from_secs(5))
                .connect()
                .await
                .expect("the server takes a store");
            Arc::new(store) as Arc<dyn SessionStore>
        })
    }

    fn pace(&self) -> Pace {
        PACE
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn skip(&self) -> Option<String> {
        missing(self.generation)
    }
}

/// The same on a Cluster of three nodes.
#[derive(Debug)]
pub struct OnCluster {
    generation: Generation,
    cluster: Option<Arc<Cluster>>,
}

impl OnCluster {
    /// In the best tier.
    pub fn new(generation: Generation) -> Self {
        let is_there = missing(generation).is_none();
        Self {
            generation,
            cluster: is_there.then(|| Cluster::shared(generation)),
        }
    }
}

impl Harness for OnCluster {
    fn store(&self) -> BoxFuture<'_, Arc<dyn SessionStore>> {
        Box::pin(async {
            let name = new_name();
            let cluster = self.cluster.as_ref().expect("checks run only with servers");
            for node in &cluster.nodes {
                node.allow_application(&name, "secret", &name);
                let _: String = node.command(&["ACL", "SETUSER", &name, "+cluster|slots"]);
            }
            let url = |node: &Server| format!("redis://{name}:secret@127.0.0.1:{}", node.port());
            let store = RedisStore::builder()
                .cluster(cluster.nodes.iter().map(url))
                .prefix(&name)
                .connect_deadline(Duration::from_secs(5))
                .command_deadline(Duration::from_secs(5))
                .connect()
                .await
                .expect("the Cluster takes a store");
            Arc::new(store) as Arc<dyn SessionStore>
        })
    }

    fn pace(&self) -> Pace {
        PACE
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn skip(&self) -> Option<String> {
        missing(self.generation)
    }
}
