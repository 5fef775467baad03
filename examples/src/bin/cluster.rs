//! Sessions on a Redis or Valkey Cluster that loses a node: whom that does not concern notices
//! nothing, and the others are answered, in time, without their session.
//!
//! ```text
//! for port in 7001 7002 7003 7004 7005 7006; do mkdir -p cluster/$port; redis-server --port $port \
//!     --dir cluster/$port --cluster-enabled yes --cluster-node-timeout 2000 --daemonize yes; done
//! redis-cli --cluster create 127.0.0.1:{7001,7002,7003,7004,7005,7006} \
//!     --cluster-replicas 1 --cluster-yes
//! cargo run -p examples --bin cluster -- --node redis://127.0.0.1:7001 --node redis://127.0.0.1:7002
//!
//! for jar in a b c d e f; do curl -c $jar -b $jar http://127.0.0.1:3000/; done   # visit 1, all six
//! redis-cli -p 7001 shutdown nosave
//! for jar in a b c d e f; do curl -c $jar -b $jar http://127.0.0.1:3000/; done   # some are asked
//!                                                       # to come back, the others are at visit 2
//! curl -b a -d '' http://127.0.0.1:3000/cart/tea        # in the cart, or 503: never a lie
//! sleep 5; for jar in a b c d e f; do curl -c $jar -b $jar http://127.0.0.1:3000/; done    # all
//! ```
//!
//! All that belongs to a session is one key, so it is on one node, with a third of the others.

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use clap::Parser;
use session_runtime::{ReadSession, RedisStore, Session, SessionLayer, SessionRejection};

/// A page that lives without its session, and a cart that does not.
#[derive(Parser)]
struct Arguments {
    /// A node of the Cluster, as `redis://HOST:PORT`; it is asked for the others. Name several, in
    /// case that one is down when the program starts.
    #[arg(long = "node", value_name = "URL", required = true)]
    nodes: Vec<String>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: String,
}

#[derive(Session)]
struct Shop {
    #[session(merge = "add")]
    visits: u64,
    cart: Vec<String>,
}

/// The session is not what this page is for, so its absence is no reason to refuse it.
async fn welcome(session: Result<Session<Shop>, SessionRejection>) -> String {
    match count(session).await {
        Some(visits) => format!("welcome, this is visit {visits}\n"),
        None => "welcome, please come back for your cart in a minute\n".to_owned(),
    }
}

/// Which visit it is, unless the node with the visitor's session does not answer: when the session
/// is loaded, or when the visit is counted, which would otherwise be the layer's to report.
async fn count(session: Result<Session<Shop>, SessionRejection>) -> Option<u64> {
    session.ok()?.add(Shop::VISITS, 1).await.ok()
}

/// Without the session there is no cart. The layer answers 503 in the place of this page, within
/// 1.25 seconds, and leaves the visitor's cookie alone; also if the node dies in between.
async fn add(mut session: Session<Shop>, Path(product): Path<String>) -> &'static str {
    session.cart.push(product);
    "in the cart\n"
}

async fn cart(session: ReadSession<Shop>) -> String {
    format!("{:?}\n", session.cart)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let store = RedisStore::builder()
        .cluster(arguments.nodes)
        .connect()
        .await?;
    let sessions = SessionLayer::builder(store)
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .route("/", get(welcome))
        .route("/cart", get(cart))
        .route("/cart/{product}", post(add))
        .layer(sessions);
    Ok(examples::serve_at(app, &arguments.listen).await?)
}
