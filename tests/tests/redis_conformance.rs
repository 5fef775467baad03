//! The conformance suite over real servers: in each tier that a server can keep, over both
//! protocols, alone and as a Cluster, as a user with no more rights than the documentation of `RedisStore` grants.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_core::future::BoxFuture;
use session_runtime::test_kit::{Harness, Pace, conformance};
use session_runtime::{RedisStore, SessionStore, Tier};
use tests::servers::{Cluster, Generation, Server, missing};

struct OnServer {
    generation: Generation,
    server: Option<Arc<Server>>,
    tier: Tier,
    protocol: &'static str,
}

impl OnServer {
    fn new(generation: Generation, tier: Tier, protocol: &'static str) -> Self {
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
            static STORES: AtomicUsize = AtomicUsize::new(0);
            let name = format!("kit-{}", STORES.fetch_add(1, Ordering::Relaxed));
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
                .unwrap();
            Arc::new(store) as Arc<dyn SessionStore>
        })
    }

    fn pace(&self) -> Pace {
        Pace::Real {
            unit: Duration::from_millis(250),
        }
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn skip(&self) -> Option<String> {
        missing(self.generation)
    }
}

/// The same on a Cluster of three nodes.
struct OnCluster {
    generation: Generation,
    cluster: Option<Arc<Cluster>>,
}

impl OnCluster {
    fn new(generation: Generation) -> Self {
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
            static STORES: AtomicUsize = AtomicUsize::new(0);
            let name = format!("kit-{}", STORES.fetch_add(1, Ordering::Relaxed));
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
                .unwrap();
            Arc::new(store) as Arc<dyn SessionStore>
        })
    }

    fn pace(&self) -> Pace {
        Pace::Real {
            unit: Duration::from_millis(250),
        }
    }

    fn pass(&self, time: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(time))
    }

    fn skip(&self) -> Option<String> {
        missing(self.generation)
    }
}

mod redis_7_cluster {
    use super::*;

    conformance!(OnCluster::new(Generation::Redis7));
}

mod redis_8_cluster {
    use super::*;

    conformance!(OnCluster::new(Generation::Redis8));
}

mod valkey_9_cluster {
    use super::*;

    conformance!(OnCluster::new(Generation::Valkey9));
}

macro_rules! suites {
    ($($name:ident: $generation:ident, $tier:ident, $protocol:literal;)*) => {$(
        mod $name {
            use super::*;

            conformance!(OnServer::new(Generation::$generation, Tier::$tier, $protocol));
        }
    )*};
}

suites! {
    redis_7_compatible: Redis7, Compatible, "resp3";
    redis_8_native: Redis8, Native, "resp3";
    redis_8_native_resp2: Redis8, Native, "resp2";
    redis_8_compatible: Redis8, Compatible, "resp2";
    valkey_9_native: Valkey9, Native, "resp3";
    valkey_9_compatible: Valkey9, Compatible, "resp3";
}
