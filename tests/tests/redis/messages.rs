//! The messages at a first connection to a server where something is not right.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::time::Duration;

use axum::Router;
use session_runtime::RedisStore;
use session_runtime::store::{RedisConnectError, RedisStoreBuilder};
use tests::proxy::{Behavior, Proxy};
use tests::servers::{Cluster, Flaw, Generation, Options, Sentinel, Server, available};

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
    is_explained(&closed_port, "; does the server run");
    let no_such_host = refused("redis://nobody.invalid").await;
    assert!(matches!(no_such_host, RedisConnectError::Unavailable(_)));
    is_explained(&no_such_host, "; is it spelled right");
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

/// What a builder is refused with: the words of the whole chain of errors, of which the guide has the
/// beginning.
async fn said(what: &str, builder: RedisStoreBuilder, expected: &str) {
    let error = builder.connect().await.expect_err(what);
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(next) = source {
        text = format!("{text}; {next}");
        source = next.source();
    }
    assert!(
        text.contains(expected),
        "{what}: `{text}` does not say `{expected}`"
    );
    assert!(
        guide().contains(expected),
        "{what}: `{expected}` is not in the guide"
    );
}

fn at(url: &str) -> RedisStoreBuilder {
    // What is slow on a busy machine is no timeout.
    RedisStore::builder()
        .url(url)
        .connect_deadline(Duration::from_secs(10))
}

fn encrypted(generation: Generation, asks_for_certificates: bool, flaw: Flaw) -> Server {
    Server::start(
        generation,
        &Options {
            tls: Some(asks_for_certificates),
            flaw,
            ..Options::default()
        },
    )
}

#[tokio::test]
async fn what_is_wrong_with_tls_is_said() {
    for generation in available() {
        let what = |case: &str| format!("{}, {case}", generation.name());
        let good = encrypted(generation, false, Flaw::None);
        let strict = encrypted(generation, true, Flaw::None);
        let authority = |server: &Server| server.certificates().authority();
        let tls = |server: &Server| at(&format!("rediss://127.0.0.1:{}", server.tls_port()));
        let named = |server: &Server| at(&format!("rediss://localhost:{}", server.tls_port()));

        let unknown = "is signed by an authority that is not known here";
        said(&what("the system's authorities"), tls(&good), unknown).await;
        said(&what("by name"), named(&good), unknown).await;
        let builder = tls(&good).root_certificates(authority(&strict));
        said(&what("another authority"), builder, unknown).await;
        for (flaw, expected) in [
            (Flaw::OtherName, "is for another host name than the URL has"),
            (Flaw::Expired, "the server's certificate has expired"),
            (
                Flaw::NotYetValid,
                "the server's certificate is not valid yet",
            ),
        ] {
            let server = encrypted(generation, false, flaw);
            let builder = tls(&server).root_certificates(authority(&server));
            said(&what("a flaw"), builder, expected).await;
            let builder = named(&server).root_certificates(authority(&server));
            said(&what("a flaw, by name"), builder, expected).await;
        }
        let builder = tls(&strict).root_certificates(authority(&strict));
        said(
            &what("no certificate of ours"),
            builder,
            "give one with `client_certificate`",
        )
        .await;
        let foreign = good.certificates();
        let builder = tls(&strict)
            .root_certificates(authority(&strict))
            .client_certificate(foreign.client(), foreign.client_key());
        let expected = "the server refused the certificate of `client_certificate`";
        said(
            &what("a certificate of another authority"),
            builder,
            expected,
        )
        .await;

        let plain = at(&format!("redis://127.0.0.1:{}", good.tls_port()));
        let expected = "the server closed the connection before it answered";
        said(&what("no TLS to a port that wants it"), plain, expected).await;
        let url = format!("rediss://127.0.0.1:{}", good.port());
        let builder = RedisStore::builder()
            .url(&url)
            .root_certificates(authority(&good));
        let error = builder.connect().await.unwrap_err().to_string();
        // Redis waits for the end of a line, which the first message of TLS may or may not hold.
        let words = [
            "does not speak TLS at this port",
            "does the server speak TLS at this port",
        ];
        assert!(words.iter().any(|words| error.contains(words)), "{error}");
        assert!(words.iter().all(|words| guide().contains(words)));

        for sentinel in [false, true] {
            let url = [format!("rediss://127.0.0.1:{}", good.tls_port())];
            let builder = match sentinel {
                true => RedisStore::builder().sentinel("m", url),
                false => RedisStore::builder().cluster(url),
            };
            let builder = builder.connect_deadline(Duration::from_secs(10));
            said(&what("as a Cluster or Sentinel"), builder, unknown).await;
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_server_is_said() {
    for generation in available() {
        let what = |case: &str| format!("{}, {case}", generation.name());
        let server = Server::start(generation, &Options::default());
        let _: String = server.command(&["ACL", "SETUSER", "shop", "on", ">secret", "~*", "+@all"]);
        let port = server.port();
        let refused = "the server refused the user name or the password";
        for user in ["shop:wrong@", "nobody:secret@"] {
            for protocol in ["resp2", "resp3"] {
                let url = format!("redis://{user}127.0.0.1:{port}?protocol={protocol}");
                said(&what(user), at(&url), refused).await;
            }
        }
        let _: String = server.command(&["CONFIG", "SET", "requirepass", "only"]);
        for protocol in ["resp2", "resp3"] {
            let with = |user: &str| {
                at(&format!(
                    "redis://{user}127.0.0.1:{port}?protocol={protocol}"
                ))
            };
            let expected = "the server wants a user and a password, and none were given";
            said(&what("no password"), with(""), expected).await;
            said(&what("a wrong password"), with(":wrong@"), refused).await;
            with(":only@").connect().await.unwrap();
            let builder = with(":only@").database(99);
            said(
                &what("no database"),
                builder,
                "the server has no database of this number",
            )
            .await;
        }
        let _: String = server.command(&["CONFIG", "SET", "requirepass", ""]);
        server.allow_application("narrow", "secret", "session");
        let builder = at(&format!("redis://narrow:secret@127.0.0.1:{port}/1"));
        said(&what("no right to choose"), builder, "may not run `SELECT`").await;
        let _: u64 = server.command(&["HSET", "taken:@layout", "x", "y"]);
        let _: String = server.command(&["SET", "taken:@probe", "text"]);
        let builder = at(&server.url()).prefix("taken");
        said(
            &what("a foreign key"),
            builder,
            "so another program uses this prefix",
        )
        .await;
        let _: String = server.command(&["SET", "other:@layout", "text"]);
        let builder = at(&server.url()).prefix("other");
        said(
            &what("another foreign key"),
            builder,
            "so another program uses this prefix",
        )
        .await;
        let builder = RedisStore::builder().cluster([server.url()]);
        said(
            &what("no Cluster"),
            builder,
            "the server is not part of a Cluster",
        )
        .await;
        let builder = RedisStore::builder().sentinel("m", [server.url()]);
        said(
            &what("no Sentinel"),
            builder,
            "leads to a server that is no Sentinel",
        )
        .await;

        let _: String = server.command(&["CONFIG", "SET", "maxclients", "1"]);
        for protocol in ["resp2", "resp3"] {
            for user in ["", "shop:secret@"] {
                let url = format!("redis://{user}127.0.0.1:{port}?protocol={protocol}");
                let expected = "as many connections as its `maxclients` allows";
                said(&what("maxclients"), at(&url), expected).await;
            }
        }
        let _: String = server.command(&["CONFIG", "SET", "maxclients", "100"]);

        // The commands of old servers, by taking away those that they do not have.
        for (command, protocol) in [
            ("HELLO", "resp3"),
            ("EVALSHA", "resp2"),
            ("EVALSHA", "resp3"),
        ] {
            let old = Server::start(
                generation,
                &Options {
                    settings: vec![format!("rename-command {command} \"\"")],
                    ..Options::default()
                },
            );
            let builder = at(&format!("{}?protocol={protocol}", old.url()));
            said(
                &what("too old"),
                builder,
                &format!("the server does not know `{command}`"),
            )
            .await;
            if command == "HELLO" {
                at(&format!("{}?protocol=resp2", old.url()))
                    .connect()
                    .await
                    .unwrap();
            }
        }
        let replica = Server::start(
            generation,
            &Options {
                replica_of: Some(port),
                ..Options::default()
            },
        );
        said(
            &what("a replica"),
            at(&replica.url()),
            "the server is a read-only replica",
        )
        .await;
    }
}

#[tokio::test]
async fn what_is_no_server_at_all_is_said() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new()).await });
    for url in [url.clone(), format!("{url}?protocol=resp2")] {
        said(
            "HTTP",
            at(&url),
            "something else than Redis or Valkey answers",
        )
        .await;
    }
    for url in [
        "redis://localhost:1",
        "redis://127.0.0.1:1",
        "redis://[::1]:1?protocol=resp2",
    ] {
        said(url, at(url), "the connection was refused").await;
    }
    for url in [
        "redis://nobody.invalid",
        "rediss://nobody.invalid",
        "redis://nobody.invalid/3",
    ] {
        said(url, at(url), "the host name cannot be resolved").await;
    }
    let nowhere = ["redis://127.0.0.1:1"];
    let builder = RedisStore::builder().sentinel("m", nowhere);
    said("no Sentinel runs", builder, "the connection was refused").await;
    let builder = RedisStore::builder().cluster(nowhere);
    said("no node runs", builder, "the connection was refused").await;
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let proxy = Proxy::start(server.port());
        proxy.behave(Behavior::SwallowAll);
        let builder = RedisStore::builder().url(format!("redis://127.0.0.1:{}", proxy.port()));
        said("nothing answers", builder, "no connection in time").await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_cluster_or_sentinels_is_said() {
    for generation in available() {
        let what = |case: &str| format!("{}, {case}", generation.name());
        let cluster = Cluster::start(generation, 3, 0);
        for node in &cluster.nodes {
            node.allow_application("shop", "secret", "session");
        }
        for node in &cluster.nodes {
            let expected = "the server is a node of a Cluster";
            said(&what("a node as a server"), at(&node.url()), expected).await;
        }
        let refused = "the server refused the user name or the password";
        for (name, password, expected) in [
            ("shop", "wrong", refused),
            ("nobody", "secret", refused),
            ("shop", "secret", "may not run `CLUSTER SLOTS`"),
        ] {
            let builder = RedisStore::builder()
                .cluster(cluster.urls())
                .user(name, password);
            said(&what(name), builder, expected).await;
        }
        let servers = Sentinel::start(generation);
        let builder = RedisStore::builder().sentinel("nobody", servers.urls());
        let expected = "the Sentinels know no master of the name";
        said(&what("the master's name"), builder, expected).await;
        let url = servers.sentinels[0].url();
        said(&what("as a server"), at(&url), "the server is a Sentinel").await;
        let builder = RedisStore::builder().cluster([url]);
        said(&what("as a Cluster"), builder, "the server is a Sentinel").await;
        let builder = RedisStore::builder()
            .sentinel(Sentinel::MASTER, servers.urls())
            .user("nobody", "secret");
        said(&what("the master's user"), builder, refused).await;
        let urls = servers
            .sentinels
            .iter()
            .map(|it| format!("redis://a:b@127.0.0.1:{}", it.port()));
        let builder = RedisStore::builder().sentinel(Sentinel::MASTER, urls);
        let expected = "a Sentinel refused the user name or the password of its URL";
        said(&what("the Sentinels' user"), builder, expected).await;
    }
}
