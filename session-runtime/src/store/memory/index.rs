//! Which sessions a principal has.

use std::collections::{BTreeSet, HashMap};

use crate::clock::Timestamp;
use crate::store::{Commit, IndexChange, IndexEntry, PrincipalKey};
use crate::token::SessionId;

/// How many entries whose time is over a change drops at most, whosever they are.
const RECLAIMED_PER_CHANGE: usize = 4;

/// The entries of all principals, and the order in which they end.
#[derive(Default)]
pub(super) struct Index {
    entries: HashMap<PrincipalKey, HashMap<SessionId, Listed>>,
    order: BTreeSet<(Timestamp, PrincipalKey, SessionId)>,
}

struct Listed {
    entry: IndexEntry,
    until: Option<Timestamp>,
}

impl Index {
    /// The principal whose limit the commit would exceed, if there is one.
    pub(super) fn exceeded(&mut self, commit: &Commit, now: Timestamp) -> Option<PrincipalKey> {
        self.reclaim(now);
        let exceeds = |change: &&IndexChange| match change {
            IndexChange::Add {
                principal,
                limit: Some(limit),
                ..
            } => {
                let listed = self.entries.get(principal).into_iter().flatten();
                let others = listed.filter(|(session, listed)| {
                    **session != commit.session && listed.until.is_none_or(|until| now < until)
                });
                others.count() >= *limit as usize
            }
            _ => false,
        };
        let exceeding = commit.index.iter().find(exceeds)?;
        Some(*exceeding.principal())
    }

    /// Does what a commit that was applied says.
    pub(super) fn apply(&mut self, commit: &Commit, now: Timestamp) {
        for change in &commit.index {
            match change {
                IndexChange::Add {
                    principal, keep, ..
                } => {
                    let until = keep.map(|keep| now + keep);
                    let entry = IndexEntry::new(commit.session, commit.id, now);
                    self.remove(principal, &commit.session);
                    let listed = self.entries.entry(*principal).or_default();
                    listed.insert(commit.session, Listed { entry, until });
                    if let Some(until) = until {
                        self.order.insert((until, *principal, commit.session));
                    }
                }
                IndexChange::Remove { principal } => self.remove(principal, &commit.session),
            }
        }
    }

    pub(super) fn list(&self, principal: &PrincipalKey, now: Timestamp) -> Vec<IndexEntry> {
        let listed = self.entries.get(principal).into_iter().flatten();
        listed
            .filter(|(_, listed)| listed.until.is_none_or(|until| now < until))
            .map(|(_, listed)| listed.entry)
            .collect()
    }

    pub(super) fn forget(&mut self, principal: &PrincipalKey, stale: &IndexEntry) {
        let listed = self.entries.get(principal);
        let listed = listed.and_then(|listed| listed.get(&stale.session));
        if listed.is_some_and(|listed| listed.entry.mark == stale.mark) {
            self.remove(principal, &stale.session);
        }
    }

    /// Drops up to a few entries whose time is over.
    fn reclaim(&mut self, now: Timestamp) {
        for _ in 0..RECLAIMED_PER_CHANGE {
            match self.order.first().copied() {
                Some((until, principal, session)) if until <= now => {
                    self.remove(&principal, &session);
                }
                _ => return,
            }
        }
    }

    /// Drops all entries whose time is over.
    pub(super) fn reclaim_all(&mut self, now: Timestamp) {
        while self.order.first().is_some_and(|(until, ..)| *until <= now) {
            self.reclaim(now);
        }
    }

    fn remove(&mut self, principal: &PrincipalKey, session: &SessionId) {
        let Some(listed) = self.entries.get_mut(principal) else {
            return;
        };
        if let Some(Listed {
            until: Some(until), ..
        }) = listed.remove(session)
        {
            self.order.remove(&(until, *principal, *session));
        }
        if listed.is_empty() {
            self.entries.remove(principal);
        }
        if self.entries.capacity() > 64 && self.entries.capacity() > self.entries.len() * 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
    }
}
