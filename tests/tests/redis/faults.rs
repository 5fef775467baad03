//! Servers that die, freeze, fill up and forget, and connections that are cut at any place.
//!
//! Two things must hold in every case: a call ends within its deadlines, and a commit has happened
//! once or not at all, with an answer that says which, or that the outcome is unknown.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use session_runtime::store::{
    Action, Change, ListChange, Outcome, PrincipalKey, Restore, StoreErrorKind,
};
use session_runtime::{RedisStore, SessionStore};
use tests::proxy::{Behavior, Cut, Proxy};
use tests::servers::{Options, Server, available};
use tests::store_visitor::{Visitor, add, set, set_for, take};

const HOUR: Duration = Duration::from_secs(3600);
/// Connecting and the command, by default, and what a busy machine needs on top.
const LONGEST_CALL: Duration = Duration::from_millis(1250 + 500);

async fn connect(port: u16) -> RedisStore {
    RedisStore::connect(format!("redis://127.0.0.1:{port}"))
        .await
        .unwrap()
}

/// Where the subject is what became of a call and not how long it took.
async fn connect_patiently(port: u16) -> RedisStore {
    RedisStore::builder()
        .url(format!("redis://127.0.0.1:{port}"))
        .command_deadline(Duration::from_secs(60))
        .connect()
        .await
        .unwrap()
}

/// Tries until it works; answers how long that took.
async fn recovery(store: &RedisStore, visitor: &Visitor) -> Duration {
    let start = Instant::now();
    while store.commit(&visitor.update([])).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "no recovery");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

#[tokio::test]
async fn a_server_that_restarts_between_two_calls_is_not_noticed() {
    for generation in available() {
        for protocol in ["resp3", "resp2"] {
            let mut server = Server::durable(generation);
            let url = format!("{}?protocol={protocol}", server.url());
            let store = RedisStore::connect(url).await.unwrap();
            let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
            server.restart();
            assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], "1");
            server.restart();
            let outcome = store.commit(&visitor.update([add("a.n", 1)])).await;
            assert!(matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_dead_server_is_unavailable_at_once_and_used_again_when_it_is_back() {
    for generation in available() {
        let mut server = Server::durable(generation);
        let store = connect(server.port()).await;
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        server.kill();
        for _ in 0..20 {
            let start = Instant::now();
            let error = visitor.load(&store, &["a.b"]).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
            assert!(start.elapsed() < Duration::from_millis(500));
            // Once it is known that nothing was sent, a commit says so too.
            let error = store.commit(&visitor.update([])).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        }
        server.restart();
        let took = recovery(&store, &visitor).await;
        println!("{}: used again after {took:?}", generation.name());
        assert!(took < Duration::from_millis(500));
        assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_under_load_lose_no_acknowledged_commit_and_apply_none_twice() {
    for generation in available() {
        let mut server = Server::durable(generation);
        let store = Arc::new(connect(server.port()).await);
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
                tokio::spawn(async move {
                    let visitor = Visitor::create(&*store, []).await;
                    let (mut acknowledged, mut unknown) = (0_i64, 0_i64);
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        match store.commit(&visitor.update([add("a.n", 1)])).await {
                            Ok(Outcome::Applied(_)) => acknowledged += 1,
                            Ok(other) => panic!("{other:?}"),
                            Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => {
                                unknown += 1;
                            }
                            Err(error) => {
                                assert_eq!(error.kind(), StoreErrorKind::Unavailable);
                                tokio::time::sleep(Duration::from_millis(5)).await;
                            }
                        }
                    }
                    (visitor, acknowledged, unknown)
                })
            })
            .collect();
        for round in 0..6 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            if round % 2 == 0 {
                let _: u64 = server.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            } else {
                server.restart();
            }
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        for task in tasks {
            let (visitor, acknowledged, unknown) = task.await.unwrap();
            let stored: i64 = server.command(&["HGET", &visitor.key("session"), "a.n"]);
            println!(
                "{}: acknowledged {acknowledged}, unknown {unknown}, stored {stored}",
                generation.name()
            );
            assert!(acknowledged > 0);
            assert!((acknowledged..=acknowledged + unknown).contains(&stored));
        }
    }
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(server.port()).await;
        let visitor = Visitor::create(&store, []).await;
        for _ in 0..3 {
            let _: String = server.command(&["SCRIPT", "FLUSH"]);
            store
                .commit(&visitor.update([add("a.n", 1)]))
                .await
                .unwrap();
        }
        assert_eq!(visitor.values(&store, &["a.n"]).await["a.n"], "3");
    }
}

#[tokio::test]
async fn a_frozen_server_costs_one_deadline() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(server.port()).await;
        let visitor = Visitor::create(&store, []).await;
        type Freeze<'a> = Box<dyn Fn() + 'a>;
        let freezes: [(&str, Freeze<'_>, Freeze<'_>); 2] = [
            (
                "SIGSTOP",
                Box::new(|| server.pause()),
                Box::new(|| server.resume()),
            ),
            (
                "CLIENT PAUSE",
                Box::new(|| server.command(&["CLIENT", "PAUSE", "2000"])),
                Box::new(|| {}),
            ),
        ];
        for (what, freeze, thaw) in freezes {
            freeze();
            // The third one makes the store open another connection.
            for _ in 0..4 {
                let start = Instant::now();
                let error = visitor.load(&store, &[]).await.unwrap_err();
                assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{what}");
                assert!(
                    start.elapsed() < LONGEST_CALL,
                    "{what}: {:?}",
                    start.elapsed()
                );
            }
            thaw();
            let took = recovery(&store, &visitor).await;
            println!("{}: after {what} again after {took:?}", generation.name());
            assert!(took < Duration::from_secs(3));
        }
        // A commit that was sent and stays without an answer may have been applied.
        server.pause();
        let commit = visitor.update([add("a.n", 1)]);
        let error = store.commit(&commit).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
        server.resume();
        recovery(&store, &visitor).await;
        // Sent again by the caller it takes effect once, whatever became of it.
        store.commit(&commit).await.unwrap();
        assert_eq!(visitor.values(&store, &["a.n"]).await["a.n"], "1");
    }
}

#[tokio::test]
async fn a_black_holed_connection_is_replaced() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let proxy = Proxy::start(server.port());
        let store = connect(proxy.port()).await;
        let visitor = Visitor::create(&store, []).await;
        let accepted = proxy.accepted();
        proxy.behave(Behavior::SwallowPresent);
        let took = recovery(&store, &visitor).await;
        println!("{}: replaced after {took:?}", generation.name());
        assert!(took < Duration::from_secs(2));
        assert_eq!(proxy.accepted(), accepted + 1);

        proxy.behave(Behavior::SwallowAll);
        for _ in 0..8 {
            let start = Instant::now();
            let error = visitor.load(&store, &[]).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
            assert!(start.elapsed() < LONGEST_CALL, "{:?}", start.elapsed());
        }
        proxy.behave(Behavior::Forward);
        proxy.cut();
        assert!(recovery(&store, &visitor).await < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_full_server_refuses_growth_and_still_lets_visitors_out() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(server.port()).await;
        let fields = ["a.b", "a.r", "a.t"].map(|name| set(name, "1"));
        let timed = set_for("a.d", "1", HOUR);
        let visitor = Visitor::create(&store, fields.into_iter().chain([timed])).await;
        let mut listed = visitor.update([]);
        listed.lists.push(ListChange::Add {
            field: "shop.customer".into(),
            principal: PrincipalKey::new("shop.customer", b"7"),
            keep: Some(HOUR),
            limit: None,
        });
        let named = visitor.update([set("a.b", "1")]);
        store.commit(&named).await.unwrap();
        let mut labelled = visitor.update([]);
        labelled.label = Some("Firefox on Linux".into());
        let restored = visitor.update([Change::Renew {
            name: "a.x".into(),
            ttl: HOUR,
            restore: Some(Restore::new("1".into(), Some(named.id))),
        }]);
        let _: String = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        for commit in [
            labelled,
            restored,
            visitor.update([set("a.b", "2")]),
            visitor.update([set_for("a.b", "2", HOUR), take("a.b")]),
            visitor.update([add("a.n", 1), take("a.b")]),
            visitor.rotation(Some(HOUR)).0,
            listed,
            Visitor::new().creation([]),
        ] {
            let error = store.commit(&commit).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Full, "{commit:?}");
        }
        assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], "1");
        assert!(visitor.is_admitted(&store).await);
        // Commits that add nothing are applied, and by the last of these the old token is dead.
        let (rotation, rotated) = visitor.rotation(None);
        let renew = |name: &'static str| Change::Renew {
            name: name.into(),
            ttl: HOUR,
            restore: None,
        };
        for commit in [
            visitor.update([]),
            visitor.update([renew("a.b")]),
            visitor.update([renew("a.d")]),
            visitor.update([take("a.t")]),
            visitor.update([Change::Remove { name: "a.r".into() }]),
            rotation,
        ] {
            let outcome = store.commit(&commit).await;
            assert!(matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
        }
        assert!(rotated.is_admitted(&store).await);
        let left = rotated.values(&store, &["a.b", "a.d", "a.r", "a.t"]);
        assert_eq!(left.await.into_keys().collect::<Vec<_>>(), ["a.b", "a.d"]);
        let visitor = rotated;
        let outcome = store.commit(&visitor.destruction()).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied(_)));
        assert!(visitor.load(&store, &[]).await.unwrap().is_none());
        // Without the script in its memory too.
        let _: String = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
        let visitor = Visitor::create(&store, []).await;
        let _: String = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
        let _: String = server.command(&["SCRIPT", "FLUSH"]);
        let outcome = store.commit(&visitor.destruction()).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied(_)));
    }
}

#[tokio::test]
async fn a_replica_is_unavailable_for_commits() {
    for generation in available() {
        let master = Server::start(generation, &Options::default());
        let server = Server::start(generation, &Options::default());
        let store = connect(server.port()).await;
        let visitor = Visitor::create(&store, []).await;
        let port = master.port().to_string();
        let _: String = server.command(&["REPLICAOF", "127.0.0.1", &port]);
        let error = store.commit(&visitor.update([])).await;
        let is_gone = matches!(error, Ok(Outcome::Gone));
        let is_refused =
            matches!(&error, Err(error) if error.kind() == StoreErrorKind::Unavailable);
        // Once the replica has the master's data, the session is not there.
        assert!(is_gone || is_refused, "{error:?}");
        let error = store
            .commit(&Visitor::new().creation([]))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let _: String = server.command(&["REPLICAOF", "NO", "ONE"]);
        Visitor::create(&store, []).await;
    }
}

#[tokio::test]
async fn a_right_that_is_withdrawn_is_a_misconfiguration() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        server.allow_application("shop", "secret", "session");
        let url = format!("redis://shop:secret@127.0.0.1:{}", server.port());
        let store = RedisStore::connect(url).await.unwrap();
        let visitor = Visitor::create(&store, [set("a.b", "private")]).await;
        for command in ["hmget", "hset", "evalsha"] {
            let _: String = server.command(&["ACL", "SETUSER", "shop", &format!("-{command}")]);
            let commit = visitor.update([set("a.b", "private")]);
            let error = store.commit(&commit).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{command}");
            let shown = format!("{error:?} {error}");
            assert!(
                !shown.contains("private") && !shown.contains("session:"),
                "{shown}"
            );
            let _: String = server.command(&["ACL", "SETUSER", "shop", &format!("+{command}")]);
        }
        assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], "private");
    }
}

/// For a connection that is cut at each place of a call: what the caller is told is what happened.
#[tokio::test]
async fn s10_a_cut_connection_leaves_the_old_or_the_new_never_both_never_neither() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        for at in [Cut::BeforeServer, Cut::InsideCommand, Cut::BeforeClient] {
            for forget_scripts in [false, true] {
                // With a forgotten script there are two commands to cut.
                for command in 0..3 {
                    let proxy = Proxy::start(server.port());
                    let store = connect_patiently(proxy.port()).await;
                    let creation = [
                        set("a.b", "old"),
                        set_for("a.c", "kept", HOUR),
                        set("a.t", "1"),
                        add("a.n", 5),
                    ];
                    let visitor = Visitor::create(&store, creation).await;
                    if forget_scripts {
                        let _: String = server.command(&["SCRIPT", "FLUSH"]);
                    }
                    proxy.behave(Behavior::CutOnce { command, at });
                    let (mut commit, rotated) = visitor.rotation(None);
                    commit.changes = vec![set("a.b", "new"), add("a.n", 1), take("a.t")];
                    let outcome = store.commit(&commit).await;
                    proxy.behave(Behavior::Forward);

                    // The store sends again by itself: here the new server is there at once.
                    let Ok(Outcome::Applied(applied)) = outcome else {
                        panic!("{at:?} {command}: {outcome:?}");
                    };
                    assert_eq!(applied.values[1].as_deref(), Some(&b"6"[..]));
                    assert_eq!(applied.values[2].as_deref(), Some(&b"1"[..]));
                    assert!(rotated.is_admitted(&store).await);
                    assert!(!visitor.is_admitted(&store).await);
                    let values = rotated.values(&store, &["a.b", "a.c", "a.n", "a.t"]).await;
                    assert_eq!(values["a.b"], "new");
                    assert_eq!(values["a.c"], "kept");
                    assert_eq!(values["a.n"], "6");
                    assert!(!values.contains_key("a.t"));
                    let late = store.commit(&visitor.update([])).await.unwrap();
                    assert_eq!(late, Outcome::Gone);
                }
            }
        }
    }
}

/// The same without a second chance: the server is gone when the connection is.
#[tokio::test]
async fn s10_a_call_that_cannot_be_sent_again_has_an_unknown_outcome() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        for (at, is_applied) in [(Cut::BeforeServer, false), (Cut::BeforeClient, true)] {
            let proxy = Proxy::start(server.port());
            let store = connect(proxy.port()).await;
            let visitor = Visitor::create(&store, [set("a.b", "old")]).await;
            let (mut commit, rotated) = visitor.rotation(None);
            commit.changes = vec![set("a.b", "new")];
            proxy.behave(Behavior::CutOnce { command: 0, at });
            proxy.refuse_from_next_cut();
            let error = store.commit(&commit).await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown, "{at:?}");

            let store = connect(server.port()).await;
            let winner = if is_applied { &rotated } else { &visitor };
            assert!(winner.is_admitted(&store).await, "{at:?}");
            let value = if is_applied { "new" } else { "old" };
            assert_eq!(winner.values(&store, &["a.b"]).await["a.b"], value);
        }
    }
}

#[tokio::test]
async fn s58_a_commit_that_arrives_twice_is_applied_once() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect_patiently(server.port()).await;
        let visitor = Visitor::create(&store, [set("a.t", "1")]).await;
        let (mut commit, rotated) = visitor.rotation(None);
        commit.changes = vec![add("a.n", 1), take("a.t")];
        let first = store.commit(&commit).await.unwrap();
        let again = store.commit(&commit).await.unwrap();
        assert_eq!(first, again);
        assert_eq!(rotated.values(&store, &["a.n"]).await["a.n"], "1");
        assert!(matches!(commit.action, Action::Update { .. }));
    }
}
