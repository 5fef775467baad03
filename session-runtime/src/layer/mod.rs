//! The tower layer that gives every request its session and saves it before the response leaves.

mod future;
mod service;

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

pub use self::future::SessionFuture;
pub use self::service::SessionService;
use crate::config::{SessionLayerBuilder, Shared};
use crate::principal::Sessions;
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
#[derive(Clone)]
pub struct SessionLayer {
    shared: Arc<Shared>,
}

impl SessionLayer {
    /// A layer with secure defaults: cookie `__Host-id` with `Secure`, `HttpOnly` and
    /// `SameSite=Lax`; sessions end after 30 minutes without a visit and after 24 hours in all.
    pub fn new(store: impl SessionStore) -> Self {
        Self::builder(store).build_default()
    }

    /// A layer with other settings.
    pub fn builder(store: impl SessionStore) -> SessionLayerBuilder {
        SessionLayerBuilder::new(store)
    }

    /// The sessions of principals, for jobs outside a request.
    pub fn sessions(&self) -> Sessions {
        Sessions::outside_requests(self.shared.clone())
    }

    pub(crate) fn from_shared(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
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
