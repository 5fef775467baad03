//! Some of the sessions, and the order in which they end.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use crate::clock::Timestamp;
use crate::store::{Loaded, Record, Selection};
use crate::token::SessionId;

/// Below this size the memory that removed records leave behind is not worth giving back.
const KEPT_CAPACITY: usize = 64;

/// Records by id, and one [`Place`] for each of them.
#[derive(Default)]
pub(super) struct Shard {
    records: HashMap<SessionId, Record, BuildHasherDefault<IdHasher>>,
    order: BTreeSet<Place>,
}

/// Hashes a session's id to eight of its bytes. Ids are random, and clients choose none of those that
/// are kept, so the map needs no keyed hash.
#[derive(Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A record's place in the order in which sessions end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// When it ends without a further touch; the end of time if it does not.
    ends: Timestamp,
    /// Decides among those that never end.
    seen: Timestamp,
    pub(super) session: SessionId,
}

impl Place {
    fn of(record: &Record) -> Self {
        let never = Timestamp::from_millis(u64::MAX);
        Self {
            ends: record.header.deadline().unwrap_or(never),
            seen: record.header.seen,
            session: record.session,
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
        selection: &Selection<'_>,
        now: Timestamp,
    ) -> Option<Loaded> {
        self.records.get(session)?.load(selection, now)
    }

    /// Changes a session's record, or its absence, by `change`.
    pub(super) fn change<T>(
        &mut self,
        session: SessionId,
        change: impl FnOnce(&mut Option<Record>) -> T,
    ) -> T {
        let mut record = self.records.remove(&session);
        let before = record.as_ref().map(Place::of);
        let answer = change(&mut record);
        let after = record.as_ref().map(Place::of);
        if before != after {
            before.map(|place| self.order.remove(&place));
            after.map(|place| self.order.insert(place));
        }
        match record {
            Some(record) => {
                self.records.insert(session, record);
            }
            None => self.give_memory_back(),
        }
        answer
    }

    /// Removes up to `most` ended records, calls `removed` with each, and answers how many went.
    pub(super) fn reclaim(
        &mut self,
        now: Timestamp,
        most: usize,
        mut removed: impl FnMut(Record),
    ) -> usize {
        let mut reclaimed = 0;
        while reclaimed < most
            && let Some(place) = self.first()
            && place.ends <= now
        {
            self.evict(&place).into_iter().for_each(&mut removed);
            reclaimed += 1;
        }
        reclaimed
    }

    /// The record that ends first.
    pub(super) fn first(&self) -> Option<Place> {
        self.order.first().copied()
    }

    /// Removes and answers a record, unless it has left this place.
    pub(super) fn evict(&mut self, place: &Place) -> Option<Record> {
        if !self.order.remove(place) {
            return None;
        }
        let record = self.records.remove(&place.session);
        self.give_memory_back();
        record
    }

    /// Halves the table when three quarters of it are empty.
    fn give_memory_back(&mut self) {
        let kept = self.records.len().max(KEPT_CAPACITY / 4);
        if self.records.capacity() > kept * 4 {
            self.records.shrink_to(kept * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::{Action, Applied, Commit, Outcome, Timeouts, Touched};
    use crate::token::{CommitId, Verifier};

    const START: Timestamp = Timestamp::from_millis(1_000);

    fn verifier() -> Verifier {
        Verifier::from_bytes([1; 16])
    }

    fn commit(session: SessionId, action: Action) -> Commit {
        Commit::new(session, CommitId::generate().unwrap(), action)
    }

    fn apply(shard: &mut Shard, commit: &Commit, now: Timestamp) -> Outcome {
        shard.change(commit.session, |record| {
            let mut touched = Touched::new(record.take(), Vec::new());
            let outcome = commit.apply(&mut touched, now);
            *record = touched.record;
            outcome
        })
    }

    /// A session that ends after so many milliseconds without a touch.
    fn create(shard: &mut Shard, idle: u64, now: Timestamp) -> SessionId {
        let session = SessionId::generate().unwrap();
        let verifier = verifier();
        let mut creation = commit(
            session,
            Action::Create {
                verifier,
                link: None,
            },
        );
        creation.timeouts = Some(Timeouts::new(Duration::from_millis(idle), None).unwrap());
        let created = apply(shard, &creation, now);
        assert_eq!(created, Outcome::Applied(Applied::default()));
        session
    }

    fn touch(shard: &mut Shard, session: SessionId, now: Timestamp) -> Outcome {
        let update = Action::Update {
            verifier: verifier(),
            rotation: None,
        };
        apply(shard, &commit(session, update), now)
    }

    #[test]
    fn every_record_has_one_place() {
        let mut shard = Shard::default();
        let sessions: Vec<_> = (0..10)
            .map(|n| create(&mut shard, 100 + n, START))
            .collect();
        let later = START + Duration::from_millis(50);
        for session in &sessions[..5] {
            touch(&mut shard, *session, later);
        }
        let destroy = Action::Destroy {
            verifier: verifier(),
        };
        apply(&mut shard, &commit(sessions[9], destroy), later);
        assert_eq!(touch(&mut shard, sessions[9], later), Outcome::Gone);
        assert_eq!(shard.records.len(), 9);
        assert_eq!(shard.order.len(), 9);
        assert_eq!(shard.first().unwrap().session, sessions[5]);
    }

    #[test]
    fn records_are_reclaimed_in_the_order_in_which_they_end() {
        let mut shard = Shard::default();
        let last = create(&mut shard, 300, START);
        let first = create(&mut shard, 100, START);
        let second = create(&mut shard, 200, START);
        let later = |millis| START + Duration::from_millis(millis);

        assert_eq!(shard.reclaim(later(99), usize::MAX, drop), 0);
        assert_eq!(shard.reclaim(later(100), usize::MAX, drop), 1);
        assert!(!shard.holds(&first));
        assert_eq!(shard.reclaim(later(1_000), 1, drop), 1);
        assert!(!shard.holds(&second) && shard.holds(&last));
        assert_eq!(shard.reclaim(later(1_000), usize::MAX, drop), 1);
        assert_eq!((shard.records.len(), shard.order.len()), (0, 0));
    }

    #[test]
    fn a_record_that_moved_on_is_not_evicted() {
        let mut shard = Shard::default();
        let session = create(&mut shard, 100, START);
        let place = shard.first().unwrap();
        touch(&mut shard, session, START + Duration::from_millis(10));
        assert!(shard.evict(&place).is_none());
        assert!(shard.holds(&session));
    }

    #[test]
    fn memory_is_given_back() {
        let mut shard = Shard::default();
        for _ in 0..10_000 {
            create(&mut shard, 100, START);
        }
        let full = shard.records.capacity();
        assert!(full >= 10_000);
        shard.reclaim(START + Duration::from_millis(100), usize::MAX, drop);
        let empty = shard.records.capacity();
        assert!(empty <= KEPT_CAPACITY, "{empty} slots for no record");
    }

    #[test]
    fn memory_is_given_back_when_three_quarters_are_empty() {
        let mut shard = Shard::default();
        for _ in 0..10_000 {
            create(&mut shard, 100, START);
        }
        let full = shard.records.capacity();
        let mut remove_one = || {
            let place = shard.first().unwrap();
            assert!(shard.evict(&place).is_some());
            (shard.records.len(), shard.records.capacity())
        };
        // Removed records may leave slots that count only when the table is made anew.
        let (left, capacity) = loop {
            let (left, capacity) = remove_one();
            if left * 4 >= full {
                assert!(capacity > full / 2, "not yet, with {left} records");
            } else if left * 5 < full {
                break (left, capacity);
            }
        };
        assert!(capacity <= full / 2, "{capacity} slots for {left} records");
        assert!(capacity >= left * 2, "room for as many again");
        let capacity = loop {
            if let (0, capacity) = remove_one() {
                break capacity;
            }
        };
        assert!((KEPT_CAPACITY / 4..=KEPT_CAPACITY).contains(&capacity));
    }

    #[test]
    fn asking_for_sessions_that_do_not_exist_leaves_nothing() {
        let mut shard = Shard::default();
        for _ in 0..10_000 {
            touch(&mut shard, SessionId::generate().unwrap(), START);
        }
        assert_eq!((shard.records.len(), shard.order.len()), (0, 0));
        assert!(shard.records.capacity() <= KEPT_CAPACITY);
    }
}
