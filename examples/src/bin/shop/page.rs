//! The frame of every page.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use session_runtime::SessionError;

use crate::session::Shop;

/// The line at the top of every page.
pub(crate) struct Page {
    pub(crate) items: u32,
    pub(crate) signed_in: bool,
}

impl Page {
    pub(crate) fn of(shop: &Shop) -> Self {
        Self {
            items: shop
                .cart
                .values()
                .fold(0, |sum, count| sum.saturating_add(*count)),
            signed_in: shop.customer.is_some(),
        }
    }
}

/// A page that says what went wrong. It needs no session, which may be what went wrong.
#[derive(Template)]
#[template(path = "problem.html")]
pub(crate) struct Problem {
    text: &'static str,
}

impl Problem {
    pub(crate) fn page(text: &'static str) -> Response {
        render(&Self { text })
    }
}

/// The answer of handlers and of the session layer to an error of a session.
pub(crate) struct Failure(pub(crate) SessionError);

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let text = match status {
            StatusCode::CONFLICT => "Your session has ended or changed. Please go back.",
            StatusCode::SERVICE_UNAVAILABLE => "We cannot reach our memory right now.",
            _ => "Something went wrong with your session.",
        };
        (status, Problem::page(text)).into_response()
    }
}

pub(crate) fn render(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
