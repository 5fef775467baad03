//! Which sessions a principal has.

use std::collections::{BTreeMap, BTreeSet};

use crate::clock::Timestamp;
use crate::store::{Commit, IndexChange, IndexEntry, PrincipalKey};
use crate::token::SessionId;

/// The entries of all principals, and the order in which they end.
#[derive(Default)]
pub(super) struct Index {
    // Trees, so that the memory of removed entries is given back without further ado.
    entries: BTreeMap<(PrincipalKey, SessionId), Listed>,
    order: BTreeSet<(Timestamp, PrincipalKey, SessionId)>,
}

struct Listed {
    entry: IndexEntry,
    /// When it goes by itself.
    until: Option<Timestamp>,
}

impl Listed {
    fn counts(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Index {
    /// How many entries there are, those included whose time is over.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The principal whose limit the commit would exceed, if there is one.
    pub(super) fn exceeded(&self, commit: &Commit, now: Timestamp) -> Option<PrincipalKey> {
        let exceeds = |change: &&IndexChange| match change {
            IndexChange::Add {
                principal,
                limit: Some(limit),
                ..
            } => {
                let others = self
                    .of(principal)
                    .filter(|listed| listed.entry.session != commit.session && listed.counts(now));
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
                    self.remove(principal, &commit.session);
                    let until = keep.map(|keep| now + keep);
                    let entry = IndexEntry::new(commit.session, commit.id, now);
                    let key = (*principal, commit.session);
                    self.entries.insert(key, Listed { entry, until });
                    if let Some(until) = until {
                        self.order.insert((until, *principal, commit.session));
                    }
                }
                IndexChange::Remove { principal } => self.remove(principal, &commit.session),
            }
        }
    }

    pub(super) fn list(&self, principal: &PrincipalKey, now: Timestamp) -> Vec<IndexEntry> {
        self.of(principal)
            .filter(|listed| listed.counts(now))
            .map(|listed| listed.entry)
            .collect()
    }

    pub(super) fn forget(&mut self, principal: &PrincipalKey, stale: &IndexEntry) {
        let listed = self.entries.get(&(*principal, stale.session));
        if listed.is_some_and(|listed| listed.entry.is_same(stale)) {
            self.remove(principal, &stale.session);
        }
    }

    /// Drops up to `most` entries whose time is over, whosever they are.
    pub(super) fn reclaim(&mut self, now: Timestamp, most: usize) {
        for _ in 0..most {
            match self.order.first().copied() {
                Some((until, principal, session)) if until <= now => {
                    self.remove(&principal, &session);
                }
                _ => return,
            }
        }
    }

    /// Drops the entries of sessions that do not exist.
    pub(super) fn keep_only(&mut self, exists: impl Fn(&SessionId) -> bool) {
        self.entries.retain(|(_, session), _| exists(session));
        let entries = &self.entries;
        self.order
            .retain(|(_, principal, session)| entries.contains_key(&(*principal, *session)));
    }

    fn of(&self, principal: &PrincipalKey) -> impl Iterator<Item = &Listed> {
        let all = (*principal, SessionId::FIRST)..=(*principal, SessionId::LAST);
        self.entries.range(all).map(|(_, listed)| listed)
    }

    fn remove(&mut self, principal: &PrincipalKey, session: &SessionId) {
        let removed = self.entries.remove(&(*principal, *session));
        if let Some(until) = removed.and_then(|listed| listed.until) {
            self.order.remove(&(until, *principal, *session));
        }
    }
}
