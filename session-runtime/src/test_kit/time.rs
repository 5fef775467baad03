//! Whose clock it is.

use super::changes::{conflict_at, field_is, renew, set};
use super::check::Contract;
use super::visitor::Kit;
use crate::clock::Timestamp;

pub(super) const CONTRACT: Contract = Contract("guarantee 6 (one clock)");

pub(super) async fn the_store_tells_its_time(kit: Kit) {
    let visitor = kit.session([]).await;
    let before = visitor.load_live(&[]).await.now;
    kit.pass(2).await;
    let after = visitor.load_live(&[]).await.now;
    let passed = after.saturating_since(before);
    kit.holds(
        format_args!("`now` moves by at least the time that passed, found {passed:?}"),
        passed + kit.tolerance() >= kit.units(2),
    );
    if kit.is_exact() {
        kit.equal("by how much `now` moved", passed, kit.units(2));
    }
}

/// `seen` is the time of what was applied between two loads.
fn expect_seen_between(
    kit: &Kit,
    what: &str,
    before: Timestamp,
    seen: Timestamp,
    after: Timestamp,
) {
    kit.holds(
        format_args!(
            "`seen` after {what} is the store's time then, \
             from {before} to {after}; found {seen}"
        ),
        before <= seen && seen <= after,
    );
}

pub(super) async fn seen_is_the_time_of_the_last_applied_commit(kit: Kit) {
    let created = kit.session([set("a", "1")]).await;
    let mut visitor = created.clone();
    let (rotation, rotated) = created.rotation(Some(kit.long()));
    for (what, commit) in [
        ("a touch", created.touch()),
        ("a renewal", created.update([renew("a", kit.long())])),
        ("a write", created.update([set("a", "2")])),
        (
            "a change that does nothing",
            created.update([renew("b", kit.long())]),
        ),
        ("a rotation", rotation),
        ("a touch with the previous token", created.touch()),
    ] {
        kit.pass(1).await;
        let before = visitor.load_live(&[]).await.now;
        visitor.apply(&commit).await;
        if what == "a rotation" {
            visitor = rotated.clone();
        }
        let loaded = visitor.load_live(&[]).await;
        expect_seen_between(&kit, what, before, loaded.header.seen, loaded.now);
    }
}

pub(super) async fn created_is_the_time_of_the_creation(kit: Kit) {
    let clock = kit.session([]).await;
    let before = clock.load_live(&[]).await.now;
    let visitor = kit.session([]).await;
    let loaded = visitor.load_live(&[]).await;
    expect_seen_between(
        &kit,
        "a creation",
        before,
        loaded.header.created,
        loaded.now,
    );
    kit.pass(2).await;
    visitor.apply(&visitor.update([set("a", "1")])).await;
    let what = "`created` after a write";
    let created = visitor.load_live(&[]).await.header.created;
    kit.equal(what, created, loaded.header.created);
}

pub(super) async fn loads_and_refusals_leave_seen(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let seen = visitor.load_live(&[]).await.header.seen;
    kit.pass(2).await;
    visitor.load_live(&["a"]).await;
    let conflicting = visitor.update_if(field_is("a", None), [set("a", "2")]);
    visitor.refuse(&conflicting, conflict_at("a")).await;
    let what = "`seen` after a load and a refusal";
    kit.equal(what, visitor.load_live(&[]).await.header.seen, seen);
}
