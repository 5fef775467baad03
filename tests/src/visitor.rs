//! A visitor of a site whose pages a test makes up as it goes.

use axum::Router;
use axum::handler::Handler;
use session_runtime::SessionLayer;

use crate::browser::{Answer, Browser};

/// The name of the cookie, unless a layer says otherwise.
pub const COOKIE: &str = "__Host-id";

/// One visitor with a cookie jar. A clone is the same visitor in another tab, with a jar of its
/// own from then on.
#[derive(Debug, Clone)]
pub struct Visitor {
    layer: SessionLayer,
    browser: Browser,
}

impl Visitor {
    /// A visitor without cookies of a site behind this layer.
    pub fn new(layer: &SessionLayer) -> Self {
        Self {
            layer: layer.clone(),
            browser: Browser::new(&Router::new()),
        }
    }

    /// A request that this handler answers.
    pub async fn visit<H, T>(&mut self, handler: H) -> Answer
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.browser.go_to(&page(&self.layer, handler));
        self.browser.get("/").await
    }

    /// Visits a site behind another layer from now on, and keeps the cookies.
    pub fn move_to(&mut self, layer: &SessionLayer) {
        self.layer = layer.clone();
    }

    /// The visitor's cookies.
    pub fn browser(&mut self) -> &mut Browser {
        &mut self.browser
    }

    /// The token in the cookie jar.
    pub fn token(&self) -> Option<String> {
        self.browser.cookie(COOKIE).map(str::to_owned)
    }

    /// Puts a token, or anything else, into the cookie jar.
    pub fn set_token(&mut self, value: &str) {
        self.browser.set_cookie(COOKIE, value);
    }
}

/// A site behind this layer that answers every request with this handler.
pub fn page<H, T>(layer: &SessionLayer, handler: H) -> Router
where
    H: Handler<T, ()>,
    T: 'static,
{
    Router::new().fallback(handler).layer(layer.clone())
}
