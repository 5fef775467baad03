//! A Cluster whose keys move, whose connections are lost and whose nodes die, under load.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use session_runtime::store::Tier;
use session_runtime::store::{Outcome, RedisConnectError, Selection, StoreErrorKind};
use session_runtime::{RedisStore, SessionStore};
use tests::servers::{Cluster, available, on_all_at_once};
use tests::store_visitor::{Visitor, add, set, set_for, take};

const HOUR: Duration = Duration::from_secs(3600);

async fn connect(cluster: &Cluster) -> RedisStore {
    RedisStore::builder()
        .cluster(cluster.urls())
        .connect()
        .await
        .unwrap()
}

/// Visitors who each add one, again and again.
struct Load {
    visitors: Vec<Visitor>,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Tally>>,
}

/// The answer to one of them.
#[derive(Debug)]
struct Tally {
    visitor: Visitor,
    acknowledged: i64,
    unknown: i64,
    refused: i64,
    longest_call: Duration,
    longest_pause: Duration,
}

impl Load {
    async fn start(store: &Arc<RedisStore>, visitors: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut created, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..visitors {
            let visitor = Visitor::create(&**store, []).await;
            created.push(visitor);
            let (store, stop) = (Arc::clone(store), Arc::clone(&stop));
            tasks.push(tokio::spawn(async move {
                let mut tally = Tally {
                    visitor,
                    acknowledged: 0,
                    unknown: 0,
                    refused: 0,
                    longest_call: Duration::ZERO,
                    longest_pause: Duration::ZERO,
                };
                let mut last_success = Instant::now();
                while !stop.load(Ordering::Relaxed) {
                    let start = Instant::now();
                    let outcome = store.commit(&visitor.update([add("a.n", 1)])).await;
                    tally.longest_call = tally.longest_call.max(start.elapsed());
                    match outcome {
                        Ok(Outcome::Applied(_)) => {
                            tally.acknowledged += 1;
                            tally.longest_pause = tally.longest_pause.max(last_success.elapsed());
                            last_success = Instant::now();
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => {
                            tally.unknown += 1;
                        }
                        Err(error) => {
                            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
                            tally.refused += 1;
                        }
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                tally.longest_pause = tally.longest_pause.max(last_success.elapsed());
                tally
            }));
        }
        Self {
            visitors: created,
            stop,
            tasks,
        }
    }

    /// Ends it; answers what each was told, and the sum as a line to print.
    async fn finish(self) -> (Vec<Tally>, String) {
        self.stop.store(true, Ordering::Relaxed);
        let mut tallies = Vec::new();
        for task in self.tasks {
            tallies.push(task.await.unwrap());
        }
        let sum = |count: fn(&Tally) -> i64| tallies.iter().map(count).sum::<i64>();
        let longest = |time: fn(&Tally) -> Duration| tallies.iter().map(time).max().unwrap();
        let line = format!(
            "acknowledged {}, unknown {}, refused {}, longest call {:?}, longest pause {:?}",
            sum(|tally| tally.acknowledged),
            sum(|tally| tally.unknown),
            sum(|tally| tally.refused),
            longest(|tally| tally.longest_call),
            longest(|tally| tally.longest_pause),
        );
        (tallies, line)
    }
}

/// Every acknowledged commit is there, and none twice.
async fn check(store: &RedisStore, tallies: &[Tally]) {
    for tally in tallies {
        assert!(tally.acknowledged > 0, "{tally:?}");
        let values = tally.visitor.values(store, &["a.n"]).await;
        let stored: i64 = std::str::from_utf8(&values["a.n"])
            .unwrap()
            .parse()
            .unwrap();
        let most = tally.acknowledged + tally.unknown;
        assert!(
            (tally.acknowledged..=most).contains(&stored),
            "stored {stored}, {tally:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_works_on_every_node() {
    for generation in available() {
        let cluster = Cluster::start(generation, 3, 0);
        let store = connect(&cluster).await;
        assert_eq!(store.tier() == Tier::Native, generation.has_field_ttl());
        for _ in 0..60 {
            let creation = [set("a.b", "1"), set_for("a.c", "2", HOUR), set("a.t", "3")];
            let visitor = Visitor::create(&store, creation).await;
            let (rotation, visitor) = visitor.rotation(Some(HOUR));
            store.commit(&rotation).await.unwrap();
            let taken = store.commit(&visitor.update([take("a.t")])).await.unwrap();
            let Outcome::Applied(applied) = taken else {
                panic!("{taken:?}");
            };
            assert_eq!(applied.values[0].as_deref(), Some(&b"3"[..]));
            assert_eq!(
                visitor.values(&store, &["a.b", "a.c", "a.t"]).await.len(),
                2
            );
            let selected = [session_runtime::store::Selected::with_deadline("a.c")];
            let loaded = store
                .load(&visitor.session, &Selection::fields(&selected))
                .await
                .unwrap()
                .unwrap();
            assert!(loaded.fields[0].as_ref().unwrap().deadline.is_some());
            store.commit(&visitor.destruction()).await.unwrap();
            assert!(visitor.load(&store, &[]).await.unwrap().is_none());
        }
        for node in &cluster.nodes {
            let writes: u64 = node
                .info("stats", "total_commands_processed")
                .unwrap()
                .parse()
                .unwrap();
            assert!(writes > 60, "every node had its share");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_as_able_as_its_oldest_node() {
    use tests::servers::Generation::{Redis7, Redis8};
    if available()
        .iter()
        .filter(|generation| [Redis7, Redis8].contains(generation))
        .count()
        < 2
    {
        return;
    }
    let cluster = Cluster::of(&[Redis8, Redis8, Redis7], 3);
    let builder = || RedisStore::builder().cluster(cluster.urls());
    let refused = builder().tier(Tier::Native).connect().await.unwrap_err();
    assert!(
        matches!(refused, RedisConnectError::NoFieldDeadlines),
        "{refused:?}"
    );
    let store = builder().connect().await.unwrap();
    assert_eq!(store.tier(), Tier::Compatible);
    for _ in 0..30 {
        let visitor = Visitor::create(&store, [set_for("a.b", "1", HOUR)]).await;
        assert_eq!(visitor.values(&store, &["a.b"]).await["a.b"], "1");
    }
}

#[test]
fn resharding_under_load_loses_nothing() {
    /// So many slots without a session, besides those that have one.
    const EMPTY: u16 = 300;
    on_all_at_once(async |generation| {
        let cluster = Arc::new(Cluster::start(generation, 3, 0));
        let store = Arc::new(connect(&cluster).await);
        let load = Load::start(&store, 24).await;
        let slots = cluster.slots(0);
        let slot_of = |visitor: &Visitor| {
            let key = visitor.key("session");
            cluster.nodes[0].command::<u16>(&["CLUSTER", "KEYSLOT", &key])
        };
        let mut moved: Vec<u16> = load.visitors.iter().map(slot_of).collect();
        moved.retain(|slot| slots.contains(slot));
        let sessions = moved.len();
        moved.extend(slots.start..slots.start + EMPTY);
        moved.sort_unstable();
        moved.dedup();
        let start = Instant::now();
        let moving = Arc::clone(&cluster);
        tokio::task::spawn_blocking(move || moving.move_slots(0, 1, moved))
            .await
            .unwrap();
        let (tallies, line) = load.finish().await;
        println!(
            "{}: slots with {sessions} sessions and {EMPTY} others moved in {:?}: {line}",
            generation.name(),
            start.elapsed()
        );
        check(&store, &tallies).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_connections_under_load_wedge_nothing() {
    for generation in available() {
        let cluster = Cluster::start(generation, 3, 0);
        let store = Arc::new(connect(&cluster).await);
        // More at once than the connections take.
        let load = Load::start(&store, 128).await;
        for round in 0..9 {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let node = &cluster.nodes[round % 3];
            let _: u64 = node.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (tallies, line) = load.finish().await;
        println!(
            "{}: 9 times all connections of a node lost: {line}",
            generation.name()
        );
        check(&store, &tallies).await;
        for tally in &tallies {
            assert!(tally.longest_pause < Duration::from_secs(4), "{tally:?}");
        }
    }
}

#[test]
fn a_dead_node_is_replaced_by_its_replica() {
    on_all_at_once(async |generation| {
        let mut cluster = Cluster::start(generation, 3, 1);
        let store = Arc::new(connect(&cluster).await);
        let load = Load::start(&store, 24).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        cluster.nodes[0].kill();
        let deadline = Instant::now() + Duration::from_secs(40);
        let promoted = |node: &tests::servers::Server| {
            node.info("replication", "role").as_deref() == Some("master")
        };
        let start = Instant::now();
        while !promoted(&cluster.nodes[3]) {
            assert!(Instant::now() < deadline, "no failover");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let promotion = start.elapsed();
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (tallies, line) = load.finish().await;
        println!(
            "{}: promoted after {promotion:?}: {line}",
            generation.name()
        );
        let mut lost = 0;
        for tally in &tallies {
            let values = tally.visitor.values(&*store, &["a.n"]).await;
            let stored: i64 = std::str::from_utf8(&values["a.n"])
                .unwrap()
                .parse()
                .unwrap();
            assert!(stored <= tally.acknowledged + tally.unknown, "{tally:?}");
            lost += (tally.acknowledged - stored).max(0);
            assert!(tally.longest_call < Duration::from_secs(2), "{tally:?}");
            assert!(
                tally.longest_pause < promotion + Duration::from_secs(4),
                "{tally:?}"
            );
        }
        println!("{}: acknowledged commits lost: {lost}", generation.name());
    });
}
