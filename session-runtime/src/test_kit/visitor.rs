//! What the checks are written in: a store, time, and visitors with a session in it.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::check::Contract;
use super::{Harness, Pace};
use crate::clock::Timestamp;
use crate::store::{
    Action, Change, Commit, Condition, FieldTtl, Header, IntegerRange, Loaded, MergeOperation,
    Outcome, Rotation, Selected, Selection, SessionStore, StoredField, Timeouts,
};
use crate::token::{CommitId, SessionId, Verifier};

/// The timeouts with these limits; an idle timeout beyond the lifetime is cut to it.
pub(super) fn timeouts(idle: Option<Duration>, lifetime: Option<Duration>) -> Timeouts {
    let idle = idle.map(|idle| idle.min(lifetime.unwrap_or(idle)));
    Timeouts::new(idle, lifetime).expect("no check counts in less than milliseconds")
}

/// What one check works with.
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

    /// Somebody who has a token, but no session in the store yet.
    pub(super) fn visitor(&self) -> Visitor {
        self.visitor_of(SessionId::generate().expect("the system has random bytes"))
    }

    /// Somebody who has a token with this id.
    pub(super) fn visitor_of(&self, id: SessionId) -> Visitor {
        Visitor {
            id,
            verifier: random_verifier(),
            kit: self.clone(),
        }
    }

    /// Somebody with a session that no timeout ends during the check.
    pub(super) async fn session<const N: usize>(&self, changes: [Change; N]) -> Visitor {
        self.session_ending(self.long_timeouts(), changes).await
    }

    /// Somebody with a session that these timeouts end.
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

/// Somebody with a token, as the session layer sees them.
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

    /// Removes the session.
    pub(super) fn destruction(&self) -> Commit {
        let verifier = self.verifier;
        self.commit(Action::Destroy { verifier })
    }

    /// Removes the session on behalf of somebody who does not have its token.
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
        let before = self.load(&self.names_in(commit)).await;
        let found = self.send(commit).await;
        if found != expected {
            self.kit.broken(format_args!(
                "expected {expected:?}, found {found:?}; the commit was {commit:?}"
            ));
        }
        let after = self.load(&self.names_in(commit)).await;
        let what = |part| format!("the {part} after a commit that was refused");
        self.kit.equal(
            what("header"),
            after.as_ref().map(|loaded| loaded.header.clone()),
            before.as_ref().map(|loaded| loaded.header.clone()),
        );
        self.kit.equal(
            what("fields"),
            after.map(|loaded| values(&loaded)),
            before.map(|loaded| values(&loaded)),
        );
    }

    fn names_in<'a>(&self, commit: &'a Commit) -> Vec<&'a str> {
        commit
            .changes
            .iter()
            .map(|change| &**change.name())
            .collect()
    }

    /// Loads fields with their deadlines.
    pub(super) async fn load(&self, names: &[&str]) -> Option<Loaded> {
        let selected: Vec<_> = names.iter().map(|name| select(name)).collect();
        self.load_selected(&selected).await
    }

    pub(super) async fn load_selected(&self, selected: &[Selected<'_>]) -> Option<Loaded> {
        let selection = Selection::fields(selected);
        let loaded = match self.kit.store.load(&self.id, &selection).await {
            Ok(loaded) => loaded,
            Err(error) => self.kit.broken(format_args!(
                "the store failed instead of answering a load: {error:?}"
            )),
        };
        if let Some(loaded) = &loaded {
            let what = "the number of fields that a load answers";
            self.kit.equal(what, loaded.fields.len(), selected.len());
        }
        loaded
    }

    /// Loads a session that must exist.
    pub(super) async fn expect(&self, names: &[&str]) -> Loaded {
        match self.load(names).await {
            Some(loaded) => loaded,
            None => self.kit.broken("expected a session, found none"),
        }
    }

    /// One field of a session that must exist.
    pub(super) async fn field(&self, name: &str) -> Option<StoredField> {
        self.expect(&[name]).await.fields.remove(0)
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

pub(super) fn text(value: impl AsRef<[u8]>) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(value.as_ref()))
}

/// A field and its deadline.
pub(super) fn select(name: &str) -> Selected<'_> {
    Selected::with_deadline(name)
}

pub(super) fn set(name: &str, value: impl AsRef<[u8]>) -> Change {
    set_until(name, value, None)
}

pub(super) fn set_for(name: &str, value: impl AsRef<[u8]>, ttl: FieldTtl) -> Change {
    set_until(name, value, Some(ttl))
}

fn set_until(name: &str, value: impl AsRef<[u8]>, ttl: Option<FieldTtl>) -> Change {
    Change::Set {
        name: name.to_owned().into(),
        value: Bytes::copy_from_slice(value.as_ref()),
        ttl,
        only_if_absent: false,
    }
}

pub(super) fn set_first(name: &str, value: impl AsRef<[u8]>, ttl: Option<FieldTtl>) -> Change {
    Change::Set {
        name: name.to_owned().into(),
        value: Bytes::copy_from_slice(value.as_ref()),
        ttl,
        only_if_absent: true,
    }
}

pub(super) fn remove(name: &str) -> Change {
    Change::Remove {
        name: name.to_owned().into(),
    }
}

pub(super) fn take(name: &str) -> Change {
    Change::Take {
        name: name.to_owned().into(),
    }
}

pub(super) fn renew(name: &str, ttl: Duration) -> Change {
    Change::Renew {
        name: name.to_owned().into(),
        ttl,
        restore: None,
    }
}

/// Adds to an integer that is 0 where it is absent and may be any.
pub(super) fn add(name: &str, operand: i64) -> Change {
    merge(
        name,
        MergeOperation::Add,
        operand,
        0,
        range(i64::MIN..=i64::MAX),
        None,
    )
}

/// Adds, with a time to live.
pub(super) fn add_for(name: &str, operand: i64, ttl: FieldTtl) -> Change {
    let any = range(i64::MIN..=i64::MAX);
    merge(name, MergeOperation::Add, operand, 0, any, Some(ttl))
}

pub(super) fn merge(
    name: &str,
    operation: MergeOperation,
    operand: i64,
    initial: i64,
    range: IntegerRange,
    ttl: Option<FieldTtl>,
) -> Change {
    Change::Merge {
        name: name.to_owned().into(),
        operation,
        operand,
        initial,
        range,
        ttl,
    }
}

pub(super) fn range(allowed: RangeInclusive<i64>) -> IntegerRange {
    IntegerRange {
        min: *allowed.start(),
        max: *allowed.end(),
        stop_at_min: false,
    }
}

pub(super) fn stopping_at_min(allowed: RangeInclusive<i64>) -> IntegerRange {
    IntegerRange {
        stop_at_min: true,
        ..range(allowed)
    }
}

pub(super) fn field_is(name: &str, value: Option<&str>) -> Condition {
    Condition::Field {
        name: name.to_owned().into(),
        value: value.and_then(text),
    }
}

pub(super) fn conflict_at(name: &str) -> Outcome {
    Outcome::Conflict {
        field: Some(name.to_owned().into()),
    }
}

pub(super) fn out_of_range(name: &str) -> Outcome {
    Outcome::OutOfRange {
        field: name.to_owned().into(),
    }
}
