//! When a session exists.

use std::time::Duration;

use super::changes::{add, conflict_at, field_is, renew, set, text};
use super::check::Contract;
use super::visitor::{Kit, timeouts, values};
use crate::store::{Outcome, Timeouts};

pub(super) const CONTRACT: Contract = Contract("guarantee 1 (existence)");

fn idle(idle: Duration) -> Timeouts {
    timeouts(Some(idle), None)
}

fn lifetime(lifetime: Duration) -> Timeouts {
    timeouts(None, Some(lifetime))
}

pub(super) async fn a_session_that_was_never_created_is_gone(kit: Kit) {
    kit.visitor().expect_gone().await;
}

pub(super) async fn a_created_session_is_found_as_it_was_created(kit: Kit) {
    let visitor = kit.visitor();
    let mut creation = visitor.creation([set("a", "1"), set("b", "2")]);
    creation.persistent = Some(true);
    creation.label = Some("Firefox on Linux".into());
    visitor.apply(&creation).await;

    let loaded = visitor.load_live(&["a", "b"]).await;
    kit.equal("the fields", values(&loaded), vec![text("1"), text("2")]);
    let header = loaded.header;
    let long = kit.long();
    kit.holds(
        "the verifier is that of the creation",
        header.verifier == visitor.verifier,
    );
    kit.equal("`previous`", header.previous, None);
    kit.equal("`idle`", header.idle, Some(long));
    kit.equal("`end`", header.end, Some(header.created + long));
    kit.equal(
        "`seen` of a new session",
        header.seen.as_millis(),
        header.created.as_millis(),
    );
    kit.equal("`persistent`", header.persistent, Some(true));
    kit.equal("`label`", header.label.as_deref(), Some("Firefox on Linux"));
    kit.equal("`last_commit`", header.last_commit, Some(creation.id));
}

pub(super) async fn a_session_without_fields_or_limits_exists(kit: Kit) {
    let unlimited = timeouts(None, None);
    let visitor = kit.session_ending(unlimited, []).await;
    kit.pass(2).await;
    let header = visitor.load_live(&[]).await.header;
    kit.equal("`idle`", header.idle, None);
    kit.equal("`end`", header.end, None);
    kit.equal("`persistent` where none was given", header.persistent, None);
    kit.equal("`label` where none was given", header.label, None);
}

pub(super) async fn an_id_in_use_is_not_created_again(kit: Kit) {
    let visitor = kit.session([set("a", "first")]).await;
    let thief = kit.visitor_of(visitor.id);
    let creation = thief.creation([set("a", "second"), set("b", "second")]);
    visitor.refuse(&creation, Outcome::IdTaken).await;
    let again = visitor.creation([set("a", "second")]);
    visitor.refuse(&again, Outcome::IdTaken).await;
    kit.holds(
        "a creation of an id in use leaves the verifier",
        visitor.load_live(&[]).await.header.verifier == visitor.verifier,
    );
}

pub(super) async fn a_destroyed_session_stays_gone(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    visitor.apply(&visitor.destruction()).await;
    visitor.expect_gone().await;
}

pub(super) async fn a_destruction_ignores_the_rest_of_its_commit(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let mut destruction = visitor.destruction();
    destruction.changes = vec![set("a", "2"), add("b", 1)];
    destruction.conditions = vec![field_is("a", Some("other"))];
    visitor.apply(&destruction).await;
    visitor.expect_gone().await;
}

pub(super) async fn an_id_is_free_after_a_destruction(kit: Kit) {
    let visitor = kit.session([set("a", "old"), set("b", "old")]).await;
    let old = visitor.update([set("c", "old")]);
    visitor.apply(&old).await;
    visitor.apply(&visitor.destruction()).await;

    let mut creation = visitor.creation([set("a", "new")]);
    creation.label = Some("new".into());
    visitor.apply(&creation).await;
    let loaded = visitor.load_live(&["a", "b", "c"]).await;
    let what = "the fields of a session whose id was used before";
    kit.equal(what, values(&loaded), vec![text("new"), None, None]);

    visitor.apply(&old).await;
    visitor.expect_value("c", "old").await;
}

pub(super) async fn an_id_is_free_after_the_session_ended_by_itself(kit: Kit) {
    let old = kit
        .session_ending(idle(kit.units(1)), [set("a", "old"), set("b", "old")])
        .await;
    kit.pass(2).await;
    let visitor = kit.visitor_of(old.id);
    visitor.apply(&visitor.creation([set("a", "new")])).await;
    let loaded = visitor.load_live(&["a", "b"]).await;
    let what = "the fields of a session whose id was used before";
    kit.equal(what, values(&loaded), vec![text("new"), None]);
    kit.equal(
        "a commit with the token of the session before",
        old.send(&old.touch()).await,
        Outcome::Gone,
    );
}

pub(super) async fn a_failed_creation_on_an_ended_session_leaves_none(kit: Kit) {
    let visitor = kit
        .session_ending(idle(kit.units(1)), [set("a", "old")])
        .await;
    kit.pass(2).await;
    let mut creation = visitor.creation([set("a", "new")]);
    creation.conditions.push(field_is("a", Some("old")));
    let outcome = visitor.send(&creation).await;
    kit.equal("the outcome of the creation", outcome, conflict_at("a"));
    visitor.expect_gone().await;
}

pub(super) async fn the_idle_timeout_ends_a_session(kit: Kit) {
    let visitor = kit
        .session_ending(idle(kit.units(2)), [set("a", "1")])
        .await;
    kit.pass(3).await;
    visitor.expect_gone().await;
}

pub(super) async fn the_lifetime_ends_a_session(kit: Kit) {
    let visitor = kit
        .session_ending(lifetime(kit.units(2)), [set("a", "1")])
        .await;
    kit.pass(3).await;
    visitor.expect_gone().await;
}

pub(super) async fn a_touch_moves_the_idle_end(kit: Kit) {
    let visitor = kit.session_ending(idle(kit.units(6)), []).await;
    kit.pass(4).await;
    visitor.apply(&visitor.touch()).await;
    kit.pass(4).await;
    visitor.load_live(&[]).await;
    kit.pass(3).await;
    visitor.expect_gone().await;
}

pub(super) async fn a_write_moves_the_idle_end(kit: Kit) {
    let visitor = kit.session_ending(idle(kit.units(6)), []).await;
    kit.pass(4).await;
    visitor.apply(&visitor.update([set("a", "1")])).await;
    kit.pass(4).await;
    visitor.load_live(&[]).await;
    kit.pass(3).await;
    visitor.expect_gone().await;
}

pub(super) async fn a_load_does_not_move_the_idle_end(kit: Kit) {
    let visitor = kit
        .session_ending(idle(kit.units(6)), [set("a", "1")])
        .await;
    kit.pass(3).await;
    visitor.load_live(&["a"]).await;
    kit.pass(4).await;
    visitor.expect_gone().await;
}

pub(super) async fn a_refused_commit_does_not_move_the_idle_end(kit: Kit) {
    let visitor = kit
        .session_ending(idle(kit.units(6)), [set("a", "1")])
        .await;
    kit.pass(3).await;
    let conflicting = visitor.update_if(field_is("a", None), [set("a", "2")]);
    visitor.refuse(&conflicting, conflict_at("a")).await;
    kit.pass(4).await;
    visitor.expect_gone().await;
}

pub(super) async fn nothing_moves_the_absolute_end(kit: Kit) {
    let timeouts = timeouts(Some(kit.units(5)), Some(kit.units(8)));
    let visitor = kit.session_ending(timeouts, [set("a", "1")]).await;
    let end = visitor.load_live(&[]).await.header.end;

    kit.pass(2).await;
    visitor.apply(&visitor.touch()).await;
    kit.pass(1).await;
    visitor
        .apply(&visitor.update([set("a", "2"), renew("a", kit.long())]))
        .await;
    kit.pass(1).await;
    let (rotation, visitor) = visitor.rotation(None);
    visitor.apply(&rotation).await;
    let what = "`end` after a touch, a write and a rotation";
    kit.equal(what, visitor.load_live(&[]).await.header.end, end);

    kit.pass(5).await;
    visitor.expect_gone().await;
}

pub(super) async fn timeouts_can_be_lengthened(kit: Kit) {
    let short = timeouts(Some(kit.units(3)), Some(kit.units(3)));
    let visitor = kit.session_ending(short, []).await;
    let created = visitor.load_live(&[]).await.header.created;
    kit.pass(1).await;
    let mut commit = visitor.touch();
    commit.timeouts = Some(lifetime(kit.long()));
    visitor.apply(&commit).await;

    kit.pass(4).await;
    visitor.apply(&visitor.touch()).await;
    let header = visitor.load_live(&[]).await.header;
    kit.equal("`created`", header.created, created);
    kit.equal("`idle` after it was lifted", header.idle, None);
    let what = "`end`, counted from the creation";
    kit.equal(what, header.end, Some(created + kit.long()));
}

pub(super) async fn an_idle_timeout_can_be_shortened(kit: Kit) {
    let visitor = kit.session([]).await;
    let mut commit = visitor.touch();
    commit.timeouts = Some(idle(kit.units(1)));
    visitor.apply(&commit).await;
    kit.pass(2).await;
    visitor.expect_gone().await;
}

pub(super) async fn a_lifetime_below_the_age_ends_the_session(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    kit.pass(2).await;
    let mut commit = visitor.touch();
    commit.timeouts = Some(lifetime(kit.units(1)));
    visitor.apply(&commit).await;
    visitor.expect_gone().await;
}

pub(super) async fn the_settings_of_a_session_stay_until_they_are_changed(kit: Kit) {
    let visitor = kit.visitor();
    let mut creation = visitor.creation([]);
    creation.persistent = Some(true);
    creation.label = Some("Näme 🦀 \"quoted\"\n".into());
    visitor.apply(&creation).await;

    visitor.apply(&visitor.update([set("a", "1")])).await;
    visitor.apply(&visitor.touch()).await;
    let (rotation, visitor) = visitor.rotation(None);
    visitor.apply(&rotation).await;
    let header = visitor.load_live(&[]).await.header;
    kit.equal(
        "`persistent` after commits without",
        header.persistent,
        Some(true),
    );
    kit.equal(
        "`label` after commits without",
        header.label.as_deref(),
        Some("Näme 🦀 \"quoted\"\n"),
    );
    kit.equal(
        "`idle` after commits without",
        header.idle,
        Some(kit.long()),
    );

    let mut commit = visitor.touch();
    commit.persistent = Some(false);
    commit.label = Some("".into());
    visitor.apply(&commit).await;
    let header = visitor.load_live(&[]).await.header;
    kit.equal("a new `persistent`", header.persistent, Some(false));
    kit.equal("a new, empty `label`", header.label.as_deref(), Some(""));
    kit.equal("`last_commit`", header.last_commit, Some(commit.id));
}

pub(super) async fn a_session_outlives_its_fields(kit: Kit) {
    use super::changes::set_for;
    use crate::store::FieldTtl;

    let ttl = FieldTtl::restarting(kit.units(1));
    let visitor = kit
        .session([set_for("a", "1", ttl), set_for("b", "2", ttl)])
        .await;
    kit.pass(2).await;
    let loaded = visitor.load_live(&["a", "b"]).await;
    kit.equal("fields that ended", values(&loaded), vec![None, None]);
    visitor.apply(&visitor.update([set("a", "3")])).await;
    visitor.expect_value("a", "3").await;
}

pub(super) async fn the_longest_timeouts_are_no_error(kit: Kit) {
    let almost_endless = Duration::MAX - Duration::from_millis(1);
    let longest = timeouts(Some(almost_endless), Some(almost_endless));
    let visitor = kit.session_ending(longest, [set("a", "1")]).await;
    visitor.apply(&visitor.touch()).await;
    visitor.expect_value("a", "1").await;
}

pub(super) async fn a_session_ends_at_the_millisecond(kit: Kit) {
    if !kit.is_exact() {
        return;
    }
    let one = Duration::from_millis(1);
    for timeouts in [idle(kit.units(1)), lifetime(kit.units(1))] {
        let visitor = kit.session_ending(timeouts, []).await;
        kit.pass_exactly(kit.units(1) - one).await;
        visitor.load_live(&[]).await;
        kit.pass_exactly(one).await;
        visitor.expect_gone().await;
    }
}
