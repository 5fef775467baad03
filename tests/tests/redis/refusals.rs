//! A server that refuses: the connection stays unless a new one can help, so the number of
//! connections that the server counts does not grow with the requests.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::time::{Duration, Instant};

use session_runtime::RedisStore;
use session_runtime::SessionStore;
use session_runtime::store::StoreErrorKind::{self, Full, Misconfigured, Unavailable};
use tests::servers::{Options, Server, available};
use tests::store_visitor::{Visitor, add};

/// The requests that a server refuses, of each kind.
const REQUESTS: u64 = 10;

/// What a refusal is brought about by, and what it is for a load and for a commit.
struct Case {
    name: &'static str,
    begin: fn(&Server),
    end: fn(&Server),
    load: Option<StoreErrorKind>,
    commit: Option<StoreErrorKind>,
    /// How many connections may be opened meanwhile, though each of the requests is refused.
    most: u64,
}

fn set(server: &Server, name: &str, value: &str) {
    let _: String = server.command(&["CONFIG", "SET", name, value]);
}

/// Follows a master that is not there.
fn follow_nobody(server: &Server) {
    let _: String = server.command(&["REPLICAOF", "127.0.0.1", "1"]);
}

const CASES: [Case; 8] = [
    Case {
        name: "NOREPLICAS",
        begin: |server| set(server, "min-replicas-to-write", "1"),
        end: |server| set(server, "min-replicas-to-write", "0"),
        load: None,
        commit: Some(Unavailable),
        most: 0,
    },
    Case {
        name: "OOM",
        begin: |server| set(server, "maxmemory", "1"),
        end: |server| set(server, "maxmemory", "0"),
        load: None,
        commit: Some(Full),
        most: 0,
    },
    Case {
        name: "MISCONF",
        begin: |server| {
            // A snapshot cannot replace a folder.
            let file: (String, String) = server.command(&["CONFIG", "GET", "dbfilename"]);
            let folder = server.folder().join(file.1);
            std::fs::create_dir_all(folder.join("occupied")).unwrap();
            set(server, "save", "3600 1");
            let _: String = server.command(&["BGSAVE"]);
            let start = Instant::now();
            while server
                .info("persistence", "rdb_last_bgsave_status")
                .as_deref()
                != Some("err")
            {
                assert!(start.elapsed() < Duration::from_secs(20));
                std::thread::sleep(Duration::from_millis(10));
            }
        },
        end: |server| set(server, "save", ""),
        load: None,
        commit: Some(Unavailable),
        most: 0,
    },
    Case {
        name: "NOPERM",
        begin: |server| {
            let _: String =
                server.command(&["ACL", "SETUSER", "shop", "-evalsha", "-eval", "-hmget"]);
        },
        end: |server| server.allow_application("shop", "secret", "session"),
        load: Some(Misconfigured),
        commit: Some(Misconfigured),
        most: 0,
    },
    Case {
        name: "NOSCRIPT",
        begin: |server| {
            let _: String = server.command(&["SCRIPT", "FLUSH"]);
        },
        end: |_| {},
        load: None,
        commit: None,
        most: 0,
    },
    Case {
        name: "READONLY",
        begin: follow_nobody,
        end: |server| {
            let _: String = server.command(&["REPLICAOF", "NO", "ONE"]);
        },
        load: None,
        commit: Some(Unavailable),
        most: 8,
    },
    Case {
        name: "MASTERDOWN",
        begin: |server| {
            set(server, "replica-serve-stale-data", "no");
            follow_nobody(server);
        },
        end: |server| {
            let _: String = server.command(&["REPLICAOF", "NO", "ONE"]);
        },
        load: Some(Unavailable),
        commit: Some(Unavailable),
        most: 10,
    },
    Case {
        name: "a user who is gone",
        begin: |server| {
            let _: u64 = server.command(&["ACL", "DELUSER", "shop"]);
        },
        end: |server| server.allow_application("shop", "secret", "session"),
        load: Some(Misconfigured),
        commit: Some(Misconfigured),
        // Each request needs a connection, and asks for one.
        most: 2 * REQUESTS,
    },
];

#[tokio::test]
async fn a_refusal_opens_no_connections() {
    for generation in available() {
        for case in &CASES {
            let what = format!("{}, {}", generation.name(), case.name);
            let server = Server::start(generation, &Options::default());
            server.allow_application("shop", "secret", "session");
            let url = format!("redis://shop:secret@127.0.0.1:{}", server.port());
            let store = RedisStore::connect(url).await.unwrap();
            let visitor = Visitor::create(&store, []).await;
            (case.begin)(&server);
            // Whether the connection was lost too is known afterwards.
            let _ = visitor.load(&store, &[]).await;
            let before = server.connections();
            let start = Instant::now();
            for _ in 0..REQUESTS {
                let commit = store.commit(&visitor.update([add("a.n", 1)])).await;
                assert_eq!(
                    commit.err().map(|error| error.kind()),
                    case.commit,
                    "{what}"
                );
                let load = visitor.load(&store, &["a.n"]).await;
                assert_eq!(load.err().map(|error| error.kind()), case.load, "{what}");
            }
            let opened = server.connections() - before;
            println!("{what}: {opened} connections in {:?}", start.elapsed());
            // The pauses between new connections are time, so a slow machine has more of them.
            let seconds = start.elapsed().as_secs();
            let more = if case.most > 0 { 2 * seconds } else { 0 };
            assert!(opened <= case.most + more, "{what}: {opened}");
            (case.end)(&server);
            let start = Instant::now();
            while store
                .commit(&visitor.update([add("a.n", 1)]))
                .await
                .is_err()
            {
                assert!(
                    start.elapsed() < Duration::from_secs(20),
                    "{what}: no recovery"
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// A script that does not end. The server answers everything else with `BUSY`.
#[tokio::test]
async fn a_busy_server_keeps_its_connections() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        set(&server, "busy-reply-threshold", "1");
        let store = RedisStore::connect(server.url()).await.unwrap();
        let visitor = Visitor::create(&store, []).await;
        let before = server.connections();
        let client = redis::Client::open(server.url()).unwrap();
        let mut busy = client.get_connection().unwrap();
        let script = std::thread::spawn(move || {
            let _ = redis::cmd("EVAL")
                .arg("while true do end")
                .arg(0)
                .query::<()>(&mut busy);
        });
        let mut refused = 0;
        let start = Instant::now();
        while refused < REQUESTS {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "it does not get busy"
            );
            let commit = store.commit(&visitor.update([add("a.n", 1)])).await;
            if commit.is_err_and(|error| error.kind() == Unavailable) {
                refused += 1;
            }
            if visitor.load(&store, &["a.n"]).await.is_err() {
                refused += 1;
            }
        }
        let _: String = server.command(&["SCRIPT", "KILL"]);
        script.join().unwrap();
        // One is that of the script.
        assert_eq!(server.connections() - before, 1, "{}", generation.name());
        store.commit(&visitor.update([])).await.unwrap();
    }
}

/// A server that reads its data at the start answers `LOADING`.
#[tokio::test]
async fn a_server_that_loads_its_data_keeps_its_connections() {
    for generation in available() {
        let mut server = Server::start(
            generation,
            &Options {
                settings: vec![
                    "key-load-delay 200".to_owned(),
                    "loading-process-events-interval-bytes 1024".to_owned(),
                ],
                ..Options::default()
            },
        );
        let store = RedisStore::connect(server.url()).await.unwrap();
        let visitor = Visitor::create(&store, []).await;
        let _: String = server.command(&["DEBUG", "POPULATE", "15000"]);
        let _: String = server.command(&["SAVE"]);
        server.restart_without_waiting();
        let (mut loading, start) = (0, Instant::now());
        while let Err(error) = visitor.load(&store, &[]).await {
            assert_eq!(error.kind(), Unavailable);
            let source = std::error::Error::source(&error).map(ToString::to_string);
            loading += u64::from(source.as_deref() == Some("the server is loading its data"));
            assert!(start.elapsed() < Duration::from_secs(60), "no recovery");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let opened = server.connections();
        println!(
            "{}: {loading} loads met it loading, {opened} connections",
            generation.name()
        );
        assert!(loading >= REQUESTS);
        // Ours, and that of the question itself; on a slow machine some were opened in vain.
        assert!(opened <= 6, "{}: {opened}", generation.name());
    }
}

/// A single server of a Cluster that loses its slots.
#[tokio::test]
async fn a_node_without_its_slots_keeps_its_connections() {
    for generation in available() {
        let options = Options {
            cluster: true,
            ..Options::default()
        };
        let server = Server::start(generation, &options);
        let _: String = server.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        let start = Instant::now();
        while !server
            .command::<String>(&["CLUSTER", "INFO"])
            .contains("cluster_state:ok")
        {
            assert!(start.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // One node that has all slots is used as a single server is.
        let store = RedisStore::connect(server.url()).await.unwrap();
        let visitor = Visitor::create(&store, []).await;
        let _: String = server.command(&["CLUSTER", "DELSLOTSRANGE", "0", "16383"]);
        let before = server.connections();
        for _ in 0..REQUESTS {
            let error = store.commit(&visitor.update([])).await.unwrap_err();
            assert_eq!(error.kind(), Misconfigured);
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert!(source.contains("a node of a Cluster"), "{source}");
        }
        assert_eq!(server.connections(), before, "{}", generation.name());
    }
}
