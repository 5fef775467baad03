//! Random commits on real servers, compared after each with what `Commit::apply` makes of a record
//! and of lists: the outcome, the header, every field with its deadline, and the lists.
//!
//! The servers' clocks decide, so a session's `seen` says which moment `Commit::apply` must judge by;
//! all other times then follow to the millisecond. Times to live are hours or nothing at all.
//!
//! `SESSION_FUZZ_INPUTS` says how many commits, `SESSION_FUZZ_SEED` which.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use session_runtime::store::{
    Action, Change, Commit, Condition, FieldTtl, IntegerRange, Link, ListChange, ListEntry, Loaded,
    MergeOperation, Outcome, PrincipalKey, PrincipalList, Record, Restore, Rotation, Selected,
    Selection, Touched,
};
use session_runtime::store::{CommitId, Timestamp, Verifier};
use session_runtime::{RedisStore, SessionId, SessionStore, Timeouts};
use tests::fuzz;
use tests::servers::{Options, Server, available};

const HOUR: Duration = Duration::from_secs(3600);
const NAMES: [&str; 6] = ["a.n", "a.m", "e.f/1", "e.f/2", "e.f/Z", "e.f/z"];
const PREFIXES: [&str; 3] = ["e.f/", "e.f/z", "a."];
const VALUES: [&str; 8] = [
    "",
    "0",
    "-7",
    "41",
    "@",
    "@1 x",
    "9223372036854775807",
    "\u{fc} text",
];
const FIELDS: [&str; 2] = ["a.owner", "b.the owner%"];

#[tokio::test]
async fn commits_do_what_apply_does() {
    let mut random = fuzz::random();
    for generation in available() {
        for &tier in generation.tiers() {
            let server = Server::start(generation, &Options::default());
            let builder = RedisStore::builder().url(server.url()).tier(tier);
            let builder = builder.command_deadline(Duration::from_secs(10));
            let mut world = World::new(builder.connect().await.unwrap(), random.fork());
            let mut applied = 0;
            for _ in 0..fuzz::inputs(600) {
                applied += usize::from(world.step().await);
            }
            println!("{} {tier}: {applied} commits applied", generation.name());
            assert!(applied > 0);
        }
    }
}

/// Three sessions that share the lists of their principals.
struct World {
    store: RedisStore,
    random: Rng,
    sessions: Vec<One>,
    lists: Vec<PrincipalList>,
    now: Timestamp,
}

/// One session: what it must be, and what was sent to it.
struct One {
    id: SessionId,
    record: Option<Record>,
    /// The verifiers that open it or did.
    verifiers: Vec<Verifier>,
    sent: Vec<Commit>,
}

impl World {
    fn new(store: RedisStore, random: Rng) -> Self {
        let sessions = (0..3).map(|_| One {
            id: SessionId::generate().unwrap(),
            record: None,
            verifiers: vec![Verifier::from_bytes([0; 16])],
            sent: Vec::new(),
        });
        let principals = (0..3_u8).map(|number| PrincipalKey::new("owner", &[number]));
        Self {
            store,
            random,
            sessions: sessions.collect(),
            lists: principals.map(PrincipalList::new).collect(),
            now: Timestamp::from_millis(0),
        }
    }

    /// Sends one commit and compares; answers whether it was applied.
    async fn step(&mut self) -> bool {
        let place = self.random.usize(0..self.sessions.len());
        let commit = self.commit(place);
        let found = self.store.commit(&commit).await.unwrap();
        let names = NAMES.map(Selected::with_deadline);
        let selection = Selection::fields(&names).with_prefixes(&PREFIXES);
        let session = commit.session;
        let loaded = self.store.load(&session, &selection).await.unwrap();
        if let Some(loaded) = &loaded {
            // The moment of the commit, if it was applied.
            self.now = self.now.max(loaded.header.seen);
        }

        let one = &mut self.sessions[place];
        let mut touched = Touched::new(one.record.take(), std::mem::take(&mut self.lists));
        let expected = commit.apply(&mut touched, self.now);
        one.record = touched.record;
        self.lists = touched.lists;
        let show = |outcome: &Outcome| match outcome {
            Outcome::Applied(applied) => format!("applied {:?}", applied.values),
            other => format!("{other:?}"),
        };
        assert_eq!(show(&found), show(&expected), "{commit:#?}");
        let record = one.record.as_ref();
        let expected_load = record.and_then(|record| record.load(&selection, self.now));
        compare(&commit, loaded, expected_load);

        // The usual way to load, too.
        let names = NAMES.map(Selected::value);
        let selection = Selection::fields(&names);
        let expected_load = record.and_then(|record| record.load(&selection, self.now));
        let loaded = self.store.load(&session, &selection).await.unwrap();
        compare(&commit, loaded, expected_load);
        for list in &self.lists {
            let by_session = |mut entries: Vec<ListEntry>| {
                entries.sort_by_key(|entry| entry.session);
                entries
            };
            let found = self.store.list(&list.principal).await.unwrap();
            let expected = list.listing(self.now);
            let (found, expected) = (by_session(found.entries), by_session(expected.entries));
            assert_eq!(found, expected, "{commit:#?}");
        }
        let is_applied = matches!(expected, Outcome::Applied(_));
        self.sessions[place].sent.push(commit);
        is_applied
    }

    fn commit(&mut self, place: usize) -> Commit {
        let one_in = |random: &mut Rng, many: u32| random.u32(0..many) == 0;
        let one = &self.sessions[place];
        let sent = one.sent.len();
        if sent > 0 && one_in(&mut self.random, 8) {
            // Arrives again.
            let back = self.random.usize(1..=sent.min(11));
            return one.sent[sent - back].clone();
        }
        let id = CommitId::generate().unwrap();
        let exists = one.record.is_some();
        let action = self.action(place);
        let mut commit = Commit::new(self.sessions[place].id, id, action);
        let is_creation = matches!(commit.action, Action::Create { .. });
        let random = &mut self.random;
        if is_creation || one_in(random, 6) {
            commit.timeouts = Timeouts::new(limit(random), limit(random)).ok();
        }
        if is_creation && commit.timeouts.is_none() {
            commit.timeouts = Timeouts::new(None, limit(random)).ok();
        }
        if one_in(random, 6) {
            commit.persistent = Some(random.bool());
        }
        if one_in(random, 12) {
            commit.label = Some(["", "@1 label", "Firefox"][random.usize(0..3)].into());
        }
        commit.end_grace = one_in(random, 6);
        commit.close_link = one_in(random, 8);
        for _ in 0..[0, 0, 1, 2][random.usize(0..4)] {
            let condition = self.condition(place);
            commit.conditions.push(condition);
        }
        let random = &mut self.random;
        if one_in(random, 4) {
            for field in FIELDS {
                let principal = self.lists[random.usize(0..3)].principal;
                match random.u8(0..3) {
                    0 => commit.lists.push(ListChange::Add {
                        field: field.into(),
                        principal,
                        keep: [None, Some(HOUR), Some(9 * HOUR)][random.usize(0..3)],
                        limit: [None, Some(1), Some(2)][random.usize(0..3)],
                    }),
                    1 => commit.lists.push(ListChange::Remove {
                        field: field.into(),
                        principal,
                    }),
                    _ => {}
                }
            }
        }
        if matches!(commit.action, Action::Destroy { .. } | Action::Revoke) {
            // No session is left to say when an entry was added.
            let removes = |list: &ListChange| matches!(list, ListChange::Remove { .. });
            commit.lists.retain(removes);
        }
        let only_sets = one_in(random, 3);
        for _ in 0..random.usize(0..=4) {
            let change = self.change(place, only_sets);
            commit.changes.push(change);
        }
        // The short way must be taken often.
        if exists && only_sets && matches!(commit.action, Action::Update { .. }) {
            commit.timeouts = None;
            commit.persistent = None;
            commit.label = None;
            commit.end_grace = false;
            commit.close_link = false;
            commit.lists.clear();
            commit.conditions.clear();
        }
        commit
    }

    fn action(&mut self, place: usize) -> Action {
        let random = &mut self.random;
        let one = &mut self.sessions[place];
        let fresh = Verifier::from_bytes(*SessionId::generate().unwrap().as_bytes());
        if one.record.is_none() || random.u8(0..30) == 0 {
            one.verifiers.push(fresh);
            let keep = [Duration::ZERO, HOUR][random.usize(0..2)];
            let verifier = Verifier::from_bytes(*SessionId::generate().unwrap().as_bytes());
            let link = random.bool().then(|| Link::new(verifier, keep));
            if one.record.is_none() {
                one.verifiers.push(verifier);
            }
            return Action::Create {
                verifier: fresh,
                link,
            };
        }
        let current = one.record.as_ref().unwrap().header.verifier;
        let known = one.verifiers[random.usize(0..one.verifiers.len())];
        let verifier = if random.u8(0..4) == 0 { known } else { current };
        match random.u8(0..40) {
            0 => Action::Destroy { verifier },
            1 => Action::Revoke,
            2..10 => {
                let graces = [None, Some(Duration::ZERO), Some(HOUR), Some(2 * HOUR)];
                let mut rotation = Rotation::new(fresh, graces[random.usize(0..4)]);
                rotation.from_previous = random.bool();
                one.verifiers.push(fresh);
                let rotation = Some(rotation);
                Action::Update { verifier, rotation }
            }
            _ => Action::Update {
                verifier,
                rotation: None,
            },
        }
    }

    fn condition(&mut self, place: usize) -> Condition {
        let random = &mut self.random;
        let record = self.sessions[place].record.as_ref();
        let holds = random.u8(0..4) > 0;
        match random.u8(0..3) {
            0 => {
                let name = NAMES[random.usize(0..NAMES.len())];
                let field = record.and_then(|record| record.fields.get(name));
                let value = field.map(|field| field.value.clone());
                let value = if holds { value } else { Some("other".into()) };
                Condition::Field {
                    name: name.into(),
                    value,
                }
            }
            1 => {
                let last = record.and_then(|record| record.header.last_commit);
                Condition::LastCommit(if holds { last } else { None })
            }
            _ => {
                let listed = record.and_then(|record| record.header.principals.first());
                let field = listed.map_or(FIELDS[0].into(), |listed| listed.field.clone());
                let key = listed.map(|listed| listed.key).filter(|_| holds);
                Condition::Principal {
                    field,
                    principal: key.unwrap_or(PrincipalKey::new("nobody", b"")),
                }
            }
        }
    }

    fn change(&mut self, place: usize, only_sets: bool) -> Change {
        let random = &mut self.random;
        let last_commit = self.sessions[place].record.as_ref();
        let last_commit = last_commit.and_then(|record| record.header.last_commit);
        let name = NAMES[random.usize(0..NAMES.len())];
        let value = Bytes::from_static(VALUES[random.usize(0..VALUES.len())].as_bytes());
        let ttl = ttl(random);
        let kind = if only_sets { 0 } else { random.u8(0..12) };
        match kind {
            0..3 => Change::Set {
                name: name.into(),
                value,
                ttl,
                only_if_absent: !only_sets && random.u8(0..4) == 0,
            },
            3 => Change::Remove { name: name.into() },
            4..6 => Change::Merge {
                name: name.into(),
                operation: [
                    MergeOperation::Add,
                    MergeOperation::Max,
                    MergeOperation::Min,
                ][random.usize(0..3)],
                operand: [0, 1, -1, i64::MAX, i64::MIN][random.usize(0..5)],
                initial: 3,
                range: IntegerRange {
                    min: [i64::MIN, 0][random.usize(0..2)],
                    max: [i64::MAX, 100][random.usize(0..2)],
                    stop_at_min: random.bool(),
                },
                ttl,
            },
            6..8 => Change::Renew {
                name: name.into(),
                ttl: [Duration::ZERO, HOUR, 3 * HOUR][random.usize(0..3)],
                restore: random.bool().then(|| {
                    let last = last_commit.filter(|_| random.u8(0..4) > 0);
                    Restore::new(value, last)
                }),
            },
            8..10 => Change::Take { name: name.into() },
            _ => Change::Bound {
                prefix: PREFIXES[random.usize(0..PREFIXES.len())].into(),
                max: random.usize(0..4),
                evict: random.u8(0..3) > 0,
            },
        }
    }
}

/// A timeout that no test is long enough for, also one that is no whole number of seconds.
fn limit(random: &mut Rng) -> Option<Duration> {
    match random.u8(0..5) {
        0 => None,
        1 => Some(HOUR),
        2 => Some(24 * HOUR),
        3 => Some(HOUR + Duration::from_millis(random.u64(1..1000))),
        _ => Some(Duration::from_secs(random.u64(3600..1_000_000))),
    }
}

fn ttl(random: &mut Rng) -> Option<FieldTtl> {
    let duration = [Duration::ZERO, HOUR, HOUR, 2 * HOUR, 3 * HOUR][random.usize(0..5)];
    match random.u8(0..4) {
        0 => Some(FieldTtl::fixed(duration)),
        1 | 2 => Some(FieldTtl::restarting(duration)),
        _ => None,
    }
}

fn compare(commit: &Commit, found: Option<Loaded>, expected: Option<Loaded>) {
    let (found, expected) = match (found, expected) {
        (Some(found), Some(expected)) => (found, expected),
        (found, expected) => {
            assert_eq!(found.is_some(), expected.is_some(), "{commit:#?}");
            return;
        }
    };
    assert_eq!(found.header, expected.header, "{commit:#?}");
    for ((name, found), expected) in NAMES.iter().zip(&found.fields).zip(&expected.fields) {
        assert_eq!(found, expected, "{name} after {commit:#?}");
    }
    let by_name = |loaded: Loaded| -> BTreeMap<_, _> { loaded.prefixed.into_iter().collect() };
    assert_eq!(by_name(found), by_name(expected), "{commit:#?}");
}
