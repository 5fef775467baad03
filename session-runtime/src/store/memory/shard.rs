//! Some of the sessions, and the order in which they end.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use crate::clock::Timestamp;
use crate::store::{Commit, Loaded, Outcome, Record, Selected};
use crate::token::SessionId;

/// Below this size the memory that removed records leave behind is not worth giving back.
const KEPT_CAPACITY: usize = 64;

/// Records by id, and one [`Place`] for each of them.
#[derive(Default)]
pub(super) struct Shard {
    /// Never holds a `None` between two calls: the option lets [`Record::commit`] work in place.
    records: HashMap<SessionId, Option<Record>>,
    order: BTreeSet<Place>,
}

/// Where a record stands in the order in which sessions end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// When it ends if nobody touches it; the end of time if it does not.
    ends: Timestamp,
    /// Decides among those that never end.
    seen: Timestamp,
    pub(super) session: SessionId,
}

impl Place {
    fn of(session: SessionId, record: &Record) -> Self {
        let never = Timestamp::from_millis(u64::MAX);
        Self {
            ends: record.header.deadline().unwrap_or(never),
            seen: record.header.seen,
            session,
        }
    }
}

impl Shard {
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn holds(&self, session: &SessionId) -> bool {
        self.records.contains_key(session)
    }

    pub(super) fn load(
        &self,
        session: &SessionId,
        fields: &[Selected<'_>],
        now: Timestamp,
    ) -> Option<Loaded> {
        self.records.get(session)?.as_ref()?.load(fields, now)
    }

    pub(super) fn commit(&mut self, commit: &Commit, now: Timestamp) -> Outcome {
        let session = commit.session;
        let place_of = |record: &Option<Record>| Some(Place::of(session, record.as_ref()?));
        let mut entry = match self.records.entry(session) {
            Entry::Occupied(entry) => entry,
            Entry::Vacant(entry) => entry.insert_entry(None),
        };

        let before = place_of(entry.get());
        let outcome = Record::commit(entry.get_mut(), commit, now);
        let after = place_of(entry.get());

        if after.is_none() {
            entry.remove();
        }
        if before != after {
            before.map(|place| self.order.remove(&place));
            after.map(|place| self.order.insert(place));
        }
        if after.is_none() {
            self.give_memory_back();
        }
        outcome
    }

    /// Drops up to `most` expired records and answers how many went.
    pub(super) fn reclaim(&mut self, now: Timestamp, most: usize) -> usize {
        let mut reclaimed = 0;
        while reclaimed < most
            && let Some(place) = self.first()
            && place.ends <= now
        {
            self.evict(&place);
            reclaimed += 1;
        }
        reclaimed
    }

    /// The record that ends first.
    pub(super) fn first(&self) -> Option<Place> {
        self.order.first().copied()
    }

    /// Drops a record, unless it has left this place.
    pub(super) fn evict(&mut self, place: &Place) -> bool {
        let was_there = self.order.remove(place);
        if was_there {
            self.records.remove(&place.session);
            self.give_memory_back();
        }
        was_there
    }

    /// Halves the table when three quarters of it are empty.
    fn give_memory_back(&mut self) {
        let kept = self.records.len().max(KEPT_CAPACITY / 4);
        if self.records.capacity() > kept * 4 {
            self.records.shrink_to(kept * 2);
        }
    }
}
