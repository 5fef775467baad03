//! The front page: what there is to buy, and how often you were here.

use askama::Template;
use axum::response::Response;
use session_runtime::Session;

use crate::catalogue::{PRODUCTS, Product};
use crate::page::{Page, render};
use crate::session::Shop;

#[derive(Template)]
#[template(path = "front.html")]
struct Front {
    page: Page,
    visits: u64,
    products: &'static [Product],
}

pub(crate) async fn show(mut session: Session<Shop>) -> Response {
    session.visits += 1;
    render(&Front {
        page: Page::of(&session),
        visits: session.visits,
        products: &PRODUCTS,
    })
}
