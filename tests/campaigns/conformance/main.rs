//! The conformance suite over the set-ups of servers that differ little from those in every run of
//! the tests: the same layout on another server, and the older protocol.
//!
//! `tests/campaigns/run/conformance` runs it.

use session_runtime::store::Tier;
use session_runtime::test_kit::conformance;
use tests::on_servers::{OnCluster, OnServer};
use tests::servers::Generation;

mod redis_7_cluster {
    use super::*;

    conformance!(OnCluster::new(Generation::Redis7));
}

mod valkey_9_cluster {
    use super::*;

    conformance!(OnCluster::new(Generation::Valkey9));
}

mod redis_8_native_resp2 {
    use super::*;

    conformance!(OnServer::new(Generation::Redis8, Tier::Native, "resp2"));
}

mod redis_8_compatible {
    use super::*;

    conformance!(OnServer::new(Generation::Redis8, Tier::Compatible, "resp2"));
}

mod valkey_9_compatible {
    use super::*;

    conformance!(OnServer::new(
        Generation::Valkey9,
        Tier::Compatible,
        "resp3"
    ));
}
