//! The conformance suite over real servers: in each tier that a server can keep, over both
//! protocols, alone and as a Cluster, as a user with no more rights than the documentation of `RedisStore` grants.

use session_runtime::Tier;
use session_runtime::test_kit::conformance;
use tests::on_servers::{OnCluster, OnServer};
use tests::servers::Generation;

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
