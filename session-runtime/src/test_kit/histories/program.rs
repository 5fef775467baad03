//! Random programs: what several tasks do to a few sessions at the same time.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;

use super::model::changes_more_than_seen;
use crate::store::{
    Action, Change, Commit, Condition, FieldName, FieldTtl, IntegerRange, Link, ListChange,
    MergeOperation, PrincipalKey, Restore, Rotation, Timeouts,
};
use crate::test_kit::visitor::timeouts;
use crate::token::{CommitId, SessionId, Verifier};

/// The fields of every session that a load asks for by name.
pub(super) const NAMES: [&str; 3] = ["a", "b", "c"];

/// The prefix of the fields that a load selects by prefix.
pub(super) const PREFIX: &str = "e/";

const ENTRIES: [&str; 4] = ["e/1", "e/2", "e/3", "e/4"];

const VALUES: [&str; 6] = ["", "0", "-7", "41", "text", "9223372036854775807"];
const SESSIONS: u8 = 3;
const PRINCIPALS: u8 = 2;

/// A program of calls. Its sessions, tokens, commits and principals are numbers; a run gives
/// the sessions and principals names of their own.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// The commits that may be sent, by several tasks or several times.
    pub(super) commits: Vec<Commit>,
    /// The steps before the tasks start.
    pub(super) prologue: Vec<Step>,
    /// The steps of each task.
    pub(super) tasks: Vec<Vec<Step>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Sends a commit and waits for its answer.
    Send(usize),
    /// Begins to send a commit and drops the future.
    Abandon(usize),
    /// Loads all fields of a session.
    Load(SessionId),
    /// Asks who is listed under a principal.
    List(PrincipalKey),
    /// Lets time pass.
    Pass(Duration),
}

pub(super) fn sessions() -> impl Iterator<Item = SessionId> {
    (0..SESSIONS).map(session)
}

pub(super) fn principals() -> impl Iterator<Item = PrincipalKey> {
    (0..PRINCIPALS).map(principal)
}

fn session(number: u8) -> SessionId {
    SessionId::from_bytes([number; 16])
}

fn principal(number: u8) -> PrincipalKey {
    PrincipalKey::new("number", &[number])
}

fn verifier(number: u8) -> Verifier {
    Verifier::from_bytes([number; 16])
}

fn commit_id(number: usize) -> CommitId {
    // Eight digits are eight characters of base64url.
    let text = format!("{number:08}");
    text.parse().expect("digits are base64url")
}

/// Makes programs up.
pub(super) struct Author<'a> {
    random: &'a mut Rng,
    /// The unit of all durations.
    unit: Duration,
    /// Whether time can be let pass.
    can_pass: bool,
    /// Whether lists are part of the program.
    has_lists: bool,
    commits: Vec<Commit>,
    /// The token that each session probably has, or had when it was last heard of.
    tokens: [u8; SESSIONS as usize],
    /// The link of each session's last creation, if it had one.
    links: [Option<u8>; SESSIONS as usize],
    /// The last commit of each session.
    last: [Option<CommitId>; SESSIONS as usize],
    next_token: u8,
}

impl<'a> Author<'a> {
    /// `unit` is so long that nothing ends by itself during a run, where time cannot be let pass.
    pub(super) fn new(
        random: &'a mut Rng,
        unit: Duration,
        can_pass: bool,
        has_lists: bool,
    ) -> Self {
        Self {
            random,
            unit,
            can_pass,
            has_lists,
            commits: Vec::new(),
            tokens: [0; SESSIONS as usize],
            links: [None; SESSIONS as usize],
            last: [None; SESSIONS as usize],
            next_token: 1,
        }
    }

    pub(super) fn write(mut self) -> Program {
        // Few sessions in most programs, so that the tasks meet.
        let sessions = 1 + self.random.u8(0..SESSIONS).min(self.random.u8(0..SESSIONS));
        let mut prologue = Vec::new();
        for number in 0..sessions {
            if !self.one_in(8) {
                let creation = self.creation(number);
                prologue.push(self.send(creation));
            }
        }
        let tasks = self.random.usize(2..=4);
        let steps = self.random.usize(2..=6);
        let mut written = vec![Vec::new(); tasks];
        for _ in 0..steps {
            for (task, steps) in written.iter_mut().enumerate() {
                let step = self.step(sessions, task);
                steps.push(step);
            }
        }
        Program {
            commits: self.commits,
            prologue,
            tasks: written,
        }
    }

    fn step(&mut self, sessions: u8, task: usize) -> Step {
        let number = self.random.u8(0..sessions);
        match self.random.u8(0..100) {
            0..20 => Step::Load(session(number)),
            20..25 if self.has_lists => Step::List(principal(self.random.u8(0..PRINCIPALS))),
            // Only one task, because a test's clock need not be moved by two at once.
            25..35 if self.can_pass && task == 0 => Step::Pass(self.duration() / 2),
            35..45 if self.repeatable().next().is_some() => {
                let repeatable: Vec<_> = self.repeatable().collect();
                Step::Send(repeatable[self.random.usize(0..repeatable.len())])
            }
            45..49 => {
                let commit = self.commit(number);
                self.commits.push(commit);
                Step::Abandon(self.commits.len() - 1)
            }
            _ => {
                let commit = self.commit(number);
                self.send(commit)
            }
        }
    }

    /// The last few commits that a store has to remember. Whether it remembers others is its
    /// choice, so they are sent once.
    fn repeatable(&self) -> impl Iterator<Item = usize> {
        let last = self.commits.iter().enumerate().rev().take(6);
        last.filter(|(_, commit)| changes_more_than_seen(commit))
            .map(|(index, _)| index)
    }

    fn send(&mut self, commit: Commit) -> Step {
        self.commits.push(commit);
        Step::Send(self.commits.len() - 1)
    }

    fn creation(&mut self, number: u8) -> Commit {
        let verifier = verifier(self.new_token(number));
        let link = self.one_in(3).then(|| {
            let token = self.next_token;
            self.next_token += 1;
            self.links[usize::from(number)] = Some(token);
            Link::new(self::verifier(token), self.duration())
        });
        let mut commit = self.bare(number, Action::Create { verifier, link });
        commit.timeouts = Some(self.timeouts());
        commit.changes = self.changes(number);
        self.last[usize::from(number)] = Some(commit.id);
        commit
    }

    fn commit(&mut self, number: u8) -> Commit {
        let token = match self.random.u8(0..8) {
            0 => self.random.u8(0..self.next_token),
            1 => self.links[usize::from(number)].unwrap_or(self.tokens[usize::from(number)]),
            _ => self.tokens[usize::from(number)],
        };
        let verifier = verifier(token);
        let mut commit = match self.random.u8(0..30) {
            0 => self.creation(number),
            1 => self.bare(number, Action::Destroy { verifier }),
            2 => self.bare(number, Action::Revoke),
            3..7 => {
                let successor = self::verifier(self.new_token(number));
                let grace = self.random.bool().then(|| self.duration());
                let mut rotation = Rotation::new(successor, grace);
                rotation.from_previous = self.one_in(3);
                let rotation = Some(rotation);
                self.bare(number, Action::Update { verifier, rotation })
            }
            _ => {
                let rotation = None;
                self.bare(number, Action::Update { verifier, rotation })
            }
        };
        if commit.changes.is_empty() {
            commit.changes = self.changes(number);
        }
        if self.one_in(10) {
            commit.timeouts = Some(self.timeouts());
        }
        if self.one_in(10) {
            commit.persistent = Some(self.random.bool());
        }
        if self.one_in(10) {
            commit.label = Some(format!("label {}", self.commits.len()).into());
        }
        commit.end_grace = self.one_in(20);
        commit.close_link = self.one_in(20);
        if self.has_lists && self.one_in(6) {
            commit.lists.push(self.list_change());
        }
        if self.one_in(4) {
            commit.conditions.push(self.condition());
        }
        if changes_more_than_seen(&commit) {
            self.last[usize::from(number)] = Some(commit.id);
        }
        commit
    }

    fn bare(&self, number: u8, action: Action) -> Commit {
        Commit::new(session(number), commit_id(self.commits.len()), action)
    }

    fn new_token(&mut self, number: u8) -> u8 {
        let token = self.next_token;
        self.next_token += 1;
        self.tokens[usize::from(number)] = token;
        token
    }

    fn list_change(&mut self) -> ListChange {
        let principal = principal(self.random.u8(0..PRINCIPALS));
        let field = self.name().into();
        if self.one_in(3) {
            return ListChange::Remove { field, principal };
        }
        ListChange::Add {
            field,
            principal,
            keep: None,
            limit: self.random.bool().then(|| self.random.u32(1..=2)),
        }
    }

    fn condition(&mut self) -> Condition {
        let name = self.name().into();
        match self.random.u8(0..5) {
            0 => Condition::Field { name, value: None },
            4 if self.has_lists => Condition::Principal {
                field: name,
                principal: principal(self.random.u8(0..PRINCIPALS)),
            },
            1 | 2 => Condition::Field {
                name,
                value: Some(self.value()),
            },
            _ => {
                let commits = self.commits.len().max(1);
                Condition::LastCommit(Some(commit_id(self.random.usize(0..commits))))
            }
        }
    }

    fn changes(&mut self, number: u8) -> Vec<Change> {
        let count = self.random.usize(0..=3);
        (0..count).map(|_| self.change(number)).collect()
    }

    fn change(&mut self, number: u8) -> Change {
        if self.one_in(8) {
            return Change::Bound {
                prefix: PREFIX.into(),
                max: self.random.usize(0..=3),
                evict: self.random.bool(),
            };
        }
        let is_entry = self.one_in(3);
        let name = match is_entry {
            true => ENTRIES[self.random.usize(0..ENTRIES.len())].into(),
            false => self.name().into(),
        };
        // Where moments are not compared, it is not known which of two fields ends first.
        let is_timeless = is_entry && !self.can_pass;
        match self.random.u8(0..12) {
            0..3 => Change::Set {
                name,
                value: self.value(),
                ttl: self.ttl().filter(|_| !is_timeless),
                only_if_absent: self.one_in(3),
            },
            3 => Change::Remove { name },
            4 | 5 => Change::Take { name },
            6 | 7 if !is_timeless => Change::Renew {
                name,
                ttl: self.duration(),
                restore: self.one_in(2).then(|| self.restore(number)),
            },
            _ => self.merge(name, is_timeless),
        }
    }

    /// Mostly at the commit that was the session's last before this one.
    fn restore(&mut self, number: u8) -> Restore {
        let last = match self.random.u8(0..4) {
            0 => self.last.iter().copied().flatten().next(),
            _ => self.last[usize::from(number)],
        };
        Restore::new(self.value(), last)
    }

    fn merge(&mut self, name: FieldName, is_timeless: bool) -> Change {
        let operations = [
            MergeOperation::Add,
            MergeOperation::Max,
            MergeOperation::Min,
        ];
        let (min, max, stop_at_min) = match self.random.u8(0..5) {
            0 => (-10, 50, false),
            1 => (0, 255, true),
            _ => (i64::MIN, i64::MAX, false),
        };
        Change::Merge {
            name,
            operation: operations[self.random.usize(0..3)],
            operand: self.random.i64(-20..=20),
            initial: self.random.i64(0..3),
            range: IntegerRange {
                min,
                max,
                stop_at_min,
            },
            ttl: self.ttl().filter(|_| !is_timeless),
        }
    }

    fn name(&mut self) -> &'static str {
        NAMES[self.random.usize(0..NAMES.len())]
    }

    fn value(&mut self) -> Bytes {
        Bytes::from_static(VALUES[self.random.usize(0..VALUES.len())].as_bytes())
    }

    fn ttl(&mut self) -> Option<FieldTtl> {
        match self.random.u8(0..4) {
            0 | 1 => None,
            2 => Some(FieldTtl::restarting(self.duration())),
            _ => Some(FieldTtl::fixed(self.duration())),
        }
    }

    fn timeouts(&mut self) -> Timeouts {
        let idle = self.one_in(3).then(|| self.some_time() * 2);
        let lifetime = self.one_in(3).then(|| self.some_time() * 3);
        timeouts(idle, lifetime)
    }

    /// Rarely one that is over at once.
    fn duration(&mut self) -> Duration {
        if self.one_in(16) {
            return Duration::ZERO;
        }
        self.some_time()
    }

    fn some_time(&mut self) -> Duration {
        self.unit * self.random.u32(1..=4)
    }

    fn one_in(&mut self, times: u32) -> bool {
        self.random.u32(0..times) == 0
    }
}
