//! The cost of a call of `MemoryStore`: one load and each kind of commit, among few and among many
//! living sessions.

use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use session_runtime::store::{Action, Change, Commit, CommitId, Outcome, Rotation, Timeouts};
use session_runtime::store::{Selected, Selection, Verifier};
use session_runtime::{MemoryStore, SessionId, SessionStore};

const FIELDS: [&str; 5] = [
    "shop.customer",
    "shop.otp",
    "shop.failed_logins",
    "shop.cart",
    "shop.visits",
];

/// The result of a future that waits for nothing, as those of a memory store.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a memory store never waits"),
    }
}

fn commit(session: SessionId, action: Action) -> Commit {
    let id = CommitId::generate().expect("the system has random bytes");
    Commit::new(session, id, action)
}

fn verifier() -> Verifier {
    Verifier::from_bytes([1; 16])
}

fn creation() -> Commit {
    let session = SessionId::generate().expect("the system has random bytes");
    let verifier = verifier();
    let mut creation = commit(
        session,
        Action::Create {
            verifier,
            link: None,
        },
    );
    creation.timeouts = Some(
        Timeouts::new(
            Duration::from_secs(30 * 60),
            Duration::from_secs(24 * 60 * 60),
        )
        .unwrap(),
    );
    creation.changes = FIELDS.map(set).to_vec();
    creation
}

fn set(name: &'static str) -> Change {
    Change::Set {
        name: name.into(),
        value: Bytes::from_static(&[b'x'; 50]),
        ttl: None,
        only_if_absent: false,
    }
}

fn update(session: SessionId, changes: Vec<Change>) -> Commit {
    let verifier = verifier();
    let rotation = None;
    let mut commit = commit(session, Action::Update { verifier, rotation });
    commit.changes = changes;
    commit
}

/// A deadline that starts anew.
fn renew(name: &'static str) -> Change {
    Change::Renew {
        name: name.into(),
        ttl: Duration::from_secs(60),
        restore: None,
    }
}

/// To another token of the same verifier, so that the session can be rotated again.
fn rotation(session: SessionId) -> Commit {
    let verifier = verifier();
    let rotation = Some(Rotation::new(verifier, None));
    commit(session, Action::Update { verifier, rotation })
}

fn time(call: impl FnOnce()) -> Duration {
    let start = Instant::now();
    call();
    start.elapsed()
}

fn apply(store: &MemoryStore, commit: &Commit) {
    let outcome = ready(store.commit(commit));
    assert!(matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
}

fn store_memory(criterion: &mut Criterion) {
    for (name, living) in [("1k", 1_000), ("100k", 100_000)] {
        let store = MemoryStore::builder().capacity(10_000_000).build();
        let mut sessions = Vec::with_capacity(living);
        for _ in 0..living {
            let creation = creation();
            apply(&store, &creation);
            sessions.push(creation.session);
        }
        // Another session each time, so that the processor's cache does not hold the one in use.
        let mut turn = sessions.iter().cycle().copied();
        let mut next = || turn.next().expect("a cycle has no end");
        let mut group = criterion.benchmark_group(format!("store_memory/{name}"));

        let fields = FIELDS.map(Selected::value);
        let selection = Selection::fields(&fields);
        group.bench_function("load 5 fields", |bencher| {
            bencher.iter(|| black_box(ready(store.load(&next(), &selection))));
        });
        group.bench_function("commit 1 field", |bencher| {
            bencher.iter_batched_ref(
                || update(next(), vec![set("shop.cart")]),
                |commit| apply(&store, commit),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("touch", |bencher| {
            bencher.iter_batched_ref(
                || update(next(), Vec::new()),
                |commit| apply(&store, commit),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("renew 1 field", |bencher| {
            bencher.iter_batched_ref(
                || update(next(), vec![renew("shop.otp")]),
                |commit| apply(&store, commit),
                BatchSize::SmallInput,
            );
        });
        group.bench_function("rotate", |bencher| {
            bencher.iter_batched_ref(
                || rotation(next()),
                |commit| apply(&store, commit),
                BatchSize::SmallInput,
            );
        });
        // The store would grow from one iteration to the next: what was created is removed again, and
        // the time of one of the two counts.
        for (name, creations) in [("create with 5 fields", true), ("destroy", false)] {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut taken = Duration::ZERO;
                    for _ in 0..iterations {
                        let creation = creation();
                        let created = time(|| apply(&store, &creation));
                        let verifier = verifier();
                        let destruction = commit(creation.session, Action::Destroy { verifier });
                        let destroyed = time(|| apply(&store, &destruction));
                        taken += if creations { created } else { destroyed };
                    }
                    taken
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, store_memory);
criterion_main!(benches);
