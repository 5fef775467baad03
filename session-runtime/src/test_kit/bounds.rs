//! Bounds of how many fields with a prefix there are.

use super::changes::{
    add, bound, evict, remove, renew, set, set_first, set_for, take, text, too_many,
};
use super::check::Contract;
use super::races::{is_applied, race};
use super::visitor::{Kit, Visitor};
use crate::store::{Change, FieldTtl, Outcome};

pub(super) const CONTRACT: Contract = Contract("the contract of `Change::Bound`");

/// Writes a field that ends after so many units more than the check takes.
fn set_ending(kit: &Kit, name: &str, later: u32) -> Change {
    let ttl = kit.long() + kit.units(later);
    set_for(name, name, FieldTtl::restarting(ttl))
}

/// A session with fields that end in another order than that of their names.
async fn furnished(kit: &Kit) -> Visitor {
    kit.session([
        set("e/a", "unbounded"),
        set_ending(kit, "e/b", 300),
        set_ending(kit, "e/c", 100),
        set_ending(kit, "e/d", 200),
        set("f/a", "1"),
        set("e", "1"),
    ])
    .await
}

pub(super) async fn a_bound_that_holds_changes_nothing(kit: Kit) {
    let visitor = furnished(&kit).await;
    for change in [bound("e/", 4), evict("e/", 4), evict("e/", 1_000)] {
        let answered = visitor.apply(&visitor.update([change])).await;
        kit.equal("what a bound answers", answered, vec![None]);
        let all = ["e/a", "e/b", "e/c", "e/d"];
        visitor.expect_prefixed("e/", &all).await;
    }
    visitor.apply(&visitor.update([bound("g/", 0)])).await;
}

pub(super) async fn the_fields_that_end_soonest_are_evicted(kit: Kit) {
    let visitor = furnished(&kit).await;
    for (max, left) in [
        (3, &["e/a", "e/b", "e/d"][..]),
        (2, &["e/a", "e/b"]),
        (1, &["e/a"]),
        (0, &[]),
    ] {
        visitor.apply(&visitor.update([evict("e/", max)])).await;
        visitor.expect_prefixed("e/", left).await;
    }
    visitor.expect_value("f/a", "1").await;
    visitor.expect_value("e", "1").await;

    // Several at once.
    let visitor = furnished(&kit).await;
    visitor.apply(&visitor.update([evict("e/", 1)])).await;
    visitor.expect_prefixed("e/", &["e/a"]).await;
}

pub(super) async fn of_fields_that_end_together_the_first_by_name_are_evicted(kit: Kit) {
    let visitor = kit.session([]).await;
    let unbounded = ["e/y", "e/x", "e/z", "e/Z", "e/10", "e/9"].map(|name| set(name, "1"));
    visitor.apply(&visitor.update(unbounded)).await;
    visitor.apply(&visitor.update([evict("e/", 3)])).await;
    visitor.expect_prefixed("e/", &["e/x", "e/y", "e/z"]).await;

    // Written by one commit, so that they end at the same moment.
    let together = ["f/y", "f/z", "f/x"].map(|name| set_ending(&kit, name, 100));
    visitor.apply(&visitor.update(together)).await;
    visitor.apply(&visitor.update([evict("f/", 1)])).await;
    visitor.expect_prefixed("f/", &["f/z"]).await;
}

pub(super) async fn what_a_commit_writes_is_not_evicted(kit: Kit) {
    let visitor = furnished(&kit).await;
    let soonest = set_for("e/new", "1", FieldTtl::restarting(kit.units(1_000)));
    visitor
        .apply(&visitor.update([soonest, evict("e/", 4)]))
        .await;
    let left = ["e/a", "e/b", "e/d", "e/new"];
    visitor.expect_prefixed("e/", &left).await;

    // Nor what it writes again, merges or renews.
    let soonest = FieldTtl::restarting(kit.units(1_000));
    let kept = visitor.update([
        set_for("e/d", "2", soonest),
        renew("e/new", kit.units(1_000)),
        add("e/sum", 1),
        evict("e/", 3),
    ]);
    visitor.apply(&kept).await;
    visitor
        .expect_prefixed("e/", &["e/d", "e/new", "e/sum"])
        .await;

    // A first write of a present field writes nothing.
    let first = visitor.update([
        set_first("e/d", "3", Some(FieldTtl::restarting(kit.units(1_000)))),
        set("e/z", "1"),
        set("e/y", "1"),
        evict("e/", 3),
    ]);
    visitor.apply(&first).await;
    visitor
        .expect_prefixed("e/", &["e/sum", "e/y", "e/z"])
        .await;
}

pub(super) async fn a_bound_that_evicts_none_refuses(kit: Kit) {
    let visitor = furnished(&kit).await;
    kit.pass(1).await;
    for max in 0..=4 {
        let one_more = visitor.update([
            set("before", "1"),
            set("e/new", "1"),
            take("f/a"),
            bound("e/", max),
            set("after", "1"),
        ]);
        visitor.refuse(&one_more, too_many("e/")).await;
    }
    let all = ["e/a", "e/b", "e/c", "e/d"];
    visitor.expect_prefixed("e/", &all).await;
    let within = visitor.update([set("e/new", "1"), bound("e/", 5)]);
    visitor.apply(&within).await;
    let again = visitor.update([set("e/new", "2"), bound("e/", 5)]);
    visitor.apply(&again).await;
    visitor.expect_value("e/new", "2").await;
}

pub(super) async fn a_commit_that_writes_too_many_is_refused(kit: Kit) {
    let visitor = furnished(&kit).await;
    let three = ["e/x", "e/y", "e/c"].map(|name| set(name, "new"));
    let mut commit = visitor.update(three);
    commit.changes.push(evict("e/", 2));
    visitor.refuse(&commit, too_many("e/")).await;
    let all = ["e/a", "e/b", "e/c", "e/d"];
    visitor.expect_prefixed("e/", &all).await;

    // A refused commit is not remembered: it can be applied once it fits.
    commit.changes.push(evict("e/", 3));
    commit.changes.remove(3);
    visitor.apply(&commit).await;
    visitor.expect_prefixed("e/", &["e/c", "e/x", "e/y"]).await;
}

pub(super) async fn a_bound_counts_living_fields(kit: Kit) {
    let short = FieldTtl::restarting(kit.units(1));
    let visitor = kit
        .session([
            set_for("e/a", "1", short),
            set_for("e/b", "1", short),
            set("e/c", "1"),
            set_ending(&kit, "e/d", 1),
        ])
        .await;
    kit.pass(2).await;
    let refused = visitor.update([set("e/new", "1"), bound("e/", 2)]);
    visitor.refuse(&refused, too_many("e/")).await;
    let within = visitor.update([set("e/new", "1"), bound("e/", 3)]);
    visitor.apply(&within).await;
    visitor.apply(&visitor.update([evict("e/", 3)])).await;
    visitor
        .expect_prefixed("e/", &["e/c", "e/d", "e/new"])
        .await;

    // An entry whose deadline has passed when it is written does not count either.
    let over = set_for(
        "e/over",
        "1",
        FieldTtl::restarting(std::time::Duration::ZERO),
    );
    visitor.apply(&visitor.update([over, bound("e/", 3)])).await;
    visitor
        .expect_prefixed("e/", &["e/c", "e/d", "e/new"])
        .await;
}

/// It sees what those before it have done, and not those after it.
pub(super) async fn a_bound_follows_the_changes_before_it(kit: Kit) {
    let visitor = furnished(&kit).await;
    let room = visitor.update([
        remove("e/a"),
        take("e/b"),
        set("e/x", "1"),
        set("e/y", "1"),
        bound("e/", 4),
        set("e/z", "1"),
    ]);
    let answered = visitor.apply(&room).await;
    let taken = vec![None, text("e/b"), None, None, None, None];
    kit.equal("the values that a commit answers", answered, taken);
    let five = ["e/c", "e/d", "e/x", "e/y", "e/z"];
    visitor.expect_prefixed("e/", &five).await;

    // An evicted entry can be written again, and then stays.
    let again = visitor.update([evict("e/", 3), set("e/c", "again"), bound("e/", 4)]);
    visitor.apply(&again).await;
    visitor
        .expect_prefixed("e/", &["e/c", "e/x", "e/y", "e/z"])
        .await;
    visitor.expect_value("e/c", "again").await;
}

pub(super) async fn each_bound_of_a_commit_must_hold(kit: Kit) {
    let visitor = furnished(&kit).await;
    let both = visitor.update([
        set("e/x", "1"),
        evict("e/", 3),
        set("f/x", "1"),
        bound("f/", 1),
    ]);
    visitor.refuse(&both, too_many("f/")).await;
    let nested = visitor.update([bound("e/a", 1), evict("e/", 2), bound("e", 3), evict("", 3)]);
    visitor.apply(&nested).await;
    visitor.expect_prefixed("", &["e", "e/a", "f/a"]).await;
}

pub(super) async fn a_creation_can_have_a_bound(kit: Kit) {
    let visitor = kit.visitor();
    let refused = visitor.creation([set("e/a", "1"), set("e/b", "1"), evict("e/", 1)]);
    kit.equal(
        "the outcome of a creation with too many fields",
        visitor.send(&refused).await,
        too_many("e/"),
    );
    visitor.expect_gone().await;
    let creation = visitor.creation([set("e/a", "1"), bound("e/", 1)]);
    visitor.apply(&creation).await;
    visitor.expect_prefixed("e/", &["e/a"]).await;
}

pub(super) async fn a_bound_that_arrives_twice_evicts_once(kit: Kit) {
    let visitor = furnished(&kit).await;
    let commit = visitor.update([set("e/x", "1"), evict("e/", 3)]);
    visitor.apply(&commit).await;
    visitor.apply(&visitor.update([set("e/y", "1")])).await;
    visitor.apply(&commit).await;
    let left = ["e/a", "e/b", "e/x", "e/y"];
    visitor.expect_prefixed("e/", &left).await;
}

pub(super) async fn simultaneous_insertions_keep_the_bound(kit: Kit) {
    const RACERS: usize = 30;
    const MAX: usize = 5;
    for change in [bound("e/", MAX), evict("e/", MAX)] {
        let visitor = kit.session([set("f/a", "1")]).await;
        let outcomes = race(RACERS, |racer| {
            let (visitor, change) = (visitor.clone(), change.clone());
            let name = format!("e/{racer}");
            async move {
                visitor
                    .send(&visitor.update([set(&name, "1"), change]))
                    .await
            }
        })
        .await;
        let found = visitor.prefixed(&["e/"]).await;
        kit.equal("how many fields there are", found.len(), MAX);
        let applied = outcomes
            .iter()
            .filter(|outcome| is_applied(outcome))
            .count();
        let is_refusing = matches!(change, Change::Bound { evict: false, .. });
        let expected = if is_refusing { MAX } else { RACERS };
        kit.equal("how many commits were applied", applied, expected);
        let refused = |outcome: &&Outcome| !is_applied(outcome);
        for outcome in outcomes.iter().filter(refused) {
            kit.equal("the outcome of the others", outcome, &too_many("e/"));
        }
    }
}
