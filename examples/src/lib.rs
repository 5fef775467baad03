//! Example programs for `session-runtime`; each file or folder in `src/bin` is one.

use axum::Router;
use tokio::net::TcpListener;

/// Serves `app` at the address that is the program's first argument, `127.0.0.1:3000` without one.
///
/// # Errors
///
/// Fails when it cannot listen there.
pub async fn serve(app: Router) -> std::io::Result<()> {
    let address = std::env::args().nth(1);
    serve_at(app, address.as_deref().unwrap_or("127.0.0.1:3000")).await
}

/// Serves `app` at this address.
///
/// # Errors
///
/// Fails when it cannot listen there.
pub async fn serve_at(app: Router, address: &str) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await
}
