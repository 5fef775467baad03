//! Whether some order of the calls explains all answers (Wing and Gong 1993, with Lowe's memory of
//! what was tried).
//!
//! The order must respect real time: a call that was answered before another one began comes
//! first. A call whose answer was not awaited may come at any time after it began, or never.
//!
//! A call judges by the time at its place in the order or, on a store that takes its time before a
//! call takes effect, by any time that the clock has shown since the call began.

use std::collections::HashSet;

use super::model::Model;
use super::program::{NAMES, PREFIX};
use super::run::{Answer, Call, History};
use crate::clock::Timestamp;

/// The longest explanation that was found, where none explains everything.
#[derive(Debug)]
pub(super) struct Unexplained {
    /// Indices of calls, in the order that explains them.
    pub(super) explained: Vec<usize>,
}

/// Looks for an order of the calls in which the model gives the same answers.
pub(super) fn explain(history: &History) -> Result<(), Unexplained> {
    assert!(history.calls.len() <= 128, "a set of calls fits 128 bits");
    let answered = |call: &Call| call.answered.is_some();
    let mut search = Search {
        history,
        must: set(history.calls.iter().map(answered)),
        tried: HashSet::new(),
        order: Vec::new(),
        longest: Vec::new(),
    };
    let model = Model::new(history.is_exact);
    if search.extend(0, model) {
        return Ok(());
    }
    let explained = search.longest;
    Err(Unexplained { explained })
}

struct Search<'a> {
    history: &'a History,
    /// The calls that must be in the order.
    must: u128,
    /// The states that were reached and lead nowhere.
    tried: HashSet<(u128, Model)>,
    order: Vec<usize>,
    longest: Vec<usize>,
}

impl Search<'_> {
    /// Whether the calls that are not `done` can follow each other from this state of the store.
    fn extend(&mut self, done: u128, model: Model) -> bool {
        if done & self.must == self.must {
            return true;
        }
        if self.order.len() > self.longest.len() {
            self.longest.clone_from(&self.order);
        }
        if !self.tried.insert((done, model.clone())) {
            return false;
        }
        let waiting = |index: &usize| done & (1 << index) == 0;
        let history = self.history;
        let calls = || {
            history
                .calls
                .iter()
                .enumerate()
                .filter(move |(index, _)| waiting(index))
        };
        // Whatever begins after the first of these answers cannot come before it.
        let horizon = calls().filter_map(|(_, call)| call.answered).min();
        for (index, call) in calls() {
            if horizon.is_some_and(|horizon| horizon < call.began) {
                continue;
            }
            for next in after(history, &model, call, &self.times(done, call)) {
                self.order.push(index);
                if self.extend(done | (1 << index), next) {
                    return true;
                }
                self.order.pop();
            }
        }
        false
    }

    /// By which times a call may judge that comes next; the last one is the present.
    fn times(&self, done: u128, call: &Call) -> Vec<Timestamp> {
        let mut times = vec![self.history.start];
        // Only one task lets time pass, so this is the order in which it did.
        for (index, passed) in self.history.calls.iter().enumerate() {
            if let Answer::Passed(time) = passed.answer
                && done & (1 << index) != 0
            {
                let present = times[times.len() - 1] + time;
                let was_over = passed
                    .answered
                    .is_some_and(|answered| answered < call.began);
                if was_over || !self.history.takes_time_early {
                    times.clear();
                }
                times.push(present);
            }
        }
        times
    }
}

/// The states of the store in which a call may leave it that judges by one of these times; none if
/// its answer is wrong.
fn after(history: &History, model: &Model, call: &Call, times: &[Timestamp]) -> Vec<Model> {
    let present = times[times.len() - 1];
    let same_if = |allowed: bool| {
        if allowed {
            vec![model.clone()]
        } else {
            Vec::new()
        }
    };
    match &call.answer {
        Answer::Committed(commit, outcome) => {
            let (commit, outcome) = (&history.commits[*commit], outcome.as_ref());
            let after = |now: &Timestamp| model.after_commit(commit, outcome, *now);
            times.iter().flat_map(after).collect()
        }
        Answer::Loaded(session, loaded) => {
            let loaded = loaded.as_ref();
            let allowed =
                |now: &Timestamp| model.allows_load(session, &NAMES, PREFIX, loaded, *now, present);
            if !times.iter().any(allowed) {
                return Vec::new();
            }
            let mut seen = model.clone();
            if loaded.is_none() {
                // A session that was reported as ended stays ended.
                seen.forget(session);
            }
            vec![seen]
        }
        Answer::Listed(principal, sessions) => {
            let allowed = |now: &Timestamp| model.allows_list(principal, sessions, *now);
            same_if(times.iter().any(allowed))
        }
        Answer::Passed(_) => vec![model.clone()],
    }
}

fn set(members: impl Iterator<Item = bool>) -> u128 {
    members
        .enumerate()
        .map(|(index, is_member)| u128::from(is_member) << index)
        .sum()
}
