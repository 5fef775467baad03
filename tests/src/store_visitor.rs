//! A visitor at the level of the store: a session, and the verifier that opens it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use session_runtime::store::{
    Action, Change, Commit, FieldTtl, IntegerRange, Loaded, MergeOperation, Outcome, Rotation,
    Selected, Selection, StoreError, Timeouts,
};
use session_runtime::store::{CommitId, Verifier};
use session_runtime::{SessionId, SessionStore};

/// One visitor's session.
#[derive(Debug, Clone, Copy)]
pub struct Visitor {
    /// Its name.
    pub session: SessionId,
    /// The verifier that opens it.
    pub verifier: Verifier,
}

impl Visitor {
    /// A visitor whose session does not exist yet.
    pub fn new() -> Self {
        Self {
            session: SessionId::generate().expect("random bytes"),
            verifier: verifier(),
        }
    }

    /// A visitor with a session that lives for an hour.
    pub async fn create(
        store: &impl SessionStore,
        changes: impl IntoIterator<Item = Change>,
    ) -> Self {
        let visitor = Self::new();
        let outcome = store.commit(&visitor.creation(changes)).await;
        assert!(matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
        visitor
    }

    /// The commit that creates the session.
    pub fn creation(&self, changes: impl IntoIterator<Item = Change>) -> Commit {
        let verifier = self.verifier;
        let mut commit = self.commit(
            Action::Create {
                verifier,
                link: None,
            },
            changes,
        );
        commit.timeouts =
            Some(Timeouts::new(Duration::from_secs(1800), Duration::from_secs(3600)).unwrap());
        commit
    }

    /// A commit that changes fields.
    pub fn update(&self, changes: impl IntoIterator<Item = Change>) -> Commit {
        let (verifier, rotation) = (self.verifier, None);
        self.commit(Action::Update { verifier, rotation }, changes)
    }

    /// A commit that rotates the token, and the visitor with the new one.
    pub fn rotation(&self, grace: Option<Duration>) -> (Commit, Self) {
        let rotated = Self {
            session: self.session,
            verifier: verifier(),
        };
        let rotation = Some(Rotation::new(rotated.verifier, grace));
        let verifier = self.verifier;
        (
            self.commit(Action::Update { verifier, rotation }, []),
            rotated,
        )
    }

    /// The commit that ends the session.
    pub fn destruction(&self) -> Commit {
        let verifier = self.verifier;
        self.commit(Action::Destroy { verifier }, [])
    }

    fn commit(&self, action: Action, changes: impl IntoIterator<Item = Change>) -> Commit {
        let id = CommitId::generate().expect("random bytes");
        let mut commit = Commit::new(self.session, id, action);
        commit.changes = changes.into_iter().collect();
        commit
    }

    /// Loads these fields.
    pub async fn load(
        &self,
        store: &impl SessionStore,
        names: &[&str],
    ) -> Result<Option<Loaded>, StoreError> {
        let selected: Vec<_> = names.iter().copied().map(Selected::value).collect();
        let selection = Selection::fields(&selected);
        store.load(&self.session, &selection).await
    }

    /// The values of these fields in a session that exists.
    pub async fn values(
        &self,
        store: &impl SessionStore,
        names: &[&'static str],
    ) -> BTreeMap<&'static str, Bytes> {
        let loaded = self.load(store, names).await.expect("the store works");
        let fields = loaded.expect("the session exists").fields;
        let values = fields
            .into_iter()
            .map(|field| field.map(|field| field.value));
        names
            .iter()
            .zip(values)
            .filter_map(|(name, value)| Some((*name, value?)))
            .collect()
    }

    /// Whether the session exists and this visitor's token is the one that opens it.
    pub async fn is_admitted(&self, store: &impl SessionStore) -> bool {
        let loaded = self.load(store, &[]).await.expect("the store works");
        loaded.is_some_and(|loaded| loaded.header.verifier == self.verifier)
    }

    /// Its key under a prefix.
    pub fn key(&self, prefix: &str) -> String {
        format!("{prefix}:{}", self.session)
    }
}

impl Default for Visitor {
    fn default() -> Self {
        Self::new()
    }
}

/// A verifier that no other has.
fn verifier() -> Verifier {
    let random = SessionId::generate().expect("random bytes");
    Verifier::from_bytes(*random.as_bytes())
}

/// Writes a field that lives as long as the session.
pub fn set(name: &'static str, value: &str) -> Change {
    Change::Set {
        name: name.into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ttl: None,
        only_if_absent: false,
    }
}

/// Writes a field that lives so long from now on.
pub fn set_for(name: &'static str, value: &str, ttl: Duration) -> Change {
    Change::Set {
        name: name.into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        ttl: Some(FieldTtl::restarting(ttl)),
        only_if_absent: false,
    }
}

/// Adds to an integer.
pub fn add(name: &'static str, operand: i64) -> Change {
    Change::Merge {
        name: name.into(),
        operation: MergeOperation::Add,
        operand,
        initial: 0,
        range: IntegerRange {
            min: i64::MIN,
            max: i64::MAX,
            stop_at_min: false,
        },
        ttl: None,
    }
}

/// Reads a field and removes it.
pub fn take(name: &'static str) -> Change {
    Change::Take { name: name.into() }
}
