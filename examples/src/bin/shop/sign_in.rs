//! Signing in and out.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use session_runtime::{ReadSession, Session};

use crate::App;
use crate::account::Accounts;
use crate::page::{Failure, Page, render};
use crate::session::Shop;

/// So many wrong passwords in ten minutes are enough. A visitor can come without the cookie: what
/// has to hold against more than slips counts for each account too.
const ATTEMPTS: u32 = 5;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn {
    page: Page,
    /// The name typed before, so that only the password has to be typed again.
    name: String,
    problem: Option<String>,
    hint: String,
}

impl SignIn {
    fn page(shop: &Shop, name: String, problem: Option<String>) -> Response {
        render(&Self {
            page: Page::of(shop),
            name,
            problem,
            hint: Accounts::hint(),
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: String,
    password: String,
}

pub(crate) async fn show(session: ReadSession<Shop>) -> Response {
    SignIn::page(&session, String::new(), None)
}

/// Setting `customer` is all that a sign-in takes: it is the principal, so the visitor gets a new
/// token in the same commit, and a token that an attacker planted before opens nothing.
pub(crate) async fn submit(
    State(app): State<App>,
    mut session: Session<Shop>,
    headers: HeaderMap,
    Form(Credentials { name, password }): Form<Credentials>,
) -> Result<Response, Failure> {
    // Counted in the store before the password is checked: of any number of simultaneous attempts
    // no more are checked than the limit allows.
    let attempts = session.add(Shop::FAILED_LOGINS, 1).await?;
    if attempts > ATTEMPTS {
        let problem = "Too many attempts. Try again in ten minutes.".to_owned();
        let page = SignIn::page(&session, name, Some(problem));
        return Ok((StatusCode::TOO_MANY_REQUESTS, page).into_response());
    }
    Ok(match app.accounts.check(&name, password).await {
        Some(customer) => {
            session.customer = Some(customer);
            session.remove(Shop::FAILED_LOGINS);
            session.set_label(device(&headers));
            Redirect::to("/account").into_response()
        }
        None => {
            let left = ATTEMPTS - attempts;
            let problem = format!("That is not right. Attempts left: {left}.");
            let page = SignIn::page(&session, name, Some(problem));
            (StatusCode::UNAUTHORIZED, page).into_response()
        }
    })
}

pub(crate) async fn sign_out(session: Session<Shop>) -> Redirect {
    session.destroy();
    Redirect::to("/")
}

/// A name for the visitor's device, as far as it says.
fn device(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok()).unwrap_or("");
    let first = |names: &[&'static str]| names.iter().find(|name| agent.contains(**name)).copied();
    let program = first(&["Firefox", "Edg", "Chrome", "Safari", "curl"]);
    let system = first(&["Android", "iPhone", "Windows", "Mac OS", "Linux"]);
    match (program, system) {
        (Some(program), Some(system)) => format!("{program} on {system}"),
        (Some(program), None) => program.to_owned(),
        (None, _) => "a device".to_owned(),
    }
}
