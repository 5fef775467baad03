//! Where the customer is signed in.

use std::time::SystemTime;

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use session_runtime::{ReadSession, SessionId, SessionInfo, Sessions};

use crate::page::{Failure, Page, Problem, render};
use crate::session::Shop;

#[derive(Template)]
#[template(path = "devices.html")]
struct Devices {
    page: Page,
    devices: Vec<SessionInfo>,
}

impl Devices {
    fn ago(&self, time: &SystemTime) -> String {
        match time.elapsed().map_or(0, |elapsed| elapsed.as_secs() / 60) {
            0 => "just now".to_owned(),
            1 => "a minute ago".to_owned(),
            minutes => format!("{minutes} minutes ago"),
        }
    }
}

pub(crate) async fn show(
    session: ReadSession<Shop>,
    sessions: Sessions,
) -> Result<Response, Failure> {
    let Some(customer) = session.customer else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    Ok(render(&Devices {
        page: Page::of(&session),
        devices: sessions.of(Shop::CUSTOMER, &customer).list().await?,
    }))
}

pub(crate) async fn revoke(
    session: ReadSession<Shop>,
    sessions: Sessions,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let Some(customer) = session.customer else {
        return Ok(Redirect::to("/sign-in").into_response());
    };
    let revoked = match id.parse::<SessionId>() {
        Ok(id) => sessions.of(Shop::CUSTOMER, &customer).revoke(&id).await?,
        Err(_) => false,
    };
    if !revoked {
        let page = Problem::page("You are not signed in there.");
        return Ok((StatusCode::NOT_FOUND, page).into_response());
    }
    Ok(Redirect::to("/devices").into_response())
}

pub(crate) async fn revoke_others(
    session: ReadSession<Shop>,
    sessions: Sessions,
) -> Result<Redirect, Failure> {
    let Some(customer) = session.customer else {
        return Ok(Redirect::to("/sign-in"));
    };
    sessions
        .of(Shop::CUSTOMER, &customer)
        .revoke_others()
        .await?;
    Ok(Redirect::to("/devices"))
}
