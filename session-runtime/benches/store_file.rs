//! The cost of a call of `FileStore`: a load, each kind of commit and a sign-in, in both durabilities.
//!
//! A touch moves the modification time of a file; a commit writes the record again.
//!
//! The folder is made in the system's temporary folder; `TMPDIR` puts it on another disk.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use session_runtime::store::{
    Action, Change, Commit, Durability, FileStore, ListChange, Outcome, PrincipalKey, Rotation,
    Selected, Selection, Timeouts,
};
use session_runtime::store::{CommitId, Verifier};
use session_runtime::{SessionId, SessionStore};
use tokio::runtime::Runtime;

const FIELD: &str = "shop.cart";

fn file_store(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    for (name, durability) in [
        ("process crash", Durability::ProcessCrash),
        ("power loss", Durability::PowerLoss),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = FileStore::builder()
            .durability(durability)
            .open(folder.path().join("sessions"))
            .expect("a store");
        let session = SessionId::generate().expect("an id");
        runtime.block_on(apply(&store, &create(session)));

        let mut group = criterion.benchmark_group(format!("file/{name}"));
        group.bench_function("load", |bencher| {
            let fields = [Selected::value(FIELD)];
            let selection = Selection::fields(&fields);
            bencher.to_async(&runtime).iter(|| async {
                let loaded = store.load(&session, &selection).await;
                black_box(loaded.expect("a load").expect("a session"))
            });
        });
        group.bench_function("touch", |bencher| {
            bencher
                .to_async(&runtime)
                .iter(|| async { apply(&store, &update(session)).await });
        });
        group.bench_function("commit", |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let mut commit = update(session);
                commit.changes.push(set());
                apply(&store, &commit).await;
            });
        });
        group.bench_function("renew", |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let mut commit = update(session);
                let (ttl, restore) = (Duration::from_secs(60), None);
                let name = FIELD.into();
                commit.changes.push(Change::Renew { name, ttl, restore });
                apply(&store, &commit).await;
            });
        });
        group.bench_function("rotate", |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                // To another token of the same verifier, so that the next one can rotate it again.
                let verifier = verifier();
                let rotation = Some(Rotation::new(verifier, None));
                apply(
                    &store,
                    &commit(session, Action::Update { verifier, rotation }),
                )
                .await;
            });
        });
        group.bench_function("create and destroy", |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let session = SessionId::generate().expect("an id");
                apply(&store, &create(session)).await;
                let verifier = verifier();
                apply(&store, &commit(session, Action::Destroy { verifier })).await;
            });
        });
        group.bench_function("sign in and out", |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let session = SessionId::generate().expect("an id");
                let principal = PrincipalKey::new("shop.customer", session.as_bytes());
                let mut sign_in = create(session);
                sign_in.lists.push(listing(principal));
                apply(&store, &sign_in).await;
                let verifier = verifier();
                let mut sign_out = commit(session, Action::Destroy { verifier });
                let field = "shop.customer".into();
                sign_out.lists.push(ListChange::Remove { field, principal });
                apply(&store, &sign_out).await;
            });
        });
        let principal = PrincipalKey::new("shop.customer", b"7");
        for _ in 0..10 {
            let mut sign_in = create(SessionId::generate().expect("an id"));
            sign_in.lists.push(listing(principal));
            runtime.block_on(apply(&store, &sign_in));
        }
        group.bench_function("list ten", |bencher| {
            bencher
                .to_async(&runtime)
                .iter(|| async { black_box(store.list(&principal).await.expect("a list")) });
        });
        group.finish();
    }
}

fn listing(principal: PrincipalKey) -> ListChange {
    ListChange::Add {
        field: "shop.customer".into(),
        principal,
        keep: None,
        limit: Some(30),
    }
}

async fn apply(store: &FileStore, commit: &Commit) {
    let outcome = store.commit(commit).await.expect("a commit");
    assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
}

fn create(session: SessionId) -> Commit {
    let verifier = verifier();
    let link = None;
    let mut commit = commit(session, Action::Create { verifier, link });
    commit.timeouts = Some(Timeouts::new(None, None).expect("no limits"));
    commit.changes.push(set());
    commit
}

fn update(session: SessionId) -> Commit {
    let action = Action::Update {
        verifier: verifier(),
        rotation: None,
    };
    commit(session, action)
}

fn commit(session: SessionId, action: Action) -> Commit {
    Commit::new(session, CommitId::generate().expect("an id"), action)
}

/// A cart of a kilobyte.
fn set() -> Change {
    Change::Set {
        name: FIELD.into(),
        value: Bytes::from(vec![b'p'; 1024]),
        ttl: None,
        only_if_absent: false,
    }
}

fn verifier() -> Verifier {
    Verifier::from_bytes([1; 16])
}

criterion_group!(benches, file_store);
criterion_main!(benches);
