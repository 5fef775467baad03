//! Calls that need the same lock wait for each other here, without a thread.
//!
//! The lock itself would make them wait as well, but on threads, of which there are few: many
//! commits of one session would keep those of all others waiting.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Queue = Arc<tokio::sync::Mutex<()>>;
type Queues<K> = Mutex<HashMap<K, Queue>>;

/// What is being worked on in this process.
pub(super) struct Turns<K: Eq + Hash> {
    queues: Arc<Queues<K>>,
}

/// The right to work on one thing. It goes along into the blocking work, so that a future which is
/// dropped meanwhile does not let the next one in too early.
pub(super) struct Turn<K: Eq + Hash> {
    // Dropped in this order: the next in the queue goes ahead before the queue is given up.
    _guard: OwnedMutexGuard<()>,
    _place: Place<K>,
}

impl<K: Eq + Hash> Default for Turns<K> {
    fn default() -> Self {
        Self {
            queues: Arc::default(),
        }
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Waits until all that asked earlier for this are done.
    pub(super) async fn wait_for(&self, key: K) -> Turn<K> {
        let queue = lock(&self.queues).entry(key.clone()).or_default().clone();
        let place = Place {
            key,
            queues: Arc::clone(&self.queues),
            queue: Some(Arc::clone(&queue)),
        };
        Turn {
            _guard: queue.lock_owned().await,
            _place: place,
        }
    }
}

/// A place in a queue. The last one to leave removes the queue.
struct Place<K: Eq + Hash> {
    key: K,
    queues: Arc<Queues<K>>,
    queue: Option<Queue>,
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut queues = lock(&self.queues);
        // Every other place holds the queue too, and lets go of it only under this lock.
        drop(self.queue.take());
        if let Some(queue) = queues.get(&self.key)
            && Arc::strong_count(queue) == 1
        {
            queues.remove(&self.key);
        }
    }
}

fn lock<K>(queues: &Queues<K>) -> MutexGuard<'_, HashMap<K, Queue>> {
    // No code that could panic runs under the lock.
    queues.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_waits_others_do_not_and_nothing_stays() {
        let turns = Turns::default();
        let first = 1;
        let turn = turns.wait_for(first).await;

        let mut waiting = Box::pin(turns.wait_for(first));
        let poll = std::future::poll_fn(|context| {
            std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending())
        });
        assert!(poll.await);
        drop(turns.wait_for(2).await);

        drop(turn);
        drop(waiting.await);

        let turn = turns.wait_for(first).await;
        let abandoned = Box::pin(turns.wait_for(first));
        drop(abandoned);
        drop(turn);
        assert!(lock(&turns.queues).is_empty());
    }
}
