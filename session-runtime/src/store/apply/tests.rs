use super::*;
use crate::store::{Rotation, Selected, Selection, Timeouts};
use crate::token::{CommitId, SessionId, Verifier};

const START: Timestamp = Timestamp::from_millis(1_000);

fn after(seconds: u64) -> Timestamp {
    START + Duration::from_secs(seconds)
}

fn commit(action: Action, changes: Vec<Change>) -> Commit {
    let session = SessionId::generate().unwrap();
    let mut commit = Commit::new(session, CommitId::generate().unwrap(), action);
    commit.changes = changes;
    commit
}

/// Applies a commit that touches no list.
fn apply(record: &mut Option<Record>, commit: &Commit, now: Timestamp) -> Outcome {
    let mut touched = Touched::new(record.take(), Vec::new());
    let outcome = commit.apply(&mut touched, now);
    *record = touched.record;
    outcome
}

fn verifier() -> Verifier {
    Verifier::from_bytes([1; 16])
}

fn update(changes: Vec<Change>) -> Commit {
    let action = Action::Update {
        verifier: verifier(),
        rotation: None,
    };
    commit(action, changes)
}

fn set(name: &'static str, value: &'static str, ttl: Option<u64>) -> Change {
    Change::Set {
        name: name.into(),
        value: value.into(),
        ttl: ttl.map(|seconds| FieldTtl::restarting(Duration::from_secs(seconds))),
        only_if_absent: false,
    }
}

fn take(name: &'static str) -> Change {
    Change::Take { name: name.into() }
}

/// A session of an hour.
fn created(changes: Vec<Change>) -> Option<Record> {
    let verifier = verifier();
    let mut creation = commit(
        Action::Create {
            verifier,
            link: None,
        },
        changes,
    );
    creation.timeouts = Some(Timeouts::new(Duration::from_secs(3_600), None).unwrap());
    let mut record = None;
    let outcome = apply(&mut record, &creation, START);
    assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
    record
}

fn values(outcome: Outcome) -> Vec<Option<Bytes>> {
    match outcome {
        Outcome::Applied(applied) => applied.values,
        refused => panic!("{refused:?}"),
    }
}

#[test]
fn a_grace_ends_at_the_millisecond() {
    let mut record = created(vec![]);
    let mut rotation = update(vec![]);
    rotation.action = Action::Update {
        verifier: verifier(),
        rotation: Some(Rotation::new(
            Verifier::from_bytes([2; 16]),
            Some(Duration::from_secs(10)),
        )),
    };
    apply(&mut record, &rotation, START);
    let last = Timestamp::from_millis(after(10).as_millis() - 1);
    let within = apply(&mut record, &update(vec![]), last);
    assert!(matches!(within, Outcome::Applied(_)), "{within:?}");
    let late = apply(&mut record, &update(vec![]), after(10));
    assert_eq!(late, Outcome::Gone);
}

#[test]
fn a_commit_purges_ended_fields() {
    let mut record = created(vec![set("a", "1", Some(10)), set("b", "2", None)]);
    apply(&mut record, &update(vec![]), after(9));
    assert_eq!(record.as_ref().unwrap().fields.len(), 2);
    apply(&mut record, &update(vec![]), after(10));
    let names: Vec<_> = record.as_ref().unwrap().fields.keys().collect();
    assert_eq!(names, ["b"]);
}

#[test]
fn reclaiming_says_whether_anything_went() {
    let mut record = created(vec![set("a", "1", Some(100)), set("b", "2", Some(10))]);
    apply(&mut record, &update(vec![take("a")]), START);
    let mut record = record.unwrap();
    assert!(!record.reclaim(after(9)));
    assert!(record.reclaim(after(10)), "a field");
    assert!(!record.reclaim(after(29)));
    assert!(record.reclaim(after(30)), "a taken value");
    assert!(!record.reclaim(after(31)));
}

#[test]
fn a_taken_value_is_forgotten_after_half_a_minute() {
    let mut record = created(vec![set("a", "1", None)]);
    let taking = update(vec![take("a")]);
    for seconds in [0, 29] {
        let answered = values(apply(&mut record, &taking, after(seconds)));
        assert_eq!(answered, [Some(Bytes::from("1"))]);
    }
    apply(&mut record, &update(vec![]), after(30));
    assert!(record.as_ref().unwrap().taken.is_empty());
    let answered = values(apply(&mut record, &taking, after(31)));
    assert_eq!(answered, [None]);
}

#[test]
fn no_more_commits_are_remembered_than_needed() {
    let mut record = created(vec![]);
    let commits: Vec<_> = (0..20).map(|_| update(vec![take("a")])).collect();
    for commit in &commits {
        apply(&mut record, commit, START);
    }
    let last: Vec<_> = commits[12..].iter().map(|commit| commit.id).collect();
    assert_eq!(record.unwrap().recent, last);
}

#[test]
fn an_ended_record_is_dropped_by_a_refused_commit() {
    let mut record = created(vec![]);
    let outcome = apply(&mut record, &update(vec![]), after(3_600));
    assert_eq!(outcome, Outcome::Gone);
    assert!(record.is_none());
}

#[test]
fn a_clock_that_runs_backwards_ends_nothing() {
    let mut record = created(vec![set("a", "1", Some(10))]);
    let earlier = Timestamp::from_millis(0);
    let outcome = apply(&mut record, &update(vec![]), earlier);
    assert_eq!(values(outcome), []);
    let selected = [Selected::with_deadline("a")];
    let loaded = record.unwrap().load(&Selection::fields(&selected), earlier);
    let loaded = loaded.unwrap();
    assert_eq!(loaded.header.seen, earlier);
    let field = loaded.fields[0].as_ref().unwrap();
    assert_eq!(field.deadline, Some(after(10)));
}

#[test]
fn debug_shows_no_values() {
    let mut record = created(vec![set("a", "treasure", None)]);
    let answered = apply(&mut record, &update(vec![take("a")]), START);
    let written = update(vec![set("a", "treasure", None)]);
    let shown = format!("{record:?} {answered:?} {written:?}");
    assert!(!shown.contains("treasure"), "{shown}");
}

#[test]
fn only_canonical_decimal_text_is_an_integer() {
    for (text, integer) in [
        ("0", Some(0)),
        ("-1", Some(-1)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("-0", None),
        ("+1", None),
        ("01", None),
        ("", None),
    ] {
        assert_eq!(decimal(text.as_bytes()), integer, "{text:?}");
    }
    assert_eq!(decimal(b"\xff"), None);
}
