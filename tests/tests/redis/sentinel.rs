//! A master that dies, and its replica that takes over.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::time::{Duration, Instant};

use session_runtime::store::{Outcome, StoreErrorKind};
use session_runtime::{RedisStore, SessionStore};
use tests::servers::{Sentinel, on_all_at_once};
use tests::store_visitor::{Visitor, add, set};

#[test]
fn sessions_go_on_at_the_new_master() {
    on_all_at_once(async |generation| {
        let mut servers = Sentinel::start(generation);
        // The first Sentinel that is named is dead, as one may be.
        let mut urls = vec!["redis://127.0.0.1:1".to_owned()];
        urls.extend(servers.urls());
        let store = RedisStore::builder()
            .sentinel(Sentinel::MASTER, urls)
            .connect()
            .await
            .unwrap();
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        let _: u64 = servers.master.command(&["WAIT", "1", "2000"]);

        let mut tally = Tally::default();
        for _ in 0..100 {
            assert!(tally.add_one(&store, &visitor).await);
        }
        servers.master.kill();
        let start = Instant::now();
        while !tally.add_one(&store, &visitor).await {
            assert!(start.elapsed() < Duration::from_secs(60), "no failover");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = start.elapsed();
        for _ in 0..100 {
            assert!(tally.add_one(&store, &visitor).await);
        }
        let key = visitor.key("session");
        let stored: i64 = servers.replica.command(&["HGET", &key, "a.n"]);
        println!(
            "{}: failover in {took:?}, {tally:?}, stored {stored}",
            generation.name()
        );
        assert!(tally.longest < Duration::from_secs(2));
        // Writes that the replica did not have yet are lost; those after the failover are not.
        assert!((101..=tally.acknowledged + tally.unknown).contains(&stored));

        // The old master comes back and becomes a replica.
        servers.master.restart();
        for _ in 0..100 {
            assert!(tally.add_one(&store, &visitor).await);
        }
    });
}

/// The store's answers to commits that each add one.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: i64,
    unknown: i64,
    longest: Duration,
}

impl Tally {
    async fn add_one(&mut self, store: &RedisStore, visitor: &Visitor) -> bool {
        let start = Instant::now();
        let outcome = store.commit(&visitor.update([add("a.n", 1)])).await;
        self.longest = self.longest.max(start.elapsed());
        match outcome {
            Ok(Outcome::Applied(_)) => {
                self.acknowledged += 1;
                return true;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => self.unknown += 1,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable),
        }
        false
    }
}

#[test]
fn a_planned_failover_is_a_short_pause() {
    on_all_at_once(async |generation| {
        let servers = Sentinel::start(generation);
        let store = RedisStore::builder()
            .sentinel(Sentinel::MASTER, servers.urls())
            .connect()
            .await
            .unwrap();
        let visitor = Visitor::create(&store, []).await;
        let _: u64 = servers.master.command(&["WAIT", "1", "2000"]);
        let _: String = servers.sentinels[0].command(&["SENTINEL", "FAILOVER", Sentinel::MASTER]);
        let start = Instant::now();
        let mut last_failure = None;
        // It cuts its connections when it becomes one.
        let is_replica = || {
            let info = servers
                .master
                .try_command::<String>(&["INFO", "replication"]);
            info.is_ok_and(|info| info.contains("role:slave"))
        };
        let mut acknowledged_after = 0;
        while acknowledged_after < 50 {
            assert!(start.elapsed() < Duration::from_secs(60), "no failover");
            let was_replica = is_replica();
            match store.commit(&visitor.update([add("a.n", 1)])).await {
                Ok(Outcome::Applied(_)) if was_replica => acknowledged_after += 1,
                Ok(Outcome::Applied(_)) => {}
                Ok(other) => panic!("{other:?}"),
                Err(_) => last_failure = Some(start.elapsed()),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!("{}: last failure after {last_failure:?}", generation.name());
    });
}
