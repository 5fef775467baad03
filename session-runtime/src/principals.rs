//! The live sessions of one principal: finding them and ending them.
//!
//! 1. A list is a superset of the truth: an entry counts only if its session exists and still
//!    holds the principal.
//! 2. An entry that proves stale is removed, so lists repair themselves where they are read.
//! 3. Revoking checks the owner in the same step in which the session is removed.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::config::Shared;
use crate::error::SessionError;
use crate::events::{self, Reason};
use crate::schema::FieldSpec;
use crate::store::{
    Action, Commit, Condition, Header, ListChange, ListEntry, Outcome, Principal, PrincipalKey,
    Selected, Selection, StoreErrorKind,
};
use crate::token::{CommitId, SessionId, Verifier};

/// How long an entry may wait for its session: where lists and sessions cannot be changed in one
/// step, the list comes first. After that it is a leftover of a crash.
const ARRIVAL: Duration = Duration::from_secs(10);

/// How often ending all sessions looks for new ones. More than once only while a sign-in is under
/// way.
const REMOVAL_ROUNDS: usize = 16;

/// One principal, as a field and its encoded value.
pub(crate) struct Owner<'a> {
    shared: &'a Shared,
    spec: &'static FieldSpec,
    value: Bytes,
}

/// A live session of the principal.
pub(crate) struct Found {
    pub(crate) id: SessionId,
    pub(crate) header: Header,
    /// The entry of the header that says so.
    listed: Principal,
}

/// The session of the request that asks, as its cookie shows it.
pub(crate) struct Own {
    pub(crate) id: SessionId,
    pub(crate) verifier: Verifier,
}

impl Found {
    pub(crate) fn is_among(&self, own: &[Own]) -> bool {
        let Header {
            verifier, previous, ..
        } = &self.header;
        own.iter().any(|own| {
            let opens = own.verifier == *verifier
                || previous.is_some_and(|previous| previous.verifier == own.verifier);
            own.id == self.id && opens
        })
    }
}

/// An entry of a list, compared with its session.
enum Listed {
    Live(Box<Found>),
    /// The session is probably being written.
    Arriving,
    Stale,
}

impl ListEntry {
    fn is_arriving(&self, now: Timestamp) -> bool {
        self.arriving && now.saturating_since(self.added) < ARRIVAL
    }
}

/// The sessions that a principal has beside one.
pub(crate) struct Others<'a> {
    owner: &'a Owner<'a>,
    pub(crate) count: usize,
    oldest: Option<Oldest>,
}

enum Oldest {
    Live(Box<Found>),
    Arriving(PrincipalKey, ListEntry),
}

impl Others<'_> {
    /// Ends the oldest one.
    pub(crate) async fn evict(self) -> Result<(), SessionError> {
        match self.oldest {
            Some(Oldest::Live(found)) => {
                let evicted = self.owner.end(&found, Reason::Evicted);
                evicted.await.map(drop)
            }
            // The sign-in that is under way finds its entry gone, and gives up.
            Some(Oldest::Arriving(key, entry)) => self.owner.remove_stale(&key, &entry).await,
            None => Ok(()),
        }
    }
}

impl<'a> Owner<'a> {
    pub(crate) fn new(shared: &'a Shared, spec: &'static FieldSpec, value: Bytes) -> Self {
        Self {
            shared,
            spec,
            value,
        }
    }

    /// The principal's live sessions.
    pub(crate) async fn find(&self) -> Result<Vec<Found>, SessionError> {
        let listed = self.look_at_all().await?.into_iter();
        let live = listed.filter_map(|(_, _, listed)| match listed {
            Listed::Live(found) => Some(*found),
            _ => None,
        });
        Ok(live.collect())
    }

    /// The number of sessions beside `session`, including those that are being written, and the
    /// oldest one, to end if there are too many.
    pub(crate) async fn others(&self, session: &SessionId) -> Result<Others<'_>, SessionError> {
        let mut others = self.look_at_all().await?;
        others.retain(|(_, entry, listed)| {
            entry.session != *session && !matches!(listed, Listed::Stale)
        });
        let count = others.len();
        let oldest = others
            .into_iter()
            .min_by_key(|(_, entry, listed)| match listed {
                Listed::Live(found) => (false, found.header.created),
                _ => (true, entry.added),
            });
        let oldest = oldest.map(|(key, entry, listed)| match listed {
            Listed::Live(found) => Oldest::Live(found),
            _ => Oldest::Arriving(key, entry),
        });
        Ok(Others {
            owner: self,
            count,
            oldest,
        })
    }

    /// Ends all sessions that are not spared, and calls `tell` for each; returns how many.
    pub(crate) async fn remove_all(
        &self,
        spared: &[Own],
        tell: impl Fn(&SessionId),
    ) -> Result<usize, SessionError> {
        let mut removed = 0;
        for _ in 0..REMOVAL_ROUNDS {
            let mut found_any = false;
            for (key, entry, listed) in self.look_at_all().await? {
                match listed {
                    Listed::Live(found) if !found.is_among(spared) => {
                        found_any = true;
                        if self.end(&found, Reason::Revoked).await? {
                            tell(&found.id);
                            removed += 1;
                        }
                    }
                    // The sign-in that is under way finds its entry gone, and gives up.
                    Listed::Arriving if spared.iter().all(|own| own.id != entry.session) => {
                        found_any = true;
                        self.remove_stale(&key, &entry).await?;
                    }
                    Listed::Live(_) | Listed::Arriving | Listed::Stale => {}
                }
            }
            if !found_any {
                break;
            }
        }
        Ok(removed)
    }

    /// Ends one session, if it is the principal's; answers whether it was.
    pub(crate) async fn remove(
        &self,
        session: &SessionId,
        reason: Reason,
    ) -> Result<bool, SessionError> {
        match self.load(session).await? {
            Some(found) => self.end(&found, reason).await,
            None => Ok(false),
        }
    }

    /// Ends a session that was found, unless it has left the principal meanwhile.
    async fn end(&self, found: &Found, reason: Reason) -> Result<bool, SessionError> {
        let mut commit = Commit::new(found.id, CommitId::generate()?, Action::Revoke);
        commit.conditions.push(Condition::Principal {
            field: found.listed.field.clone(),
            principal: found.listed.key,
        });
        let removal = |listed: &Principal| ListChange::Remove {
            field: listed.field.clone(),
            principal: listed.key,
        };
        commit.lists = found.header.principals.iter().map(removal).collect();
        let call = self.shared.store.commit_boxed(&commit);
        let late = StoreErrorKind::OutcomeUnknown;
        let outcome = self.shared.within_deadline(late, call).await?;
        let has_ended = matches!(outcome, Outcome::Applied(_));
        if has_ended {
            events::destroyed(found.id, reason);
        }
        Ok(has_ended)
    }

    /// Looks at every entry of the principal, under the field's present name and its older ones,
    /// and forgets the stale ones.
    async fn look_at_all(&self) -> Result<Vec<(PrincipalKey, ListEntry, Listed)>, SessionError> {
        let mut all = Vec::new();
        // A session can be listed under two names while programs disagree about the name.
        let mut living = BTreeSet::new();
        for name in self.names() {
            let key = self.key(name);
            let call = self.shared.store.list_boxed(&key);
            let late = StoreErrorKind::Unavailable;
            let index = self.shared.within_deadline(late, call).await?;
            for entry in index.entries {
                let listed = match self.load(&entry.session).await? {
                    Some(found) => Listed::Live(Box::new(found)),
                    None if entry.is_arriving(index.now) => Listed::Arriving,
                    None => Listed::Stale,
                };
                match listed {
                    Listed::Live(_) if !living.insert(entry.session) => continue,
                    Listed::Stale => self.remove_stale(&key, &entry).await?,
                    _ => {}
                }
                all.push((key, entry, listed));
            }
        }
        Ok(all)
    }

    /// A session, if it is the principal's: the first of the field's names that the session has
    /// holds the principal, and the header says so.
    async fn load(&self, session: &SessionId) -> Result<Option<Found>, SessionError> {
        let selected: Vec<_> = self.names().map(Selected::value).collect();
        let selection = Selection::fields(&selected);
        let call = self.shared.store.load_boxed(session, &selection);
        let late = StoreErrorKind::Unavailable;
        let Some(loaded) = self.shared.within_deadline(late, call).await? else {
            return Ok(None);
        };
        let held = self.names().zip(loaded.fields);
        let mut held = held.filter_map(|(name, field)| Some((name, field?.value)));
        let Some((name, _)) = held.next().filter(|(_, value)| *value == self.value) else {
            return Ok(None);
        };
        let listed = loaded.header.principal(name).cloned();
        let listed = listed.filter(|listed| listed.key == self.key(name));
        Ok(listed.map(|listed| Found {
            id: *session,
            header: loaded.header,
            listed,
        }))
    }

    async fn remove_stale(
        &self,
        key: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), SessionError> {
        let call = self.shared.store.remove_stale_boxed(key, entry);
        let late = StoreErrorKind::Unavailable;
        self.shared.within_deadline(late, call).await
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.spec.name).chain(self.spec.aliases.iter().copied())
    }

    fn key(&self, name: &str) -> PrincipalKey {
        PrincipalKey::new(name, &self.value)
    }
}
