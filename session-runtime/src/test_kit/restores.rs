//! Renewals that write again what has run out.

use super::changes::{conflict_at, remove, renew, restore, set, set_for, take, text};
use super::check::Contract;
use super::visitor::{Kit, Visitor, random_commit_id};
use crate::store::FieldTtl;
use crate::token::CommitId;

pub(super) const CONTRACT: Contract = Contract("the contract of `Restore`");

/// Sessions whose field `a` has run out, each with its last commit when the field was there.
async fn run_out<const N: usize>(kit: &Kit) -> [(Visitor, Option<CommitId>); N] {
    let short = FieldTtl::restarting(kit.units(1));
    let mut sessions = Vec::new();
    for _ in 0..N {
        let visitor = kit.session([set_for("a", "1", short), set("b", "2")]).await;
        let last_commit = visitor.load_live(&["a"]).await.header.last_commit;
        sessions.push((visitor, last_commit));
    }
    kit.pass(2).await;
    for (visitor, _) in &sessions {
        visitor.expect_absent("a").await;
    }
    match sessions.try_into() {
        Ok(sessions) => sessions,
        Err(_) => unreachable!("there are as many as were made"),
    }
}

pub(super) async fn what_has_run_out_is_restored(kit: Kit) {
    let [(visitor, last)] = run_out(&kit).await;
    let commit = visitor.update([restore("a", kit.units(3), "restored", last)]);
    let answered = visitor.apply(&commit).await;
    kit.equal("what a renewal answers", answered, vec![None]);
    let loaded = visitor.load_live(&["a"]).await;
    let deadline = visitor.deadline("a").await;
    kit.equal("the value", visitor.value("a").await, text("restored"));
    let expected = loaded.header.seen + kit.units(3);
    match deadline {
        Some(found) => kit.same_moment("the deadline", found, expected),
        None => kit.broken("expected a deadline, found none"),
    }
    // It is no touch: it may leave a field that was not there.
    kit.equal("`last_commit`", loaded.header.last_commit, Some(commit.id));
    kit.pass(4).await;
    visitor.expect_absent("a").await;
}

pub(super) async fn several_fields_are_restored_together(kit: Kit) {
    let short = FieldTtl::restarting(kit.units(1));
    let visitor = kit
        .session([set_for("a", "1", short), set_for("b", "2", short)])
        .await;
    let last = visitor.load_live(&[]).await.header.last_commit;
    kit.pass(2).await;
    visitor.apply(&visitor.touch()).await;
    let commit = visitor.update([
        restore("a", kit.long(), "1", last),
        set("c", "3"),
        restore("b", kit.long(), "2", last),
    ]);
    visitor.apply(&commit).await;
    for (name, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
        visitor.expect_value(name, value).await;
    }
}

pub(super) async fn a_present_value_is_never_replaced(kit: Kit) {
    let visitor = kit.session([set("a", "present"), set("b", "1")]).await;
    let last = visitor.load_live(&[]).await.header.last_commit;
    for last in [last, None, Some(random_commit_id())] {
        let commit = visitor.update([restore("a", kit.units(5_000), "restored", last)]);
        visitor.apply(&commit).await;
        visitor.expect_value("a", "present").await;
        kit.holds("it is renewed", visitor.deadline("a").await.is_some());
    }
}

/// Another commit may have removed the field.
pub(super) async fn nothing_is_restored_after_another_commit(kit: Kit) {
    let others = [set("b", "3"), set("c", "3"), remove("a"), take("a")];
    let [sessions @ .., (unchanged, _)] = run_out::<5>(&kit).await;
    for ((visitor, last), other) in sessions.into_iter().zip(others) {
        visitor.apply(&visitor.update([other])).await;
        let commit = visitor.update([set("d", "4"), restore("a", kit.long(), "restored", last)]);
        visitor.refuse(&commit, conflict_at("a")).await;
        visitor.expect_absent("d").await;
    }
    for last in [None, Some(random_commit_id())] {
        let commit = unchanged.update([restore("a", kit.long(), "restored", last)]);
        unchanged.refuse(&commit, conflict_at("a")).await;
    }
}

pub(super) async fn what_was_removed_is_not_restored(kit: Kit) {
    for removal in [remove("a"), take("a")] {
        let visitor = kit.session([set("a", "1")]).await;
        let last = visitor.load_live(&["a"]).await.header.last_commit;
        visitor.apply(&visitor.update([removal])).await;
        let commit = visitor.update([restore("a", kit.long(), "1", last)]);
        visitor.refuse(&commit, conflict_at("a")).await;
    }
}

/// Touches move `seen` and deadlines only, so they have not removed the field.
pub(super) async fn touches_do_not_keep_a_field_from_being_restored(kit: Kit) {
    let [(visitor, last)] = run_out(&kit).await;
    visitor.apply(&visitor.touch()).await;
    visitor
        .apply(&visitor.update([renew("b", kit.long())]))
        .await;
    visitor
        .apply(&visitor.update([renew("a", kit.long())]))
        .await;
    visitor.expect_absent("a").await;
    visitor
        .apply(&visitor.update([restore("a", kit.long(), "1", last)]))
        .await;
    visitor.expect_value("a", "1").await;
}

pub(super) async fn a_restore_that_arrives_twice_restores_once(kit: Kit) {
    let [(visitor, last)] = run_out(&kit).await;
    let commit = visitor.update([restore("a", kit.long(), "restored", last)]);
    visitor.apply(&commit).await;
    visitor.apply(&visitor.update([remove("a")])).await;
    visitor.apply(&commit).await;
    visitor.expect_absent("a").await;
}
