//! The smallest program with a session: counts visits.
//!
//! ```text
//! cargo run -p examples --bin counter
//! curl -c jar -b jar http://127.0.0.1:3000/      # visit number 1
//! curl -c jar -b jar http://127.0.0.1:3000/      # visit number 2
//! ```

use axum::{Router, routing::get};
use session_runtime::{MemoryStore, Session, SessionLayer};

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
    // Over plain http only while developing: `SessionLayer::new(store)` is the secure one.
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new().route("/", get(visit)).layer(sessions);
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:3000");
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
