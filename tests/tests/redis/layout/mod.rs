//! The contents of the server, seen with the server's own commands.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

mod connecting;
mod contents;
mod costs;
mod damage;
mod deadlines;
mod ends;
mod repeats;

use std::time::{Duration, Instant};

use session_runtime::RedisStore;
use tests::servers::Server;

const HOUR: Duration = Duration::from_secs(3600);

/// With time for a busy machine.
async fn connect(server: &Server) -> RedisStore {
    let store = RedisStore::builder().url(server.url());
    let store = store.command_deadline(Duration::from_secs(5)).connect();
    store.await.unwrap()
}

/// Polls until it is so.
async fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "timed out before {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
