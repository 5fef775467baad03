//! Which sessions each principal has.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::store::{ListEntry, Listing, Principal, PrincipalKey, PrincipalList};
use crate::token::SessionId;

/// The lists of all principals that have entries.
#[derive(Default)]
pub(super) struct Lists {
    // A tree, so that the memory of removed lists is given back without further ado.
    lists: BTreeMap<PrincipalKey, PrincipalList>,
}

impl Lists {
    /// How many entries there are, those included whose time is over.
    pub(super) fn len(&self) -> usize {
        self.lists.values().map(|list| list.entries.len()).sum()
    }

    /// Takes out the lists that a commit touches; [`put`](Self::put) brings them back.
    pub(super) fn take(&mut self, principals: Vec<PrincipalKey>) -> Vec<PrincipalList> {
        let take = |key| {
            let list = self.lists.remove(&key);
            list.unwrap_or_else(|| PrincipalList::new(key))
        };
        principals.into_iter().map(take).collect()
    }

    pub(super) fn put(&mut self, lists: Vec<PrincipalList>) {
        let kept = lists.into_iter().filter(|list| !list.is_empty());
        self.lists.extend(kept.map(|list| (list.principal, list)));
    }

    pub(super) fn listing(&self, principal: &PrincipalKey, now: Timestamp) -> Listing {
        match self.lists.get(principal) {
            Some(list) => list.listing(now),
            None => Listing::new(Vec::new(), now),
        }
    }

    pub(super) fn remove_stale(&mut self, principal: &PrincipalKey, stale: &ListEntry) {
        self.change(principal, |list| {
            list.remove_stale(stale);
        });
    }

    /// Takes a session that is gone off the lists that its header named.
    pub(super) fn remove(&mut self, session: &SessionId, principals: &[Principal]) {
        for principal in principals {
            self.change(&principal.key, |list| list.remove(session));
        }
    }

    /// Drops the entries whose time is over and those of sessions that do not exist.
    pub(super) fn sweep(&mut self, now: Timestamp, exists: impl Fn(&SessionId) -> bool) {
        self.lists.retain(|_, list| {
            list.reclaim(now);
            list.entries.retain(|entry| exists(&entry.session));
            !list.is_empty()
        });
    }

    fn change(&mut self, principal: &PrincipalKey, change: impl FnOnce(&mut PrincipalList)) {
        if let Some(list) = self.lists.get_mut(principal) {
            change(list);
            if list.is_empty() {
                self.lists.remove(principal);
            }
        }
    }
}
