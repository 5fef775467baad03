//! A one-time code that runs out while one watches, and that works once.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use session_runtime::{ReadSession, Session, Ttl};

use crate::App;
use crate::page::{Failure, Page, Problem, render};
use crate::session::{Otp, Shop};

#[derive(Template)]
#[template(path = "code.html")]
struct Code<'a> {
    page: Page,
    /// A real shop would send it by mail.
    code: Option<&'a str>,
    milliseconds: u128,
    milliseconds_left: u128,
    problem: Option<&'static str>,
    done: bool,
}

pub(crate) async fn show(
    State(app): State<App>,
    session: ReadSession<Shop>,
) -> Result<Response, Failure> {
    if session.customer.is_none() {
        return Ok(Redirect::to("/sign-in").into_response());
    }
    let milliseconds_left = match session.ttl(Shop::OTP).await? {
        Ttl::Remaining(left) => left.as_millis(),
        Ttl::Missing | Ttl::Unbounded => 0,
    };
    Ok(render(&Code {
        page: Page::of(&session),
        code: session.otp.as_ref().map(|otp| otp.0.as_str()),
        milliseconds: app.code_ttl.as_millis(),
        milliseconds_left,
        problem: None,
        done: false,
    }))
}

pub(crate) async fn send(
    State(app): State<App>,
    mut session: Session<Shop>,
) -> Result<Response, Failure> {
    if session.customer.is_none() {
        return Ok(Redirect::to("/sign-in").into_response());
    }
    let mut random = [0; 4];
    if getrandom::fill(&mut random).is_err() {
        let page = Problem::page("We cannot make a code right now.");
        return Ok((StatusCode::INTERNAL_SERVER_ERROR, page).into_response());
    }
    session.otp = Some(Otp(format!(
        "{:06}",
        u32::from_be_bytes(random) % 1_000_000
    )));
    session.expire(Shop::OTP, app.code_ttl).await?;
    Ok(Redirect::to("/code").into_response())
}

#[derive(Deserialize)]
pub(crate) struct Attempt {
    code: String,
}

/// The code is taken out of the store whether it is right or wrong: one attempt, and of two that
/// come at once only one can succeed.
pub(crate) async fn redeem(
    mut session: Session<Shop>,
    Form(attempt): Form<Attempt>,
) -> Result<Response, Failure> {
    if session.customer.is_none() {
        return Ok(Redirect::to("/sign-in").into_response());
    }
    let (status, problem) = match session.take(Shop::OTP).await? {
        Some(Otp(code)) if code == attempt.code.trim() => (StatusCode::OK, None),
        Some(_) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            Some("That was another code."),
        ),
        None => (StatusCode::GONE, Some("The code has run out or was used.")),
    };
    let page = render(&Code {
        page: Page::of(&session),
        code: None,
        milliseconds: 0,
        milliseconds_left: 0,
        problem,
        done: problem.is_none(),
    });
    Ok((status, page).into_response())
}
