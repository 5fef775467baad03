//! Limits of principals' lists, which are exact also when many sign in at once.

use super::changes::{conflict_at, field_is, set};
pub(super) use super::lists::CONTRACT;
use super::lists::{
    add, add_kept, add_within, entries, expect_listed, principal, reached, remove_stale, signed_in,
    take_off, with,
};
use super::races::{is_applied, race};
use super::visitor::{Kit, Visitor};
use crate::store::Outcome;

pub(super) async fn a_limit_counts_other_sessions(kit: Kit) {
    let first = kit.session([]).await;
    let second = kit.session([]).await;
    let third = kit.session([]).await;
    let within = |visitor: &Visitor, limit| with(visitor.touch(), [add_within(&kit, "7", limit)]);
    first.apply(&within(&first, 1)).await;
    // Its own entry does not count, however often it is written.
    first.apply(&within(&first, 1)).await;
    second.refuse(&within(&second, 1), reached("7")).await;
    second.apply(&within(&second, 2)).await;
    third.refuse(&within(&third, 2), reached("7")).await;
    third.refuse(&within(&third, 1), reached("7")).await;
    expect_listed(&kit, "7", &[&first, &second]).await;
    // Without a limit nothing is counted, and a lower limit ends no session.
    third.apply(&with(third.touch(), [add(&kit, "7")])).await;
    expect_listed(&kit, "7", &[&first, &second, &third]).await;
    first.refuse(&within(&first, 2), reached("7")).await;
    first.apply(&within(&first, 3)).await;
    expect_listed(&kit, "7", &[&first, &second, &third]).await;
    // Another principal's sessions do not count.
    let other = with(first.touch(), [add_within(&kit, "8", 1)]);
    first.apply(&other).await;
}

pub(super) async fn a_reached_limit_changes_nothing(kit: Kit) {
    let holder = signed_in(&kit, "7").await;
    let visitor = signed_in(&kit, "8").await;
    let (rotation, successor) = visitor.rotation(None);
    for mut commit in [rotation, visitor.update([]), visitor.update([])] {
        commit.changes = vec![set("owner", "7"), set("new", "1")];
        commit.label = Some("label".into());
        commit.persistent = Some(true);
        commit.lists = vec![take_off("8"), add_within(&kit, "7", 1)];
        visitor.refuse(&commit, reached("7")).await;
        expect_listed(&kit, "7", &[&holder]).await;
        expect_listed(&kit, "8", &[&visitor]).await;
    }
    visitor.refuse(&successor.touch(), Outcome::Gone).await;
    visitor.expect_value("owner", "8").await;

    let newcomer = kit.visitor();
    let mut creation = newcomer.creation([set("owner", "7")]);
    creation.lists = vec![add_within(&kit, "7", 1)];
    newcomer.refuse(&creation, reached("7")).await;
    newcomer.expect_gone().await;
    // A commit that was refused was not applied: it can be, once there is room.
    holder
        .apply(&with(holder.destruction(), [take_off("7")]))
        .await;
    newcomer.apply(&creation).await;
    expect_listed(&kit, "7", &[&newcomer]).await;
}

pub(super) async fn a_dead_token_and_a_conflict_come_before_the_limit(kit: Kit) {
    let holder = signed_in(&kit, "7").await;
    let visitor = kit.session([]).await;
    let full = || add_within(&kit, "7", 1);
    let stranger = kit.visitor_of(visitor.id);
    for (commit, outcome) in [
        (stranger.touch(), Outcome::Gone),
        (stranger.rotation(None).0, Outcome::Gone),
        (stranger.creation([]), Outcome::IdTaken),
        (kit.visitor().touch(), Outcome::Gone),
    ] {
        visitor.refuse(&with(commit, [full()]), outcome).await;
    }
    let commit = visitor.update_if(field_is("a", Some("1")), []);
    visitor
        .refuse(&with(commit, [full()]), conflict_at("a"))
        .await;
    expect_listed(&kit, "7", &[&holder]).await;
}

pub(super) async fn the_limits_of_all_principals_must_hold(kit: Kit) {
    let holder = signed_in(&kit, "full").await;
    let visitor = kit.session([]).await;
    for order in [["free", "full"], ["full", "free"]] {
        let both = order.map(|name| add_within(&kit, name, 1));
        visitor
            .refuse(&with(visitor.touch(), both), reached("full"))
            .await;
        expect_listed(&kit, "free", &[]).await;
        expect_listed(&kit, "full", &[&holder]).await;
    }
}

pub(super) async fn entries_that_went_make_room(kit: Kit) {
    let visitors = [kit.session([]).await, kit.session([]).await];
    let [first, second] = &visitors;
    let short = add_kept("7", Some(kit.units(1)), Some(1));
    first.apply(&with(first.touch(), [short])).await;
    kit.pass(2).await;
    let within = |visitor: &Visitor| with(visitor.touch(), [add_within(&kit, "7", 1)]);
    second.apply(&within(second)).await;
    first.refuse(&within(first), reached("7")).await;

    let entry = entries(&kit, &principal("7")).await[0];
    remove_stale(&kit, "7", &entry).await;
    first.apply(&within(first)).await;
    expect_listed(&kit, "7", &[first]).await;
}

/// How many of the racers were applied, all others having been refused by the limit.
fn count_applied(kit: &Kit, outcomes: &[Outcome], name: &str) -> usize {
    for outcome in outcomes.iter().filter(|outcome| !is_applied(outcome)) {
        kit.equal("the outcome of the others", outcome, &reached(name));
    }
    outcomes
        .iter()
        .filter(|outcome| is_applied(outcome))
        .count()
}

pub(super) async fn simultaneous_commits_keep_the_limit(kit: Kit) {
    for limit in [1, 3] {
        let name = format!("limit {limit}");
        let outcomes = race(100, |_| {
            let visitor = kit.visitor();
            let mut creation = visitor.creation([set("owner", &name)]);
            creation.lists = vec![add_within(&kit, &name, limit)];
            async move { visitor.send(&creation).await }
        })
        .await;
        let applied = count_applied(&kit, &outcomes, &name);
        kit.equal("how many were applied", applied, limit as usize);
        let listed = entries(&kit, &principal(&name)).await.len();
        kit.equal("how many are listed", listed, limit as usize);
    }
}

pub(super) async fn simultaneous_moves_keep_the_limit(kit: Kit) {
    let mut visitors = Vec::new();
    for _ in 0..40 {
        visitors.push(signed_in(&kit, "before").await);
    }
    let outcomes = race(visitors.len(), |racer| {
        let visitor = visitors[racer].clone();
        let (mut rotation, _) = visitor.rotation(None);
        rotation.changes = vec![set("owner", "after")];
        rotation.lists = vec![take_off("before"), add_within(&kit, "after", 3)];
        async move { visitor.send(&rotation).await }
    })
    .await;
    let applied = count_applied(&kit, &outcomes, "after");
    kit.equal("how many were applied", applied, 3);
    let (moved, stayed): (Vec<_>, Vec<_>) = visitors
        .iter()
        .zip(&outcomes)
        .partition(|(_, outcome)| is_applied(outcome));
    let visitors = |all: Vec<(_, _)>| {
        all.into_iter()
            .map(|(visitor, _)| visitor)
            .collect::<Vec<_>>()
    };
    expect_listed(&kit, "after", &visitors(moved)).await;
    expect_listed(&kit, "before", &visitors(stayed)).await;
}
