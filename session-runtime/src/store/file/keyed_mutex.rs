//! A mutex for each key, waited for without a thread.
//!
//! The lock of a file would make calls wait as well, but on threads, of which there are few: many
//! commits of one session would keep those of all others waiting.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

type KeyMutex = Arc<tokio::sync::Mutex<()>>;
type Mutexes<K> = Mutex<HashMap<K, KeyMutex>>;

/// The mutexes of the keys that are locked or waited for.
pub(super) struct KeyedMutex<K: Eq + Hash> {
    mutexes: Arc<Mutexes<K>>,
}

/// Keeps a key locked. It goes along into the blocking work, so that a future which is dropped
/// meanwhile does not let the next one in too early.
pub(super) struct KeyedGuard<K: Eq + Hash> {
    // Dropped in this order: the next one goes ahead before the mutex is given up.
    _guard: OwnedMutexGuard<()>,
    _user: User<K>,
}

impl<K: Eq + Hash> Default for KeyedMutex<K> {
    fn default() -> Self {
        Self {
            mutexes: Arc::default(),
        }
    }
}

impl<K: Eq + Hash + Clone> KeyedMutex<K> {
    /// Locks a key after all calls that asked for it earlier.
    pub(super) async fn lock(&self, key: K) -> KeyedGuard<K> {
        let mutex = entries(&self.mutexes)
            .entry(key.clone())
            .or_default()
            .clone();
        let user = User {
            key,
            mutexes: Arc::clone(&self.mutexes),
            mutex: Some(Arc::clone(&mutex)),
        };
        KeyedGuard {
            _guard: mutex.lock_owned().await,
            _user: user,
        }
    }
}

/// One use of a key's mutex. The last one removes it.
struct User<K: Eq + Hash> {
    key: K,
    mutexes: Arc<Mutexes<K>>,
    mutex: Option<KeyMutex>,
}

impl<K: Eq + Hash> Drop for User<K> {
    fn drop(&mut self) {
        let mut mutexes = entries(&self.mutexes);
        // Every other user holds the mutex too, and lets go of it only under this lock.
        drop(self.mutex.take());
        if let Some(mutex) = mutexes.get(&self.key)
            && Arc::strong_count(mutex) == 1
        {
            mutexes.remove(&self.key);
        }
    }
}

fn entries<K>(mutexes: &Mutexes<K>) -> MutexGuard<'_, HashMap<K, KeyMutex>> {
    // No code that could panic runs under the lock.
    mutexes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_key_waits_others_do_not_and_nothing_stays() {
        let mutex = KeyedMutex::default();
        let first = 1;
        let guard = mutex.lock(first).await;

        let mut waiting = Box::pin(mutex.lock(first));
        let poll = std::future::poll_fn(|context| {
            std::task::Poll::Ready(waiting.as_mut().poll(context).is_pending())
        });
        assert!(poll.await);
        drop(mutex.lock(2).await);

        drop(guard);
        drop(waiting.await);

        let guard = mutex.lock(first).await;
        let abandoned = Box::pin(mutex.lock(first));
        drop(abandoned);
        drop(guard);
        assert!(entries(&mutex.mutexes).is_empty());
    }
}
