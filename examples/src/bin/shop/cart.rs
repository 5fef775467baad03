//! The cart.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use session_runtime::{ReadSession, Session};

use crate::catalogue::{self, Product, euros};
use crate::page::{Failure, Page, Problem, render};
use crate::session::{Shop, Sku};

/// The largest amount of one product in a cart.
const MOST: u32 = 99;

#[derive(Template)]
#[template(path = "cart.html")]
struct Cart {
    page: Page,
    lines: Vec<Line>,
    total: String,
}

struct Line {
    product: &'static Product,
    count: u32,
    total: String,
}

pub(crate) async fn show(session: ReadSession<Shop>) -> Response {
    let mut total = 0;
    let mut lines = Vec::new();
    for (sku, &count) in &session.cart {
        // A product that is no longer sold stays in the cart but is not shown.
        if let Some(product) = catalogue::find(sku) {
            total += product.total(count);
            lines.push(Line {
                product,
                count,
                total: euros(product.total(count)),
            });
        }
    }
    render(&Cart {
        page: Page::of(&session),
        lines,
        total: euros(total),
    })
}

/// Two tabs may add at once: `update` repeats the change on fresh values until no other request
/// commits in between.
pub(crate) async fn add(
    mut session: Session<Shop>,
    Path(sku): Path<Sku>,
) -> Result<Response, Failure> {
    if catalogue::find(&sku).is_none() {
        let page = Problem::page("We do not sell that.");
        return Ok((StatusCode::NOT_FOUND, page).into_response());
    }
    session
        .update(|shop| {
            let count = shop.cart.entry(sku.clone()).or_default();
            *count = (*count + 1).min(MOST);
        })
        .await?;
    Ok(Redirect::to("/cart").into_response())
}

pub(crate) async fn remove(
    mut session: Session<Shop>,
    Path(sku): Path<Sku>,
) -> Result<Redirect, Failure> {
    session
        .update(|shop| {
            if let Some(count) = shop.cart.get_mut(&sku) {
                *count = count.saturating_sub(1);
            }
            shop.cart.retain(|_, count| *count > 0);
        })
        .await?;
    Ok(Redirect::to("/cart"))
}
