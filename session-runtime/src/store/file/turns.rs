//! Commits of one session wait for each other here, without a thread.
//!
//! The lock on a session's file would make them wait as well, but on threads, of which there are
//! few: many commits of one session would keep those of all others waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::token::SessionId;

type Queue = Arc<tokio::sync::Mutex<()>>;

/// The sessions that are being committed in this process.
#[derive(Default)]
pub(super) struct Turns {
    queues: Arc<Mutex<HashMap<SessionId, Queue>>>,
}

/// The right to commit one session. It goes along into the blocking work, so that a future which is
/// dropped meanwhile does not let the next one in too early.
pub(super) struct Turn {
    // Dropped in this order: the next in the queue goes ahead before the queue is given up.
    _guard: OwnedMutexGuard<()>,
    _place: Place,
}

impl Turns {
    /// Waits until all that asked earlier for this session are done.
    pub(super) async fn wait_for(&self, session: SessionId) -> Turn {
        let queue = lock(&self.queues).entry(session).or_default().clone();
        let place = Place {
            session,
            queues: Arc::clone(&self.queues),
            queue: Some(Arc::clone(&queue)),
        };
        Turn {
            _guard: queue.lock_owned().await,
            _place: place,
        }
    }
}

/// A place in a session's queue. The last one to leave removes the queue.
struct Place {
    session: SessionId,
    queues: Arc<Mutex<HashMap<SessionId, Queue>>>,
    queue: Option<Queue>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = lock(&self.queues);
        // Every other place holds the queue too, and lets go of it only under this lock.
        drop(self.queue.take());
        if let Some(queue) = queues.get(&self.session)
            && Arc::strong_count(queue) == 1
        {
            queues.remove(&self.session);
        }
    }
}

fn lock(queues: &Mutex<HashMap<SessionId, Queue>>) -> MutexGuard<'_, HashMap<SessionId, Queue>> {
    // No code that could panic runs under the lock.
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_session_waits_others_do_not_and_nothing_stays() {
        let turns = Turns::default();
        let first = SessionId::from_bytes([1; 16]);
        let turn = turns.wait_for(first).await;

        let mut waiting = Box::pin(turns.wait_for(first));
        let poll = std::future::poll_fn(|context| {
            std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending())
        });
        assert!(poll.await);
        drop(turns.wait_for(SessionId::from_bytes([2; 16])).await);

        drop(turn);
        drop(waiting.await);

        let turn = turns.wait_for(first).await;
        let abandoned = Box::pin(turns.wait_for(first));
        drop(abandoned);
        drop(turn);
        assert!(lock(&turns.queues).is_empty());
    }
}
