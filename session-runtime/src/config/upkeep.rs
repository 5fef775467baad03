//! Failures of upkeep that the requests of one layer share.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::token::SessionId;

/// How many rotations of unknown outcome are remembered.
const REMEMBERED_ROTATIONS: usize = 1024;

/// The state of upkeep: touches, renewals by reading and `rotate_every`.
#[derive(Default)]
pub(crate) struct Upkeep {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// No request tries any upkeep before, because the store refused it or did not answer.
    paused_until: Option<Instant>,
    /// Sessions whose last automatic rotation may or may not have been applied.
    unknown_rotations: VecDeque<SessionId>,
}

impl Upkeep {
    /// Whether requests do without upkeep for now.
    pub(crate) fn is_paused(&self) -> bool {
        let state = self.state();
        state
            .paused_until
            .is_some_and(|until| Instant::now() < until)
    }

    /// Lets requests do without upkeep for a while.
    pub(crate) fn pause(&self, duration: Duration) {
        self.state().paused_until = Instant::now().checked_add(duration);
    }

    /// Remembers that a rotation of this session may not have reached its visitor.
    pub(crate) fn remember_unknown_rotation(&self, session: SessionId) {
        let mut state = self.state();
        state.unknown_rotations.retain(|known| *known != session);
        if state.unknown_rotations.len() == REMEMBERED_ROTATIONS {
            state.unknown_rotations.pop_front();
        }
        state.unknown_rotations.push_back(session);
    }

    /// Whether the last automatic rotation of this session may not have reached its visitor.
    pub(crate) fn is_rotation_unknown(&self, session: &SessionId) -> bool {
        self.state().unknown_rotations.contains(session)
    }

    /// Forgets about a rotation: the session has a token that its visitor knows.
    pub(crate) fn settle_rotation(&self, session: &SessionId) {
        self.state()
            .unknown_rotations
            .retain(|known| known != session);
    }

    /// No code that could panic runs under the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
