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

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio::time::Instant;

use super::answer;
use super::endpoint::Endpoint;
use super::error::{Failure, NO_ANSWER_IN_TIME};
use super::server_clock::ServerClock;
use super::slot::{Request, Sent, Slot};
use crate::clock::Timestamp;

/// How often one request is sent at most.
const ATTEMPTS: u32 = 5;
/// The pause before a request is sent a third time, doubled each time after. The second time
/// follows without a pause: the sooner a commit arrives again, the fewer others can have come
/// between.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
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
            let endpoint = Arc::clone(&endpoint);
            Arc::new(Slot::new(endpoint, deadlines.connect, in_flight))
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
            slot.discard_open();
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

#[cfg(test)]
mod tests {
    use super::*;

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
