//! What happens when a principal has as many sessions as it may have.

use super::RequestSession;
use super::save::into_error;
use crate::config::{Limit, WhenFull};
use crate::error::SessionError;
use crate::principal::Owner;
use crate::store::{Change, Commit, Outcome, PrincipalKey};

impl RequestSession {
    /// Makes possible what the limit refused, or fails where that is the policy. The commit is to
    /// be tried again.
    ///
    /// The index lists more than there is: entries whose session has ended make room first.
    pub(super) async fn make_room(
        &self,
        commit: &Commit,
        principal: PrincipalKey,
    ) -> Result<(), SessionError> {
        let reached = || into_error(commit, Outcome::LimitReached { principal });
        let shared = self.shared();
        let exceeded = shared.config.limits.iter().find_map(|limit| {
            let is_value = |change: &&Change| sets_principal(change, limit, &principal);
            match commit.changes.iter().find(is_value)? {
                Change::Set { value, .. } => Some((limit, value.clone())),
                _ => None,
            }
        });
        let (limit, value) = exceeded.ok_or_else(reached)?;

        let owner = Owner::new(shared, limit.spec, value);
        let others = owner.others(&commit.session).await?;
        if others.count < limit.max as usize {
            return Ok(());
        }
        match limit.when_full {
            WhenFull::EvictOldest => others.evict().await,
            WhenFull::Reject => Err(reached()),
        }
    }
}

fn sets_principal(change: &Change, limit: &Limit, principal: &PrincipalKey) -> bool {
    match change {
        Change::Set { name, value, .. } => {
            name == limit.spec.name && PrincipalKey::new(name, value) == *principal
        }
        _ => false,
    }
}
