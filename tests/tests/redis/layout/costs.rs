//! What calls and sessions cost the server.

use std::collections::BTreeMap;

use session_runtime::SessionStore;
use session_runtime::store::{Change, Outcome, Selected, Selection, Tier};
use tests::servers::{Options, Server, available};
use tests::store_visitor::{Visitor, set, set_for};

use super::{HOUR, connect};

/// The server's count of every command, those inside scripts included.
fn calls(server: &Server) -> BTreeMap<String, u64> {
    let text: String = server.command(&["INFO", "commandstats"]);
    text.lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let ours = ["info", "config|resetstat"].contains(&name);
            let count = rest.split(',').next()?.parse().ok()?;
            (!ours).then(|| (name.to_owned(), count))
        })
        .collect()
}

/// How many requests reached the server since the last call, and with how many system calls.
fn requests(server: &Server) -> u64 {
    server
        .info("stats", "total_reads_processed")
        .and_then(|count| count.parse().ok())
        .unwrap()
}

#[tokio::test]
async fn each_call_takes_one_trip_and_these_commands() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let native = store.tier() == Tier::Native;
        let visitor = Visitor::create(&store, [set_for("a.b", "1", HOUR)]).await;
        // All scripts are known from here on.
        let with_deadline = [Selected::with_deadline("a.b")];
        let with_deadline = Selection::fields(&with_deadline);
        let prefixes = ["a."];
        let by_prefix = Selection::default().with_prefixes(&prefixes);
        store.load(&visitor.session, &with_deadline).await.unwrap();
        store.load(&visitor.session, &by_prefix).await.unwrap();

        let measure = |what: &'static str, expected: &'static str| {
            let _: String = server.command(&["CONFIG", "RESETSTAT"]);
            let before = requests(&server);
            let server = &server;
            move || {
                // Two requests are the test's own: the one before and this one.
                let trips = requests(server) - before - 1;
                let calls = calls(server);
                let shown: Vec<_> = calls
                    .iter()
                    .map(|(name, n)| format!("{name} {n}"))
                    .collect();
                let shown = shown.join(", ");
                println!("{:9} {what:28} {trips} trip: {shown}", generation.name());
                assert_eq!(trips, 1, "{what}");
                assert_eq!(shown, expected, "{what}");
            }
        };

        // The server removes what has ended, and the time is an estimate.
        let check = measure("load", if native { "hmget 1" } else { "hmget 1, time 1" });
        visitor.load(&store, &["a.b", "a.c"]).await.unwrap();
        check();

        let check = measure(
            "load with deadlines",
            if native {
                "evalsha 1, hmget 1, hpexpiretime 1, time 1"
            } else {
                "hmget 1, time 1"
            },
        );
        store.load(&visitor.session, &with_deadline).await.unwrap();
        check();

        let expected = "evalsha 1, hkeys 1, hmget 2, time 1";
        let check = measure("load by prefix", expected);
        let loaded = store.load(&visitor.session, &by_prefix).await.unwrap();
        assert_eq!(loaded.unwrap().prefixed.len(), 1);
        check();

        let check = measure("touch", "evalsha 1, hmget 1, hset 1, pexpireat 1, time 1");
        store.commit(&visitor.update([])).await.unwrap();
        check();

        let check = measure(
            "write of 3 fields, 2 deadlines",
            if native {
                "evalsha 1, hmget 1, hset 1, hsetex 2, pexpireat 1, time 1"
            } else {
                "evalsha 1, hmget 1, hset 2, pexpireat 1, time 1"
            },
        );
        let changes = [
            set("a.c", "1"),
            set_for("a.b", "2", HOUR),
            set_for("a.d", "2", 2 * HOUR),
        ];
        store.commit(&visitor.update(changes)).await.unwrap();
        check();

        let check = measure(
            "rotation",
            if native {
                "evalsha 1, hmget 1, hset 1, hsetex 1, pexpireat 1, time 1"
            } else {
                "evalsha 1, hget 1, hmget 1, hset 1, pexpireat 1, time 1"
            },
        );
        let (rotation, rotated) = visitor.rotation(Some(HOUR));
        store.commit(&rotation).await.unwrap();
        check();

        let check = measure("destruction", "del 1, evalsha 1, hmget 1, time 1");
        store.commit(&rotated.destruction()).await.unwrap();
        check();

        // Looked at twice: the short way through the script leaves it to the long one.
        let check = measure("late write", "evalsha 1, hmget 2, time 1");
        let gone = store.commit(&rotated.update([set("a.b", "1")])).await;
        assert_eq!(gone.unwrap(), Outcome::Gone);
        check();

        let check = measure(
            "creation",
            if native {
                "evalsha 1, exists 1, hmget 1, hset 1, hsetex 1, pexpireat 1, time 1"
            } else {
                "evalsha 1, exists 1, hget 1, hmget 1, hset 1, pexpireat 1, time 1"
            },
        );
        Visitor::create(&store, [set_for("a.b", "1", HOUR)]).await;
        check();
    }
}

/// Bytes a session, ours against a hash of the same fields written by hand; printed, not judged.
#[tokio::test]
async fn memory_of_a_session() {
    const SESSIONS: usize = 2000;
    let names = [
        "shop.customer",
        "shop.otp",
        "shop.failed",
        "shop.cart",
        "shop.theme",
    ];
    for generation in available() {
        let value = "x".repeat(50);
        let used = |server: &Server| -> usize {
            server
                .info("memory", "used_memory")
                .unwrap()
                .parse()
                .unwrap()
        };
        let by_hand = {
            let server = Server::start(generation, &Options::default());
            let before = used(&server);
            for number in 0..SESSIONS {
                let key = format!("session:{number:022}");
                let mut words = vec!["HSET", &key];
                for name in names {
                    words.extend([name, &value]);
                }
                let _: u64 = server.command(&words);
                let _: u64 = server.command(&["EXPIRE", &key, "1800"]);
            }
            (used(&server) - before) / SESSIONS
        };
        let ours = async |with_ttl: bool| {
            let server = Server::start(generation, &Options::default());
            let store = connect(&server).await;
            let before = used(&server);
            for _ in 0..SESSIONS {
                let changes = names.iter().enumerate().map(|(index, name)| match index {
                    0 | 1 if with_ttl => set_for(name, &value, HOUR),
                    _ => set(name, &value),
                });
                Visitor::create(&store, changes.collect::<Vec<Change>>()).await;
            }
            (used(&server) - before) / SESSIONS
        };
        println!(
            "{}: 5 fields of 50 bytes: by hand {by_hand}, ours {}, ours with 2 deadlines {}",
            generation.name(),
            ours(false).await,
            ours(true).await,
        );
    }
}
