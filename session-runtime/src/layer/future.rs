//! The future of a response: the handler runs first, then the commit, then the response leaves.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum_core::body::Body;
use axum_core::response::Response;
use bytes::Bytes;
use futures_core::future::BoxFuture;
use pin_project_lite::pin_project;

use crate::request::RequestSession;

pin_project! {
    /// The response of a [`SessionService`](super::SessionService).
    ///
    /// Dropping it, as a server does when the client goes away, saves nothing that the handler
    /// had not saved itself.
    pub struct SessionFuture<F> {
        // Dropped when it has answered, before the commit: a handler that an inner layer cut off, for
        // example by a timeout, then hands its changes over like a handler that returns.
        #[pin]
        handler: Option<F>,
        // `None` for a request that has nothing to save.
        finish: Option<BoxFuture<'static, Response>>,
        // Dropped last, so that changes of a handler that is dropped are not reported as lost. `None`
        // where the same layer is outside too and does the work.
        session: Option<Closing>,
    }
}

/// Closes the session when the request ends, so tasks that outlive it know they can no longer set a
/// cookie.
struct Closing(Arc<RequestSession>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<F> SessionFuture<F> {
    pub(super) fn new(handler: F, session: Option<Arc<RequestSession>>) -> Self {
        Self {
            handler: Some(handler),
            finish: None,
            session: session.map(Closing),
        }
    }
}

impl<F, B, E> Future for SessionFuture<F>
where
    F: Future<Output = Result<http::Response<B>, E>>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum_core::BoxError>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(handler) = this.handler.as_mut().as_pin_mut() {
            let response = ready!(handler.poll(context))?.map(Body::new);
            this.handler.set(None);
            let Some(Closing(session)) = this.session else {
                return Poll::Ready(Ok(response));
            };
            if !session.was_used() {
                session.close();
                return Poll::Ready(Ok(response));
            }
            if session.is_settled() {
                return Poll::Ready(Ok(session.answer(response, Ok(()))));
            }
            let session = session.clone();
            *this.finish = Some(Box::pin(async move { session.finish(response).await }));
        }
        match this.finish {
            Some(finish) => finish.as_mut().poll(context).map(Ok),
            // Reached only by an executor that breaks the contract of `Future`, by no input.
            None => panic!("polled after it was ready"),
        }
    }
}

impl<F> fmt::Debug for SessionFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionFuture").finish_non_exhaustive()
    }
}
