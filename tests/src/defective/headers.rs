//! Defects of what a session's header says.

use std::time::Duration;

use session_runtime::store::{
    Action, Commit, Condition, Credential, ListChange, Outcome, Principal, Record,
};
use session_runtime::{Timestamp, Verifier};

use super::{Defect, DefectiveStore};

impl DefectiveStore {
    /// Spoils what a commit says about this record's header.
    pub(super) fn spoil_header_of(&self, commit: &mut Commit, record: Option<&Record>) {
        match (self.defect, &mut commit.action) {
            (Defect::PrincipalConditionIgnored, _) => {
                let is_other =
                    |condition: &Condition| !matches!(condition, Condition::Principal { .. });
                commit.conditions.retain(is_other);
            }
            (Defect::PrincipalRemovedByField, _) => {
                for change in &mut commit.lists {
                    if let ListChange::Remove { field, principal } = change
                        && let Some(named) = record.and_then(|one| one.header.principal(field))
                    {
                        *principal = named.key;
                    }
                }
            }
            (Defect::LinkStaysOpen, _) => commit.close_link = false,
            (Defect::LinkIgnored, Action::Create { link, .. }) => *link = None,
            (
                Defect::LinkWithoutEnd,
                Action::Create {
                    link: Some(link), ..
                },
            ) => link.keep = Duration::MAX,
            (
                Defect::PreviousTokenRotates | Defect::FromPreviousIgnored,
                Action::Update {
                    rotation: Some(rotation),
                    ..
                },
            ) => rotation.from_previous = self.defect == Defect::PreviousTokenRotates,
            (
                Defect::LinkIsPrevious,
                Action::Update {
                    verifier,
                    rotation: Some(rotation),
                },
            ) if is_link(record, verifier) => *verifier = rotation.verifier,
            _ => {}
        }
    }

    /// Spoils what a record's header says after a commit.
    pub(super) fn spoil_header(
        &self,
        record: &mut Record,
        before: Option<&Record>,
        commit: &Commit,
        outcome: &Outcome,
        now: Timestamp,
    ) {
        let was_applied = matches!(outcome, Outcome::Applied(_));
        let header = &mut record.header;
        match (self.defect, &commit.action) {
            (Defect::GraceWithoutEnd, _) => {
                if let Some(previous) = &mut header.previous {
                    previous.until = now + Duration::from_secs(3_600);
                }
            }
            (Defect::AbsoluteEndMoves, _) if was_applied && commit.timeouts.is_none() => {
                let length = before.and_then(|before| {
                    let end = before.header.end?;
                    Some(end.saturating_since(before.header.seen))
                });
                header.end = length.map(|length| now + length);
            }
            (Defect::TouchIsTheLastCommit, _) if was_applied => {
                header.last_commit = Some(commit.id);
            }
            (Defect::LinkClosedByRefusal, _) if commit.close_link => header.link = None,
            (Defect::LinkGetsTheGrace, Action::Update { verifier, .. })
                if was_applied && is_link(before, verifier) =>
            {
                if let Some(previous) = &mut header.previous {
                    previous.verifier = *verifier;
                }
            }
            (
                Defect::LinkProlonged,
                Action::Create {
                    link: Some(link), ..
                },
            ) if was_applied => {
                header.link = Some(Credential::new(link.verifier, now + link.keep));
            }
            (Defect::PrincipalsAccumulate, _) if was_applied => {
                let is_removed = |kept: &Principal| {
                    let removes = |change: &ListChange| matches!(change, ListChange::Remove { principal, .. } if *principal == kept.key);
                    commit.lists.iter().any(removes)
                };
                for kept in before.iter().flat_map(|before| &before.header.principals) {
                    if !is_removed(kept) && !header.principals.contains(kept) {
                        header.principals.push(kept.clone());
                    }
                }
            }
            (
                Defect::PrincipalsLostByRotation,
                Action::Update {
                    rotation: Some(_), ..
                },
            ) if was_applied => header.principals.clear(),
            (Defect::PrincipalsChangedByRefusal, _) if !was_applied => {
                add_principals(record, commit);
            }
            (Defect::PrincipalsChangedAgain, _) if was_applied => add_principals(record, commit),
            _ => {}
        }
    }
}

/// Whether this verifier is that of the session's link.
fn is_link(record: Option<&Record>, verifier: &Verifier) -> bool {
    let link = record.and_then(|record| record.header.link);
    link.is_some_and(|link| link.verifier == *verifier)
}

fn add_principals(record: &mut Record, commit: &Commit) {
    for change in &commit.lists {
        if let ListChange::Add {
            field, principal, ..
        } = change
        {
            let principals = &mut record.header.principals;
            principals.retain(|listed| listed.field != *field);
            principals.push(Principal::new(field.clone(), *principal));
        }
    }
}
