//! `rediss://`: whom the store trusts, and how it shows who it is.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::time::Duration;

use session_runtime::RedisStore;
use session_runtime::store::RedisConnectError;
use tests::servers::{Options, Server, available};
use tests::store_visitor::{Visitor, set};

fn server(generation: tests::servers::Generation, asks_for_certificates: bool) -> Server {
    Server::start(
        generation,
        &Options {
            tls: Some(asks_for_certificates),
            ..Options::default()
        },
    )
}

fn url(server: &Server) -> String {
    format!("rediss://127.0.0.1:{}", server.tls_port())
}

#[tokio::test]
async fn a_server_of_a_known_authority_is_trusted() {
    for generation in available() {
        let mut server = server(generation, false);
        let store = RedisStore::builder()
            .url(url(&server))
            .root_certificates(server.certificates().authority())
            // Connecting anew after the restart is part of the command's time.
            .command_deadline(Duration::from_secs(5))
            .connect()
            .await
            .unwrap();
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], "1");
        server.restart();
        Visitor::create(&store, []).await;
    }
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_refused() {
    for generation in available() {
        let (server, stranger) = (server(generation, false), server(generation, false));
        for builder in [
            RedisStore::builder().url(url(&server)),
            RedisStore::builder()
                .url(url(&server))
                .root_certificates(stranger.certificates().authority()),
        ] {
            let refused = builder.connect().await.unwrap_err();
            assert!(
                matches!(refused, RedisConnectError::Unavailable(_)),
                "{refused:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown() {
    for generation in available() {
        let server = server(generation, true);
        let builder = || {
            RedisStore::builder()
                .url(url(&server))
                .root_certificates(server.certificates().authority())
        };
        let refused = builder().connect().await.unwrap_err();
        assert!(
            matches!(refused, RedisConnectError::Unavailable(_)),
            "{refused:?}"
        );
        let certificates = server.certificates();
        let store = builder()
            .client_certificate(certificates.client(), certificates.client_key())
            .connect()
            .await
            .unwrap();
        Visitor::create(&store, [set("a.b", "1")]).await;
    }
}
