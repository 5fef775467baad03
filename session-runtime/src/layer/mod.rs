//! The tower layer that gives every request its session and saves it before the response leaves.

mod future;
mod service;

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

pub use self::future::SessionFuture;
pub use self::service::SessionService;
use crate::config::{SessionLayerBuilder, Shared};
use crate::config_error::ConfigError;
use crate::sessions::Sessions;
use crate::store::SessionStore;

/// Gives the requests of a router their sessions.
///
/// One layer is all that is needed: it reads and writes the cookie itself. A request whose handler
/// extracts no session costs no store call and gets no cookie.
///
/// ```
/// use axum::{Router, routing::get};
/// use session_runtime::{MemoryStore, SessionLayer};
///
/// let app: Router = Router::new()
///     .route("/", get(|| async { "hello" }))
///     .layer(SessionLayer::new(MemoryStore::new()));
/// ```
///
/// # Several layers
///
/// One layer serves a whole program, and any number of schemas share its session. A part that is
/// to have sessions of its own, such as an administration, gets a layer of its own, with another
/// [`cookie_name`](SessionLayerBuilder::cookie_name) and, if you like, another store:
///
/// ```
/// use axum::{Router, routing::get};
/// use session_runtime::{MemoryStore, SessionLayer};
///
/// # fn main() -> Result<(), session_runtime::ConfigError> {
/// let admin_sessions = SessionLayer::builder(MemoryStore::new())
///     .cookie_name("__Host-admin")
///     .build()?;
/// let admin = Router::new()
///     .route("/", get(|| async { "only for us" }))
///     .layer(admin_sessions);
/// let app: Router = Router::new()
///     .nest("/admin", admin)
///     .layer(SessionLayer::new(MemoryStore::new()));
/// # Ok(())
/// # }
/// ```
///
/// - A handler, or middleware, gets the session of the **innermost** layer round it.
/// - Each layer saves its own session and sets its own cookie; one response can carry both. The
///   inner layer saves first. If the outer one then fails, its error is the whole response: what
///   the inner one saved stays, and its cookie does not leave.
/// - The names must differ. Under one name, each layer takes the cookie of the other for one that
///   opens nothing and has the visitor drop it.
/// - Clones of one layer count as one, wherever they are: a router that has the layer can be nested
///   in a router that has it too.
///
/// # The runtime
///
/// Sessions need a Tokio runtime with timers, which `#[tokio::main]` and `enable_all` give: each call of
/// the store is bounded in time. Without them Tokio panics at the first one and says so.
///
/// # Beside other layers
///
/// Layers that are added to a router later are outside of those that were added before.
///
/// - Middleware that takes the session belongs inside: add it before this layer. What it changes
///   and what the handler changes is saved in one commit. To see what the handler changed, extract
///   the session once more after it, from a clone of the request's parts.
/// - A timeout belongs outside: add it after this layer. Of a request that it cuts off nothing is
///   saved. Inside, its answer is one like any other, and what the handler had changed until then
///   is saved with it.
/// - A layer that catches panics may be inside or outside; nothing is saved either way.
#[derive(Clone)]
pub struct SessionLayer {
    shared: Arc<Shared>,
}

impl SessionLayer {
    /// Makes a layer with secure defaults: cookie `__Host-id` with `Secure`, `HttpOnly` and
    /// `SameSite=Lax`; sessions end after 30 minutes without a visit and after 24 hours in all.
    #[must_use]
    pub fn new(store: impl SessionStore) -> Self {
        // `build` refuses settings, of which there are none here.
        let layer = Self::builder(store).build();
        layer.unwrap_or_else(|error| unreachable!("the defaults are valid: {error}"))
    }

    /// Begins a layer with other settings.
    pub fn builder(store: impl SessionStore) -> SessionLayerBuilder {
        SessionLayerBuilder::new(store)
    }

    /// Returns the sessions of principals, for jobs outside a request.
    #[must_use]
    pub fn sessions(&self) -> Sessions {
        Sessions::outside_requests(self.shared.clone())
    }
}

// Beside the layer and not beside the settings, which know nothing of it.
impl SessionLayerBuilder {
    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when a setting makes no sense or two of them contradict. It names the setting,
    /// or both.
    pub fn build(self) -> Result<SessionLayer, ConfigError> {
        let shared = Arc::new(self.into_shared()?);
        Ok(SessionLayer { shared })
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService::new(inner, self.shared.clone())
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer")
            .field("cookie", &self.shared.config.cookie.name)
            .finish_non_exhaustive()
    }
}
