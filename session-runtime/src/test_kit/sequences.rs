//! Random commits, compared with what `Commit::apply` makes of them.

use fastrand::Rng;

use super::changes::{
    bound, evict, field_is, merge, principal_is, range, remove, renew, restore, set, set_first,
    set_for, stopping_at_min, take,
};
use super::check::Contract;
use super::visitor::{Kit, Visitor, random_commit_id, timeouts};
use crate::clock::Timestamp;
use crate::store::{
    Change, Commit, Condition, FieldTtl, Header, ListChange, Loaded, MergeOperation, Outcome,
    PrincipalKey, PrincipalList, Record, Selection, Timeouts, Touched,
};

pub(super) const CONTRACT: Contract = Contract("the semantics of `Commit::apply`");

const SEQUENCES: usize = 20;
const COMMITS: usize = 40;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const PREFIX: &str = "e/";
const ENTRIES: [&str; 4] = ["e/1", "e/2", "e/3", "e/%2F"];
const VALUES: [&str; 8] = [
    "",
    "0",
    "-7",
    "41",
    "007",
    "text",
    "9223372036854775807",
    "-9223372036854775808",
];

pub(super) async fn random_commits_do_what_apply_does(kit: Kit) {
    let mut random = kit.random();
    for _ in 0..SEQUENCES {
        Sequence::new(&kit, &mut random).await.run().await;
    }
}

/// A session in the store, and the record that it must be equal to.
struct Sequence<'a> {
    kit: &'a Kit,
    random: &'a mut Rng,
    /// A session of its own, to ask the store for its time.
    clock: Visitor,
    /// Who holds or held a token of the session or shows a link; the last one is the newest.
    tokens: Vec<Visitor>,
    sent: Vec<Commit>,
    record: Option<Record>,
    /// Of principals that no other session has.
    lists: [PrincipalList; 2],
}

impl<'a> Sequence<'a> {
    async fn new(kit: &'a Kit, random: &'a mut Rng) -> Self {
        Self {
            kit,
            random,
            clock: kit.session([]).await,
            tokens: vec![kit.visitor()],
            sent: Vec::new(),
            record: None,
            lists: [(); 2].map(|()| {
                let unique = kit.visitor().id;
                PrincipalList::new(PrincipalKey::new("owner", unique.as_bytes()))
            }),
        }
    }

    async fn run(mut self) {
        for _ in 0..COMMITS {
            self.wait().await;
            let (commit, is_repeated) = self.next_commit();
            self.compare(&commit, is_repeated).await;
            self.sent.push(commit);
        }
    }

    /// Lets some time pass where that costs nothing.
    async fn wait(&mut self) {
        if self.kit.is_exact() {
            let time = self.random.u64(0..800);
            let time = std::time::Duration::from_millis(time);
            self.kit.pass_exactly(time).await;
        }
    }

    async fn compare(&mut self, commit: &Commit, is_repeated: bool) {
        let visitor = &self.tokens[0];
        let before = self.clock.load_live(&[]).await.now;
        let mut found = visitor.send(commit).await;
        let selected = NAMES.map(super::visitor::select);
        let selection = Selection::fields(&selected).with_prefixes(&[PREFIX]);
        let loaded = visitor.load_selection(&selection).await;
        // Where time passes by itself, the store says when the commit was applied.
        let now = match &loaded {
            Some(loaded) if !self.kit.is_exact() => before.max(loaded.header.seen),
            _ => before,
        };
        let mut expected = self.apply(commit, now);
        if is_repeated {
            // A store may remember more of what was taken than a record does.
            let takes = |change: &Change| matches!(change, Change::Take { .. });
            for outcome in [&mut found, &mut expected] {
                if let Outcome::Applied(applied) = outcome {
                    for (change, value) in commit.changes.iter().zip(&mut applied.values) {
                        if takes(change) {
                            *value = None;
                        }
                    }
                }
            }
        }
        if found != expected {
            let values = |outcome: &Outcome| match outcome {
                Outcome::Applied(applied) => format!("Applied {:?}", applied.values),
                refused => format!("{refused:?}"),
            };
            self.kit.broken(format_args!(
                "expected {}, found {}; the commit was {commit:?}",
                values(&expected),
                values(&found),
            ));
        }
        let record = self.record.as_ref();
        let expected = record.and_then(|record| record.load(&selection, now));
        self.compare_loads(commit, loaded, expected);
        self.compare_lists(commit).await;
    }

    fn apply(&mut self, commit: &Commit, now: Timestamp) -> Outcome {
        self.forget_lists_of_ended(commit, now);
        let named = commit.principals();
        let is_named = |list: &&PrincipalList| named.contains(&list.principal);
        let lists = self.lists.iter().filter(is_named).cloned().collect();
        let mut touched = Touched::new(self.record.take(), lists);
        let outcome = commit.apply(&mut touched, now);
        for list in &mut self.lists {
            let principal = list.principal;
            let mut changed = touched.lists.iter();
            if let Some(changed) = changed.find(|changed| changed.principal == principal) {
                list.clone_from(changed);
            }
        }
        self.record = touched.record;
        self.forget_lists_of_ended(commit, now);
        outcome
    }

    /// A store may keep the entries of a session that has ended, or may not.
    fn forget_lists_of_ended(&mut self, commit: &Commit, now: Timestamp) {
        let record = self.record.as_ref();
        if record.is_none_or(|record| record.is_expired(now)) {
            for list in &mut self.lists {
                list.remove(&commit.session);
            }
        }
    }

    async fn compare_lists(&self, commit: &Commit) {
        for list in &self.lists {
            if list.get(&commit.session).is_none() {
                continue;
            }
            let found = super::lists::entries(self.kit, &list.principal).await;
            let found: Vec<_> = found.iter().map(|entry| entry.arriving).collect();
            let what = format_args!("whether each entry of a list arrives, after {commit:?}");
            self.kit.equal(what, found, vec![false]);
        }
    }

    fn compare_loads(&self, commit: &Commit, found: Option<Loaded>, expected: Option<Loaded>) {
        let (found, expected) = match (found, expected) {
            (Some(found), Some(expected)) => (found, expected),
            (found, expected) => {
                let what = format_args!("whether the session exists after {commit:?}");
                return self.kit.equal(what, found.is_some(), expected.is_some());
            }
        };
        let what = format_args!("the header after {commit:?}");
        let in_order = |mut header: Header| {
            header
                .principals
                .sort_by(|one, other| one.field.cmp(&other.field));
            header
        };
        self.kit
            .equal(what, in_order(found.header), in_order(expected.header));
        let what = format_args!("the fields with a prefix after {commit:?}");
        self.kit.equal(what, found.prefixed, expected.prefixed);
        for (name, (found, expected)) in NAMES
            .iter()
            .zip(found.fields.into_iter().zip(expected.fields))
        {
            let what = format!("the value of `{name}` after {commit:?}");
            let value = |field: &crate::store::StoredField| field.value.clone();
            let (found_value, expected_value) =
                (found.as_ref().map(value), expected.as_ref().map(value));
            self.kit.equal(what, found_value, expected_value);

            let what = format!("the deadline of `{name}` after {commit:?}");
            let deadline = |field: crate::store::StoredField| field.deadline;
            match (found.and_then(deadline), expected.and_then(deadline)) {
                (Some(found), Some(expected)) => self.kit.same_moment(what, found, expected),
                (found, expected) => self.kit.equal(what, found, expected),
            }
        }
    }

    /// A commit, and whether it was sent before.
    fn next_commit(&mut self) -> (Commit, bool) {
        if self.record.is_none() || self.one_in(20) {
            return (self.creation(), false);
        }
        let repeated = self.sent.len().checked_sub(self.random.usize(1..=6));
        if let Some(repeated) = repeated.filter(|_| self.random.u8(..) < 25) {
            let commit = self.sent[repeated].clone();
            // Whether a touch is remembered is the store's choice.
            if !commit.is_touch() {
                return (commit, true);
            }
        }
        (self.change(), false)
    }

    fn creation(&mut self) -> Commit {
        let visitor = self.newest();
        let (mut commit, linked) = visitor.linked_creation(self.duration());
        if self.random.bool() {
            self.tokens.insert(0, linked);
        } else {
            commit.action = visitor.creation([]).action;
        }
        commit.changes = self.changes();
        commit.timeouts = Some(self.timeouts());
        commit
    }

    fn change(&mut self) -> Commit {
        let visitor = if self.one_in(6) {
            self.random.choice(&self.tokens).cloned()
        } else {
            None
        };
        let visitor = visitor.unwrap_or_else(|| self.newest());
        if self.one_in(25) {
            return visitor.destruction();
        }
        if self.one_in(25) {
            let mut revocation = visitor.revocation();
            if self.random.bool() {
                revocation.conditions.push(self.condition());
            }
            return revocation;
        }
        let mut commit = visitor.update(self.changes());
        if self.one_in(8) {
            let grace = self.random.bool().then(|| self.duration());
            let (rotation, successor) = match self.random.bool() {
                true => visitor.rotation(grace),
                false => visitor.rotation_from_previous(grace),
            };
            commit.action = rotation.action;
            self.tokens.push(successor);
        }
        commit.end_grace = self.one_in(8);
        commit.close_link = self.one_in(16);
        if self.one_in(4) {
            commit.lists.push(self.list_change());
        }
        if self.one_in(8) {
            commit.timeouts = Some(self.timeouts());
        }
        if self.one_in(8) {
            commit.persistent = Some(self.random.bool());
        }
        if self.one_in(8) {
            commit.label = Some(format!("label {}", self.random.u8(..)).into());
        }
        if self.one_in(5) {
            commit.conditions.push(self.condition());
        }
        commit
    }

    fn list_change(&mut self) -> ListChange {
        let principal = self.lists[self.random.usize(0..2)].principal;
        let field = ["owner", "clerk"][self.random.usize(0..2)].into();
        if self.one_in(3) {
            return ListChange::Remove { field, principal };
        }
        ListChange::Add {
            field,
            principal,
            keep: None,
            limit: self.one_in(4).then(|| self.random.u32(0..2)),
        }
    }

    /// The visitor with the token that the session has now.
    fn newest(&self) -> Visitor {
        let holds = |visitor: &&Visitor| {
            let record = self.record.as_ref();
            record.is_some_and(|record| record.header.verifier == visitor.verifier)
        };
        let holder = self.tokens.iter().find(holds);
        holder.unwrap_or(&self.tokens[0]).clone()
    }

    fn condition(&mut self) -> Condition {
        match self.random.u8(0..5) {
            4 => principal_is("owner", self.lists[self.random.usize(0..2)].principal),
            0 => Condition::LastCommit(Some(random_commit_id())),
            1 => {
                let record = self.record.as_ref();
                Condition::LastCommit(record.and_then(|record| record.header.last_commit))
            }
            2 => field_is(self.name(), None),
            _ => field_is(self.name(), Some(self.value())),
        }
    }

    fn changes(&mut self) -> Vec<Change> {
        let count = self.random.usize(0..5);
        (0..count).map(|_| self.one_change()).collect()
    }

    fn one_change(&mut self) -> Change {
        let name = self.name();
        match self.random.u8(0..12) {
            10 => bound(PREFIX, self.random.usize(0..4)),
            11 => evict(PREFIX, self.random.usize(0..4)),
            0 => set(name, self.value()),
            1 => set_first(name, self.value(), self.ttl()),
            2 | 3 => match self.ttl() {
                Some(ttl) => set_for(name, self.value(), ttl),
                None => set(name, self.value()),
            },
            4 => remove(name),
            5 => take(name),
            6 if self.random.bool() => renew(name, self.duration()),
            6 => {
                let record = self.record.as_ref().filter(|_| self.random.u8(0..4) > 0);
                let last = record.and_then(|record| record.header.last_commit);
                restore(name, self.duration(), self.value(), last)
            }
            _ => self.merge(name),
        }
    }

    fn merge(&mut self, name: &str) -> Change {
        let operation = [
            MergeOperation::Add,
            MergeOperation::Max,
            MergeOperation::Min,
        ][self.random.usize(0..3)];
        let operand = match self.random.u8(0..4) {
            0 => self.random.i64(..),
            _ => self.random.i64(-20..20),
        };
        let allowed = match self.random.u8(0..6) {
            0 => range(-10..=50),
            1 => stopping_at_min(0..=i64::MAX),
            2 => stopping_at_min(0..=255),
            _ => range(i64::MIN..=i64::MAX),
        };
        let initial = self.random.i64(-5..5);
        merge(name, operation, operand, initial, allowed, self.ttl())
    }

    fn name(&mut self) -> &'static str {
        let names = if self.one_in(3) { ENTRIES } else { NAMES };
        names[self.random.usize(0..names.len())]
    }

    fn value(&mut self) -> &'static str {
        VALUES[self.random.usize(0..VALUES.len())]
    }

    fn ttl(&mut self) -> Option<FieldTtl> {
        match self.random.u8(0..3) {
            0 => None,
            1 => Some(FieldTtl::restarting(self.duration())),
            _ => Some(FieldTtl::fixed(self.duration())),
        }
    }

    fn timeouts(&mut self) -> Timeouts {
        timeouts(
            self.random.bool().then(|| self.duration()),
            self.random.bool().then(|| self.duration() * 4),
        )
    }

    /// Short where time stands still, so that much ends on the way; else longer than the check.
    fn duration(&mut self) -> std::time::Duration {
        if self.kit.is_exact() {
            std::time::Duration::from_millis(self.random.u64(1..4_000))
        } else {
            self.kit.units(self.random.u32(1_000..5_000))
        }
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.random.u32(0..times) == 0
    }
}
