//! The service that [`SessionLayer`](super::SessionLayer) wraps round another.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum_core::response::Response;
use bytes::Bytes;
use tower_service::Service;

use super::SessionFuture;
use crate::config::Shared;
use crate::request::RequestSession;

/// Hands every request its session; made by [`SessionLayer`](super::SessionLayer).
#[derive(Clone)]
pub struct SessionService<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> SessionService<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

impl<S, RequestBody, ResponseBody> Service<http::Request<RequestBody>> for SessionService<S>
where
    S: Service<http::Request<RequestBody>, Response = http::Response<ResponseBody>>,
    ResponseBody: http_body::Body<Data = Bytes> + Send + 'static,
    ResponseBody::Error: Into<axum_core::BoxError>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = SessionFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<RequestBody>) -> Self::Future {
        let outside = request.extensions().get::<Arc<RequestSession>>();
        if outside.is_some_and(|session| Arc::ptr_eq(session.shared(), &self.shared)) {
            return SessionFuture::new(self.inner.call(request), None);
        }
        let cookie = self.shared.config.cookie.for_request(&request);
        let session = Arc::new(RequestSession::new(self.shared.clone(), cookie));
        if let Some(outer) = request.extensions_mut().insert(session.clone()) {
            self.shared.report_nested_in(outer.shared());
        }
        SessionFuture::new(self.inner.call(request), Some(session))
    }
}

impl<S: fmt::Debug> fmt::Debug for SessionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
