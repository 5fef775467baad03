//! Signing in through a provider: the `state` of OAuth 2 comes back and can be used once.
//!
//! ```text
//! cargo run -p examples --bin oauth_state
//! curl -c jar -b jar -i http://127.0.0.1:3000/sign-in      # location: https://…&state=STATE
//! curl -c jar -b jar 'http://127.0.0.1:3000/callback?code=x&state=STATE'    # signed in
//! curl -c jar -b jar 'http://127.0.0.1:3000/callback?code=x&state=STATE'    # 403, used up
//! ```
//!
//! The provider sends the visitor back from another site. That is a plain visit of a link, with
//! which a `SameSite=Lax` cookie is sent; a `Strict` one would not be.
//!
//! Each tab has a state of its own, so that two sign-ins at once do not end each other.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;
use session_runtime::{MemoryStore, Session, SessionError, SessionLayer};

const PROVIDER: &str = "https://accounts.example.com/authorize?response_type=code&client_id=shop";

/// A sign-in takes no longer than this.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// Of more sign-ins at once, the oldest are forgotten.
const MOST: usize = 8;

#[derive(Session)]
struct SignIn {
    #[session(principal)]
    user: Option<String>,
    /// The values that the provider must send back, and when each sign-in was begun, in seconds
    /// since 1970. Each write restarts the `ttl`, so each state has a time of its own besides.
    #[session(ttl = "10m", sensitive)]
    states: BTreeMap<String, u64>,
}

impl SignIn {
    fn begin(&mut self, state: String, now: u64) {
        self.forget_old_states(now);
        while self.states.len() >= MOST {
            let oldest = self.states.iter().min_by_key(|(_, begun)| **begun);
            let Some(oldest) = oldest.map(|(state, _)| state.clone()) else {
                break;
            };
            self.states.remove(&oldest);
        }
        self.states.insert(state, now);
    }

    /// Answers whether the sign-in was begun here. A state is good once; a wrong one leaves the
    /// others as they are.
    fn take(&mut self, state: &str, now: u64) -> bool {
        self.forget_old_states(now);
        self.states.remove(state).is_some()
    }

    fn forget_old_states(&mut self, now: u64) {
        let is_young = |begun: u64| now.saturating_sub(begun) < LONGEST.as_secs();
        self.states.retain(|_, begun| is_young(*begun));
    }
}

fn seconds() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

async fn sign_in(mut session: Session<SignIn>) -> Result<Response, SessionError> {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    }
    let state = format!("{:032x}", u128::from_be_bytes(random));
    // On what the store holds now: another tab may begin at the same moment.
    let begin = |sign_in: &mut SignIn| sign_in.begin(state.clone(), seconds());
    session.update(begin).await?;
    Ok(Redirect::to(&format!("{PROVIDER}&state={state}")).into_response())
}

#[derive(Deserialize)]
struct Callback {
    code: String,
    state: String,
}

async fn callback(
    mut session: Session<SignIn>,
    Query(callback): Query<Callback>,
) -> Result<Response, SessionError> {
    // Compared and removed in one step: of callbacks that race, one gets the state.
    let take = |sign_in: &mut SignIn| sign_in.take(&callback.state, seconds());
    if !session.update(take).await? {
        return Ok((StatusCode::FORBIDDEN, "this sign-in was not begun here\n").into_response());
    }
    // Here the code is exchanged for the name of who signed in at the provider.
    session.user = Some(format!("user-of-{}", callback.code));
    Ok("signed in\n".into_response())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .route("/sign-in", get(sign_in))
        .route("/callback", get(callback))
        .layer(sessions);
    Ok(examples::serve(app).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> SignIn {
        SignIn {
            user: None,
            states: BTreeMap::new(),
        }
    }

    #[test]
    fn a_state_is_good_for_ten_minutes_whatever_else_is_begun() {
        let longest = LONGEST.as_secs();
        for (age, is_good) in [(0, true), (longest - 1, true), (longest, false)] {
            let mut sign_in = new();
            sign_in.begin("a".to_owned(), 1000);
            sign_in.begin("b".to_owned(), 1000 + age);
            assert_eq!(sign_in.take("a", 1000 + age), is_good, "{age}");
            assert!(sign_in.take("b", 1000 + age));
            assert!(!sign_in.take("b", 1000 + age));
        }
    }

    #[test]
    fn the_oldest_states_make_room() {
        let mut sign_in = new();
        for number in 0..20 {
            sign_in.begin(number.to_string(), 1000 + number);
            assert!(sign_in.states.len() <= MOST);
        }
        for number in 0..20 {
            let is_young = number >= 20 - MOST as u64;
            assert_eq!(sign_in.take(&number.to_string(), 1020), is_young);
        }
    }
}
