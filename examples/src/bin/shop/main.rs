//! A small web shop: a cart, sign-in, a one-time code that runs out while you watch, your devices.
//!
//! ```text
//! cargo run -p examples --bin shop
//! cargo run -p examples --bin shop -- --store file:sessions --listen 127.0.0.1:4000
//!
//! curl -c jar -b jar -L http://127.0.0.1:3000/
//! curl -c jar -b jar -L -d "" http://127.0.0.1:3000/cart/tea/add
//! curl -c jar -b jar -L -d 'name=ada&password=lovelace' http://127.0.0.1:3000/sign-in
//! curl -c jar -b jar -L -d "" http://127.0.0.1:3000/code
//! curl -c jar -b jar -L -d "" http://127.0.0.1:3000/sign-out
//! ```
//!
//! `session.rs` is what this example is about: the struct that every handler works with.

mod account;
mod arguments;
mod cart;
mod catalogue;
mod code;
mod devices;
mod front;
mod page;
mod session;
mod sign_in;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use clap::Parser;
use session_runtime::{SessionLayer, SessionStore};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower_http::csrf::CsrfLayer;

use self::account::Accounts;
use self::arguments::Arguments;
use self::page::{Failure, Problem};
use self::session::Shop;

/// State that handlers share besides the session.
#[derive(Clone)]
struct App {
    accounts: Arc<Accounts>,
    code_ttl: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let store = arguments.store.open().await?;
    let listen = &arguments.listen;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(|error| format!("cannot listen on `{listen}`: {error}"))?;
    let address = listener.local_addr()?;
    let sessions = sessions(store, &arguments, address.ip().is_loopback())?;
    let app = App {
        accounts: Arc::new(Accounts::demo()?),
        code_ttl: arguments.code_ttl,
    };

    println!("sign in as {}", Accounts::hint());
    println!("listening on http://{address}");
    axum::serve(listener, router(app, sessions))
        .with_graceful_shutdown(asked_to_stop())
        .await?;
    Ok(())
}

fn sessions(
    store: Arc<dyn SessionStore>,
    arguments: &Arguments,
    is_loopback: bool,
) -> Result<SessionLayer, Box<dyn Error>> {
    let mut layer = SessionLayer::builder(store)
        .schema::<Shop>()
        .encryption_keys(arguments.keys()?)
        .on_error(Failure);
    if is_loopback {
        println!("plain http on a loopback address: using the insecure development cookie");
        layer = layer.insecure_for_development();
    } else {
        println!("the cookie is `Secure`: put a proxy that ends TLS in front");
    }
    Ok(layer.build()?)
}

fn router(app: App, sessions: SessionLayer) -> Router {
    Router::new()
        .route("/", get(front::show))
        .route("/cart", get(cart::show))
        .route("/cart/{sku}/add", post(cart::add))
        .route("/cart/{sku}/remove", post(cart::remove))
        .route("/sign-in", get(sign_in::show).post(sign_in::submit))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/account", get(account::show).post(account::save_address))
        .route("/code", get(code::show).post(code::send))
        .route("/code/use", post(code::redeem))
        .route("/devices", get(devices::show))
        .route("/devices/{id}/revoke", post(devices::revoke))
        .route("/devices/revoke-others", post(devices::revoke_others))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                Problem::page("There is no such page."),
            )
        })
        .with_state(app)
        .layer(sessions)
        // The cookie's `SameSite=Lax` keeps it out of other sites' posts. This refuses posts of
        // other hosts of the same site too, and those that would sign a visitor in.
        .layer(CsrfLayer::new())
}

/// Returns on ctrl-c, or when the system asks the program to end.
async fn asked_to_stop() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
