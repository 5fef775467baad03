//! A server's clock as far as one connection knows it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use crate::clock::Timestamp;

/// How many estimates in a row are given before the server is asked again.
///
/// The answer to `TIME` has another form than that of a load. So it is also what shows that a
/// connection has had an answer too many, by which all later ones would be those of other requests.
const ESTIMATES: u32 = 8;

/// Estimates a server's time from what it last said on one connection. It is dropped with the
/// connection: another may lead to another server.
///
/// The estimate is late by the time that the answer was on its way, never early, unless one of the
/// clocks is set.
#[derive(Debug)]
pub(super) struct ServerClock {
    opened: Instant,
    /// The server's time at `opened`, in milliseconds; 0 while it is not known.
    at_opened: AtomicU64,
    /// How many estimates were given since then.
    given: AtomicU32,
}

impl ServerClock {
    /// A clock that knows nothing yet.
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            at_opened: AtomicU64::new(0),
            given: AtomicU32::new(0),
        }
    }

    /// Takes the time from an answer that has just arrived.
    pub(super) fn set(&self, now: Timestamp) {
        // Rounded up, so that the estimate is not early.
        let elapsed = self.opened.elapsed().as_micros().div_ceil(1000);
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        let at_opened = now.as_millis().saturating_sub(elapsed);
        self.at_opened.store(at_opened, Ordering::Relaxed);
        self.given.store(0, Ordering::Relaxed);
    }

    /// The server's time; `None` when the server is to be asked.
    pub(super) fn estimate(&self) -> Option<Timestamp> {
        let at_opened = self.at_opened.load(Ordering::Relaxed);
        let is_due = self.given.fetch_add(1, Ordering::Relaxed) >= ESTIMATES;
        (at_opened != 0 && !is_due)
            .then(|| Timestamp::from_millis(at_opened) + self.opened.elapsed())
    }
}
