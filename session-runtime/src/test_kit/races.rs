//! Many at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Barrier;

use super::changes::{add, field_is, merge, range, set, set_first, take, text};
use super::check::Contract;
use super::visitor::{Kit, Visitor, values};
use crate::store::{Condition, MergeOperation, Outcome};

pub(super) const CONTRACT: Contract = Contract("guarantees 2 and 3 (atomicity, guards) in a race");

/// Starts the racers at the same moment and returns their results in order.
pub(super) async fn race<T, F>(racers: usize, start: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(racers));
    let tasks: Vec<_> = (0..racers)
        .map(|racer| {
            let barrier = barrier.clone();
            let run = start(racer);
            tokio::spawn(async move {
                barrier.wait().await;
                run.await
            })
        })
        .collect();
    let mut results = Vec::with_capacity(racers);
    for task in tasks {
        match task.await {
            Ok(result) => results.push(result),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }
    results
}

pub(super) fn is_applied(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Applied(_))
}

/// The one racer whose commit was applied, all others having been refused like this.
fn only_winner(kit: &Kit, outcomes: &[Outcome], refused: Outcome) -> usize {
    let winners: Vec<_> = (0..outcomes.len())
        .filter(|&racer| is_applied(&outcomes[racer]))
        .collect();
    kit.equal("the number of racers who win", winners.len(), 1);
    let losers = outcomes.iter().filter(|outcome| **outcome == refused);
    let what = format_args!("the number of racers who are answered {refused:?}").to_string();
    kit.equal(what, losers.count(), outcomes.len() - 1);
    winners[0]
}

pub(super) async fn concurrent_additions_sum_up(kit: Kit) {
    let visitor = kit.session([]).await;
    let answers = race(32, |_| {
        let visitor = visitor.clone();
        async move {
            let mut answers = Vec::new();
            for _ in 0..25 {
                answers.extend(visitor.apply(&visitor.update([add("n", 1)])).await);
            }
            answers
        }
    })
    .await;
    visitor.expect_value("n", "800").await;
    let answers: BTreeSet<Option<Bytes>> = answers.into_iter().flatten().collect();
    let expected = (1..=800).map(|n: i64| text(n.to_string())).collect();
    kit.holds(
        "800 additions answer the numbers from 1 to 800, each once",
        answers == expected,
    );
}

pub(super) async fn concurrent_maxima_keep_the_largest(kit: Kit) {
    let visitor = kit.session([]).await;
    race(50, |racer| {
        let visitor = visitor.clone();
        let any = range(i64::MIN..=i64::MAX);
        // Neither ascending nor descending, so that the last to come is not the largest.
        let operand = (racer as i64 * 37) % 50;
        let change = merge("n", MergeOperation::Max, operand, 0, any, None);
        async move { visitor.apply(&visitor.update([change])).await }
    })
    .await;
    visitor.expect_value("n", "49").await;
}

pub(super) async fn one_of_a_thousand_takes_a_value(kit: Kit) {
    let visitor = kit.session([set("a", "treasure")]).await;
    let taken = race(1_000, |_| {
        let visitor = visitor.clone();
        async move { visitor.apply(&visitor.update([take("a")])).await.remove(0) }
    })
    .await;
    let taken: Vec<_> = taken.into_iter().flatten().collect();
    let expected: Vec<_> = text("treasure").into_iter().collect();
    kit.equal("what a thousand racers took", taken, expected);
    visitor.expect_absent("a").await;
}

pub(super) async fn one_of_two_rotations_wins(kit: Kit) {
    for round in 0..20 {
        let old = kit.session([]).await;
        let grace = (round % 2 == 0).then(|| kit.long());
        let rotations = [old.rotation(grace), old.rotation(grace)];
        let outcomes = race(2, |racer| {
            let (visitor, rotation) = (old.clone(), rotations[racer].0.clone());
            async move { visitor.send(&rotation).await }
        })
        .await;
        let winner = only_winner(&kit, &outcomes, Outcome::Gone);
        let new = &rotations[winner].1;
        kit.holds(
            "the token is that of the rotation that was applied",
            new.load_live(&[]).await.header.verifier == new.verifier,
        );
    }
}

pub(super) async fn one_of_many_creations_wins(kit: Kit) {
    for _ in 0..10 {
        let id = kit.visitor().id;
        let visitors: Vec<Visitor> = (0..30).map(|_| kit.visitor_of(id)).collect();
        let outcomes = race(visitors.len(), |racer| {
            let visitor = visitors[racer].clone();
            let creation =
                visitor.creation([set("a", racer.to_string()), set("b", racer.to_string())]);
            async move { visitor.send(&creation).await }
        })
        .await;
        let winner = only_winner(&kit, &outcomes, Outcome::IdTaken);
        let loaded = visitors[winner].load_live(&["a", "b"]).await;
        let expected = vec![text(winner.to_string()); 2];
        kit.equal("the fields", values(&loaded), expected);
        kit.holds(
            "the token is that of the creation that was applied",
            loaded.header.verifier == visitors[winner].verifier,
        );
    }
}

/// Half of them are one creation that is sent again and again.
pub(super) async fn a_creation_sent_by_many_wins_or_loses_as_one(kit: Kit) {
    for _ in 0..10 {
        let sent_often = kit.visitor();
        let often = sent_often.creation([set("a", "often")]);
        let outcomes = race(20, |racer| {
            let creation = match racer % 2 {
                0 => often.clone(),
                _ => kit.visitor_of(sent_often.id).creation([set("a", "once")]),
            };
            let visitor = sent_often.clone();
            async move { visitor.send(&creation).await }
        })
        .await;
        let is_often = sent_often.value("a").await == text("often");
        let applied = outcomes.iter().filter(|outcome| is_applied(outcome));
        let expected = if is_often { 10 } else { 1 };
        kit.equal("how many are applied", applied.count(), expected);
        let refused = |outcome: &&Outcome| !is_applied(outcome);
        for outcome in outcomes.iter().filter(refused) {
            kit.equal("the outcome of the others", outcome, &Outcome::IdTaken);
        }
    }
}

pub(super) async fn the_first_of_many_writes_wins(kit: Kit) {
    let visitor = kit.session([]).await;
    let seen = race(50, |racer| {
        let visitor = visitor.clone();
        async move {
            let change = set_first("a", racer.to_string(), None);
            visitor.apply(&visitor.update([change])).await;
            visitor.value("a").await
        }
    })
    .await;
    let seen: BTreeSet<_> = seen.into_iter().collect();
    kit.equal("how many values 50 racers saw", seen.len(), 1);
}

pub(super) async fn writers_of_different_fields_lose_nothing(kit: Kit) {
    let visitor = kit.session([]).await;
    race(50, |racer| {
        let visitor = visitor.clone();
        async move {
            let name = format!("field.{racer}");
            for n in 0..5 {
                let change = set(&name, format!("{racer}.{n}"));
                visitor.apply(&visitor.update([change])).await;
            }
        }
    })
    .await;
    for racer in 0..50 {
        let name = format!("field.{racer}");
        visitor.expect_value(&name, format!("{racer}.4")).await;
    }
}

pub(super) async fn a_commit_sent_by_many_is_applied_once(kit: Kit) {
    let visitor = kit.session([set("b", "treasure")]).await;
    let commit = visitor.update([add("a", 1), take("b")]);
    let answers = race(50, |_| {
        let (visitor, commit) = (visitor.clone(), commit.clone());
        async move { visitor.apply(&commit).await }
    })
    .await;
    for answer in answers {
        let expected = vec![text("1"), text("treasure")];
        kit.equal("what each of them is answered", answer, expected);
    }
    visitor.expect_value("a", "1").await;
}

pub(super) async fn compare_and_write_loses_no_turn(kit: Kit) {
    let visitor = kit.session([set("a", "0"), set("b", "0")]).await;
    race(10, |racer| {
        let visitor = visitor.clone();
        async move {
            let mut written = 0;
            while written < 5 {
                let loaded = visitor.load_live(&["a"]).await;
                let value = values(&loaded).remove(0);
                let number: u32 = decimal(value.as_deref());
                let condition = if racer % 2 == 0 {
                    Condition::Field {
                        name: "a".into(),
                        value,
                    }
                } else {
                    Condition::LastCommit(loaded.header.last_commit)
                };
                let next = (number + 1).to_string();
                let commit = visitor.update_if(condition, [set("a", next), add("b", 1)]);
                if is_applied(&visitor.send(&commit).await) {
                    written += 1;
                }
            }
        }
    })
    .await;
    visitor.expect_value("a", "50").await;
    visitor.expect_value("b", "50").await;
}

fn decimal(value: Option<&[u8]>) -> u32 {
    value
        .and_then(|value| std::str::from_utf8(value).ok())
        .and_then(|value| value.parse().ok())
        .unwrap_or(0)
}

pub(super) async fn no_load_sees_half_a_commit(kit: Kit) {
    let names = ["a", "b", "c", "d"];
    let visitor = kit.session(names.map(|name| set(name, "0"))).await;
    race(16, |racer| {
        let (kit, visitor) = (kit.clone(), visitor.clone());
        async move {
            for n in 0..40 {
                if racer % 2 == 0 {
                    let value = format!("{racer}.{n}");
                    let mut commit = visitor.update(names.map(|name| set(name, &value)));
                    commit.label = Some(value.into());
                    visitor.apply(&commit).await;
                } else {
                    let loaded = visitor.load_live(&names).await;
                    let found = values(&loaded);
                    kit.holds(
                        format_args!("fields written together are read together, found {found:?}"),
                        found.iter().all(|value| *value == found[0]),
                    );
                    if let Some(label) = &loaded.header.label {
                        let what = "the label that was written together with the fields";
                        kit.equal(what, text(&**label), found[0].clone());
                    }
                }
            }
        }
    })
    .await;
}

pub(super) async fn nothing_is_written_after_a_destruction(kit: Kit) {
    for _ in 0..20 {
        let visitor = kit.session([]).await;
        let destroyed = Arc::new(std::sync::atomic::AtomicBool::new(false));
        race(8, |racer| {
            let (kit, visitor, destroyed) = (kit.clone(), visitor.clone(), destroyed.clone());
            async move {
                use std::sync::atomic::Ordering::SeqCst;
                if racer == 0 {
                    visitor.apply(&visitor.destruction()).await;
                    destroyed.store(true, SeqCst);
                    return;
                }
                for n in 0..10 {
                    let was_destroyed = destroyed.load(SeqCst);
                    let commit = visitor.update([set("a", n.to_string()), add("b", 1)]);
                    let applied = is_applied(&visitor.send(&commit).await);
                    kit.holds(
                        "no commit is applied after a destruction was answered",
                        !(was_destroyed && applied),
                    );
                }
            }
        })
        .await;
        visitor.expect_gone().await;
    }
}

pub(super) async fn a_write_and_a_rotation_follow_each_other(kit: Kit) {
    for _ in 0..20 {
        let old = kit.session([set("a", "0")]).await;
        let (mut rotation, new) = old.rotation(None);
        rotation.conditions = vec![field_is("a", Some("0"))];
        let write = old.update([set("a", "1")]);
        let outcomes = race(2, |racer| {
            let visitor = old.clone();
            let commit = [&rotation, &write][racer].clone();
            async move { visitor.send(&commit).await }
        })
        .await;
        // Whichever comes first makes the other one impossible.
        let [rotated, written] = [0, 1].map(|racer| is_applied(&outcomes[racer]));
        kit.holds("one of the two is applied", rotated != written);
        new.expect_value("a", if written { "1" } else { "0" }).await;
    }
}
