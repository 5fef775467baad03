//! A place where tasks wait until a test lets them go on, so that interleavings are chosen and not
//! hoped for.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};

/// Tasks stop in [`pass`](Self::pass) until the test opens the gate. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate {
    arrived: Arc<watch::Sender<usize>>,
    permits: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self {
            arrived: Arc::new(watch::Sender::new(0)),
            permits: Arc::new(Semaphore::new(0)),
        }
    }

    /// Says that this task has arrived, and waits to be let through.
    pub async fn pass(&self) {
        self.arrived.send_modify(|arrived| *arrived += 1);
        let permit = self.permits.acquire().await;
        permit.expect("the gate is never torn down").forget();
    }

    /// Waits until so many tasks in all have arrived.
    pub async fn arrivals(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        let seen = arrived.wait_for(|arrived| *arrived >= count).await;
        seen.expect("the gate keeps its counter");
    }

    /// Lets one task through, now or when it comes.
    pub fn let_one_pass(&self) {
        self.permits.add_permits(1);
    }

    /// Lets all tasks through from now on.
    pub fn open(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}
