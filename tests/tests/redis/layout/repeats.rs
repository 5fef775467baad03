//! What a session keeps for commits that arrive twice.

use session_runtime::store::{Commit, Outcome, Tier};
use session_runtime::{RedisStore, SessionStore};
use tests::servers::{Options, Server, available};
use tests::store_visitor::{Visitor, add, set, set_for, take};

use super::{HOUR, connect};
use crate::header::{BESIDE, Header, LAST_COMMIT, LIFETIME, SEEN};

/// The commits before the last one, as they are kept.
fn remembered(server: &Server, key: &str) -> String {
    server.command(&["HGET", key, "@recent"])
}

/// A commit that only writes takes a shorter way through the script than a creation.
#[tokio::test]
async fn a_plain_write_keeps_the_key_and_remembers_little() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let builder = RedisStore::builder().url(server.url());
        let store = builder.tier(Tier::Compatible).connect().await.unwrap();
        let visitor = Visitor::create(&store, []).await;
        let key = visitor.key("session");
        let sweep = || server.command::<u64>(&["HGET", &key, "@sweep"]);
        let seen = || Header::of(&server, &key).seen();

        server.command::<()>(&["PEXPIRE", &key, "10000"]);
        let mut ids = Vec::new();
        for _ in 0..9 {
            let write = visitor.update([set("a.b", "1")]);
            store.commit(&write).await.unwrap();
            ids.push(write.id.to_string());
        }
        let ends: u64 = server.command(&["PEXPIRETIME", &key]);
        assert_eq!(ends, seen() + 1_800_000);
        let last = Header::of(&server, &key).part(LAST_COMMIT).to_owned();
        assert_eq!(remembered(&server, &key), ids[1..8].concat());
        assert_eq!(last, ids[8]);
        // A touch is not remembered, and changes when the session was seen, nothing else.
        let header = Header::of(&server, &key);
        store.commit(&visitor.update([])).await.unwrap();
        let touched = Header::of(&server, &key);
        assert_eq!(touched, header.with(SEEN, touched.part(SEEN)));
        assert_eq!(remembered(&server, &key), ids[1..8].concat());

        // The next to end is noted, whichever comes first.
        let changes = [set_for("a.c", "1", 2 * HOUR), set_for("a.d", "1", HOUR)];
        store.commit(&visitor.update(changes)).await.unwrap();
        assert_eq!(sweep(), seen() + 3_600_000);
        let later = [set_for("a.e", "1", 3 * HOUR)];
        let noted = sweep();
        store.commit(&visitor.update(later)).await.unwrap();
        assert_eq!(sweep(), noted);

        // The end stays where it is.
        let header = Header::of(&server, &key);
        header.with(LIFETIME, "001M").write(&server, &key);
        store.commit(&visitor.update([])).await.unwrap();
        let ends: u64 = server.command(&["PEXPIRETIME", &key]);
        assert_eq!(ends, header.created() + 60_000);
    }
}

/// However long a session lives, what is kept for commits that arrive twice stays small.
#[tokio::test]
async fn what_is_kept_for_repeated_commits_is_bounded() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, [set("a.b", "1")]).await;
        let key = visitor.key("session");
        for _ in 0..20 {
            store
                .commit(&visitor.update([add("a.c", 1)]))
                .await
                .unwrap();
        }
        assert_eq!(remembered(&server, &key).len(), 7 * 8);

        let taking = visitor.update([take("a.b")]);
        store.commit(&taking).await.unwrap();
        let header = Header::of(&server, &key);
        assert_eq!(header.part(BESIDE), "4");
        let forgotten = header.seen() + 30_000;
        let taken: String = server.command(&["HGET", &key, "@taken"]);
        let id = taking.id;
        assert_eq!(taken, format!("@{forgotten} {id} {forgotten} 3 1 a.b1"));
        if store.tier() == Tier::Native {
            let words = ["HPEXPIRETIME", &key, "FIELDS", "1", "@taken"];
            assert_eq!(server.command::<Vec<u64>>(&words), [forgotten]);
        }
        // It goes with the commit that took it.
        let is_kept = || server.command::<bool>(&["HEXISTS", &key, "@taken"]);
        for _ in 0..7 {
            store
                .commit(&visitor.update([set("a.c", "1")]))
                .await
                .unwrap();
            assert!(is_kept());
        }
        store
            .commit(&visitor.update([set("a.c", "1")]))
            .await
            .unwrap();
        assert!(!is_kept());
        assert_eq!(Header::of(&server, &key).part(BESIDE), "0");
    }
}

/// Also in the short way, and also before any other commit.
#[tokio::test]
async fn a_plain_write_that_is_sent_again_at_once_changes_nothing() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, []).await;
        let key = visitor.key("session");
        let write = visitor.update([set("a.b", "1"), set_for("a.c", "1", HOUR)]);
        store.commit(&write).await.unwrap();
        let kept: Vec<u8> = server.command(&["DUMP", &key]);
        let seen = Header::of(&server, &key).seen();
        while server.now() <= seen {}
        store.commit(&write).await.unwrap();
        assert!(server.command::<Vec<u8>>(&["DUMP", &key]) == kept);
    }
}

/// A take that arrives twice answers the same for half a minute after it, whatever came between.
#[tokio::test]
async fn what_was_taken_last_is_remembered_longest() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = connect(&server).await;
        let visitor = Visitor::create(&store, ["a.b", "a.c"].map(|name| set(name, "1"))).await;
        let key = visitor.key("session");
        let answer = async |commit: &Commit| {
            let outcome = store.commit(commit).await.unwrap();
            let Outcome::Applied(applied) = outcome else {
                panic!("{outcome:?}");
            };
            applied.values[0].as_deref() == Some(b"1")
        };
        let [first, second] = ["a.b", "a.c"].map(|name| visitor.update([take(name)]));
        assert!(answer(&first).await);
        let seen = Header::of(&server, &key).seen();
        while server.now() <= seen {}
        assert!(answer(&second).await);
        let last = Header::of(&server, &key).seen();
        assert!(last > seen);
        let kept: String = server.command(&["HGET", &key, "@taken"]);
        assert!(kept.starts_with(&format!("@{} ", last + 30_000)), "{kept}");

        // A touch leaves it.
        store.commit(&visitor.update([])).await.unwrap();
        assert!(answer(&first).await && answer(&second).await);

        // Each value has its own end.
        let over = kept.replace(&format!(" {} ", seen + 30_000), " 1000 ");
        assert_ne!(over, kept);
        server.command::<()>(&["HSET", &key, "@taken", &over]);
        assert!(!answer(&first).await && answer(&second).await);
    }
}
