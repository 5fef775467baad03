//! When a field ends.

use std::time::Duration;

use bytes::Bytes;

use super::changes::{add, add_for, remove, renew, set, set_first, set_for, take, text};
use super::check::Contract;
use super::visitor::{Kit, Visitor, select, values};
use crate::clock::Timestamp;
use crate::store::{Change, FieldTtl, Selected};

pub(super) const CONTRACT: Contract = Contract("guarantee 5 (field deadlines)");

/// Applies the changes and returns the moment at which that happened.
async fn apply_at<const N: usize>(visitor: &Visitor, changes: [Change; N]) -> Timestamp {
    visitor.apply(&visitor.update(changes)).await;
    visitor.load_live(&[]).await.header.seen
}

/// The field has a deadline, and it is this one.
async fn expect_deadline(kit: &Kit, visitor: &Visitor, name: &str, expected: Timestamp) {
    match visitor.deadline(name).await {
        Some(found) => kit.same_moment(format_args!("the deadline of `{name}`"), found, expected),
        None => kit.broken(format_args!("expected a deadline of `{name}`, found none")),
    }
}

pub(super) async fn an_ended_field_is_absent(kit: Kit) {
    let ttl = FieldTtl::restarting(kit.units(2));
    let visitor = kit.session([set_for("a", "1", ttl), set("b", "2")]).await;
    visitor.expect_value("a", "1").await;
    kit.pass(3).await;
    let loaded = visitor.load_live(&["a", "b"]).await;
    kit.equal("the fields", values(&loaded), vec![None, text("2")]);
}

pub(super) async fn a_field_ends_at_the_millisecond(kit: Kit) {
    if !kit.is_exact() {
        return;
    }
    let ttl = FieldTtl::restarting(Duration::from_millis(1500));
    let visitor = kit.session([set_for("a", "1", ttl)]).await;
    kit.pass_exactly(Duration::from_millis(1499)).await;
    visitor.expect_value("a", "1").await;
    kit.pass_exactly(Duration::from_millis(1)).await;
    visitor.expect_absent("a").await;
}

pub(super) async fn deadlines_are_told_if_and_only_if_asked(kit: Kit) {
    let ttl = FieldTtl::restarting(kit.long());
    let visitor = kit
        .session([
            set_for("a", "1", ttl),
            set_for("b", "2", ttl),
            set("c", "3"),
        ])
        .await;
    let unasked = Selected::value;
    let selected = [
        select("a"),
        unasked("b"),
        select("c"),
        unasked("c"),
        unasked("a"),
        select("b"),
    ];
    let Some(loaded) = visitor.load_selected(&selected).await else {
        kit.broken("expected a session, found none");
    };
    let expected = ["1", "2", "3", "3", "1", "2"].map(text).to_vec();
    kit.equal("the values", values(&loaded), expected);
    let told = |field: &Option<crate::store::StoredField>| {
        field.as_ref().is_some_and(|field| field.deadline.is_some())
    };
    kit.equal(
        "which deadlines are told",
        loaded.fields.iter().map(told).collect(),
        vec![true, false, false, false, false, true],
    );
}

pub(super) async fn an_ended_field_is_absent_for_changes(kit: Kit) {
    let ttl = FieldTtl::restarting(kit.units(1));
    let old = |name| set_for(name, "41", ttl);
    let names = ["first", "merged", "taken", "renewed", "removed"];
    let visitor = kit.session(names.map(old)).await;
    kit.pass(2).await;
    let answered = visitor
        .apply(&visitor.update([
            set_first("first", "new", None),
            add("merged", 1),
            take("taken"),
            renew("renewed", kit.long()),
            remove("removed"),
        ]))
        .await;
    let expected = vec![None, text("1"), None, None, None];
    kit.equal("what the changes answer", answered, expected);
    let found = values(&visitor.load_live(&names).await);
    let expected = vec![text("new"), text("1"), None, None, None];
    kit.equal("the values afterwards", found, expected);
}

pub(super) async fn renewing_never_revives(kit: Kit) {
    let ttl = FieldTtl::restarting(kit.units(1));
    let names: Vec<String> = (0..50).map(|n| format!("ended.{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let visitor = kit
        .session([set_for("live", "1", FieldTtl::restarting(kit.long()))])
        .await;
    let sets = names.iter().map(|name| set_for(name, "old", ttl));
    visitor.apply(&visitor.update(sets)).await;
    kit.pass(2).await;

    let renew_all = || {
        let renewals = names.iter().map(|name| renew(name, kit.long()));
        visitor.update(renewals.chain([renew("live", kit.long())]))
    };
    for _ in 0..2 {
        visitor.apply(&renew_all()).await;
        let found = values(&visitor.load_live(&names).await);
        let revived = found.iter().flatten().count();
        kit.equal("how many of 50 ended fields were revived", revived, 0);
    }
    visitor.expect_value("live", "1").await;
}

pub(super) async fn nothing_but_a_new_write_brings_a_field_back(kit: Kit) {
    let ttl = FieldTtl::restarting(kit.units(1));
    let visitor = kit.session([set_for("a", "1", ttl)]).await;
    kit.pass(2).await;
    visitor.apply(&visitor.touch()).await;
    visitor.apply(&visitor.update([set("b", "1")])).await;
    let (rotation, visitor) = visitor.rotation(None);
    visitor.apply(&rotation).await;
    visitor.expect_absent("a").await;
}

pub(super) async fn a_write_to_an_ended_field_is_kept(kit: Kit) {
    let short = kit.units(1);
    let names = ["plain", "restarting", "fixed", "merged"];
    let old = |name| set_for(name, "old", FieldTtl::fixed(short));
    let visitor = kit.session(names.map(old)).await;
    kit.pass(2).await;
    let long = kit.long();
    let written = apply_at(
        &visitor,
        [
            set("plain", "1"),
            set_for("restarting", "1", FieldTtl::restarting(long)),
            set_for("fixed", "1", FieldTtl::fixed(long)),
            add_for("merged", 1, FieldTtl::fixed(long)),
        ],
    )
    .await;
    let found = values(&visitor.load_live(&names).await);
    let what = "the values written where fields had ended";
    kit.equal(what, found, vec![text("1"); 4]);
    kit.equal(
        "the deadline of a write without",
        visitor.deadline("plain").await,
        None,
    );
    for name in &names[1..] {
        expect_deadline(&kit, &visitor, name, written + long).await;
    }
}

pub(super) async fn a_restarting_ttl_starts_with_each_write(kit: Kit) {
    let ttl = kit.units(100);
    let restarting = FieldTtl::restarting(ttl);
    let visitor = kit.session([]).await;
    for value in ["1", "1", "3"] {
        let written = apply_at(
            &visitor,
            [set_for("a", value, restarting), add_for("b", 1, restarting)],
        )
        .await;
        expect_deadline(&kit, &visitor, "a", written + ttl).await;
        expect_deadline(&kit, &visitor, "b", written + ttl).await;
        kit.pass(3).await;
    }
    visitor.expect_value("b", "3").await;
}

/// Writes and nothing else, which a store may have a shorter way for.
pub(super) async fn a_ttl_starts_with_a_write_by_either_token_of_a_grace(kit: Kit) {
    let ttl = kit.units(100);
    let changes = |value| {
        [
            set_for("a", value, FieldTtl::restarting(ttl)),
            set("b", value),
        ]
    };
    let old = kit.session([]).await;
    let written = apply_at(&old, changes("1")).await;
    expect_deadline(&kit, &old, "a", written + ttl).await;
    kit.equal("the deadline of `b`", old.deadline("b").await, None);

    let (rotation, new) = old.rotation(Some(kit.long()));
    old.apply(&rotation).await;
    kit.pass(3).await;
    old.apply(&old.update(changes("2"))).await;
    let loaded = new.load_live(&["a", "b"]).await;
    kit.equal("the fields", values(&loaded), vec![text("2"), text("2")]);
    let written = loaded.header.seen;
    expect_deadline(&kit, &new, "a", written + ttl).await;
    kit.equal("the deadline of `b`", new.deadline("b").await, None);
}

pub(super) async fn a_fixed_ttl_starts_with_the_first_write_only(kit: Kit) {
    let ttl = kit.units(100);
    let visitor = kit.session([]).await;
    let fixed = FieldTtl::fixed(ttl);
    let first = apply_at(&visitor, [set_for("a", "1", fixed), add_for("b", 1, fixed)]).await;
    for value in ["2", "3"] {
        kit.pass(3).await;
        let longer = FieldTtl::fixed(kit.long());
        let changes = [set_for("a", value, longer), add_for("b", 1, longer)];
        apply_at(&visitor, changes).await;
        visitor.expect_value("a", value).await;
        expect_deadline(&kit, &visitor, "a", first + ttl).await;
        expect_deadline(&kit, &visitor, "b", first + ttl).await;
    }
    visitor.expect_value("b", "3").await;
}

pub(super) async fn a_fixed_window_ends_in_spite_of_writes(kit: Kit) {
    let fixed = FieldTtl::fixed(kit.units(5));
    let count = |visitor: &Visitor| visitor.update([add_for("a", 1, fixed)]);
    let visitor = kit.session([]).await;
    visitor.apply(&count(&visitor)).await;
    kit.pass(3).await;
    visitor.apply(&count(&visitor)).await;
    kit.pass(3).await;
    visitor.expect_absent("a").await;
    let answered = visitor.apply(&count(&visitor)).await;
    kit.equal("the count in a new window", answered, vec![text("1")]);
}

pub(super) async fn a_fixed_ttl_bounds_a_field_that_had_no_deadline(kit: Kit) {
    let ttl = kit.units(100);
    let visitor = kit.session([set("a", "1"), set("b", "1")]).await;
    kit.pass(3).await;
    let fixed = FieldTtl::fixed(ttl);
    let written = apply_at(&visitor, [set_for("a", "2", fixed), add_for("b", 1, fixed)]).await;
    expect_deadline(&kit, &visitor, "a", written + ttl).await;
    expect_deadline(&kit, &visitor, "b", written + ttl).await;
}

pub(super) async fn a_removal_ends_a_fixed_window(kit: Kit) {
    let ttl = kit.units(100);
    let fixed = FieldTtl::fixed(ttl);
    let names = ["removed", "taken", "at once"];
    let visitor = kit
        .session(names.map(|name| set_for(name, "1", fixed)))
        .await;
    kit.pass(3).await;
    let changes = [
        remove("removed"),
        take("taken"),
        remove("at once"),
        set_for("at once", "2", fixed),
    ];
    let replaced = apply_at(&visitor, changes).await;
    expect_deadline(&kit, &visitor, "at once", replaced + ttl).await;
    let changes = [set_for("removed", "2", fixed), set_for("taken", "2", fixed)];
    let written = apply_at(&visitor, changes).await;
    expect_deadline(&kit, &visitor, "removed", written + ttl).await;
    expect_deadline(&kit, &visitor, "taken", written + ttl).await;
}

pub(super) async fn a_write_without_ttl_lifts_the_deadline(kit: Kit) {
    let ttl = FieldTtl::restarting(kit.units(2));
    let visitor = kit
        .session([set_for("a", "1", ttl), add_for("b", 1, ttl)])
        .await;
    visitor
        .apply(&visitor.update([set("a", "2"), add("b", 1)]))
        .await;
    kit.equal("the deadline", visitor.deadline("a").await, None);
    kit.equal("the deadline", visitor.deadline("b").await, None);
    kit.pass(3).await;
    visitor.expect_value("a", "2").await;
    visitor.expect_value("b", "2").await;
}

pub(super) async fn a_first_write_that_comes_second_leaves_the_deadline(kit: Kit) {
    let ttl = kit.units(100);
    let first = |value, ttl| set_first("a", value, ttl);
    let visitor = kit.session([]).await;
    let restarting = Some(FieldTtl::restarting(ttl));
    let written = apply_at(&visitor, [first("1", restarting)]).await;
    expect_deadline(&kit, &visitor, "a", written + ttl).await;
    kit.pass(3).await;
    for late in [None, restarting, Some(FieldTtl::fixed(kit.long()))] {
        visitor.apply(&visitor.update([first("2", late)])).await;
        visitor.expect_value("a", "1").await;
        expect_deadline(&kit, &visitor, "a", written + ttl).await;
    }
}

pub(super) async fn renewing_restarts_from_now(kit: Kit) {
    let visitor = kit
        .session([
            set_for("longer", "1", FieldTtl::fixed(kit.units(100))),
            set_for("shorter", "2", FieldTtl::restarting(kit.long())),
            set("unbounded", "3"),
        ])
        .await;
    kit.pass(3).await;
    let names = ["longer", "shorter", "unbounded"];
    let ttl = kit.units(200);
    let renewed = apply_at(&visitor, names.map(|name| renew(name, ttl))).await;
    let found = values(&visitor.load_live(&names).await);
    let expected = vec![text("1"), text("2"), text("3")];
    kit.equal("the values of renewed fields", found, expected);
    for name in names {
        expect_deadline(&kit, &visitor, name, renewed + ttl).await;
    }
}

pub(super) async fn renewing_follows_the_changes_before_it(kit: Kit) {
    let ttl = kit.units(100);
    let visitor = kit.session([set("removed", "1")]).await;
    let changes = [
        set("set", "1"),
        renew("set", ttl),
        remove("removed"),
        renew("removed", ttl),
        renew("absent", ttl),
    ];
    let renewed = apply_at(&visitor, changes).await;
    expect_deadline(&kit, &visitor, "set", renewed + ttl).await;
    visitor.expect_absent("removed").await;
    visitor.expect_absent("absent").await;
}

pub(super) async fn a_renewed_field_lives_on_and_ends(kit: Kit) {
    let ttl = kit.units(6);
    let visitor = kit
        .session([set_for("a", "1", FieldTtl::restarting(ttl))])
        .await;
    kit.pass(4).await;
    visitor.apply(&visitor.update([renew("a", ttl)])).await;
    kit.pass(4).await;
    visitor.expect_value("a", "1").await;
    kit.pass(3).await;
    visitor.expect_absent("a").await;
}

pub(super) async fn a_time_to_live_of_zero_is_over_at_once(kit: Kit) {
    let zero = Duration::ZERO;
    let visitor = kit.session([set("b", "1"), set("c", "1")]).await;
    visitor
        .apply(&visitor.update([
            set_for("a", "1", FieldTtl::restarting(zero)),
            renew("b", zero),
            set_for("c", "2", FieldTtl::fixed(zero)),
        ]))
        .await;
    let found = values(&visitor.load_live(&["a", "b", "c"]).await);
    kit.equal("the fields", found, vec![None; 3]);
}

pub(super) async fn changes_see_the_deadlines_of_those_before_them(kit: Kit) {
    let ttl = kit.units(100);
    let visitor = kit.session([]).await;
    let changes = [
        set_for("kept", "1", FieldTtl::restarting(ttl)),
        set_for("kept", "2", FieldTtl::fixed(2 * ttl)),
        set_for("ended", "1", FieldTtl::restarting(Duration::ZERO)),
        set_for("ended", "2", FieldTtl::fixed(ttl)),
    ];
    let written = apply_at(&visitor, changes).await;
    expect_deadline(&kit, &visitor, "kept", written + ttl).await;
    expect_deadline(&kit, &visitor, "ended", written + ttl).await;
}

pub(super) async fn the_longest_time_to_live_is_no_error(kit: Kit) {
    let visitor = kit.session([set("b", "2")]).await;
    for longest in [
        Duration::MAX,
        Duration::from_secs(u64::from(u32::MAX) * 100),
    ] {
        let ttl = FieldTtl::restarting(longest);
        visitor
            .apply(&visitor.update([set_for("a", "1", ttl), renew("b", longest)]))
            .await;
        let found: Vec<Option<Bytes>> = values(&visitor.load_live(&["a", "b"]).await);
        kit.equal("the fields", found, vec![text("1"), text("2")]);
    }
}

pub(super) async fn a_touch_and_a_rotation_leave_field_deadlines(kit: Kit) {
    let ttl = kit.units(100);
    let visitor = kit.session([]).await;
    let changes = [set_for("a", "1", FieldTtl::restarting(ttl))];
    let written = apply_at(&visitor, changes).await;
    kit.pass(3).await;
    visitor.apply(&visitor.touch()).await;
    let (rotation, visitor) = visitor.rotation(None);
    visitor.apply(&rotation).await;
    expect_deadline(&kit, &visitor, "a", written + ttl).await;
}
