//! A form in several steps, each with its own time: who dawdles repeats only the step that ran out.
//!
//! ```text
//! cargo run -p examples --bin wizard
//! curl -c jar -b jar http://127.0.0.1:3000/                          # choose a seat
//! curl -c jar -b jar -d 'name=Ada' http://127.0.0.1:3000/name
//! curl -c jar -b jar -d 'seat=12A' http://127.0.0.1:3000/seat
//! curl -c jar -b jar http://127.0.0.1:3000/                          # held for 14 s more
//! sleep 15; curl -c jar -b jar -d '' http://127.0.0.1:3000/confirm   # choose a seat
//! ```

use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;
use session_runtime::{MemoryStore, ReadSession, Session, SessionError, SessionLayer, Ttl};

#[derive(Session)]
struct Booking {
    #[session(ttl = "1h")]
    name: Option<String>,
    /// Held so briefly that one can watch it run out.
    #[session(ttl = "15s")]
    seat: Option<String>,
    tickets: Vec<String>,
}

impl Booking {
    /// The step that the visitor takes next.
    fn next_step(&self) -> &'static str {
        match self {
            Self { seat: None, .. } => "choose a seat\n",
            Self { name: None, .. } => "say your name\n",
            _ => "confirm\n",
        }
    }
}

async fn show(session: ReadSession<Booking>) -> Result<String, SessionError> {
    let held = match session.ttl(Booking::SEAT).await? {
        Ttl::Remaining(left) => format!("seat held for {} s more, ", left.as_secs()),
        Ttl::Missing | Ttl::Unbounded => String::new(),
    };
    let next = session.next_step();
    Ok(format!("tickets: {:?}, {held}{next}", session.tickets))
}

#[derive(Deserialize)]
struct Name {
    name: String,
}

async fn name(mut session: Session<Booking>, Form(form): Form<Name>) -> &'static str {
    session.name = Some(form.name);
    session.next_step()
}

#[derive(Deserialize)]
struct Seat {
    seat: String,
}

async fn seat(mut session: Session<Booking>, Form(form): Form<Seat>) -> &'static str {
    session.seat = Some(form.seat);
    // The same seat once more is no change, and would not be held any longer.
    session.renew(Booking::SEAT);
    session.next_step()
}

/// Takes the seat, so that of two confirmations at once only one gets a ticket.
async fn confirm(
    mut session: Session<Booking>,
) -> Result<Result<String, (StatusCode, &'static str)>, SessionError> {
    let Some(name) = session.name.clone() else {
        return Ok(Err((StatusCode::CONFLICT, session.next_step())));
    };
    let Some(seat) = session.take(Booking::SEAT).await? else {
        return Ok(Err((StatusCode::CONFLICT, session.next_step())));
    };
    let ticket = format!("{seat} for {name}");
    session.tickets.push(ticket.clone());
    Ok(Ok(format!("booked: {ticket}\n")))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = SessionLayer::builder(MemoryStore::new())
        .insecure_for_development()
        .build()?;
    let app = Router::new()
        .route("/", get(show))
        .route("/name", post(name))
        .route("/seat", post(seat))
        .route("/confirm", post(confirm))
        .layer(sessions);
    Ok(examples::serve(app).await?)
}
