//! Who may change a session, and under which conditions.

use super::changes::{add, conflict_at, field_is, merge, range, set, set_for, text};
use super::check::Contract;
use super::visitor::{Kit, previous_token, random_commit_id, values};
use crate::store::{Condition, FieldTtl, MergeOperation, Outcome};
use crate::token::Verifier;

pub(super) const CONTRACT: Contract = Contract("guarantee 3 (guards)");

const NO_LAST_COMMIT: Outcome = Outcome::Conflict { field: None };

pub(super) async fn another_token_changes_nothing(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let mut stranger = visitor.clone();
    for position in [0, 7, 15] {
        let mut bytes = *visitor.verifier.as_bytes();
        bytes[position] ^= 1;
        stranger.verifier = Verifier::from_bytes(bytes);
        for commit in [
            stranger.touch(),
            stranger.update([set("a", "2")]),
            stranger.rotation(Some(kit.long())).0,
            stranger.destruction(),
        ] {
            visitor.refuse(&commit, Outcome::Gone).await;
        }
    }
    visitor.expect_value("a", "1").await;
}

pub(super) async fn the_guard_comes_before_the_conditions(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let stranger = kit.visitor_of(visitor.id);
    let commit = stranger.update_if(field_is("a", None), []);
    visitor.refuse(&commit, Outcome::Gone).await;
}

/// Before all that the commit says, which is about a session that is not this one.
pub(super) async fn that_an_id_is_taken_comes_before_the_conditions(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let above = merge("b", MergeOperation::Add, 11, 0, range(0..=10), None);
    let mut creation = kit.visitor_of(visitor.id).creation([above]);
    creation.conditions = vec![field_is("a", None)];
    visitor.refuse(&creation, Outcome::IdTaken).await;
    // Also where its verifier is that of the session.
    let mut again = visitor.creation([]);
    again.conditions = vec![field_is("a", None)];
    visitor.refuse(&again, Outcome::IdTaken).await;
}

pub(super) async fn the_conditions_come_before_the_changes(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let above = merge("b", MergeOperation::Add, 11, 0, range(0..=10), None);
    let commit = visitor.update_if(field_is("a", None), [above]);
    visitor.refuse(&commit, conflict_at("a")).await;

    let commit = visitor.update_if(field_is("b", None), [set("b", "1")]);
    visitor.apply(&commit).await;
    visitor.expect_value("b", "1").await;
}

pub(super) async fn a_rotation_replaces_the_token(kit: Kit) {
    let old = kit.session([set("a", "1")]).await;
    let before = old.load_live(&[]).await.header;
    let (rotation, new) = old.rotation(None);
    old.apply(&rotation).await;

    let loaded = new.load_live(&["a"]).await;
    kit.equal(
        "the fields after a rotation",
        values(&loaded),
        vec![text("1")],
    );
    kit.holds(
        "the verifier is the new one",
        loaded.header.verifier == new.verifier,
    );
    kit.equal("`previous` without grace", loaded.header.previous, None);
    kit.equal("`created`", loaded.header.created, before.created);
    kit.equal("`end`", loaded.header.end, before.end);
    kit.equal(
        "`last_commit`",
        loaded.header.last_commit,
        Some(rotation.id),
    );

    new.refuse(&old.touch(), Outcome::Gone).await;
    new.refuse(&old.update([set("a", "2")]), Outcome::Gone)
        .await;
    new.refuse(&old.rotation(None).0, Outcome::Gone).await;
    new.refuse(&old.destruction(), Outcome::Gone).await;
    new.apply(&new.update([set("a", "3")])).await;
    new.expect_value("a", "3").await;
}

pub(super) async fn the_previous_token_works_within_its_grace(kit: Kit) {
    let old = kit.session([]).await;
    let (rotation, new) = old.rotation(Some(kit.long()));
    old.apply(&rotation).await;
    let previous = previous_token(&new.load_live(&[]).await.header);
    kit.holds("`previous` is told", previous == Some(old.verifier));

    old.apply(&old.touch()).await;
    old.apply(&old.update([set("a", "old")])).await;
    new.expect_value("a", "old").await;
    new.apply(&new.update([set("a", "new")])).await;
    let previous = previous_token(&new.load_live(&[]).await.header);
    kit.holds(
        "commits within the grace leave `previous`",
        previous == Some(old.verifier),
    );
    old.apply(&old.destruction()).await;
    new.expect_gone().await;
}

pub(super) async fn the_previous_token_does_not_rotate(kit: Kit) {
    let old = kit.session([]).await;
    let (rotation, new) = old.rotation(Some(kit.long()));
    old.apply(&rotation).await;
    new.refuse(&old.rotation(None).0, Outcome::Gone).await;
    new.refuse(&old.rotation(Some(kit.long())).0, Outcome::Gone)
        .await;
}

/// For one whose successor was never shown.
pub(super) async fn a_rotation_may_admit_the_previous_token(kit: Kit) {
    let first = kit.session([]).await;
    let (rotation, second) = first.rotation(Some(kit.long()));
    first.apply(&rotation).await;
    let (rotation, third) = first.rotation_from_previous(Some(kit.long()));
    first.apply(&rotation).await;
    let header = third.load_live(&[]).await.header;
    kit.holds(
        "the token is the new one",
        header.verifier == third.verifier,
    );
    kit.holds(
        "the token that was replaced has the grace",
        previous_token(&header) == Some(second.verifier),
    );
    third.refuse(&first.touch(), Outcome::Gone).await;
    second.apply(&second.touch()).await;

    // The present token may too, and no other.
    let (rotation, fourth) = third.rotation_from_previous(Some(kit.units(2)));
    third.apply(&rotation).await;
    let stranger = kit.visitor_of(third.id);
    for dead in [&first, &second, &stranger] {
        let (rotation, _) = dead.rotation_from_previous(None);
        fourth.refuse(&rotation, Outcome::Gone).await;
    }
    kit.pass(3).await;
    let (late, _) = third.rotation_from_previous(None);
    fourth.refuse(&late, Outcome::Gone).await;
    fourth.apply(&fourth.touch()).await;
}

pub(super) async fn the_previous_token_dies_with_its_grace(kit: Kit) {
    let old = kit.session([]).await;
    let (rotation, new) = old.rotation(Some(kit.units(2)));
    old.apply(&rotation).await;
    kit.pass(3).await;
    let previous = previous_token(&new.load_live(&[]).await.header);
    kit.equal("`previous` after its grace", previous, None);
    new.refuse(&old.touch(), Outcome::Gone).await;
    new.refuse(&old.update([set("a", "1")]), Outcome::Gone)
        .await;
    new.refuse(&old.destruction(), Outcome::Gone).await;
    new.apply(&new.touch()).await;
}

pub(super) async fn a_touch_does_not_prolong_a_grace(kit: Kit) {
    let old = kit.session([]).await;
    let (rotation, new) = old.rotation(Some(kit.units(5)));
    old.apply(&rotation).await;
    kit.pass(2).await;
    old.apply(&old.touch()).await;
    new.apply(&new.update([set("a", "1")])).await;
    kit.pass(4).await;
    new.refuse(&old.touch(), Outcome::Gone).await;
}

pub(super) async fn only_the_last_token_before_has_a_grace(kit: Kit) {
    let first = kit.session([]).await;
    let (rotation, second) = first.rotation(Some(kit.long()));
    first.apply(&rotation).await;
    let (rotation, third) = second.rotation(Some(kit.long()));
    second.apply(&rotation).await;
    third.refuse(&first.touch(), Outcome::Gone).await;
    second.apply(&second.touch()).await;

    let (rotation, fourth) = third.rotation(None);
    third.apply(&rotation).await;
    let previous = fourth.load_live(&[]).await.header.previous;
    let what = "`previous` after a rotation without grace";
    kit.equal(what, previous, None);
    for dead in [first, second, third] {
        fourth.refuse(&dead.touch(), Outcome::Gone).await;
    }
    fourth.apply(&fourth.touch()).await;
}

pub(super) async fn a_rotation_may_change_fields_too(kit: Kit) {
    let old = kit.session([set("a", "1")]).await;
    let (mut rotation, new) = old.rotation(None);
    rotation.changes = vec![set("a", "2"), add("b", 3)];
    rotation.conditions = vec![field_is("a", Some("1"))];
    old.apply(&rotation).await;
    let loaded = new.load_live(&["a", "b"]).await;
    kit.equal("the fields", values(&loaded), vec![text("2"), text("3")]);

    let (mut rotation, _) = new.rotation(None);
    rotation.conditions = vec![field_is("a", Some("1"))];
    new.refuse(&rotation, conflict_at("a")).await;
    new.apply(&new.touch()).await;
}

pub(super) async fn a_condition_compares_a_field(kit: Kit) {
    let visitor = kit.session([set("a", "1"), set("empty", "")]).await;
    let conditions = [
        ("a", Some("1"), true),
        ("a", Some("2"), false),
        ("a", Some("10"), false),
        ("a", Some(""), false),
        ("a", None, false),
        ("empty", Some(""), true),
        ("empty", None, false),
        ("absent", None, true),
        ("absent", Some(""), false),
        ("absent", Some("1"), false),
    ];
    for (name, value, holds) in conditions {
        let commit = visitor.update_if(field_is(name, value), [add("applied", 1)]);
        if holds {
            visitor.apply(&commit).await;
        } else {
            visitor.refuse(&commit, conflict_at(name)).await;
        }
    }
    visitor.expect_value("applied", "3").await;
}

pub(super) async fn all_conditions_must_hold(kit: Kit) {
    let visitor = kit.session([set("a", "1"), set("b", "2")]).await;
    let holding = [field_is("a", Some("1")), field_is("b", Some("2"))];
    for broken in 0..3 {
        let mut commit = visitor.update([set("c", "3")]);
        commit.conditions = holding.to_vec();
        commit.conditions.insert(broken, field_is("c", Some("x")));
        visitor.refuse(&commit, conflict_at("c")).await;
    }
    let mut commit = visitor.update([set("c", "3")]);
    commit.conditions = holding.to_vec();
    visitor.apply(&commit).await;
    visitor.expect_value("c", "3").await;
}

pub(super) async fn a_condition_alone_guards_a_touch(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let commit = visitor.update_if(field_is("a", Some("2")), []);
    visitor.refuse(&commit, conflict_at("a")).await;
    let commit = visitor.update_if(field_is("a", Some("1")), []);
    visitor.apply(&commit).await;
}

pub(super) async fn an_ended_field_is_absent_for_conditions(kit: Kit) {
    let ttl = FieldTtl::restarting(kit.units(1));
    let visitor = kit.session([set_for("a", "1", ttl)]).await;
    kit.pass(2).await;
    let commit = visitor.update_if(field_is("a", Some("1")), [set("b", "1")]);
    visitor.refuse(&commit, conflict_at("a")).await;
    let commit = visitor.update_if(field_is("a", None), [set("b", "2")]);
    visitor.apply(&commit).await;
    visitor.expect_value("b", "2").await;
}

pub(super) async fn a_condition_compares_the_last_commit(kit: Kit) {
    let visitor = kit.session([]).await;
    let write = visitor.update([set("a", "1")]);
    visitor.apply(&write).await;
    visitor.apply(&visitor.touch()).await;
    visitor
        .apply(&visitor.update([super::changes::renew("a", kit.long())]))
        .await;
    let told = visitor.load_live(&[]).await.header.last_commit;
    kit.equal("`last_commit` after touches", told, Some(write.id));

    for other in [None, Some(random_commit_id())] {
        let commit = visitor.update_if(Condition::LastCommit(other), [set("a", "2")]);
        visitor.refuse(&commit, NO_LAST_COMMIT).await;
    }
    let commit = visitor.update_if(Condition::LastCommit(Some(write.id)), [set("a", "3")]);
    visitor.apply(&commit).await;
    let late = visitor.update_if(Condition::LastCommit(Some(write.id)), [set("a", "4")]);
    visitor.refuse(&late, NO_LAST_COMMIT).await;
    visitor.expect_value("a", "3").await;
}

pub(super) async fn a_creation_can_have_conditions(kit: Kit) {
    let visitor = kit.visitor();
    let mut creation = visitor.creation([set("a", "1")]);
    creation.conditions = vec![field_is("a", None)];
    visitor.apply(&creation).await;
    visitor.expect_value("a", "1").await;
}

pub(super) async fn a_revocation_needs_no_token(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let other = kit.session([set("a", "1")]).await;
    let stranger = kit.visitor_of(visitor.id);
    let mut revocation = stranger.revocation();
    revocation.changes = vec![set("a", "2")];
    stranger.apply(&revocation).await;
    visitor.expect_gone().await;
    other.expect_value("a", "1").await;

    let missing = kit.visitor();
    kit.equal(
        "the outcome of revoking a session that never was",
        missing.send(&missing.revocation()).await,
        Outcome::Gone,
    );
}

pub(super) async fn a_revocation_asks_its_conditions(kit: Kit) {
    let visitor = kit.session([set("owner", "7")]).await;
    for condition in [
        field_is("owner", Some("8")),
        field_is("owner", Some("77")),
        field_is("owner", None),
    ] {
        let mut revocation = visitor.revocation();
        revocation.conditions = vec![condition];
        visitor.refuse(&revocation, conflict_at("owner")).await;
    }
    let mut revocation = visitor.revocation();
    revocation.conditions = vec![field_is("owner", Some("7")), field_is("older", None)];
    visitor.apply(&revocation).await;
    visitor.expect_gone().await;
}

pub(super) async fn a_grace_can_be_ended(kit: Kit) {
    let old = kit.session([]).await;
    let (rotation, new) = old.rotation(Some(kit.long()));
    old.apply(&rotation).await;
    old.apply(&old.touch()).await;

    let mut end = new.touch();
    end.end_grace = true;
    new.apply(&end).await;
    let previous = previous_token(&new.load_live(&[]).await.header);
    kit.equal("`previous` after its grace was ended", previous, None);
    new.refuse(&old.touch(), Outcome::Gone).await;
    new.refuse(&old.destruction(), Outcome::Gone).await;

    // Where there is none it is no error.
    let mut again = new.touch();
    again.end_grace = true;
    new.apply(&again).await;
    new.apply(&new.touch()).await;
}

pub(super) async fn the_end_of_a_grace_leaves_the_next_one(kit: Kit) {
    let first = kit.session([]).await;
    let (rotation, second) = first.rotation(Some(kit.long()));
    first.apply(&rotation).await;
    let (mut rotation, third) = second.rotation(Some(kit.long()));
    rotation.end_grace = true;
    second.apply(&rotation).await;
    let previous = previous_token(&third.load_live(&[]).await.header);
    kit.holds(
        "a rotation begins a grace though it ends another",
        previous == Some(second.verifier),
    );
    second.apply(&second.touch()).await;
    third.refuse(&first.touch(), Outcome::Gone).await;
}

pub(super) async fn the_time_of_the_last_rotation_is_told(kit: Kit) {
    let old = kit.session([]).await;
    let header = old.load_live(&[]).await.header;
    kit.equal("`rotated` of a new session", header.rotated, header.created);
    kit.pass(2).await;
    old.apply(&old.update([set("a", "1")])).await;
    let what = "`rotated` after a write";
    kit.equal(
        what,
        old.load_live(&[]).await.header.rotated,
        header.rotated,
    );

    let (rotation, new) = old.rotation(None);
    old.apply(&rotation).await;
    let rotated = new.load_live(&[]).await.header;
    kit.same_moment("`rotated`", rotated.rotated, rotated.seen);
    kit.holds(
        "a rotation moves `rotated` and leaves `created`",
        rotated.rotated > header.rotated && rotated.created == header.created,
    );
}
