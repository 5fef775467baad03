//! A store of one's own, and the conformance suite that it passes.
//!
//! ```text
//! cargo run -p examples --bin custom_store
//! curl -c jar -b jar http://127.0.0.1:3000/      # visit number 1
//! curl -c jar -b jar http://127.0.0.1:3000/      # visit number 2
//! cargo test -p examples --bin custom_store
//! ```

mod store;

use axum::{Router, routing::get};
use session_runtime::store::SystemClock;
use session_runtime::{Session, SessionLayer};

use self::store::KeyValueStore;

#[derive(Session)]
struct Visit {
    count: u32,
}

async fn visit(mut session: Session<Visit>) -> String {
    session.count += 1;
    format!("visit number {}\n", session.count)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(KeyValueStore::new(SystemClock::default()))
        .insecure_for_development()
        .build()?;
    let app = Router::new().route("/", get(visit)).layer(sessions);
    Ok(examples::serve(app).await?)
}

#[cfg(test)]
mod tests {
    use session_runtime::test_kit::{ManualTime, conformance};

    use super::*;

    conformance!(ManualTime::new(KeyValueStore::new));
}
