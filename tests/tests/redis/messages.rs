//! The messages at a first connection to a server where something is not right.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use session_runtime::RedisStore;
use session_runtime::store::RedisConnectError;
use tests::servers::{Options, Server, available};

fn guide() -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../session-runtime/src/guide");
    std::fs::read_to_string(format!("{folder}/troubleshooting.md")).unwrap()
}

/// The guide has the message's words as far as `end`.
fn is_explained(error: &RedisConnectError, end: &str) {
    let message = error.to_string();
    let source = std::error::Error::source(error).map_or(message, ToString::to_string);
    let words = source.split(end).next().unwrap();
    assert!(words.len() < source.len(), "`{end}` is not in `{source}`");
    assert!(guide().contains(words), "`{words}` is not in the guide");
}

async fn refused(url: &str) -> RedisConnectError {
    RedisStore::connect(url).await.unwrap_err()
}

#[tokio::test]
async fn what_never_reaches_a_server_is_explained() {
    let error = refused("redis://shop:pa/ss@127.0.0.1").await;
    assert!(matches!(error, RedisConnectError::InvalidUrl));
    is_explained(&error, "`, with");
    let closed_port = refused("redis://127.0.0.1:1").await;
    is_explained(&closed_port, "and speak TLS");
    let no_such_host = refused("redis://nobody.invalid").await;
    assert!(matches!(no_such_host, RedisConnectError::Unavailable(_)));
}

#[tokio::test]
async fn what_a_server_refuses_is_explained() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        server.allow_application("shop", "secret", "session");
        let url = |password| format!("redis://shop:{password}@127.0.0.1:{}", server.port());
        is_explained(&refused(&url("wrong")).await, "; in a URL");
        // A user with more rights may have connected before.
        RedisStore::connect(server.url()).await.unwrap();
        for right in ["hset", "hdel"] {
            server.allow_application("shop", "secret", "session");
            let _: String = server.command(&["ACL", "SETUSER", "shop", &format!("-{right}")]);
            let error = refused(&url("secret")).await;
            let RedisConnectError::MissingRight { command } = error else {
                panic!("{right}: {error:?}");
            };
            assert_eq!(command.to_lowercase(), right);
        }
    }
}
