//! Two requests of one visitor that change the session at once: each field declares the merge.
//!
//! ```text
//! cargo run -p examples --bin cart
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/add/tea
//! for i in 1 2 3 4 5; do curl -b jar -d '' http://127.0.0.1:3000/add/cup & done; wait
//! curl -b jar -d 'code=SPRING' http://127.0.0.1:3000/coupon
//! curl -b jar -d 'code=AUTUMN' http://127.0.0.1:3000/coupon
//! curl -b jar http://127.0.0.1:3000/       # {"cup": 5, "tea": 1}, 6 added, coupon SPRING
//! ```

use std::collections::BTreeMap;

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;
use session_runtime::{MemoryStore, ReadSession, Session, SessionError, SessionLayer};

#[derive(Session)]
struct Cart {
    /// One value: the last commit would win, so it is changed with `update`.
    lines: BTreeMap<String, u32>,
    /// Differences are added up in the store.
    #[session(merge = "add")]
    added: u64,
    /// The first one counts.
    #[session(merge = "first")]
    coupon: Option<String>,
}

async fn add(
    mut session: Session<Cart>,
    Path(product): Path<String>,
) -> Result<&'static str, SessionError> {
    // Runs again on fresh values until no other request commits in between.
    session
        .update(|cart| *cart.lines.entry(product.clone()).or_default() += 1)
        .await?;
    // Plain code is enough here: the field says `add`.
    session.added += 1;
    Ok("added\n")
}

#[derive(Deserialize)]
struct Coupon {
    code: String,
}

async fn coupon(mut session: Session<Cart>, Form(Coupon { code }): Form<Coupon>) {
    session.coupon = Some(code);
}

async fn show(session: ReadSession<Cart>) -> String {
    let coupon = session.coupon.as_deref().unwrap_or("none");
    let Cart { lines, added, .. } = &*session;
    format!("{lines:?}, {added} added, coupon {coupon}\n")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .route("/", get(show))
        .route("/add/{product}", post(add))
        .route("/coupon", post(coupon))
        .layer(sessions);
    Ok(examples::serve(app).await?)
}
