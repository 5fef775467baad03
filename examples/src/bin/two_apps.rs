//! Two parts of a program that know nothing of each other share the visitor's session.
//!
//! ```text
//! cargo run -p examples --bin two_apps
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/cart/tea
//! curl -c jar -b jar -d 'name=ada' http://127.0.0.1:3000/login     # a new cookie, the same cart
//! curl -c jar -b jar http://127.0.0.1:3000/cart                    # ["tea"]
//! curl -c jar -b jar -d '' http://127.0.0.1:3000/logout            # ends both
//! ```
//!
//! Each module has its own struct and could be a crate of its own. There is one cookie and one
//! record; its fields are `login.user` and `cart.products`, and each handler loads only its own.

use axum::Router;
use session_runtime::{MemoryStore, SessionLayer};

mod login {
    use axum::routing::{get, post};
    use axum::{Form, Router};
    use serde::Deserialize;
    use session_runtime::{ReadSession, Session};

    #[derive(Session)]
    struct Login {
        #[session(principal)]
        user: Option<String>,
    }

    #[derive(Deserialize)]
    struct Credentials {
        name: String,
    }

    pub(crate) fn router() -> Router {
        Router::new()
            .route("/", get(who))
            .route("/login", post(login))
            .route("/logout", post(logout))
    }

    async fn who(session: ReadSession<Login>) -> String {
        format!("{}\n", session.user.as_deref().unwrap_or("nobody"))
    }

    async fn login(mut session: Session<Login>, Form(form): Form<Credentials>) {
        session.user = Some(form.name);
    }

    async fn logout(session: Session<Login>) {
        session.destroy();
    }
}

mod cart {
    use axum::Router;
    use axum::extract::Path;
    use axum::routing::{get, post};
    use session_runtime::{ReadSession, Session};

    #[derive(Session)]
    struct Cart {
        products: Vec<String>,
    }

    pub(crate) fn router() -> Router {
        Router::new()
            .route("/cart", get(show))
            .route("/cart/{product}", post(add))
    }

    async fn show(session: ReadSession<Cart>) -> String {
        format!("{:?}\n", session.products)
    }

    async fn add(mut session: Session<Cart>, Path(product): Path<String>) {
        session.products.push(product);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .merge(login::router())
        .merge(cart::router())
        .layer(sessions);
    Ok(examples::serve(app).await?)
}
