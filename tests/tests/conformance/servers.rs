//! The conformance suite over real servers: each layout, each server, and a Cluster, as a user with no
//! more rights than the documentation of `RedisStore` grants. `campaigns/conformance` has the other
//! set-ups.

use session_runtime::store::Tier;
use session_runtime::test_kit::conformance;
use tests::on_servers::{OnCluster, OnServer};
use tests::servers::Generation;

mod redis_7_compatible {
    use super::*;

    conformance!(OnServer::new(Generation::Redis7, Tier::Compatible, "resp3"));
}

mod redis_8_native {
    use super::*;

    conformance!(OnServer::new(Generation::Redis8, Tier::Native, "resp3"));
}

mod valkey_9_native {
    use super::*;

    conformance!(OnServer::new(Generation::Valkey9, Tier::Native, "resp3"));
}

mod redis_8_cluster {
    use super::*;

    conformance!(OnCluster::new(Generation::Redis8));
}
