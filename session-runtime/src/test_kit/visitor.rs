//! The vocabulary of the checks: a store, its time, and visitors with a session in it.

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::changes::{add, renew, set};
use super::check::Contract;
use super::{Harness, Pace};
use crate::clock::Timestamp;
use crate::store::{
    Action, Change, Commit, Condition, FieldName, Header, Link, Loaded, Outcome, Rotation,
    Selected, Selection, SessionStore, StoredField, Timeouts,
};
use crate::token::{CommitId, SessionId, Verifier};

/// The timeouts with these limits; an idle timeout beyond the lifetime is cut to it.
pub(super) fn timeouts(idle: Option<Duration>, lifetime: Option<Duration>) -> Timeouts {
    let idle = idle.map(|idle| idle.min(lifetime.unwrap_or(idle)));
    Timeouts::new(idle, lifetime).expect("no check counts in less than milliseconds")
}

/// The store and the time that one check works with.
#[derive(Clone)]
pub(super) struct Kit {
    pub(super) store: Arc<dyn SessionStore>,
    harness: Arc<dyn Harness>,
    contract: Contract,
}

impl Kit {
    pub(super) async fn new(harness: Arc<dyn Harness>, contract: Contract) -> Self {
        Self {
            store: harness.store().await,
            harness,
            contract,
        }
    }

    pub(super) fn harness(&self) -> &Arc<dyn Harness> {
        &self.harness
    }

    /// Whether a single millisecond can be told apart.
    pub(super) fn is_exact(&self) -> bool {
        self.harness.pace() == Pace::Manual
    }

    /// That many of the shortest times that the harness can tell apart.
    pub(super) fn units(&self, count: u32) -> Duration {
        match self.harness.pace() {
            Pace::Manual => Duration::from_secs(1) * count,
            Pace::Real { unit } => unit * count,
        }
    }

    /// Longer than any check takes.
    pub(super) fn long(&self) -> Duration {
        self.units(10_000)
    }

    /// Timeouts that end no session during a check.
    pub(super) fn long_timeouts(&self) -> Timeouts {
        timeouts(Some(self.long()), Some(self.long()))
    }

    /// How far two moments may be apart that are the same on the store's clock.
    pub(super) fn tolerance(&self) -> Duration {
        match self.harness.pace() {
            Pace::Manual => Duration::ZERO,
            Pace::Real { unit } => unit,
        }
    }

    /// Waits for that many units.
    pub(super) async fn pass(&self, units: u32) {
        self.harness.pass(self.units(units)).await;
    }

    /// Waits for a time that is no multiple of the unit; only where time is exact.
    pub(super) async fn pass_exactly(&self, time: Duration) {
        assert!(self.is_exact(), "only a manual clock is exact");
        self.harness.pass(time).await;
    }

    /// A visitor who has a token, but no session in the store yet.
    pub(super) fn visitor(&self) -> Visitor {
        self.visitor_of(SessionId::generate().expect("the system has random bytes"))
    }

    /// A visitor who has a token with this id.
    pub(super) fn visitor_of(&self, id: SessionId) -> Visitor {
        Visitor {
            id,
            verifier: random_verifier(),
            kit: self.clone(),
        }
    }

    /// A visitor whose session no timeout ends during the check.
    pub(super) async fn session<const N: usize>(&self, changes: [Change; N]) -> Visitor {
        self.session_ending(self.long_timeouts(), changes).await
    }

    /// A visitor whose session these timeouts end.
    pub(super) async fn session_ending<const N: usize>(
        &self,
        timeouts: Timeouts,
        changes: [Change; N],
    ) -> Visitor {
        let visitor = self.visitor();
        let mut creation = visitor.creation(changes);
        creation.timeouts = Some(timeouts);
        visitor.apply(&creation).await;
        visitor
    }

    /// Numbers that the printed seed determines.
    pub(super) fn random(&self) -> fastrand::Rng {
        let from_environment = std::env::var("SESSION_TEST_KIT_SEED").ok();
        let seed = match from_environment.and_then(|seed| seed.parse().ok()) {
            Some(seed) => seed,
            None => fastrand::u64(..),
        };
        eprintln!("SESSION_TEST_KIT_SEED={seed}");
        fastrand::Rng::with_seed(seed)
    }

    #[track_caller]
    pub(super) fn broken(&self, how: impl Display) -> ! {
        self.contract.broken(how)
    }

    #[track_caller]
    pub(super) fn holds(&self, expected: impl Display, held: bool) {
        if !held {
            self.broken(format_args!("expected that {expected}"));
        }
    }

    #[track_caller]
    pub(super) fn equal<T: PartialEq + Debug>(&self, what: impl Display, found: T, expected: T) {
        if found != expected {
            self.broken(format_args!(
                "{what}: expected {expected:?}, found {found:?}"
            ));
        }
    }

    /// Two moments are the same as far as the harness can tell.
    #[track_caller]
    pub(super) fn same_moment(&self, what: impl Display, found: Timestamp, expected: Timestamp) {
        let apart = found
            .saturating_since(expected)
            .max(expected.saturating_since(found));
        if apart > self.tolerance() {
            self.broken(format_args!(
                "{what}: expected the moment {expected}, found {found}"
            ));
        }
    }
}

/// A visitor with a token, as the session layer sees them.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) id: SessionId,
    pub(super) verifier: Verifier,
    kit: Kit,
}

impl Visitor {
    /// Creates the session, with long timeouts.
    pub(super) fn creation(&self, changes: impl IntoIterator<Item = Change>) -> Commit {
        let verifier = self.verifier;
        let mut commit = self.commit(Action::Create {
            verifier,
            link: None,
        });
        commit.timeouts = Some(self.kit.long_timeouts());
        commit.changes.extend(changes);
        commit
    }

    /// Creates the session with a link, with long timeouts; the second value is who shows the link.
    pub(super) fn linked_creation(&self, keep: Duration) -> (Commit, Self) {
        let linked = Self {
            verifier: random_verifier(),
            ..self.clone()
        };
        let mut commit = self.creation([]);
        commit.action = Action::Create {
            verifier: self.verifier,
            link: Some(Link::new(linked.verifier, keep)),
        };
        (commit, linked)
    }

    /// Changes fields.
    pub(super) fn update(&self, changes: impl IntoIterator<Item = Change>) -> Commit {
        let mut commit = self.commit(Action::Update {
            verifier: self.verifier,
            rotation: None,
        });
        commit.changes.extend(changes);
        commit
    }

    /// Moves `seen`.
    pub(super) fn touch(&self) -> Commit {
        self.update([])
    }

    /// Changes fields if a condition holds.
    pub(super) fn update_if(
        &self,
        condition: Condition,
        changes: impl IntoIterator<Item = Change>,
    ) -> Commit {
        let mut commit = self.update(changes);
        commit.conditions.push(condition);
        commit
    }

    /// Replaces the token; the second value is who has the new one.
    pub(super) fn rotation(&self, grace: Option<Duration>) -> (Commit, Self) {
        let successor = Self {
            verifier: random_verifier(),
            ..self.clone()
        };
        let commit = self.commit(Action::Update {
            verifier: self.verifier,
            rotation: Some(Rotation::new(successor.verifier, grace)),
        });
        (commit, successor)
    }

    /// As [`rotation`](Self::rotation), also where this token is the previous one in its grace.
    pub(super) fn rotation_from_previous(&self, grace: Option<Duration>) -> (Commit, Self) {
        let (mut commit, successor) = self.rotation(grace);
        let mut rotation = Rotation::new(successor.verifier, grace);
        rotation.from_previous = true;
        commit.action = Action::Update {
            verifier: self.verifier,
            rotation: Some(rotation),
        };
        (commit, successor)
    }

    /// Removes the session.
    pub(super) fn destruction(&self) -> Commit {
        let verifier = self.verifier;
        self.commit(Action::Destroy { verifier })
    }

    /// Removes the session without its token.
    pub(super) fn revocation(&self) -> Commit {
        self.commit(Action::Revoke)
    }

    fn commit(&self, action: Action) -> Commit {
        Commit::new(self.id, random_commit_id(), action)
    }

    /// Sends a commit; a store error fails the check.
    pub(super) async fn send(&self, commit: &Commit) -> Outcome {
        match self.kit.store.commit(commit).await {
            Ok(outcome) => outcome,
            Err(error) => self.kit.broken(format_args!(
                "the store failed instead of answering a commit: {error:?}; it was {commit:?}"
            )),
        }
    }

    /// Sends a commit that must be applied, and returns its values.
    pub(super) async fn apply(&self, commit: &Commit) -> Vec<Option<Bytes>> {
        match self.send(commit).await {
            Outcome::Applied(applied) => {
                let what = "the number of values that a commit answers, one per change";
                self.kit
                    .equal(what, applied.values.len(), commit.changes.len());
                applied.values
            }
            refused => self.kit.broken(format_args!(
                "expected a commit to be applied, found {refused:?}; it was {commit:?}"
            )),
        }
    }

    /// Sends a commit that must be refused, and checks that nothing changed.
    pub(super) async fn refuse(&self, commit: &Commit, expected: Outcome) {
        let before = self.load_all_of(commit).await;
        let found = self.send(commit).await;
        if found != expected {
            self.kit.broken(format_args!(
                "expected {expected:?}, found {found:?}; the commit was {commit:?}"
            ));
        }
        let after = self.load_all_of(commit).await;
        let what = |part| format!("the {part} after a commit that was refused");
        self.kit.equal(
            what("header"),
            after.as_ref().map(|loaded| loaded.header.clone()),
            before.as_ref().map(|loaded| loaded.header.clone()),
        );
        self.kit.equal(
            what("fields"),
            after.as_ref().map(values),
            before.as_ref().map(values),
        );
        self.kit.equal(
            what("fields with a prefix"),
            after.map(|loaded| loaded.prefixed),
            before.map(|loaded| loaded.prefixed),
        );
    }

    /// Loads the fields that a commit names.
    async fn load_all_of(&self, commit: &Commit) -> Option<Loaded> {
        let is_bound = |change: &&Change| matches!(change, Change::Bound { .. });
        let (bounds, others): (Vec<_>, Vec<_>) = commit.changes.iter().partition(is_bound);
        let names: Vec<_> = others.iter().map(|change| select(change.name())).collect();
        let prefixes: Vec<_> = bounds.iter().map(|change| &**change.name()).collect();
        let selection = Selection::fields(&names).with_prefixes(&prefixes);
        self.load_selection(&selection).await
    }

    /// Loads fields with their deadlines.
    pub(super) async fn load(&self, names: &[&str]) -> Option<Loaded> {
        let selected: Vec<_> = names.iter().map(|name| select(name)).collect();
        self.load_selected(&selected).await
    }

    pub(super) async fn load_selected(&self, selected: &[Selected<'_>]) -> Option<Loaded> {
        self.load_selection(&Selection::fields(selected)).await
    }

    pub(super) async fn load_selection(&self, selection: &Selection<'_>) -> Option<Loaded> {
        let loaded = match self.kit.store.load(&self.id, selection).await {
            Ok(loaded) => loaded,
            Err(error) => self.kit.broken(format_args!(
                "the store failed instead of answering a load: {error:?}"
            )),
        };
        if let Some(loaded) = &loaded {
            let what = "the number of fields that a load answers";
            self.kit
                .equal(what, loaded.fields.len(), selection.fields.len());
        }
        loaded
    }

    /// The fields with one of these prefixes, in a session that must exist.
    pub(super) async fn prefixed(&self, prefixes: &[&str]) -> Vec<(FieldName, StoredField)> {
        let selection = Selection::default().with_prefixes(prefixes);
        match self.load_selection(&selection).await {
            Some(loaded) => loaded.prefixed,
            None => self.kit.broken("expected a session, found none"),
        }
    }

    /// The fields with this prefix must be these, in a session that must exist.
    pub(super) async fn expect_prefixed(&self, prefix: &str, expected: &[&str]) {
        let found = self.prefixed(&[prefix]).await;
        let found: Vec<_> = found.iter().map(|(name, _)| &**name).collect();
        let what = format_args!("the fields with the prefix `{prefix}`");
        self.kit.equal(what, found.as_slice(), expected);
    }

    /// Loads a session that must exist.
    pub(super) async fn load_live(&self, names: &[&str]) -> Loaded {
        match self.load(names).await {
            Some(loaded) => loaded,
            None => self.kit.broken("expected a session, found none"),
        }
    }

    /// One field of a session that must exist.
    pub(super) async fn field(&self, name: &str) -> Option<StoredField> {
        self.load_live(&[name]).await.fields.remove(0)
    }

    /// The value of one field of a session that must exist.
    pub(super) async fn value(&self, name: &str) -> Option<Bytes> {
        self.field(name).await.map(|field| field.value)
    }

    /// When a field ends that must be present, in a session that must exist.
    pub(super) async fn deadline(&self, name: &str) -> Option<Timestamp> {
        match self.field(name).await {
            Some(field) => field.deadline,
            None => self
                .kit
                .broken(format_args!("expected the field `{name}`, found none")),
        }
    }

    /// The field must have this value.
    pub(super) async fn expect_value(&self, name: &str, expected: impl AsRef<[u8]>) {
        let what = format_args!("the value of `{name}`").to_string();
        let expected = Bytes::copy_from_slice(expected.as_ref());
        self.kit.equal(what, self.value(name).await, Some(expected));
    }

    /// The field must be absent, in a session that must exist.
    pub(super) async fn expect_absent(&self, name: &str) {
        let what = format_args!("the value of `{name}`").to_string();
        self.kit.equal(what, self.value(name).await, None);
    }

    /// There must be no session, neither for loads nor for commits, and late commits must not
    /// bring it back.
    pub(super) async fn expect_gone(&self) {
        let is_absent = |loaded: Option<Loaded>| loaded.is_none();
        self.kit.holds(
            "a session that has ended is not loaded",
            is_absent(self.load(&["a"]).await),
        );
        let (rotation, _) = self.rotation(None);
        for late in [
            self.touch(),
            self.update([set("a", "late")]),
            self.update([add("a", 1)]),
            self.update([renew("a", self.kit.long())]),
            rotation,
            self.destruction(),
            self.revocation(),
        ] {
            let outcome = self.send(&late).await;
            if outcome != Outcome::Gone {
                self.kit.broken(format_args!(
                    "a session that has ended: expected `Gone`, found {outcome:?} for {late:?}"
                ));
            }
        }
        self.kit.holds(
            "a late commit does not bring a session back",
            is_absent(self.load(&["a"]).await),
        );
    }
}

fn random_verifier() -> Verifier {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    Verifier::from_bytes(bytes)
}

pub(super) fn random_commit_id() -> CommitId {
    CommitId::generate().expect("the system has random bytes")
}

/// The token before the present one, while its grace lasts.
pub(super) fn previous_token(header: &Header) -> Option<Verifier> {
    header.previous.map(|previous| previous.verifier)
}

/// The values of the fields that were asked for.
pub(super) fn values(loaded: &Loaded) -> Vec<Option<Bytes>> {
    let value = |field: &Option<StoredField>| Some(field.as_ref()?.value.clone());
    loaded.fields.iter().map(value).collect()
}

/// A field and its deadline.
pub(super) fn select(name: &str) -> Selected<'_> {
    Selected::with_deadline(name)
}
