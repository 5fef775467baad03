//! Every setting of the builder: applied, or refused by `connect`, in any order.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::time::Duration;

use session_runtime::store::{
    Outcome, RedisConnectError, RedisCredentials, RedisStoreBuilder, Tier,
};
use session_runtime::{RedisStore, SessionStore};
use tests::orders::orders;
use tests::servers::{Cluster, Options, Server, available};
use tests::store_visitor::{Visitor, add, set, set_for};

const HOUR: Duration = Duration::from_secs(3600);
/// No server is there.
const NOWHERE: &str = "redis://127.0.0.1:1";

/// The text of the refusal, which quotes nothing that was given.
async fn refusal(builder: RedisStoreBuilder) -> String {
    let shown = format!("{builder:?}");
    let error = builder.connect().await.expect_err("it is refused");
    assert!(
        !matches!(error, RedisConnectError::Unavailable(_)),
        "nothing was looked at: {error}"
    );
    let all = format!("{shown} {error} {error:?}");
    assert!(!all.contains("hunter2"), "{all}");
    error.to_string()
}

type Step = fn(RedisStoreBuilder, &str) -> RedisStoreBuilder;

#[tokio::test]
async fn settings_are_applied_in_every_order() {
    let steps: [Step; 5] = [
        |builder, url| builder.url(url),
        |builder, _| builder.user("shop", "sec/ret@:%"),
        |builder, _| builder.database(5),
        |builder, _| builder.prefix("session:a"),
        |builder, _| builder.tier(Tier::Compatible).command_deadline(HOUR),
    ];
    let orders = orders(&steps);
    assert_eq!(orders.len(), 120);
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        server.allow_application("shop", "sec/ret@:%", "session");
        let _: String = server.command(&["ACL", "SETUSER", "shop", "+select"]);
        for order in &orders {
            let url = server.url();
            let builder = RedisStore::builder();
            let builder = order
                .iter()
                .fold(builder, |builder, step| step(builder, &url));
            let store = builder.connect().await.unwrap();
            assert_eq!(store.tier(), Tier::Compatible);
            let visitor = Visitor::create(&store, []).await;
            let clients: String = server.command(&["CLIENT", "LIST"]);
            assert!(
                clients.contains("db=5") && clients.contains("user=shop"),
                "{clients}"
            );
            let key = visitor.key("session:a");
            let script = "redis.call('SELECT', 5) return redis.call('EXISTS', KEYS[1])";
            let found: u64 = server.command(&["EVAL", script, "1", &key]);
            assert_eq!(found, 1);
        }
    }
}

/// Another call of the same setting replaces the one before.
#[tokio::test]
async fn the_last_call_of_a_setting_counts() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        server.allow_application("shop", "secret", "session");
        let store = RedisStore::builder()
            .user("nobody", "wrong")
            .database(-1)
            .prefix("")
            .connect_deadline(Duration::ZERO)
            .command_deadline(Duration::ZERO)
            .url(server.url())
            .user("shop", "secret")
            .database(0)
            .prefix("session")
            .connect_deadline(HOUR)
            .command_deadline(HOUR)
            .connect()
            .await
            .unwrap();
        Visitor::create(&store, []).await;
    }
}

#[tokio::test]
async fn what_means_nothing_is_refused_by_name() {
    let builder = RedisStore::builder;
    let at = || builder().url(NOWHERE);
    let credentials = || async { Ok(RedisCredentials::new("shop", "hunter2")) };
    let long = "p".repeat(257);
    let mut count = 0;
    for (expected, builders) in [
        (
            "`prefix`",
            vec![
                at().prefix(""),
                at().prefix("a{b}"),
                at().prefix("{"),
                at().prefix("}"),
                at().prefix("a b"),
                at().prefix("session\n"),
                at().prefix("\0"),
                at().prefix("\u{a0}"),
                at().prefix("\u{7f}"),
                at().prefix(&long),
                at().prefix("\u{e4}".repeat(129)),
            ],
        ),
        (
            "`connect_deadline` is",
            vec![
                at().connect_deadline(Duration::ZERO),
                at().connect_deadline(Duration::from_nanos(1)),
                at().connect_deadline(Duration::from_nanos(999_999)),
            ],
        ),
        (
            "`command_deadline` is",
            vec![
                at().command_deadline(Duration::ZERO),
                at().command_deadline(Duration::from_nanos(1)),
                builder()
                    .command_deadline(Duration::ZERO)
                    .cluster([NOWHERE]),
            ],
        ),
        (
            "`database` is",
            vec![
                at().database(-1),
                at().database(i64::MIN),
                at().database(i64::MAX),
                at().database(1 << 31),
                builder().sentinel("m", [NOWHERE]).database(-1),
                builder().cluster([NOWHERE]).database(-1),
            ],
        ),
        (
            "`connections` is",
            vec![
                at().connections(0),
                at().connections(1025),
                at().connections(usize::MAX),
                builder().cluster([NOWHERE]).connections(0),
            ],
        ),
        (
            "`user` was given a name that is empty",
            vec![
                at().user("", "hunter2"),
                builder().user("", "").url(NOWHERE),
            ],
        ),
        (
            "`user` was given a password that is empty",
            vec![
                at().user("shop", ""),
                builder().sentinel("m", [NOWHERE]).user("shop", ""),
            ],
        ),
        (
            "`sentinel` was given a master's name",
            vec![builder().sentinel("", [NOWHERE])],
        ),
        (
            "no server is named",
            vec![
                builder(),
                builder().user("shop", "hunter2").database(1),
                builder().cluster([""; 0]),
                builder().sentinel("m", [""; 0]),
            ],
        ),
        (
            "said twice where the sessions are",
            vec![
                at().url(NOWHERE),
                at().cluster([NOWHERE]),
                builder().cluster([NOWHERE]).url(NOWHERE),
                builder().cluster([NOWHERE]).cluster([NOWHERE]),
                builder().sentinel("m", [NOWHERE]).url(NOWHERE),
                builder().sentinel("m", [NOWHERE]).sentinel("n", [NOWHERE]),
                builder().cluster([""; 0]).sentinel("m", [NOWHERE]),
            ],
        ),
        (
            "`user`",
            vec![
                builder()
                    .url("redis://shop:hunter2@127.0.0.1:1")
                    .user("shop", "hunter2"),
                builder()
                    .url("redis://:hunter2@127.0.0.1:1")
                    .user("shop", "hunter2"),
                builder()
                    .cluster(["redis://:hunter2@127.0.0.1:1"])
                    .user("shop", "hunter2"),
                at().user("shop", "hunter2").credentials(credentials),
                at().credentials(credentials).user("shop", "hunter2"),
            ],
        ),
        (
            "`credentials`",
            vec![
                builder()
                    .url("redis://:hunter2@127.0.0.1:1")
                    .credentials(credentials),
                builder()
                    .credentials(credentials)
                    .cluster(["redis://a:hunter2@127.0.0.1:1"]),
            ],
        ),
        (
            "different databases",
            vec![
                builder().url("redis://127.0.0.1:1/3").database(5),
                builder().database(0).url("redis://127.0.0.1:1/3"),
                // Also the default, where it is named.
                builder().url("redis://127.0.0.1:1/0").database(5),
                builder().url("unix:///run/r.sock?db=0").database(5),
            ],
        ),
        (
            "a Cluster has no databases but 0",
            vec![
                builder().cluster([NOWHERE]).database(1),
                builder().cluster([NOWHERE, "redis://127.0.0.1:1/1"]),
            ],
        ),
        (
            "different users, passwords or protocols",
            vec![
                builder().cluster(["redis://a:hunter2@127.0.0.1:1", NOWHERE]),
                builder().cluster([
                    "redis://a:hunter2@127.0.0.1:1",
                    "redis://b:hunter2@127.0.0.1:1",
                ]),
                builder().cluster([NOWHERE, "redis://127.0.0.1:2?protocol=resp2"]),
            ],
        ),
        (
            "different protocols",
            vec![builder().sentinel("m", ["redis://127.0.0.1:1?protocol=resp2", NOWHERE])],
        ),
        (
            "a Sentinel has no databases",
            vec![builder().sentinel("m", ["redis://127.0.0.1:1/1"])],
        ),
        (
            "by host and port",
            vec![
                builder().cluster(["unix:///run/r.sock"]),
                builder().sentinel("m", [NOWHERE, "redis+unix:///run/r.sock"]),
            ],
        ),
        (
            "some URLs begin with `redis:`",
            vec![
                builder().cluster([NOWHERE, "rediss://127.0.0.1:2"]),
                builder().sentinel("m", ["rediss://127.0.0.1:2", NOWHERE]),
            ],
        ),
    ] {
        for builder in builders {
            let text = refusal(builder).await;
            assert!(
                text.contains(expected),
                "`{text}` does not say `{expected}`"
            );
            count += 1;
        }
    }
    println!("{count} builders are refused");
}

/// Certificates that are none, and those that do not belong together.
#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused() {
    let Some(generation) = available().into_iter().next_back() else {
        return;
    };
    let tls = || {
        Server::start(
            generation,
            &Options {
                tls: Some(true),
                ..Options::default()
            },
        )
    };
    let (server, other) = (tls(), tls());
    let ours = server.certificates();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (authority, certificate) = (text(ours.authority()), text(ours.client()));
    let (key, others_key) = (
        text(ours.client_key()),
        text(other.certificates().client_key()),
    );
    let cut = &authority[..authority.len() / 2];
    let broken = authority.replacen("MII", "hunter2", 1);
    let begin = "-----BEGIN CERTIFICATE-----";
    let end = "-----END CERTIFICATE-----";
    let empty = format!("{begin}\n{end}\n");
    let garbage = format!("{begin}\naHVudGVyMg==\n{end}\n");
    let not_base64 = format!("{begin}\n!hunter2!\n{end}\n");
    let second_is_none = format!("{authority}{garbage}");
    let nones = [
        "",
        " \n",
        "hunter2",
        "\0\u{ff}",
        cut,
        &empty,
        &garbage,
        &not_base64,
        &key,
        &broken,
        &second_is_none,
    ];
    let url = format!("rediss://127.0.0.1:{}", server.tls_port());
    let builder = || RedisStore::builder().url(&url);
    let mut count = 0;
    for none in nones {
        for refused in [
            builder().root_certificates(none),
            RedisStore::builder()
                .cluster([&url])
                .root_certificates(none),
            RedisStore::builder()
                .root_certificates(none)
                .sentinel("m", [&url]),
        ] {
            let said = refusal(refused).await;
            assert!(
                said.contains("root certificates cannot be used"),
                "{none}: {said}"
            );
            count += 1;
        }
    }
    for (certificate, key, expected) in [
        (&*certificate, "", "key"),
        (&certificate, "hunter2", "key"),
        (&certificate, &certificate, "key"),
        ("", &key, "certificate"),
        ("hunter2", &key, "certificate"),
        (&key, &key, "certificate"),
        (&garbage, &key, "certificate"),
        (&certificate, &others_key, "is not that of the certificate"),
        (&authority, &key, "is not that of the certificate"),
    ] {
        let said = refusal(builder().client_certificate(certificate, key)).await;
        assert!(said.contains(expected), "{said}");
        count += 1;
    }
    for twice in [
        builder()
            .root_certificates(&*authority)
            .root_certificates(&*authority),
        builder()
            .client_certificate(&*certificate, &*key)
            .client_certificate(&*certificate, &*key),
    ] {
        assert!(refusal(twice).await.contains("is called twice"));
    }
    for plain in [
        RedisStore::builder()
            .url(NOWHERE)
            .root_certificates(&*authority),
        RedisStore::builder()
            .url("unix:///run/r.sock")
            .root_certificates(&*authority),
        RedisStore::builder()
            .cluster([NOWHERE])
            .client_certificate(&*certificate, &*key),
    ] {
        assert!(refusal(plain).await.contains("not encrypted"));
    }
    // Words around it, and several of them, are usual in such files.
    let usual = format!(
        "# our authorities\n{}{authority}",
        text(other.certificates().authority())
    );
    builder()
        .root_certificates(usual)
        .client_certificate(certificate, key)
        .connect()
        .await
        .unwrap();
    println!("{count} certificates are refused");
}

/// Each deadline that is none, really used: connecting, loads, commits, and a lost connection.
#[tokio::test]
async fn the_longest_deadlines_are_no_limit() {
    for generation in available() {
        let mut server = Server::durable(generation);
        let cluster = Cluster::shared(generation);
        for long in [
            Duration::MAX,
            Duration::MAX - Duration::from_nanos(1),
            Duration::from_secs(u64::MAX),
            Duration::from_secs(u64::MAX / 2),
            Duration::from_millis(u64::MAX),
            Duration::from_nanos(u64::MAX),
        ] {
            for is_cluster in [false, true] {
                let builder = match is_cluster {
                    true => RedisStore::builder().cluster(cluster.urls()),
                    false => RedisStore::builder().url(server.url()),
                };
                let store = builder
                    .connect_deadline(long)
                    .command_deadline(long)
                    .connect()
                    .await
                    .unwrap();
                let visitor = Visitor::create(&store, [set_for("a.b", "1", HOUR)]).await;
                store
                    .commit(&visitor.update([add("a.n", 1)]))
                    .await
                    .unwrap();
                assert_eq!(visitor.values(&store, &["a.n"]).await["a.n"], "1");
                if !is_cluster {
                    server.restart();
                    assert_eq!(visitor.values(&store, &["a.n"]).await["a.n"], "1");
                }
                let gone = store.commit(&visitor.destruction()).await.unwrap();
                assert!(matches!(gone, Outcome::Applied(_)));
            }
        }
        // The shortest is a deadline like any other.
        let shortest = Duration::from_millis(1);
        for builder in [
            RedisStore::builder().url(server.url()),
            RedisStore::builder().cluster(cluster.urls()),
        ] {
            match builder
                .connect_deadline(shortest)
                .command_deadline(shortest)
                .connect()
                .await
            {
                Ok(_) | Err(RedisConnectError::Unavailable(_)) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

/// A server on the same machine by the path of its socket.
#[cfg(unix)]
#[tokio::test]
async fn a_socket_is_a_server_like_any_other() {
    for generation in available() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a server.sock");
        let mut server = Server::start(
            generation,
            &Options {
                append_only: true,
                settings: vec![format!("unixsocket \"{}\"", path.display())],
                ..Options::default()
            },
        );
        server.allow_application("sh&p", "pa+ss/?#%", "session");
        let _: String = server.command(&["ACL", "SETUSER", "sh&p", "+select"]);
        let path = path.display().to_string().replace(' ', "%20");
        for scheme in ["unix", "redis+unix"] {
            for protocol in ["resp2", "resp3"] {
                let url = format!(
                    "{scheme}://{path}?db=3&user=sh%26p&pass=pa%2Bss%2F%3F%23%25&protocol={protocol}"
                );
                let plain = format!("{scheme}://{path}?protocol={protocol}");
                for builder in [
                    RedisStore::builder().url(&url),
                    RedisStore::builder()
                        .user("sh&p", "pa+ss/?#%")
                        .database(3)
                        .url(&plain),
                ] {
                    let builder = builder.command_deadline(Duration::from_secs(10));
                    let store = builder.connect().await.unwrap();
                    let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
                    let clients: String = server.command(&["CLIENT", "LIST"]);
                    assert!(
                        clients.contains("db=3") && clients.contains("user=sh&p"),
                        "{clients}"
                    );
                    let _: u64 =
                        server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
                    assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], "1");
                }
            }
        }
        // What is wrong with a socket is said in its own words.
        let said = async |url: &str| {
            let error = RedisStore::connect(url).await.unwrap_err();
            error.to_string()
        };
        let missing = said(&format!("unix://{path}.none")).await;
        assert!(
            missing.contains("there is no socket at this path"),
            "{missing}"
        );
        server.kill();
        let socket = folder.path().join("left.sock");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let dead = said(&format!("unix://{}", socket.display())).await;
        assert!(dead.contains("no server listens at the socket"), "{dead}");
    }
}

/// The number that was set is opened as requests come, and no more; all see what each has written.
#[tokio::test]
async fn as_many_connections_as_were_set_are_used() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        for number in [1, 2, 5] {
            let store = RedisStore::builder()
                .url(server.url())
                .connections(number)
                .command_deadline(HOUR);
            let before = server.connections();
            let store = store.connect().await.unwrap();
            let visitor = Visitor::create(&store, []).await;
            for expected in 1..=20 {
                store
                    .commit(&visitor.update([add("a.n", 1)]))
                    .await
                    .unwrap();
                let values = visitor.values(&store, &["a.n"]).await;
                assert_eq!(values["a.n"], expected.to_string());
            }
            assert_eq!(server.connections() - before, number as u64);
            let _: u64 = server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            for _ in 0..20 {
                store
                    .commit(&visitor.update([add("a.n", 1)]))
                    .await
                    .unwrap();
            }
            assert_eq!(visitor.values(&store, &["a.n"]).await["a.n"], "40");
        }
    }
}
