//! Sessions in a map of bytes by text: as much of a database as a store needs.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use session_runtime::store::{Clock, StoreError};
use session_runtime::store::{
    Commit, ListEntry, Listing, Loaded, Outcome, PrincipalKey, PrincipalList, Record, Selection,
    StoreErrorKind, TextError, Touched,
};
use session_runtime::{SessionId, SessionStore};

type Map = BTreeMap<String, Vec<u8>>;

/// Keeps each session and each principal's list as text. Their names are the keys: a session's has
/// 22 characters, a principal's has 43.
pub(crate) struct KeyValueStore<C> {
    clock: C,
    map: Mutex<Map>,
}

impl<C: Clock> KeyValueStore<C> {
    pub(crate) fn new(clock: C) -> Self {
        let map = Mutex::default();
        Self { clock, map }
    }

    /// Held from reading to writing, and never over an await.
    fn lock(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A value that cannot be read is an error, never an absent one.
fn read<T>(
    map: &Map,
    key: &str,
    from_bytes: fn(&[u8]) -> Result<T, TextError>,
) -> Result<Option<T>, StoreError> {
    let value = map.get(key).map(|bytes| from_bytes(bytes)).transpose();
    value.map_err(|error| StoreError::with_source(StoreErrorKind::Corrupt, error))
}

fn read_list(map: &Map, principal: &PrincipalKey) -> Result<PrincipalList, StoreError> {
    let list = read(map, &principal.to_string(), PrincipalList::from_bytes)?;
    Ok(list.unwrap_or_else(|| PrincipalList::new(*principal)))
}

fn write_list(map: &mut Map, list: &PrincipalList) {
    map.insert(list.principal.to_string(), list.to_bytes());
}

impl<C: Clock> SessionStore for KeyValueStore<C> {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        let map = self.lock();
        let record = read(&map, &session.to_string(), Record::from_bytes)?;
        Ok(record.and_then(|record| record.load(selection, self.clock.now())))
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        let mut map = self.lock();
        let key = commit.session.to_string();
        let record = read(&map, &key, Record::from_bytes)?;
        let principals = commit.principals();
        let lists = principals
            .iter()
            .map(|principal| read_list(&map, principal));
        let mut touched = Touched::new(record, lists.collect::<Result<_, _>>()?);
        let outcome = commit.apply(&mut touched, self.clock.now());
        for list in &touched.lists {
            write_list(&mut map, list);
        }
        match touched.record {
            Some(record) => map.insert(key, record.to_bytes()),
            None => map.remove(&key),
        };
        Ok(outcome)
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        let map = self.lock();
        Ok(read_list(&map, principal)?.listing(self.clock.now()))
    }

    async fn remove_stale(&self, of: &PrincipalKey, entry: &ListEntry) -> Result<(), StoreError> {
        let mut map = self.lock();
        let mut list = read_list(&map, of)?;
        list.remove_stale(entry);
        write_list(&mut map, &list);
        Ok(())
    }
}
