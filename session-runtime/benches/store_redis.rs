//! `RedisStore` against the same commands written by hand over the same kind of connection.
//!
//! ```sh
//! SESSION_BENCH_REDIS=redis://127.0.0.1:6379 cargo bench --features redis --bench store_redis
//! ```
//!
//! Each is measured for one caller at a time, which is latency, and for 64 at once, which is
//! throughput: the time is then that of all 64 calls.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark that cannot run stops"
)]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use redis::aio::MultiplexedConnection;
use session_runtime::store::{
    Action, Change, Commit, CommitId, FieldName, FieldTtl, ListChange, Outcome, PrincipalKey,
    Rotation, Selected, Selection, Tier, Timeouts, Verifier,
};
use session_runtime::{RedisStore, SessionId, SessionStore};
use tokio::runtime::Runtime;

const FIELDS: [&str; 5] = ["shop.a", "shop.b", "shop.c", "shop.d", "shop.e"];
const CALLERS: usize = 64;
const TTL: Duration = Duration::from_secs(1800);

#[derive(Clone)]
struct Bench {
    store: Arc<RedisStore>,
    by_hand: MultiplexedConnection,
    session: SessionId,
    verifier: Verifier,
    value: Bytes,
}

impl Bench {
    async fn open(url: &str) -> Self {
        let prefix = format!("bench-{}", SessionId::generate().unwrap());
        let store = RedisStore::builder().url(url).prefix(prefix);
        let url = format!("{url}?protocol=resp3");
        let client = redis::Client::open(url).unwrap();
        let bench = Self {
            store: Arc::new(store.connect().await.unwrap()),
            by_hand: client.get_multiplexed_async_connection().await.unwrap(),
            session: SessionId::generate().unwrap(),
            verifier: Verifier::from_bytes([7; 16]),
            value: Bytes::from(vec![b'x'; 50]),
        };
        bench.apply(&bench.creation()).await;
        let mut pairs = redis::cmd("HSET");
        pairs.arg("bench-by-hand");
        for name in FIELDS {
            pairs.arg(name).arg(bench.value.as_ref());
        }
        let mut connection = bench.by_hand.clone();
        pairs.exec_async(&mut connection).await.unwrap();
        bench
    }

    fn commit(&self, action: Action) -> Commit {
        Commit::new(self.session, CommitId::generate().unwrap(), action)
    }

    fn creation(&self) -> Commit {
        let (verifier, link) = (self.verifier, None);
        let mut creation = self.commit(Action::Create { verifier, link });
        creation.timeouts = Some(Timeouts::new(TTL, 2 * TTL).unwrap());
        creation.changes = FIELDS.map(|name| self.set(name, None)).into();
        creation
    }

    fn update(&self) -> Commit {
        let (verifier, rotation) = (self.verifier, None);
        self.commit(Action::Update { verifier, rotation })
    }

    fn set(&self, name: &'static str, ttl: Option<Duration>) -> Change {
        Change::Set {
            name: name.into(),
            value: self.value.clone(),
            ttl: ttl.map(FieldTtl::restarting),
            only_if_absent: false,
        }
    }

    async fn load(self) {
        let fields = FIELDS.map(Selected::value);
        let selection = Selection::fields(&fields);
        let loaded = self.store.load(&self.session, &selection).await.unwrap();
        assert!(loaded.is_some());
    }

    async fn load_by_hand(mut self) {
        let values: Vec<Option<Vec<u8>>> = redis::cmd("HMGET")
            .arg("bench-by-hand")
            .arg(&FIELDS)
            .query_async(&mut self.by_hand)
            .await
            .unwrap();
        assert_eq!(values.len(), FIELDS.len());
    }

    async fn touch(self) {
        self.apply(&self.update()).await;
    }

    async fn touch_by_hand(mut self) {
        redis::cmd("EXPIRE")
            .arg("bench-by-hand")
            .arg(1800)
            .exec_async(&mut self.by_hand)
            .await
            .unwrap();
    }

    async fn renew(self) {
        let mut commit = self.update();
        let (name, ttl, restore) = ("shop.b".into(), TTL, None);
        commit.changes = vec![Change::Renew { name, ttl, restore }];
        self.apply(&commit).await;
    }

    /// To another token of the same verifier, so that the next one can rotate it again.
    async fn rotate(self) {
        let verifier = self.verifier;
        let rotation = Some(Rotation::new(verifier, None));
        let commit = self.commit(Action::Update { verifier, rotation });
        self.apply(&commit).await;
    }

    async fn create_and_destroy(mut self) {
        self.session = SessionId::generate().unwrap();
        self.apply(&self.creation()).await;
        let verifier = self.verifier;
        self.apply(&self.commit(Action::Destroy { verifier })).await;
    }

    async fn sign_in_and_out(mut self) {
        self.session = SessionId::generate().unwrap();
        let principal = PrincipalKey::new("shop.customer", self.session.as_bytes());
        let field: FieldName = "shop.customer".into();
        let mut sign_in = self.creation();
        sign_in.lists.push(ListChange::Add {
            field: field.clone(),
            principal,
            keep: Some(2 * TTL),
            limit: None,
        });
        self.apply(&sign_in).await;
        let verifier = self.verifier;
        let mut sign_out = self.commit(Action::Destroy { verifier });
        sign_out.lists.push(ListChange::Remove { field, principal });
        self.apply(&sign_out).await;
    }

    async fn apply(&self, commit: &Commit) {
        let outcome = self.store.commit(commit).await.unwrap();
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
    }

    async fn write(self) {
        let mut commit = self.update();
        commit.changes = vec![
            self.set("shop.a", None),
            self.set("shop.b", Some(TTL)),
            self.set("shop.c", Some(2 * TTL)),
        ];
        self.apply(&commit).await;
    }

    /// Neither guarded nor one step, and on a server without field deadlines without them.
    async fn write_by_hand(mut self) {
        let value = self.value.as_ref();
        let mut pipeline = redis::pipe();
        let key = "bench-by-hand";
        pipeline.cmd("HSET").arg(key).arg("shop.a").arg(value);
        for (name, seconds) in [("shop.b", 1800), ("shop.c", 3600)] {
            if self.store.tier() == Tier::Native {
                pipeline.cmd("HSETEX").arg(key).arg("EX").arg(seconds);
                pipeline.arg("FIELDS").arg(1).arg(name).arg(value);
            } else {
                pipeline.cmd("HSET").arg(key).arg(name).arg(value);
            }
        }
        pipeline.cmd("EXPIRE").arg(key).arg(1800);
        pipeline.exec_async(&mut self.by_hand).await.unwrap();
    }
}

fn measure<F>(
    criterion: &mut Criterion,
    runtime: &Runtime,
    bench: &Bench,
    name: &str,
    call: fn(Bench) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    criterion.bench_function(&format!("{name}/1 caller"), |bencher| {
        bencher.to_async(runtime).iter(|| call(bench.clone()));
    });
    criterion.bench_function(&format!("{name}/{CALLERS} callers"), |bencher| {
        bencher.to_async(runtime).iter(|| async {
            let calls: Vec<_> = (0..CALLERS)
                .map(|_| tokio::spawn(call(bench.clone())))
                .collect();
            for call in calls {
                call.await.unwrap();
            }
        });
    });
}

fn run(criterion: &mut Criterion) {
    let Ok(url) = std::env::var("SESSION_BENCH_REDIS") else {
        eprintln!("NOT MEASURED: set SESSION_BENCH_REDIS to the URL of a server");
        return;
    };
    let runtime = Runtime::new().unwrap();
    let bench = runtime.block_on(Bench::open(&url));
    measure(criterion, &runtime, &bench, "load 5 fields", Bench::load);
    measure(
        criterion,
        &runtime,
        &bench,
        "load 5 fields by hand",
        Bench::load_by_hand,
    );
    measure(criterion, &runtime, &bench, "touch", Bench::touch);
    measure(
        criterion,
        &runtime,
        &bench,
        "touch by hand",
        Bench::touch_by_hand,
    );
    measure(criterion, &runtime, &bench, "write 3 fields", Bench::write);
    measure(
        criterion,
        &runtime,
        &bench,
        "write 3 fields by hand",
        Bench::write_by_hand,
    );
    measure(criterion, &runtime, &bench, "renew 1 field", Bench::renew);
    measure(criterion, &runtime, &bench, "rotate", Bench::rotate);
    measure(
        criterion,
        &runtime,
        &bench,
        "create and destroy",
        Bench::create_and_destroy,
    );
    measure(
        criterion,
        &runtime,
        &bench,
        "sign in and out",
        Bench::sign_in_and_out,
    );
}

criterion_group!(benches, run);
criterion_main!(benches);
