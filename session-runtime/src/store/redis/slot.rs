//! A place for one connection: opened when it is needed, replaced when it is of no use any more.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::endpoint::Endpoint;
use super::error::{Failure, NO_ANSWER_IN_TIME, Reason, Refusal};
use super::server_clock::ServerClock;
use super::shared::SharedConnection;
use crate::clock::Timestamp;

/// The pause after a connection could not be opened.
const REOPEN_PAUSE: Duration = Duration::from_millis(50);

/// The pause after a connection was replaced because of a refusal, doubled each time the next one
/// is refused too, up to the longest.
const FIRST_REPLACEMENT_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_REPLACEMENT_PAUSE: Duration = Duration::from_secs(1);
/// One command, or several in one trip.
pub(super) enum Request<'a> {
    One(&'a Cmd),
    /// Errors come as values.
    Several(&'a Pipeline),
    /// One command, with `TIME` before it in the same trip unless an estimate of the time will do and
    /// the connection has one.
    Read {
        command: &'a Cmd,
        may_estimate: bool,
    },
}

/// The answers to one request.
pub(super) struct Sent {
    pub(super) values: Vec<Value>,
    /// The estimated time at which a read was sent, where it was sent without `TIME`.
    pub(super) estimate: Option<Timestamp>,
    pub(super) clock: Arc<ServerClock>,
}

/// A place for one connection.
pub(super) struct Slot {
    pub(super) endpoint: Arc<Endpoint>,
    deadline: Duration,
    state: watch::Sender<State>,
    permits: Semaphore,
    replacement: Mutex<Replacement>,
}

/// When a refusal may replace the connection the next time.
#[derive(Default)]
struct Replacement {
    not_before: Option<Instant>,
    pause: Duration,
}

impl Replacement {
    /// Whether the connection may be replaced now. The pause begins anew once it has been long
    /// since the last time.
    fn begins(&mut self, now: Instant) -> bool {
        match self.not_before {
            Some(moment) if now < moment => return false,
            Some(moment) if now < moment + LONGEST_REPLACEMENT_PAUSE => {
                self.pause = LONGEST_REPLACEMENT_PAUSE.min(2 * self.pause);
            }
            _ => self.pause = FIRST_REPLACEMENT_PAUSE,
        }
        self.not_before = Some(now + self.pause);
        true
    }
}

enum State {
    /// No connection, with the failure and the moment of the last attempt.
    Closed(Option<(Failure, Instant)>),
    /// A task is opening one.
    Opening,
    Open(Arc<Opened>),
}

/// An open connection.
pub(super) struct Opened {
    connection: SharedConnection,
    /// Set when the client library finds that it is lost.
    lost: Arc<AtomicBool>,
    /// How many requests in a row had no answer.
    unanswered: AtomicU32,
    clock: Arc<ServerClock>,
}

impl Slot {
    /// A place without a connection. `in_flight` is how many requests may be under way at once.
    pub(super) fn new(endpoint: Arc<Endpoint>, deadline: Duration, in_flight: usize) -> Self {
        Self {
            endpoint,
            deadline,
            state: watch::Sender::new(State::Closed(None)),
            permits: Semaphore::new(in_flight),
            replacement: Mutex::default(),
        }
    }

    /// The open connection, if there is one.
    pub(super) fn open(&self) -> Option<Arc<Opened>> {
        match &*self.state.borrow() {
            State::Open(opened) if !opened.lost.load(Ordering::Acquire) => Some(opened.clone()),
            _ => None,
        }
    }

    /// The open connection, or a new one.
    pub(super) async fn connection(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<Arc<Opened>, Failure> {
        let mut state = self.state.subscribe();
        let mut waited = false;
        loop {
            let failed = {
                match &*state.borrow_and_update() {
                    State::Open(opened) if !opened.lost.load(Ordering::Acquire) => {
                        return Ok(opened.clone());
                    }
                    State::Closed(Some((failure, _))) if waited => Some(failure.clone()),
                    _ => None,
                }
            };
            if let Some(failure) = failed {
                return Err(failure);
            }
            self.begin_opening();
            waited = true;
            let changed = async {
                while matches!(&*state.borrow_and_update(), State::Opening) {
                    // Fails only without a sender, and `self` has it.
                    let _ = state.changed().await;
                }
            };
            timeout_at(deadline, changed)
                .await
                .map_err(|_| Failure::NotSent(self.endpoint.in_time()))?;
        }
    }

    /// Starts the task that opens a connection, unless there is one or it runs already.
    fn begin_opening(self: &Arc<Self>) {
        let mut last_failure = None;
        let begins = self.state.send_if_modified(|state| {
            match state {
                State::Open(opened) if !opened.lost.load(Ordering::Acquire) => return false,
                State::Opening => return false,
                State::Closed(failed) => last_failure = failed.take().map(|(_, at)| at),
                State::Open(_) => {}
            }
            *state = State::Opening;
            true
        });
        if begins {
            let opening = Opening(Arc::clone(self));
            tokio::spawn(async move {
                if let Some(at) = last_failure {
                    tokio::time::sleep_until(at + REOPEN_PAUSE).await;
                }
                opening.finish().await;
            });
        }
    }

    /// Sends a request over a connection that was open.
    pub(super) async fn send(
        &self,
        opened: Arc<Opened>,
        request: &Request<'_>,
        deadline: Instant,
    ) -> Result<Sent, Failure> {
        let _permit = match self.permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => match timeout_at(deadline, self.permits.acquire()).await {
                Ok(Ok(permit)) => permit,
                _ => return Err(Failure::NotSent(Reason("too many requests at once"))),
            },
        };
        let mut connection = opened.connection.clone();
        let mut estimate = None;
        if let Request::Read {
            may_estimate: true, ..
        } = request
            && self.endpoint.leads_to_one_server()
        {
            estimate = opened.clock.estimate();
        }
        let answer = async {
            match request {
                Request::Read { command, .. } if estimate.is_none() => {
                    let mut pipeline = Pipeline::with_capacity(2);
                    pipeline.ignore_errors();
                    pipeline.cmd("TIME").add_command((*command).clone());
                    pipeline.query_async(&mut connection).await
                }
                Request::One(command) | Request::Read { command, .. } => {
                    Ok(vec![connection.send(command).await?])
                }
                Request::Several(pipeline) => pipeline.query_async(&mut connection).await,
            }
        };
        let answer = match timeout_at(deadline, answer).await {
            Ok(answer) => answer.map_err(Failure::from).and_then(refused_when_one),
            Err(_) => Err(Failure::NoAnswer(NO_ANSWER_IN_TIME)),
        };
        let answer = answer.map_err(|failure| self.as_said_here(failure));
        match &answer {
            Ok(_) => opened.unanswered.store(0, Ordering::Relaxed),
            Err(Failure::NoAnswer(reason)) if *reason == NO_ANSWER_IN_TIME => {
                self.unanswered(&opened);
            }
            Err(Failure::NoAnswer(_)) => self.discard(&opened),
            Err(Failure::Refused(refusal)) if refusal.is_cured_by_a_new_connection() => {
                self.refused(&opened);
            }
            Err(_) => {}
        }
        answer.map(|values| Sent {
            values,
            estimate,
            clock: Arc::clone(&opened.clock),
        })
    }

    fn unanswered(&self, opened: &Opened) {
        let unanswered = opened.unanswered.fetch_add(1, Ordering::Relaxed) + 1;
        if unanswered >= self.endpoint.unanswered_limit() {
            self.discard(opened);
        }
    }

    /// Replaces the connection after a refusal, at some distance from the last time.
    fn refused(&self, opened: &Opened) {
        if opened.lost.load(Ordering::Acquire) {
            return;
        }
        let replacement = self.replacement.lock();
        let mut replacement = replacement.unwrap_or_else(PoisonError::into_inner);
        if replacement.begins(Instant::now()) {
            self.discard(opened);
        }
    }

    /// A single server that has not all keys will not have them later either.
    fn as_said_here(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Refused(Refusal::Slot(_)) if self.endpoint.leads_to_one_server() => {
                Failure::Refused(Refusal::Misplaced(
                    "the server is a node of a Cluster; name it with `cluster` instead of `url`",
                ))
            }
            failure => failure,
        }
    }

    /// Makes the next request open another connection.
    pub(super) fn discard_open(&self) {
        if let State::Open(opened) = &*self.state.borrow() {
            self.discard(opened);
        }
    }

    fn discard(&self, opened: &Opened) {
        if self.endpoint.is_replaceable() {
            opened.lost.store(true, Ordering::Release);
        }
    }
}

/// A command's refusal is a failure; those of a pipeline stay values.
fn refused_when_one(values: Vec<Value>) -> Result<Vec<Value>, Failure> {
    match values.as_slice() {
        [Value::ServerError(error)] => Err(Failure::Refused(error.into())),
        _ => Ok(values),
    }
}

/// Guard that resets [`State::Opening`] if the connecting task is cancelled.
struct Opening(Arc<Slot>);

impl Opening {
    async fn finish(self) {
        let slot = &self.0;
        let lost = Arc::new(AtomicBool::new(false));
        let opening = slot.endpoint.open(slot.deadline, Arc::clone(&lost));
        let opened = match tokio::time::timeout(slot.deadline, opening).await {
            Ok(Ok(connection)) => Ok(connection),
            // No request was sent yet.
            Ok(Err(Failure::NoAnswer(reason))) => Err(Failure::NotSent(reason)),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::NotSent(slot.endpoint.in_time())),
        };
        let state = match opened {
            Ok(connection) => State::Open(Arc::new(Opened {
                connection,
                lost,
                unanswered: AtomicU32::new(0),
                clock: Arc::new(ServerClock::new()),
            })),
            Err(failure) => State::Closed(Some((failure, Instant::now()))),
        };
        slot.state.send_replace(state);
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.state.send_if_modified(|state| {
            let abandoned = matches!(state, State::Opening);
            if abandoned {
                *state = State::Closed(None);
            }
            abandoned
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_replace_a_connection_less_and_less_often() {
        let start = Instant::now();
        let mut replacement = Replacement::default();
        let millis = Duration::from_millis;
        let replaced: Vec<u64> = (0..5_000)
            .filter(|&at| replacement.begins(start + millis(at)))
            .collect();
        assert_eq!(replaced, [0, 50, 150, 350, 750, 1550, 2550, 3550, 4550]);
        // After a quiet time a refusal is the first one again.
        let later = start + millis(60_000);
        assert!(replacement.begins(later) && replacement.begins(later + millis(50)));
    }
}
