//! Entries of principals' lists: their marks, and how long they are kept.

use std::time::Duration;

pub(super) use super::lists::CONTRACT;
use super::lists::{
    add, add_kept, entries, expect_listed, principal, remove_stale, signed_in, with,
};
use super::visitor::{Kit, Visitor};

pub(super) async fn an_entry_is_replaced_with_a_new_mark(kit: Kit) {
    let visitor = signed_in(&kit, "7").await;
    let first = entries(&kit, &principal("7")).await[0];
    kit.pass(2).await;
    let again = with(visitor.touch(), [add(&kit, "7")]);
    visitor.apply(&again).await;
    expect_listed(&kit, "7", &[&visitor]).await;
    let second = entries(&kit, &principal("7")).await[0];
    kit.equal("the mark", second.mark, again.id);
    kit.holds("another mark", second.mark != first.mark);
}

pub(super) async fn only_the_same_mark_is_removed_as_stale(kit: Kit) {
    let visitor = signed_in(&kit, "7").await;
    let other = signed_in(&kit, "7").await;
    let all = entries(&kit, &principal("7")).await;
    let of = |visitor: &Visitor| {
        let mut all = all.iter();
        match all.find(|entry| entry.session == visitor.id) {
            Some(entry) => *entry,
            None => kit.broken("expected an entry, found none"),
        }
    };
    let stale = of(&visitor);
    visitor
        .apply(&with(visitor.touch(), [add(&kit, "7")]))
        .await;
    remove_stale(&kit, "7", &stale).await;
    expect_listed(&kit, "7", &[&visitor, &other]).await;

    // Another principal's entry of the same session and mark is another entry.
    remove_stale(&kit, "8", &of(&other)).await;
    expect_listed(&kit, "7", &[&visitor, &other]).await;
    remove_stale(&kit, "7", &of(&other)).await;
    expect_listed(&kit, "7", &[&visitor]).await;
    remove_stale(&kit, "7", &of(&other)).await;
    expect_listed(&kit, "7", &[&visitor]).await;
    other.expect_value("owner", "7").await;
}

/// An entry seen before its session arrived says nothing about the session that has arrived.
pub(super) async fn what_has_arrived_since_is_not_removed_as_stale(kit: Kit) {
    let visitor = signed_in(&kit, "7").await;
    let entry = entries(&kit, &principal("7")).await[0];
    remove_stale(&kit, "7", &entry.arriving()).await;
    expect_listed(&kit, "7", &[&visitor]).await;
    remove_stale(&kit, "7", &entry).await;
    expect_listed(&kit, "7", &[]).await;
}

pub(super) async fn an_entry_goes_when_its_time_is_over(kit: Kit) {
    let visitor = kit.session([]).await;
    let lasting = kit.session([]).await;
    let short = add_kept("7", Some(kit.units(3)), None);
    visitor.apply(&with(visitor.touch(), [short])).await;
    let for_ever = add_kept("7", None, None);
    lasting.apply(&with(lasting.touch(), [for_ever])).await;
    kit.pass(1).await;
    expect_listed(&kit, "7", &[&visitor, &lasting]).await;
    kit.pass(3).await;
    expect_listed(&kit, "7", &[&lasting]).await;
    if kit.is_exact() {
        let exact = add_kept("8", Some(kit.units(1)), None);
        visitor.apply(&with(visitor.touch(), [exact])).await;
        let one = Duration::from_millis(1);
        kit.pass_exactly(kit.units(1) - one).await;
        expect_listed(&kit, "8", &[&visitor]).await;
        kit.pass_exactly(one).await;
        expect_listed(&kit, "8", &[]).await;
    }
}

pub(super) async fn an_entry_is_kept_anew_when_it_is_replaced(kit: Kit) {
    let visitor = kit.session([]).await;
    for (keep, is_listed) in [
        (Some(kit.units(3)), true),
        (Some(kit.long()), true),
        (None, true),
        (Some(kit.units(2)), false),
    ] {
        let change = add_kept("7", keep, None);
        visitor.apply(&with(visitor.touch(), [change])).await;
        kit.pass(if keep == Some(kit.units(3)) { 1 } else { 4 })
            .await;
        let expected: &[&Visitor] = if is_listed { &[&visitor] } else { &[] };
        expect_listed(&kit, "7", expected).await;
    }
}

pub(super) async fn the_longest_time_to_keep_is_no_error(kit: Kit) {
    let visitor = kit.session([]).await;
    let longest = add_kept("7", Some(Duration::MAX), Some(u32::MAX));
    visitor.apply(&with(visitor.touch(), [longest])).await;
    expect_listed(&kit, "7", &[&visitor]).await;
}
