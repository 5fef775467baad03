//! What `connect` checks: settings, rights, and the layout that a server already has.

use std::time::{Duration, Instant};

use session_runtime::RedisStore;
use session_runtime::store::{RedisConnectError, Tier};
use tests::servers::{Options, Server, available};
use tests::store_visitor::{Visitor, set, set_for};

use super::HOUR;

/// The form of one; what is in it no test looks at.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

#[tokio::test]
async fn a_connection_of_the_application_is_enough() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let client = redis::Client::open(server.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        let store = RedisStore::builder()
            .connection(connection)
            .connect()
            .await
            .unwrap();
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], "1");
    }
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_and_never_shown() {
    let refused = async |builder: session_runtime::store::RedisStoreBuilder| {
        let shown = format!("{builder:?}");
        let error = builder.connect().await.unwrap_err();
        let shown = format!("{shown} {error} {error:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("shop.example"),
            "{shown}"
        );
        error
    };
    let builder = RedisStore::builder;
    let error = refused(builder()).await;
    assert!(matches!(error, RedisConnectError::NoServer));
    for url in [
        "",
        "hunter2",
        "http://shop:hunter2@shop.example",
        "redis://shop:hunter2@[::",
    ] {
        let error = refused(builder().url(url)).await;
        assert!(
            matches!(error, RedisConnectError::InvalidUrl),
            "{url}: {error:?}"
        );
    }
    for prefix in ["", "a{b}"] {
        let url = "redis://shop:hunter2@127.0.0.1:1";
        let error = refused(builder().url(url).prefix(prefix)).await;
        assert!(matches!(error, RedisConnectError::InvalidPrefix));
    }
    for url in [
        "redis://shop@shop.example",
        "redis://shop:@shop.example",
        "rediss://shop@shop.example",
    ] {
        let error = refused(builder().url(url)).await;
        assert!(matches!(error, RedisConnectError::NoPassword), "{url}");
        let error = refused(builder().cluster([url])).await;
        assert!(matches!(error, RedisConnectError::NoPassword), "{url}");
        let error = refused(builder().sentinel("master", [url])).await;
        assert!(matches!(error, RedisConnectError::NoPassword), "{url}");
    }
    for url in [
        "redis://shop%20.example",
        "redis://shop!.example",
        "redis://",
    ] {
        let error = refused(builder().url(url)).await;
        assert!(
            matches!(error, RedisConnectError::InvalidUrl),
            "{url}: {error:?}"
        );
    }
    let plain = "redis://shop.example";
    let with_user = "redis://other:secret@shop.example/3";
    for contradiction in [
        builder().url(with_user).user("shop", "hunter2"),
        builder().user("shop", "hunter2").url(with_user),
        builder().url(with_user).database(5),
        builder().database(5).url(with_user),
        builder().cluster([plain]).database(1),
        builder().cluster(["redis://shop.example/1"]),
        builder().sentinel("master", ["redis://shop.example/1"]),
        builder().url(plain).root_certificates(CERTIFICATE),
        builder().root_certificates(CERTIFICATE).cluster([plain]),
        builder().cluster([plain, "rediss://shop.example"]),
    ] {
        let error = refused(contradiction).await;
        assert!(
            matches!(error, RedisConnectError::Contradiction(_)),
            "{error:?}"
        );
    }
    let encrypted = "rediss://shop.example";
    for certificates in [
        builder().url(encrypted).root_certificates("hunter2"),
        builder()
            .root_certificates("")
            .sentinel("master", [encrypted]),
        builder()
            .url(encrypted)
            .client_certificate("hunter2", "hunter2"),
        builder()
            .url(encrypted)
            .client_certificate(CERTIFICATE, "hunter2"),
    ] {
        let error = refused(certificates).await;
        assert!(
            matches!(error, RedisConnectError::InvalidCertificate(_)),
            "{error:?}"
        );
    }
    let start = Instant::now();
    let error = refused(builder().url("redis://shop:hunter2@127.0.0.1:1")).await;
    assert!(
        matches!(error, RedisConnectError::Unavailable(_)),
        "{error:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// Settings given beside a URL count, in any order.
#[tokio::test]
async fn user_and_database_are_applied_in_any_order() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        server.allow_application("shop", "secret", "session");
        let _: String = server.command(&["ACL", "SETUSER", "shop", "+select"]);
        for store in [
            RedisStore::builder()
                .url(server.url())
                .user("shop", "secret")
                .database(5),
            RedisStore::builder()
                .database(5)
                .user("shop", "secret")
                .url(server.url()),
        ] {
            let store = store.connect().await.unwrap();
            let visitor = Visitor::create(&store, []).await;
            assert!(!server.command::<bool>(&["EXISTS", &visitor.key("session")]));
            let users: String = server.command(&["CLIENT", "LIST"]);
            assert!(
                users.contains("db=5") && users.contains("user=shop"),
                "{users}"
            );
        }
    }
}

#[tokio::test]
async fn the_recorded_layout_wins_over_a_newer_server() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let builder = || RedisStore::builder().url(server.url());
        let compatible = builder().tier(Tier::Compatible).connect().await.unwrap();
        let visitor = Visitor::create(&compatible, [set_for("a.b", "1", HOUR)]).await;

        let later = builder().connect().await.unwrap();
        assert_eq!(later.tier(), Tier::Compatible);
        assert_eq!(visitor.values(&later, &["a.b"]).await["a.b"], "1");
        let refused = builder().tier(Tier::Native).connect().await.unwrap_err();
        match refused {
            RedisConnectError::OtherLayout { recorded, .. } if generation.has_field_ttl() => {
                assert_eq!(recorded, Tier::Compatible);
            }
            RedisConnectError::NoFieldDeadlines if !generation.has_field_ttl() => {}
            other => panic!("{other:?}"),
        }

        let _: u64 = server.command(&["HSET", "session:@layout", "tier", "native-2"]);
        let native = builder().connect().await;
        match native {
            Ok(store) => assert!(generation.has_field_ttl() && store.tier() == Tier::Native),
            Err(RedisConnectError::OtherLayout { recorded, .. }) => {
                assert!(!generation.has_field_ttl() && recorded == Tier::Native);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn layouts_of_other_versions_are_refused_in_words() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let connect = || RedisStore::connect(server.url());
        for tier in ["native", "compatible"] {
            let _: u64 = server.command(&["HSET", "session:@layout", "tier", tier]);
            let refused = connect().await.unwrap_err();
            assert!(
                matches!(refused, RedisConnectError::EarlierLayout { .. }),
                "{refused:?}"
            );
            let said = refused.to_string();
            assert!(said.contains("`session:@layout`"), "{said}");
            assert!(
                said.contains("use another prefix, or remove that key"),
                "{said}"
            );
            // Nothing was changed, for the program that still uses these sessions.
            let kept: String = server.command(&["HGET", "session:@layout", "tier"]);
            assert_eq!(kept, tier);
        }
        let _: u64 = server.command(&["HSET", "session:@layout", "tier", "native-3"]);
        let refused = connect().await.unwrap_err();
        assert!(
            matches!(refused, RedisConnectError::UnknownLayout { .. }),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_missing_right_is_named() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let mut commands = vec![
            "hmget",
            "hget",
            "hgetall",
            "hkeys",
            "hdel",
            "exists",
            "del",
            "pexpireat",
            "persist",
            "time",
            "eval",
            "evalsha",
            "hset",
        ];
        if generation.has_field_ttl() {
            commands.extend(["hsetex", "hpexpiretime"]);
        }
        for command in commands {
            server.allow_application("shop", "secret", "session");
            let _: String = server.command(&["ACL", "SETUSER", "shop", &format!("-{command}")]);
            let url = format!("redis://shop:secret@127.0.0.1:{}", server.port());
            let refused = RedisStore::connect(url).await.unwrap_err();
            match &refused {
                RedisConnectError::MissingRight { command: named } => {
                    assert_eq!(named.to_lowercase(), command);
                }
                other => panic!("{command}: {other:?}"),
            }
        }
        let url = format!("redis://shop:wrong-password@127.0.0.1:{}", server.port());
        let refused = RedisStore::connect(url).await.unwrap_err();
        assert!(matches!(refused, RedisConnectError::NotAuthenticated));
        assert!(!format!("{refused:?} {refused}").contains("wrong-password"));
    }
}
