//! Smaller programs that may fail in the same way.

use super::program::{Program, Step};
use crate::store::{Action, Commit};

/// Every program that is this one without one part, the largest parts first.
pub(super) fn smaller(program: &Program) -> Vec<Program> {
    let mut candidates = Vec::new();
    let mut propose = |edit: &dyn Fn(&mut Program)| {
        let mut candidate = program.clone();
        edit(&mut candidate);
        candidates.push(candidate);
    };
    for task in 0..program.tasks.len() {
        propose(&|program| {
            program.tasks.remove(task);
        });
    }
    for task in 0..program.tasks.len() {
        for step in 0..program.tasks[task].len() {
            propose(&|program| {
                program.tasks[task].remove(step);
            });
        }
    }
    for step in 0..program.prologue.len() {
        propose(&|program| {
            program.prologue.remove(step);
        });
    }
    for (index, commit) in program.commits.iter().enumerate() {
        if is_sent(program, index) {
            for simpler in simpler(commit) {
                propose(&|program| program.commits[index] = simpler.clone());
            }
        }
    }
    candidates
}

fn is_sent(program: &Program, commit: usize) -> bool {
    let steps = program.tasks.iter().flatten().chain(&program.prologue);
    steps
        .copied()
        .any(|step| matches!(step, Step::Send(sent) | Step::Abandon(sent) if sent == commit))
}

/// The commit without one of its parts.
fn simpler(commit: &Commit) -> Vec<Commit> {
    let mut candidates = Vec::new();
    let mut propose = |edit: &dyn Fn(&mut Commit)| {
        let mut candidate = commit.clone();
        edit(&mut candidate);
        candidates.push(candidate);
    };
    for change in 0..commit.changes.len() {
        propose(&|commit| {
            commit.changes.remove(change);
        });
    }
    for condition in 0..commit.conditions.len() {
        propose(&|commit| {
            commit.conditions.remove(condition);
        });
    }
    for change in 0..commit.lists.len() {
        propose(&|commit| {
            commit.lists.remove(change);
        });
    }
    if commit.timeouts.is_some() && !matches!(commit.action, Action::Create { .. }) {
        propose(&|commit| commit.timeouts = None);
    }
    if commit.persistent.is_some() {
        propose(&|commit| commit.persistent = None);
    }
    if commit.label.is_some() {
        propose(&|commit| commit.label = None);
    }
    if commit.end_grace {
        propose(&|commit| commit.end_grace = false);
    }
    if commit.close_link {
        propose(&|commit| commit.close_link = false);
    }
    if matches!(commit.action, Action::Create { link: Some(_), .. }) {
        propose(&|commit| {
            if let Action::Create { link, .. } = &mut commit.action {
                *link = None;
            }
        });
    }
    if matches!(
        commit.action,
        Action::Update {
            rotation: Some(_),
            ..
        }
    ) {
        propose(&|commit| {
            if let Action::Update { rotation, .. } = &mut commit.action {
                *rotation = None;
            }
        });
    }
    candidates
}
