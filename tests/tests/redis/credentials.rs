//! Users and passwords that change while the program runs.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use session_runtime::store::{
    RedisConnectError, RedisCredentials, RedisStoreBuilder, StoreErrorKind,
};
use session_runtime::{RedisStore, SessionStore};
use tests::servers::{Cluster, Options, Sentinel, Server, available};
use tests::store_visitor::{Visitor, add};

/// A secret store: what it answers now, and how often it was asked.
#[derive(Clone, Default)]
struct Vault {
    password: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Vault {
    fn keep(&self, password: Option<&str>) {
        *self.password.lock().unwrap() = password.map(str::to_owned);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn give_to(&self, builder: RedisStoreBuilder) -> RedisStoreBuilder {
        let vault = self.clone();
        builder.credentials(move || {
            let vault = vault.clone();
            async move {
                tokio::task::yield_now().await;
                vault.asked.fetch_add(1, Ordering::SeqCst);
                let password = vault.password.lock().unwrap().clone();
                let password = password.ok_or("the vault is sealed")?;
                Ok(RedisCredentials::new("shop", password))
            }
        })
    }
}

fn change_password(server: &Server, password: &str) {
    let password = format!(">{password}");
    let _: String = server.command(&["ACL", "SETUSER", "shop", "resetpass", &password]);
}

fn cut_connections(server: &Server) {
    let _: u64 = server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
}

async fn works(store: &RedisStore, visitor: &Visitor, within: Duration) -> Duration {
    let start = Instant::now();
    while let Err(error) = store.commit(&visitor.update([add("a.n", 1)])).await {
        assert!(start.elapsed() < within, "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

#[tokio::test]
async fn a_password_changes_while_the_program_runs() {
    for generation in available() {
        for protocol in ["resp2", "resp3"] {
            let server = Server::start(generation, &Options::default());
            server.allow_application("shop", "first", "session");
            let vault = Vault::default();
            vault.keep(Some("first"));
            let builder = RedisStore::builder()
                .url(format!("{}?protocol={protocol}", server.url()))
                .command_deadline(Duration::from_secs(10));
            let store = vault.give_to(builder).connect().await.unwrap();
            let visitor = Visitor::create(&store, []).await;
            assert_eq!(vault.asked(), 1);
            for password in ["second", "third"] {
                change_password(&server, password);
                // What is open stays open.
                store.commit(&visitor.update([])).await.unwrap();
                vault.keep(Some(password));
                cut_connections(&server);
                // The lost connection is noticed and replaced within one request.
                store.commit(&visitor.update([])).await.unwrap();
            }
            assert_eq!(vault.asked(), 3);
            let users: String = server.command(&["CLIENT", "LIST"]);
            assert_eq!(users.matches("user=shop").count(), 1, "{users}");
        }
    }
}

/// The application's error is the source of what the requests meet, and the next request asks again.
#[tokio::test]
async fn a_provider_may_fail() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        server.allow_application("shop", "first", "session");
        let vault = Vault::default();
        let builder = || vault.give_to(RedisStore::builder().url(server.url()));
        let refused = builder().connect().await.unwrap_err();
        assert!(
            matches!(refused, RedisConnectError::NoCredentials(_)),
            "{refused:?}"
        );
        assert!(
            refused.to_string().contains("the vault is sealed"),
            "{refused}"
        );
        vault.keep(Some("wrong"));
        let refused = builder().connect().await.unwrap_err();
        assert!(
            matches!(refused, RedisConnectError::NotAuthenticated),
            "{refused:?}"
        );
        vault.keep(Some(""));
        let refused = builder().connect().await.unwrap_err();
        assert!(
            matches!(refused, RedisConnectError::NoCredentials(_)),
            "{refused:?}"
        );
        vault.keep(Some("first"));
        let store = builder().connect().await.unwrap();
        let visitor = Visitor::create(&store, []).await;

        vault.keep(None);
        cut_connections(&server);
        let start = Instant::now();
        let error = loop {
            match store.commit(&visitor.update([])).await {
                // It was under way when the connection was cut.
                Ok(_) => assert!(start.elapsed() < Duration::from_secs(20)),
                Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let mut source: &dyn std::error::Error = &error;
        while let Some(next) = source.source() {
            source = next;
        }
        assert_eq!(source.to_string(), "the vault is sealed");
        vault.keep(Some("first"));
        works(&store, &visitor, Duration::from_secs(5)).await;
    }
}

/// A provider that never answers costs the deadline.
#[tokio::test]
async fn a_provider_that_hangs_ends_at_the_deadline() {
    let hangs = || std::future::pending::<Result<RedisCredentials, _>>();
    let start = Instant::now();
    let refused = RedisStore::builder()
        .url("redis://127.0.0.1:1")
        .connect_deadline(Duration::from_millis(50))
        .credentials(hangs)
        .connect()
        .await
        .unwrap_err();
    assert!(
        matches!(refused, RedisConnectError::Unavailable(_)),
        "{refused:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(2));
    let shown = format!("{:?}", RedisCredentials::new("shop", "hunter2"));
    assert_eq!(shown, "RedisCredentials(redacted)");
}

#[tokio::test]
async fn a_master_behind_sentinel_has_its_own_user() {
    for generation in available() {
        let servers = Sentinel::start(generation);
        // The Sentinels want a password too, and know only one.
        for sentinel in &servers.sentinels {
            let _: String = sentinel.command(&["ACL", "SETUSER", "default", "resetpass", ">watch"]);
        }
        let at = |user: &str| -> Vec<String> {
            let ports = servers.sentinels.iter().map(Server::port);
            ports
                .map(|port| format!("redis://{user}127.0.0.1:{port}"))
                .collect()
        };
        for (user, expected) in [("", ""), (":wrong@", ""), ("default:wrong@", "")] {
            let builder = RedisStore::builder().sentinel(Sentinel::MASTER, at(user));
            let refused = builder.connect().await.unwrap_err();
            let is_named = matches!(refused, RedisConnectError::SentinelNotAuthenticated);
            assert!(is_named, "{user}{expected}: {refused:?}");
        }
        for server in [&servers.master, &servers.replica] {
            server.allow_application("shop", "first", "session");
        }
        let vault = Vault::default();
        vault.keep(Some("first"));
        for user in [":watch@", "default:watch@"] {
            let builder = RedisStore::builder()
                .sentinel(Sentinel::MASTER, at(user))
                .command_deadline(Duration::from_secs(10));
            let store = vault.give_to(builder).connect().await.unwrap();
            let visitor = Visitor::create(&store, []).await;
            change_password(&servers.master, "second");
            vault.keep(Some("second"));
            cut_connections(&servers.master);
            works(&store, &visitor, Duration::from_secs(5)).await;
            change_password(&servers.master, "first");
            vault.keep(Some("first"));
        }
        // A master that knows only a password is reached as `default`.
        let _: String = servers
            .master
            .command(&["CONFIG", "SET", "requirepass", "only"]);
        let builder = || RedisStore::builder().sentinel(Sentinel::MASTER, at("default:watch@"));
        let refused = builder().connect().await.unwrap_err();
        assert!(
            matches!(refused, RedisConnectError::PasswordNeeded),
            "{refused:?}"
        );
        let refused = builder()
            .user("default", "wrong")
            .connect()
            .await
            .unwrap_err();
        assert!(
            matches!(refused, RedisConnectError::NotAuthenticated),
            "{refused:?}"
        );
        let store = builder().user("default", "only").connect().await.unwrap();
        Visitor::create(&store, []).await;
    }
}

/// Each node of a Cluster has its own connections, which the client library opens again as the user
/// that it was made with.
#[tokio::test]
async fn a_password_changes_on_a_cluster() {
    for generation in available() {
        let cluster = Cluster::start(generation, 3, 0);
        let allow = |password: &str| {
            for node in &cluster.nodes {
                node.allow_application("shop", password, "session");
                let _: String = node.command(&["ACL", "SETUSER", "shop", "+cluster|slots"]);
            }
        };
        allow("first");
        let vault = Vault::default();
        vault.keep(Some("first"));
        let builder = RedisStore::builder().cluster(cluster.urls());
        let store = vault.give_to(builder).connect().await.unwrap();
        // On all nodes, by chance.
        let mut visitors = Vec::new();
        for _ in 0..12 {
            visitors.push(Visitor::create(&store, []).await);
        }
        for (turn, password) in ["second", "third"].into_iter().enumerate() {
            allow(password);
            vault.keep(Some(password));
            // One node first, then all.
            for node in &cluster.nodes[..=2 * turn] {
                cut_connections(node);
            }
            for visitor in &visitors {
                let took = works(&store, visitor, Duration::from_secs(10)).await;
                if took > Duration::from_millis(100) {
                    println!("{}: after {took:?}", generation.name());
                }
            }
            // And it stays so, on each of the connections.
            for visitor in visitors.iter().cycle().take(8 * visitors.len()) {
                let commit = visitor.update([]);
                if store.commit(&commit).await.is_err() {
                    works(&store, visitor, Duration::from_secs(10)).await;
                }
            }
            let mut failures = 0;
            for visitor in visitors.iter().cycle().take(4 * visitors.len()) {
                failures += u32::from(store.commit(&visitor.update([])).await.is_err());
            }
            assert_eq!(failures, 0, "{}", generation.name());
        }
        let refused = RedisStore::builder()
            .cluster(cluster.urls())
            .user("shop", "wrong");
        let refused = refused.connect().await.unwrap_err();
        assert!(
            matches!(refused, RedisConnectError::NotAuthenticated),
            "{refused:?}"
        );
    }
}
