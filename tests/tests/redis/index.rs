//! Who is signed in where, on real servers.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::sync::Arc;
use std::time::Duration;

use session_runtime::store::{
    Action, Commit, ListChange, Outcome, PrincipalKey, SteppedStore, StoreErrorKind,
};
use session_runtime::store::{CommitId, Tier};
use session_runtime::{RedisStore, SessionStore};
use tests::servers::{Options, Server, available};
use tests::store_visitor::{Visitor, set};

/// A creation that signs in.
fn sign_in(visitor: &Visitor, principal: PrincipalKey, limit: Option<u32>) -> Commit {
    let mut commit = visitor.creation([]);
    commit.lists = vec![ListChange::Add {
        field: "shop.customer".into(),
        principal,
        keep: Some(Duration::from_secs(3600)),
        limit,
    }];
    commit
}

fn sign_off(principal: PrincipalKey) -> ListChange {
    let field = "shop.customer".into();
    ListChange::Remove { field, principal }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_limited_revoked_and_forgotten() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        server.allow_application("shop", "secret", "session");
        let url = format!("redis://shop:secret@127.0.0.1:{}", server.port());
        let store = Arc::new(RedisStore::connect(url).await.unwrap());
        let principal = PrincipalKey::new("shop.customer", b"7");

        // Of many at the same time no more than the limit get in.
        let mut tasks = Vec::new();
        for _ in 0..40 {
            let store = Arc::clone(&store);
            tasks.push(tokio::spawn(async move {
                let visitor = Visitor::new();
                let outcome = store.commit(&sign_in(&visitor, principal, Some(3))).await;
                (visitor, outcome.unwrap())
            }));
        }
        let mut admitted = Vec::new();
        for task in tasks {
            match task.await.unwrap() {
                (visitor, Outcome::Applied(_)) => admitted.push(visitor),
                (visitor, Outcome::LimitReached { .. }) => {
                    assert!(visitor.load(&*store, &[]).await.unwrap().is_none());
                }
                (_, other) => panic!("{other:?}"),
            }
        }
        assert_eq!(admitted.len(), 3);
        let listed = store.list(&principal).await.unwrap();
        let mut sessions: Vec<_> = listed.entries.iter().map(|entry| entry.session).collect();
        sessions.sort_unstable();
        admitted.sort_unstable_by_key(|visitor| visitor.session);
        let expected: Vec<_> = admitted.iter().map(|visitor| visitor.session).collect();
        assert_eq!(sessions, expected);
        assert!(listed.entries.iter().all(|entry| !entry.arriving));

        // A list ends with its last entry.
        let key = format!("session:@principal:{principal}");
        let session = admitted[0].session.to_string();
        let ttl = if generation.has_field_ttl() {
            let words = ["HPTTL", &key, "FIELDS", "1", &session];
            server.command::<Vec<i64>>(&words)[0]
        } else {
            server.command(&["PTTL", &key])
        };
        assert!((3_500_000..=3_600_000).contains(&ttl), "{ttl}");

        // Revocation needs no token, and takes the session off the list.
        let id = CommitId::generate().unwrap();
        let mut revocation = Commit::new(expected[0], id, Action::Revoke);
        revocation.lists = vec![sign_off(principal)];
        let outcome = store.commit(&revocation).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied(_)));
        assert!(admitted[0].load(&*store, &[]).await.unwrap().is_none());
        assert_eq!(store.commit(&revocation).await.unwrap(), Outcome::Gone);

        // An entry is forgotten by its mark only.
        let entries = store.list(&principal).await.unwrap().entries;
        assert_eq!(entries.len(), 2);
        let mut other = entries[0];
        other.mark = CommitId::generate().unwrap();
        store.remove_stale(&principal, &other).await.unwrap();
        assert_eq!(store.list(&principal).await.unwrap().entries.len(), 2);
        store.remove_stale(&principal, &entries[0]).await.unwrap();
        assert_eq!(store.list(&principal).await.unwrap().entries.len(), 1);

        // There is room again, and a commit that arrives twice is listed once.
        let visitor = Visitor::new();
        let commit = sign_in(&visitor, principal, Some(3));
        for _ in 0..2 {
            let outcome = store.commit(&commit).await.unwrap();
            assert!(matches!(outcome, Outcome::Applied(_)));
        }
        assert_eq!(store.list(&principal).await.unwrap().entries.len(), 2);

        // Entries go by themselves.
        let short = PrincipalKey::new("shop.customer", b"8");
        let mut commit = sign_in(&Visitor::new(), short, None);
        if let ListChange::Add { keep, .. } = &mut commit.lists[0] {
            *keep = Some(Duration::from_millis(50));
        }
        store.commit(&commit).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(store.list(&short).await.unwrap().entries.is_empty());

        // A list that is none is an error, not an empty list.
        let _: String = server.command(&["SET", &key, "precious"]);
        let error = store.list(&principal).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);

        // A commit finds it before it has written anything.
        let visitor = Visitor::create(&*store, []).await;
        let mut sign_out = visitor.update([set("a.b", "1")]);
        sign_out.lists = vec![sign_off(principal)];
        let error = store.commit(&sign_out).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
        assert!(visitor.values(&*store, &["a.b"]).await.is_empty());
    }
}

/// Where the server cannot remove entries one by one, each change removes those that are over, and
/// the list ends with its last entry.
#[tokio::test]
async fn each_change_tidies_a_list_without_deadlines_of_its_own() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let builder = RedisStore::builder().url(server.url());
        let store = builder.tier(Tier::Compatible).connect().await.unwrap();
        let principal = PrincipalKey::new("shop.customer", b"7");
        let key = format!("session:@principal:{principal}");
        let visitors = [Visitor::new(), Visitor::new()];
        let mut ends = Vec::new();
        for (visitor, hours) in visitors.iter().zip([1, 2]) {
            let mut commit = sign_in(visitor, principal, None);
            if let ListChange::Add { keep, .. } = &mut commit.lists[0] {
                *keep = Some(hours * Duration::from_secs(3600));
            }
            store.commit(&commit).await.unwrap();
            ends.push(server.command::<u64>(&["PEXPIRETIME", &key]));
        }
        assert!(ends[0] < ends[1], "the later one counts");

        let over = Visitor::new().session.to_string();
        server.command::<()>(&["HSET", &key, &over, "AAAAAAAA 1000 2000 listed"]);
        let mut sign_out = visitors[1].update([]);
        sign_out.lists = vec![sign_off(principal)];
        store.commit(&sign_out).await.unwrap();
        let left: Vec<String> = server.command(&["HKEYS", &key]);
        assert_eq!(left, [visitors[0].session.to_string()]);
        assert_eq!(server.command::<u64>(&["PEXPIRETIME", &key]), ends[0]);
    }
}

/// The step that a commit on a Cluster ends with.
#[tokio::test]
async fn only_what_is_listed_can_be_confirmed() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = server.store().await;
        let principal = PrincipalKey::new("shop.customer", b"7");
        let visitor = Visitor::new();
        let mark = CommitId::generate().unwrap();
        let confirm = || store.confirm_entry(&principal, &visitor.session, &mark);
        let listed = async || store.list(&principal).await.unwrap().entries;

        assert!(!confirm().await.unwrap(), "it was removed as stale");
        assert!(listed().await.is_empty());
        let commit = sign_in(&visitor, principal, None);
        store.commit(&commit).await.unwrap();
        assert!(confirm().await.unwrap());
        assert_eq!(listed().await[0].mark, mark);

        let key = format!("session:@principal:{principal}");
        for rubbish in [
            "rubbish",
            "AAAAAAAA 1000 99999999999999999999 listed",
            "AAAAAAAA 1000 nan listed",
            "AAAAAAAA 1000 inf listed",
        ] {
            let other = Visitor::new().session.to_string();
            server.command::<()>(&["HSET", &key, &other, rubbish]);
            assert_eq!(listed().await.len(), 1, "what is no entry is not listed");
            assert!(confirm().await.unwrap(), "and does no harm");
            let another = sign_in(&Visitor::new(), principal, Some(2));
            let outcome = store.commit(&another).await.unwrap();
            assert!(
                matches!(outcome, Outcome::Applied(_)),
                "{rubbish}: {outcome:?}"
            );
            let mut sign_out = visitor.update([]);
            sign_out.session = another.session;
            sign_out.action = Action::Revoke;
            sign_out.lists = vec![sign_off(principal)];
            store.commit(&sign_out).await.unwrap();
        }
    }
}

/// By its mark an entry is told from a later one of the same session.
#[tokio::test]
async fn an_entry_has_the_mark_of_its_commit() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = server.store().await;
        let principal = PrincipalKey::new("shop.customer", b"7");
        let visitor = Visitor::create(&store, []).await;
        for _ in 0..2 {
            let mut commit = visitor.update([]);
            commit.lists = sign_in(&visitor, principal, None).lists;
            store.commit(&commit).await.unwrap();
            let entries = store.list(&principal).await.unwrap().entries;
            assert_eq!(entries.len(), 1);
            assert_eq!(entries[0].mark, commit.id);
        }
        let mut sign_out = visitor.update([]);
        sign_out.lists = vec![sign_off(principal)];
        store.commit(&sign_out).await.unwrap();
        let loaded = visitor.load(&store, &[]).await.unwrap().unwrap();
        assert!(loaded.header.principals.is_empty());
        let key = visitor.key("session");
        assert!(!server.command::<bool>(&["HEXISTS", &key, "@principals"]));
    }
}
