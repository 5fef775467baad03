//! When fields end, where the server removes them and where a commit does.

use std::time::Duration;

use session_runtime::store::{Outcome, Selected, Selection, Tier};
use session_runtime::{RedisStore, SessionStore};
use tests::servers::{Options, Server, available};
use tests::store_visitor::{Visitor, add, set, set_for};

use super::{HOUR, connect, wait_for};
use crate::header::Header;

#[tokio::test]
async fn the_server_removes_fields_while_no_program_runs() {
    for generation in available() {
        if !generation.has_field_ttl() {
            continue;
        }
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        assert_eq!(store.tier(), Tier::Native);
        let ttl = Duration::from_millis(300);
        let visitor = Visitor::create(&store, [set_for("a.b", "1", ttl), set("a.c", "2")]).await;
        drop(store);
        let key = visitor.key("session");
        let before: u64 = server.command(&["HLEN", &key]);
        // HLEN counts what the server has not removed yet, and reads nothing.
        wait_for("the server removes the field", || {
            server.command::<u64>(&["HLEN", &key]) == before - 1
        })
        .await;
        assert_eq!(
            server.command::<Option<String>>(&["HGET", &key, "a.b"]),
            None
        );
    }
}

#[tokio::test]
async fn deadlines_survive_other_writes_rotation_and_a_crash() {
    for generation in available() {
        let mut server = Server::durable(generation);
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, [set_for("a.b", "1", HOUR), set("a.c", "2")]).await;
        let selected = [Selected::with_deadline("a.b")];
        let deadline = async |store: &RedisStore| {
            let loaded = store
                .load(&visitor.session, &Selection::fields(&selected))
                .await
                .unwrap();
            loaded.unwrap().fields[0].as_ref().unwrap().deadline
        };
        let at_first = deadline(&store).await;
        assert!(at_first.is_some());

        store
            .commit(&visitor.update([set("a.c", "3")]))
            .await
            .unwrap();
        let (rotation, rotated) = visitor.rotation(Some(HOUR));
        store.commit(&rotation).await.unwrap();
        let at_rotation = Header::of(&server, &rotated.key("session"));
        assert_eq!(at_rotation.rotated(), at_rotation.seen());
        store
            .commit(&rotated.update([add("a.d", 1)]))
            .await
            .unwrap();
        assert_eq!(deadline(&store).await, at_first);

        server.kill();
        server.restart();
        assert_eq!(deadline(&store).await, at_first);
        let loaded = visitor.load(&store, &["a.b"]).await.unwrap().unwrap();
        assert_eq!(loaded.header.verifier, rotated.verifier);
        let previous = loaded.header.previous.unwrap();
        assert_eq!(previous.verifier, visitor.verifier);
        let rotated = at_rotation.rotated();
        assert_eq!(previous.until.as_millis(), rotated + 3_600_000);
        assert_eq!(loaded.header.rotated.as_millis(), rotated);
    }
}

#[tokio::test]
async fn a_server_without_field_deadlines_forgets_them_with_the_next_commit() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = RedisStore::builder()
            .url(server.url())
            .tier(Tier::Compatible)
            .connect()
            .await
            .unwrap();
        let ttl = Duration::from_millis(50);
        let visitor = Visitor::create(
            &store,
            [set_for("a.b", "1", ttl), set_for("a.c", "2", HOUR)],
        )
        .await;
        tokio::time::sleep(2 * ttl).await;
        let key = visitor.key("session");
        assert!(visitor.values(&store, &["a.b"]).await.is_empty());
        assert!(server.command::<bool>(&["HEXISTS", &key, "a.b"]));
        store.commit(&visitor.update([])).await.unwrap();
        assert!(!server.command::<bool>(&["HEXISTS", &key, "a.b"]));
        assert_eq!(visitor.values(&store, &["a.c"]).await["a.c"], "2");
    }
}

/// A commit that has read all fields knows when that is worth while again.
#[tokio::test]
async fn a_sweep_notes_which_field_ends_next() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let builder = RedisStore::builder().url(server.url());
        let store = builder.tier(Tier::Compatible).connect().await.unwrap();
        let changes = [
            set_for("a.over", "1", HOUR),
            set_for("a.later", "2", 3 * HOUR),
            set_for("a.next", "3", 2 * HOUR),
            set_for("a.last", "4", 4 * HOUR),
        ];
        let visitor = Visitor::create(&store, changes).await;
        let key = visitor.key("session");
        let created = Header::of(&server, &key).created();
        server.command::<()>(&["HSET", &key, "a.over", "@1000 1", "@sweep", "1000"]);
        store.commit(&visitor.update([])).await.unwrap();
        assert!(!server.command::<bool>(&["HEXISTS", &key, "a.over"]));
        let next: u64 = server.command(&["HGET", &key, "@sweep"]);
        assert_eq!(next, created + 2 * 3_600_000);

        // With the last of them there is nothing to look for any more.
        for name in ["a.later", "a.next", "a.last"] {
            server.command::<()>(&["HSET", &key, name, "@1000 1"]);
        }
        server.command::<()>(&["HSET", &key, "@sweep", "1000"]);
        store.commit(&visitor.update([])).await.unwrap();
        assert!(!server.command::<bool>(&["HEXISTS", &key, "@sweep"]));
    }
}

/// Of several times to live in one write the shortest says when a commit looks for ended fields.
#[tokio::test]
async fn an_earlier_deadline_moves_the_sweep() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let builder = RedisStore::builder().url(server.url());
        let store = builder.tier(Tier::Compatible).connect().await.unwrap();
        for hours in [[1, 2], [2, 1]] {
            let visitor = Visitor::create(&store, []).await;
            let key = visitor.key("session");
            let [first, second] = hours.map(|hours| hours * HOUR);
            let changes = [set_for("a.b", "1", first), set_for("a.c", "1", second)];
            store.commit(&visitor.update(changes)).await.unwrap();
            let sweep: u64 = server.command(&["HGET", &key, "@sweep"]);
            assert_eq!(sweep, Header::of(&server, &key).seen() + 3_600_000);
        }
    }
}

/// The moment of the sweep is a hint: one that makes no sense is as good as one that has come.
#[tokio::test]
async fn a_ruined_moment_of_the_sweep_is_mended() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let builder = RedisStore::builder().url(server.url());
        let store = builder.tier(Tier::Compatible).connect().await.unwrap();
        let lasting = [set_for("a.b", "1", HOUR), set_for("a.over", "1", HOUR)];
        let visitor = Visitor::create(&store, lasting).await;
        let key = visitor.key("session");
        let sweep: u64 = server.command(&["HGET", &key, "@sweep"]);
        for ruin in [
            "inf",
            "nan",
            "",
            "x",
            "-1",
            "0x7fffffffffff",
            "999999999999999",
        ] {
            server.command::<()>(&["HSET", &key, "a.over", "@1000 1", "@sweep", ruin]);
            // The short way believes a number of any length: the long one mends it.
            for changes in [vec![set("a.c", "1")], vec![add("a.n", 1)]] {
                let outcome = store.commit(&visitor.update(changes)).await.unwrap();
                assert!(
                    matches!(outcome, Outcome::Applied(_)),
                    "{ruin}: {outcome:?}"
                );
            }
            let kept: u64 = server.command(&["HGET", &key, "@sweep"]);
            assert_eq!(kept, sweep, "{ruin}");
            assert!(
                !server.command::<bool>(&["HEXISTS", &key, "a.over"]),
                "{ruin}"
            );
        }
    }
}

/// The longest times are no error, whichever way a commit takes through the script.
#[tokio::test]
async fn the_longest_times_are_no_error() {
    for generation in available() {
        for &tier in generation.tiers() {
            let server = Server::start(generation, &Options::default());
            let builder = RedisStore::builder().url(server.url()).tier(tier);
            let store = builder.connect().await.unwrap();
            let visitor = Visitor::create(&store, [set("a.d", "1")]).await;
            let longest = || set_for("a.b", "1", Duration::MAX);
            for changes in [vec![longest()], vec![longest(), add("a.n", 1)]] {
                let outcome = store.commit(&visitor.update(changes)).await.unwrap();
                assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
                assert_eq!(visitor.values(&store, &["a.b"]).await.len(), 1);
            }
            let (rotation, rotated) = visitor.rotation(Some(Duration::MAX));
            store.commit(&rotation).await.unwrap();
            let loaded = rotated.load(&store, &[]).await.unwrap().unwrap();
            assert!(loaded.header.previous.is_some(), "{tier}");
            let outcome = store
                .commit(&visitor.update([add("a.n", 1)]))
                .await
                .unwrap();
            assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
        }
    }
}
