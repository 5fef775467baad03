//! The fields of a record, by name.

use super::{FieldName, StoredField};

/// Up to this number of fields, looking at each costs less than a search.
const FEW: usize = 32;

/// Fields by their names, in the order of these.
///
/// A session has few fields and is read far more often than it gets another one, so they stand in
/// one sorted allocation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(FieldName, StoredField)>);

impl Fields {
    /// The field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&StoredField> {
        let place = self.find(name).ok()?;
        Some(&self.0[place].1)
    }

    /// Whether there is a field of this name.
    #[must_use]
    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_ok()
    }

    /// Adds a field; returns the one of the same name that it replaces.
    pub fn insert(&mut self, name: FieldName, field: StoredField) -> Option<StoredField> {
        match self.find(&name) {
            Ok(place) => Some(std::mem::replace(&mut self.0[place].1, field)),
            Err(place) => {
                if self.0.len() == self.0.capacity() {
                    // A record is kept for long, so little of it stays empty.
                    self.0.reserve_exact(1 + self.0.len() / 4);
                }
                self.0.insert(place, (name, field));
                None
            }
        }
    }

    /// Removes and returns the field of this name.
    pub fn remove(&mut self, name: &str) -> Option<StoredField> {
        let place = self.find(name).ok()?;
        Some(self.0.remove(place).1)
    }

    /// Keeps the fields that `keep` answers `true` for.
    pub fn retain(&mut self, mut keep: impl FnMut(&FieldName, &StoredField) -> bool) {
        self.0.retain(|(name, field)| keep(name, field));
    }

    /// All fields, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&FieldName, &StoredField)> {
        self.0.iter().map(|(name, field)| (name, field))
    }

    /// All fields, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&FieldName, &mut StoredField)> {
        self.0.iter_mut().map(|(name, field)| (&*name, field))
    }

    /// All names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &FieldName> {
        self.0.iter().map(|(name, _)| name)
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        // Most names are those of a schema of this program, one and the same static text. It is found
        // by its address sooner than by comparing text.
        if self.0.len() <= FEW {
            let is_same = |(other, _): &(FieldName, StoredField)| std::ptr::eq(&**other, name);
            if let Some(place) = self.0.iter().position(is_same) {
                return Ok(place);
            }
        }
        self.0.binary_search_by(|(other, _)| (**other).cmp(name))
    }
}
