//! A visit counts from its beginning: where much of a session's time has passed, the touch is made
//! at the load, before the handler goes on.

use super::RequestSession;
use super::commit::into_error;
use super::guard::SessionWants;
use super::plan::Plan;
use super::state::{State, Visitor};
use crate::config::Config;
use crate::error::SessionError;
use crate::events;
use crate::store::{Action, Commit, Outcome};
use crate::token::{CommitId, SessionId};

impl RequestSession {
    /// Touches the session, and renews fields that reading renews, where over half of their time
    /// has passed. Once a request; a failure is reported and changes nothing.
    pub(super) async fn keep_up_early(&self) {
        let Some(plan) = self
            .state()
            .plan_early_touch(self.shared().upkeep.is_paused())
        else {
            return;
        };
        let session = plan.commit.session;
        let deadline = self.shared().config.upkeep_deadline();
        match self.commit_within(deadline, &plan.commit).await {
            Ok(Outcome::Applied(applied)) => self.state().settle(plan, &applied, self.shared()),
            // The session ended between the load and this.
            Ok(Outcome::Gone) => {
                events::gone(session);
                let mut state = self.state();
                state.begin_anew();
                state.ended = Some(session);
                state.ended_elsewhere = true;
            }
            Ok(refused) => self.report_upkeep(session, &into_error(&plan.commit, refused)),
            Err(error) => self.report_upkeep(session, &error),
        }
    }

    /// Reports upkeep that failed. Where the store failed it, the layer does without for a touch
    /// interval.
    pub(super) fn report_upkeep(&self, session: SessionId, error: &SessionError) {
        match error {
            // Reported already: the session ended, which no upkeep can help.
            SessionError::Gone => {}
            SessionError::Store(_) => {
                events::upkeep_failed(session, error);
                let idle = self.state().live().and_then(|live| live.idle);
                self.shared().upkeep.pause(Config::touch_interval(idle));
            }
            _ => events::upkeep_failed(session, error),
        }
    }
}

impl State {
    fn plan_early_touch(&mut self, is_paused: bool) -> Option<Plan> {
        let live = match &self.visitor {
            Visitor::Known(live) if !self.was_kept_up && !is_paused => live,
            _ => return None,
        };
        let renewals: Vec<_> = self.due_renewals(live, true).collect();
        if !live.needs_early_touch() && renewals.is_empty() {
            return None;
        }
        let action = Action::Update {
            verifier: live.verifier,
            rotation: None,
        };
        let id = CommitId::generate().ok()?;
        let mut commit = Commit::new(live.token.id(), id, action);
        commit.changes = renewals;
        self.was_kept_up = true;
        Some(Plan {
            commit,
            token: None,
            wants: SessionWants::default(),
            rotates_by_age: false,
            is_upkeep: true,
        })
    }
}
