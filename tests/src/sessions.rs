//! Commits and loads as the session layer makes them, for tests of a store.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use session_runtime::store::{
    Action, Change, Commit, IntegerRange, ListChange, Loaded, MergeOperation, Outcome,
    PrincipalKey, Selected, Selection, StoreError, Timeouts,
};
use session_runtime::store::{CommitId, Verifier};
use session_runtime::{SessionId, SessionStore};

/// How long the sessions of [`create`] live without a touch.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// How long they live in all.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// A generator from the seed in the variable `SESSION_TEST_SEED`, or from a new one. The seed is in
/// the output of a test that fails.
pub fn random() -> fastrand::Rng {
    let seed = match std::env::var("SESSION_TEST_SEED") {
        Ok(seed) => seed.parse().expect("`SESSION_TEST_SEED` is a number"),
        Err(_) => fastrand::u64(..),
    };
    println!("SESSION_TEST_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// A new id.
pub fn id() -> SessionId {
    SessionId::generate().expect("random bytes")
}

/// The verifier of every session in these tests.
pub fn verifier() -> Verifier {
    Verifier::from_bytes([7; 16])
}

/// A commit that does only this.
pub fn commit(session: SessionId, action: Action) -> Commit {
    Commit::new(session, CommitId::generate().expect("random bytes"), action)
}

/// A creation with these changes.
pub fn create(session: SessionId, changes: impl IntoIterator<Item = Change>) -> Commit {
    let verifier = verifier();
    let mut commit = commit(session, creation(verifier));
    commit.timeouts = Some(Timeouts::new(IDLE, LIFETIME).unwrap());
    commit.changes.extend(changes);
    commit
}

/// A creation of a session whose field `owner` is this, listed under it for as long as it lives.
pub fn sign_in(session: SessionId, owner: &'static str, limit: Option<u32>) -> Commit {
    let mut commit = create(session, [set("owner", owner)]);
    commit.lists.push(ListChange::Add {
        field: "owner".into(),
        principal: PrincipalKey::new("owner", owner.as_bytes()),
        keep: Some(LIFETIME),
        limit,
    });
    commit
}

/// The sessions that are listed under the owner.
pub async fn listed_under(store: &dyn SessionStore, owner: &str) -> BTreeSet<SessionId> {
    let principal = PrincipalKey::new("owner", owner.as_bytes());
    let listed = store.list_boxed(&principal).await.expect("a list");
    listed.entries.iter().map(|entry| entry.session).collect()
}

/// An update with these changes; a touch if there are none.
pub fn update(session: SessionId, changes: impl IntoIterator<Item = Change>) -> Commit {
    let action = Action::Update {
        verifier: verifier(),
        rotation: None,
    };
    let mut commit = commit(session, action);
    commit.changes.extend(changes);
    commit
}

fn creation(verifier: Verifier) -> Action {
    Action::Create {
        verifier,
        link: None,
    }
}

/// A destruction.
pub fn destroy(session: SessionId) -> Commit {
    let verifier = verifier();
    commit(session, Action::Destroy { verifier })
}

/// A write of a field that lives as long as its session.
pub fn set(name: &'static str, value: impl Into<Bytes>) -> Change {
    Change::Set {
        name: name.into(),
        value: value.into(),
        ttl: None,
        only_if_absent: false,
    }
}

/// A removal of a field.
pub fn remove(name: &'static str) -> Change {
    Change::Remove { name: name.into() }
}

/// An addition of one.
pub fn count(name: &'static str) -> Change {
    Change::Merge {
        name: name.into(),
        operation: MergeOperation::Add,
        operand: 1,
        initial: 0,
        range: IntegerRange {
            min: i64::MIN,
            max: i64::MAX,
            stop_at_min: false,
        },
        ttl: None,
    }
}

/// Sends a commit that must be applied.
pub async fn apply(store: &dyn SessionStore, commit: &Commit) {
    let outcome = store.commit_boxed(commit).await.expect("a commit");
    assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
}

/// Loads these fields with their deadlines.
pub async fn load(
    store: &dyn SessionStore,
    session: &SessionId,
    fields: &[&str],
) -> Result<Option<Loaded>, StoreError> {
    let selected = fields.iter().copied().map(Selected::with_deadline);
    let selected: Vec<_> = selected.collect();
    let selection = Selection::fields(&selected);
    store.load_boxed(session, &selection).await
}

/// The value of a field of a session that must exist.
pub async fn value(store: &dyn SessionStore, session: &SessionId, field: &str) -> Option<Bytes> {
    let loaded = load(store, session, &[field]).await.expect("a load");
    let mut fields = loaded.expect("a session").fields;
    fields.remove(0).map(|field| field.value)
}

/// The integer in a field, zero where it is absent.
pub async fn integer(store: &dyn SessionStore, session: &SessionId, field: &str) -> i64 {
    match value(store, session, field).await {
        Some(value) => std::str::from_utf8(&value)
            .expect("decimal text")
            .parse()
            .expect("an integer"),
        None => 0,
    }
}
