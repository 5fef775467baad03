//! Defects that let other calls come between two steps of one.

use session_runtime::Clock;
use session_runtime::store::{Action, Change, Commit, ListChange, MergeOperation, Outcome, Record};

use super::{Defect, DefectiveStore};

impl DefectiveStore {
    /// Applies a commit, with a pause in the midst of it if that is the defect.
    pub(super) async fn commit_with_pauses(&self, commit: &Commit) -> Outcome {
        match self.defect {
            Defect::AddNotAtomic => self.add_in_two_steps(commit).await,
            Defect::TakeNotAtomic => self.take_in_two_steps(commit).await,
            Defect::ConditionsNotAtomic => {
                self.check_first(commit, |commit| commit.conditions.clear())
                    .await
            }
            Defect::LimitNotAtomic => self.check_first(commit, lift_limits).await,
            Defect::BoundNotAtomic => self.check_first(commit, lift_bounds).await,
            Defect::CreationNotAtomic => self.create_in_two_steps(commit).await,
            Defect::CommitNotAtomic => self.show_half(commit).await,
            _ => self.apply(commit),
        }
    }

    /// Tries the commit, and applies it later without the part that was tried.
    async fn check_first(&self, commit: &Commit, without: impl FnOnce(&mut Commit)) -> Outcome {
        let tried = {
            let state = self.state();
            commit.apply(&mut state.touched(commit), self.clock.now())
        };
        if !matches!(tried, Outcome::Applied(_)) {
            return tried;
        }
        pause().await;
        let mut commit = commit.clone();
        without(&mut commit);
        self.apply(&commit)
    }

    /// Looks whether there is a session of this id, and creates it whether or not.
    async fn create_in_two_steps(&self, commit: &Commit) -> Outcome {
        let creates = matches!(commit.action, Action::Create { .. });
        if !creates || self.record(commit).is_some() {
            return self.apply(commit);
        }
        pause().await;
        self.state().records.remove(&commit.session);
        self.apply(commit)
    }

    /// Shows loads the first change only, for a while.
    async fn show_half(&self, commit: &Commit) -> Outcome {
        let half = {
            let mut half = commit.clone();
            half.changes.truncate(1);
            let state = self.state();
            let mut touched = state.touched(commit);
            half.apply(&mut touched, self.clock.now());
            touched.record
        };
        let outcome = self.apply(commit);
        if let (Some(half), Outcome::Applied(_)) = (half, &outcome) {
            self.state().half_visible.insert(commit.session, half);
            pause().await;
            self.state().half_visible.remove(&commit.session);
        }
        outcome
    }

    /// Reads the sum and writes it.
    async fn add_in_two_steps(&self, commit: &Commit) -> Outcome {
        let now = self.clock.now();
        let before = self.record(commit);
        pause().await;
        let mut commit = commit.clone();
        for change in &mut commit.changes {
            if let Change::Merge {
                name,
                operation: operation @ MergeOperation::Add,
                operand,
                initial,
                ..
            } = change
            {
                let stored = before.as_ref().and_then(|record| {
                    let field = record.fields.get(name)?;
                    let text = std::str::from_utf8(&field.value).ok()?;
                    text.parse::<i64>().ok().filter(|_| !record.is_expired(now))
                });
                let sum = stored.unwrap_or(*initial).saturating_add(*operand);
                // The larger of the sum and the smallest integer is the sum, whatever is stored
                // where it grew by less.
                *operation = MergeOperation::Max;
                *operand = sum;
            }
        }
        self.apply(&commit)
    }

    /// Reads the value and removes it.
    async fn take_in_two_steps(&self, commit: &Commit) -> Outcome {
        let takes = |change: &Change| matches!(change, Change::Take { .. });
        if !commit.changes.iter().any(takes) {
            return self.apply(commit);
        }
        let now = self.clock.now();
        let before = self.record(commit);
        pause().await;
        match self.apply(commit) {
            Outcome::Applied(mut applied) => {
                for (change, value) in commit.changes.iter().zip(&mut applied.values) {
                    if let (Change::Take { name }, None, Some(record)) = (change, &value, &before) {
                        let field = record.fields.get(name);
                        let living = field
                            .filter(|field| field.deadline.is_none_or(|deadline| now < deadline));
                        *value = living.map(|field| field.value.clone());
                    }
                }
                Outcome::Applied(applied)
            }
            refused => refused,
        }
    }

    fn record(&self, commit: &Commit) -> Option<Record> {
        self.state().records.get(&commit.session).cloned()
    }
}

fn lift_limits(commit: &mut Commit) {
    for change in &mut commit.lists {
        if let ListChange::Add { limit, .. } = change {
            *limit = None;
        }
    }
}

fn lift_bounds(commit: &mut Commit) {
    for change in &mut commit.changes {
        if let Change::Bound { max, .. } = change {
            *max = usize::MAX;
        }
    }
}

/// Lets the others go first.
async fn pause() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}
