//! Requests over a connection that may fail at any moment.
//!
//! 1. Every call of the store, which may take several requests, ends within the connect deadline and
//!    the command deadline together.
//! 2. A connection is opened by the first request that needs it, by one task however many wait.
//! 3. It is replaced when it is lost, when the server says that it is the wrong one (a replica after
//!    a failover) or that the user has to say again who it is, after several requests in a row
//!    without an answer: a connection through a dead path, or a wedged Cluster client, would not
//!    answer ever again; and after an answer that makes no sense: it may be that of another request,
//!    and all later ones would be too. No other refusal replaces it, and those that do, do so less
//!    and less often while they last.
//! 4. A request is sent again only after the connection was lost or the server refused it. That is
//!    sound for every request of this driver: loads read, and a commit takes effect once as long as
//!    no more than seven others of the same session come between.
//! 5. What the server's clock says belongs to one connection and is dropped with it.
//! 6. No lock is held over an await, and nothing is global.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::answer;
use super::endpoint::Endpoint;
use super::error::{Failure, NO_ANSWER_IN_TIME, Reason, Refusal};
use super::server_clock::ServerClock;
use super::shared::SharedConnection;
use crate::clock::Timestamp;

/// How often one request is sent at most.
const ATTEMPTS: u32 = 5;
/// The pause before a request is sent a third time, doubled each time after. The second time
/// follows without a pause: the sooner a commit arrives again, the fewer others can have come
/// between.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The pause after a connection could not be opened.
const REOPEN_PAUSE: Duration = Duration::from_millis(50);

/// The pause after a connection was replaced because of a refusal, doubled each time the next one
/// is refused too, up to the longest.
const FIRST_REPLACEMENT_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_REPLACEMENT_PAUSE: Duration = Duration::from_secs(1);
/// A deadline that is none: as long as this, and still a moment that can be reckoned with.
const NO_DEADLINE: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// How long the parts of a request may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// Opening a connection.
    pub(super) connect: Duration,
    /// All attempts to get an answer.
    pub(super) command: Duration,
}

impl Deadlines {
    /// The same, so that each is a moment that can be reckoned with.
    pub(super) fn bounded(self) -> Self {
        Self {
            connect: self.connect.min(NO_DEADLINE),
            command: self.command.min(NO_DEADLINE),
        }
    }
}

/// The time that one call of the store has for all its requests.
pub(super) struct CallTime {
    connected_by: Instant,
    /// Begins with the first connection: waiting for one does not count.
    answered_by: Option<Instant>,
}

/// One command, or several in one trip.
enum Request<'a> {
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

/// The server's answer, and its clock on the connection that the answer came over.
pub(super) struct Answer<T> {
    pub(super) value: T,
    pub(super) clock: Arc<ServerClock>,
}

/// The answer to a read, with its time.
pub(super) struct Read {
    pub(super) value: Value,
    pub(super) now: Timestamp,
    /// Whether `now` is the server's own; otherwise it is an estimate, a little late.
    pub(super) is_exact: bool,
}

/// Connections to one server or Cluster, used in turn.
pub(super) struct Connections {
    slots: Vec<Arc<Slot>>,
    next: AtomicUsize,
    deadlines: Deadlines,
}

impl Connections {
    pub(super) fn new(
        endpoint: Endpoint,
        deadlines: Deadlines,
        connections: Option<usize>,
    ) -> Self {
        let deadlines = deadlines.bounded();
        let endpoint = Arc::new(endpoint);
        let (connections, in_flight) = endpoint.concurrency(connections);
        let slot = |_| {
            Arc::new(Slot {
                endpoint: Arc::clone(&endpoint),
                deadline: deadlines.connect,
                state: watch::Sender::new(State::Closed(None)),
                permits: Semaphore::new(in_flight),
                replacement: Mutex::default(),
            })
        };
        Self {
            slots: (0..connections).map(slot).collect(),
            next: AtomicUsize::new(0),
            deadlines,
        }
    }

    /// Begins a call of the store.
    pub(super) fn begin(&self) -> CallTime {
        CallTime {
            connected_by: Instant::now() + self.deadlines.connect,
            answered_by: None,
        }
    }

    /// The longest that a call takes.
    pub(super) fn longest_call(&self) -> Duration {
        self.deadlines.connect + self.deadlines.command
    }

    /// Sends a single command and answers what the server did.
    pub(super) async fn command(
        &self,
        command: &Cmd,
        time: &mut CallTime,
    ) -> Result<Answer<Value>, Failure> {
        let mut sent = self.request(&Request::One(command), time).await?;
        let value = sent.values.pop().ok_or(Failure::MALFORMED)?;
        let clock = sent.clock;
        Ok(Answer { value, clock })
    }

    /// Sends several commands in one trip; a refusal of one of them comes as its value.
    pub(super) async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Value>, Failure> {
        let request = Request::Several(pipeline);
        let sent = self.request(&request, &mut self.begin()).await?;
        Ok(sent.values)
    }

    /// Sends a command that only reads, and says when it was read: a moment that may be earlier than
    /// the answer, never later. An estimate is given only if it may be, and if the connection leads
    /// to one server whose time it has heard.
    pub(super) async fn read(
        &self,
        command: &Cmd,
        may_estimate: bool,
        time: &mut CallTime,
    ) -> Result<Read, Failure> {
        let request = Request::Read {
            command,
            may_estimate,
        };
        let mut sent = self.request(&request, time).await?;
        if let Some(Value::ServerError(error)) = sent
            .values
            .iter()
            .find(|value| matches!(value, Value::ServerError(_)))
        {
            return Err(Failure::Refused(error.into()));
        }
        let value = sent.values.pop().ok_or(Failure::MALFORMED)?;
        if let Some(now) = sent.estimate {
            let is_exact = false;
            return Ok(Read {
                value,
                now,
                is_exact,
            });
        }
        let now = answer::time(sent.values.pop().ok_or(Failure::MALFORMED)?)?;
        sent.clock.set(now);
        Ok(Read {
            value,
            now,
            is_exact: true,
        })
    }

    /// Whether there are several servers, each with keys of its own.
    pub(super) fn is_cluster(&self) -> bool {
        self.slots.iter().any(|slot| slot.endpoint.is_cluster())
    }

    /// Whether each connection leads to one server for as long as it lasts.
    pub(super) fn leads_to_one_server(&self) -> bool {
        self.slots
            .iter()
            .all(|slot| slot.endpoint.leads_to_one_server())
    }

    /// Makes the next requests open other connections, after an answer that makes no sense.
    pub(super) fn replace_all(&self) {
        for slot in &self.slots {
            if let State::Open(opened) = &*slot.state.borrow() {
                slot.discard(opened);
            }
        }
    }

    /// Waits until there is a connection.
    pub(super) async fn connect(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + self.deadlines.connect;
        self.slots[0].connection(deadline).await.map(drop)
    }

    async fn request(&self, request: &Request<'_>, time: &mut CallTime) -> Result<Sent, Failure> {
        let mut unanswered = None;
        let mut pause = Duration::ZERO;
        let mut attempt = 1;
        loop {
            let turn = self.next.fetch_add(1, Ordering::Relaxed);
            let slot = &self.slots[turn % self.slots.len()];
            let connection_by = time.answered_by.unwrap_or(time.connected_by);
            let opened = match slot.open() {
                Some(opened) => Ok(opened),
                // Boxed, as it is rare and larger than the rest.
                None => Box::pin(slot.connection(connection_by)).await,
            };
            let opened = match opened {
                Ok(opened) => opened,
                // An earlier attempt may have reached the server all the same.
                Err(failure) => return Err(unanswered.unwrap_or(failure)),
            };
            let begin = || Instant::now() + self.deadlines.command;
            let deadline = *time.answered_by.get_or_insert_with(begin);
            let failure = match slot.send(opened, request, deadline).await {
                Ok(sent) => return Ok(sent),
                Err(failure) => failure,
            };
            match &failure {
                Failure::NoAnswer(reason) if *reason != NO_ANSWER_IN_TIME => {
                    unanswered = Some(failure.clone());
                }
                Failure::Refused(refusal) if refusal.may_pass() => {}
                _ => return Err(failure),
            }
            if attempt == ATTEMPTS || Instant::now() + pause >= deadline {
                return Err(unanswered.unwrap_or(failure));
            }
            tokio::time::sleep(pause).await;
            pause = FIRST_PAUSE.max(2 * pause);
            attempt += 1;
        }
    }
}

/// A place for one connection.
struct Slot {
    endpoint: Arc<Endpoint>,
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
struct Opened {
    connection: SharedConnection,
    /// Set when the client library finds that it is lost.
    lost: Arc<AtomicBool>,
    /// How many requests in a row had no answer.
    unanswered: AtomicU32,
    clock: Arc<ServerClock>,
}

/// The answers to one request.
struct Sent {
    values: Vec<Value>,
    /// The estimated time at which a read was sent, where it was sent without `TIME`.
    estimate: Option<Timestamp>,
    clock: Arc<ServerClock>,
}

impl Slot {
    /// The open connection, if there is one.
    fn open(&self) -> Option<Arc<Opened>> {
        match &*self.state.borrow() {
            State::Open(opened) if !opened.lost.load(Ordering::Acquire) => Some(opened.clone()),
            _ => None,
        }
    }

    /// The open connection, or a new one.
    async fn connection(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Opened>, Failure> {
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

    async fn send(
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

    #[test]
    fn no_deadline_is_too_long_to_be_reckoned_with() {
        for long in [Duration::MAX, Duration::from_secs(u64::MAX), NO_DEADLINE] {
            let deadlines = Deadlines {
                connect: long,
                command: long,
            };
            let bounded = deadlines.bounded();
            let _ = Instant::now() + bounded.connect + bounded.command;
        }
    }
}
