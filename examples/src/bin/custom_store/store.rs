//! Everything in maps behind one lock.

use std::collections::HashMap;
use std::sync::Mutex;

use futures_core::future::BoxFuture;
use session_runtime::store::{
    Commit, Count, ListChange, ListEntry, Listing, Loaded, Outcome, PrincipalKey, Record, Selected,
};
use session_runtime::{Clock, SessionId, SessionStore, StoreError, Timestamp};

/// A session of a principal, and until when it is listed.
type Listed = (ListEntry, Option<Timestamp>);
type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// A store that holds one lock for all that it does.
pub(crate) struct OneLock<C> {
    clock: C,
    kept: Mutex<Kept>,
}

impl<C> OneLock<C> {
    pub(crate) fn new(clock: C) -> Self {
        let kept = Mutex::default();
        Self { clock, kept }
    }
}

#[derive(Default)]
struct Kept {
    records: HashMap<SessionId, Record>,
    index: HashMap<PrincipalKey, Vec<Listed>>,
}

impl Kept {
    fn commit(&mut self, commit: &Commit, now: Timestamp) -> Outcome {
        // Only what could be applied may meet a limit, and what was applied before lists nobody.
        let record = self.records.get(&commit.session);
        if let Some(outcome) = Record::precheck(record, commit, now) {
            return outcome;
        }
        for change in &commit.index {
            let listed = self.listed(change.principal(), now).iter();
            let others = listed
                .filter(|(entry, _)| entry.session != commit.session)
                .count();
            if let ListChange::Add {
                principal, limit, ..
            } = *change
                && limit.is_some_and(|limit| others >= limit as usize)
            {
                return Outcome::LimitReached { principal };
            }
        }
        // What a commit means is ready-made: the stores of the library use it too.
        let mut record = self.records.remove(&commit.session);
        let outcome = Record::commit(&mut record, commit, now);
        self.records
            .extend(record.map(|record| (commit.session, record)));
        if matches!(outcome, Outcome::Applied(_)) {
            for change in &commit.index {
                let listed = self.listed(change.principal(), now);
                listed.retain(|(entry, _)| entry.session != commit.session);
                if let ListChange::Add { keep, .. } = change {
                    let entry = ListEntry::new(commit.session, commit.id, now);
                    listed.push((entry, keep.map(|keep| now + keep)));
                }
            }
        }
        outcome
    }

    /// A principal's sessions, without those whose time is over.
    fn listed(&mut self, principal: &PrincipalKey, now: Timestamp) -> &mut Vec<Listed> {
        let listed = self.index.entry(*principal).or_default();
        listed.retain(|(_, until)| until.is_none_or(|until| now < until));
        listed
    }
}

impl<C: Clock> OneLock<C> {
    /// What `work` makes of everything kept, at this moment. The lock is never held over an await.
    fn with<'a, T: Send>(
        &'a self,
        work: impl FnOnce(&mut Kept, Timestamp) -> T + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let mut kept = self.kept.lock().expect("nobody panics with the lock");
            Ok(work(&mut kept, self.clock.now()))
        })
    }
}

impl<C: Clock> SessionStore for OneLock<C> {
    fn load<'a>(
        &'a self,
        session: &'a SessionId,
        fields: &'a [Selected<'a>],
    ) -> Answer<'a, Option<Loaded>> {
        self.with(|kept, now| kept.records.get(session)?.load(session, fields, now))
    }

    fn commit<'a>(&'a self, commit: &'a Commit) -> Answer<'a, Outcome> {
        self.with(|kept, now| kept.commit(commit, now))
    }

    fn index<'a>(&'a self, principal: &'a PrincipalKey) -> Answer<'a, Listing> {
        self.with(|kept, now| {
            let listed = kept.listed(principal, now).iter();
            Listing::new(listed.map(|(entry, _)| *entry).collect(), now)
        })
    }

    // An entry that has been written again has another mark, and stays.
    fn forget<'a>(&'a self, principal: &'a PrincipalKey, stale: &'a ListEntry) -> Answer<'a, ()> {
        self.with(|kept, now| {
            let listed = kept.listed(principal, now);
            listed.retain(|(entry, _)| !entry.is_same(stale));
        })
    }

    fn len(&self) -> Answer<'_, Count> {
        self.with(|kept, _| Count::Estimated(kept.records.len() as u64))
    }

    fn sweep(&self) -> Answer<'_, u64> {
        self.with(|kept, now| {
            let before = kept.records.len();
            kept.records.retain(|_, record| !record.is_expired(now));
            kept.index.retain(|_, listed| {
                listed.retain(|(_, until)| until.is_none_or(|until| now < until));
                !listed.is_empty()
            });
            (before - kept.records.len()) as u64
        })
    }
}
