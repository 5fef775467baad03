//! Defects of bounds.

use session_runtime::Timestamp;
use session_runtime::store::{Action, Change, Commit, FieldName, Record, StoredField};

use super::{Defect, DefectiveStore};

impl DefectiveStore {
    /// Spoils the bounds of a commit that is about to be applied to this record.
    pub(super) fn spoil_bounds(
        &self,
        commit: &mut Commit,
        record: Option<&Record>,
        now: Timestamp,
    ) {
        let is_creation = matches!(commit.action, Action::Create { .. });
        let mut is_first = true;
        for change in &mut commit.changes {
            if let Change::Bound { max, evict, .. } = change {
                match self.defect {
                    Defect::BoundIgnored => *max = usize::MAX,
                    Defect::BoundIgnoredInCreations if is_creation => *max = usize::MAX,
                    Defect::SecondBoundIgnored if !is_first => *max = usize::MAX,
                    Defect::BoundTooLow => *max = max.saturating_sub(1),
                    Defect::BoundAlwaysEvicts => *evict = true,
                    _ => {}
                }
                is_first = false;
            }
        }
        match (self.defect, record) {
            (Defect::BoundComesFirst, _) => {
                let is_other = |change: &Change| !matches!(change, Change::Bound { .. });
                commit.changes.sort_by_key(is_other);
            }
            (
                Defect::LastEndingEvicted
                | Defect::LastNameEvicted
                | Defect::WrittenEvicted
                | Defect::EndedFieldsCounted,
                Some(record),
            ) => self.evict_others(commit, record, now),
            _ => {}
        }
    }

    /// Removes the wrong fields instead of what the first bound says.
    fn evict_others(&self, commit: &mut Commit, record: &Record, now: Timestamp) {
        let is_bound = |change: &Change| matches!(change, Change::Bound { .. });
        let Some(place) = commit.changes.iter().position(is_bound) else {
            return;
        };
        let Change::Bound { prefix, max, .. } = commit.changes[place].clone() else {
            return;
        };
        let written = commit.changes[..place].iter();
        let written = written.filter(|change| change.is_write());
        let mut written: Vec<_> = written.map(|change| change.name().clone()).collect();
        written.retain(|name| name.starts_with(&*prefix));
        written.sort();
        written.dedup();
        let counts = |field: &StoredField| {
            self.defect == Defect::EndedFieldsCounted
                || field.deadline.is_none_or(|deadline| now < deadline)
        };
        let is_spare = |name: &FieldName| name.starts_with(&*prefix) && !written.contains(name);
        let fields = record.fields.iter();
        let mut spare: Vec<_> = fields
            .filter(|(name, field)| is_spare(name) && counts(field))
            .map(|(name, field)| (field.deadline.is_none(), field.deadline, name.clone()))
            .collect();
        let excess = (spare.len() + written.len()).saturating_sub(max);
        spare.sort();
        match self.defect {
            Defect::LastEndingEvicted => spare.reverse(),
            Defect::LastNameEvicted => {
                spare.reverse();
                spare.sort_by_key(|(is_unbounded, deadline, _)| (*is_unbounded, *deadline));
            }
            _ => {}
        }
        let mut evicted: Vec<_> = spare.into_iter().map(|(_, _, name)| name).collect();
        if self.defect == Defect::WrittenEvicted {
            evicted.splice(..0, written);
        }
        commit.changes[place] = Change::Remove {
            name: "never".into(),
        };
        let evicted = evicted.into_iter().take(excess);
        commit
            .changes
            .extend(evicted.map(|name| Change::Remove { name }));
    }
}
