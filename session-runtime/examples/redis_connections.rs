//! What a second connection to one server brings: loads per second over one and over two, in turns.
//!
//! ```sh
//! cargo run --release --example redis_connections --features redis -- redis://127.0.0.1:6379
//! ```

#![allow(
    clippy::unwrap_used,
    reason = "in an example that measures, it is an end"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use session_runtime::store::Selection;
use session_runtime::{RedisStore, SessionId, SessionStore};

const TASKS: usize = 64;
const ROUNDS: usize = 9;
const ROUND: Duration = Duration::from_millis(700);

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let mut stores = Vec::new();
    for number in [1, 2] {
        let store = RedisStore::builder()
            .url(&url)
            .connections(number)
            .command_deadline(Duration::from_secs(10));
        stores.push(Arc::new(store.connect().await.unwrap()));
    }
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let mut rates = Vec::new();
        for store in &stores {
            rates.push(rate(store).await);
        }
        println!("one: {:.0}/s, two: {:.0}/s", rates[0], rates[1]);
        ratios.push(rates[1] / rates[0]);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "two over one, median of the rounds: {:.2}",
        ratios[ROUNDS / 2]
    );
}

/// Loads of a session that is not there: nothing but the way to the server and back.
async fn rate(store: &Arc<RedisStore>) -> f64 {
    let start = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let session = SessionId::generate().unwrap();
                let mut count = 0_u32;
                while start.elapsed() < ROUND {
                    store.load(&session, &Selection::fields(&[])).await.unwrap();
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut loads = 0;
    for task in tasks {
        loads += task.await.unwrap();
    }
    f64::from(loads) / start.elapsed().as_secs_f64()
}
