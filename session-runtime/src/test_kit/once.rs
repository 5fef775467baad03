//! A commit that arrives twice.

use super::changes::{add, conflict_at, field_is, set, set_first, take, text};
use super::check::Contract;
use super::visitor::{Kit, previous_token};
use crate::store::{Condition, Outcome};

pub(super) const CONTRACT: Contract = Contract("guarantee 4 (once)");

pub(super) async fn a_write_that_arrives_twice_writes_once(kit: Kit) {
    let visitor = kit.session([]).await;
    let first = visitor.update([set("a", "first"), set_first("b", "first", None)]);
    visitor.apply(&first).await;
    visitor.apply(&visitor.update([set("a", "second")])).await;
    visitor.apply(&first).await;
    visitor.expect_value("a", "second").await;
}

/// Writes and nothing else, which a store may have a shorter way for.
pub(super) async fn a_plain_write_that_arrives_twice_writes_once(kit: Kit) {
    let visitor = kit.session([]).await;
    let first = visitor.update([set("a", "first")]);
    visitor.apply(&first).await;
    visitor.apply(&visitor.update([set("a", "second")])).await;
    visitor.apply(&first).await;
    visitor.expect_value("a", "second").await;
}

pub(super) async fn a_merge_that_arrives_twice_counts_once(kit: Kit) {
    let visitor = kit.session([set("a", "10")]).await;
    let commit = visitor.update([add("a", 5), add("b", 1)]);
    for _ in 0..3 {
        let answered = visitor.apply(&commit).await;
        let what = "the values that a merge answers, each time";
        kit.equal(what, answered, vec![text("15"), text("1")]);
    }
    visitor.apply(&visitor.update([add("a", 100)])).await;
    let answered = visitor.apply(&commit).await;
    let what = "the present value, as a merge answers that arrives again";
    kit.equal(what, answered, vec![text("115"), text("1")]);
    visitor.expect_value("a", "115").await;
}

pub(super) async fn a_take_that_arrives_twice_answers_the_same(kit: Kit) {
    let visitor = kit.session([set("a", "\0secret"), set("c", "")]).await;
    let commit = visitor.update([take("a"), take("absent"), take("c"), set("d", "1")]);
    let expected = vec![text("\0secret"), None, text(""), None];
    for _ in 0..3 {
        let answered = visitor.apply(&commit).await;
        let what = "the values that a take answers, each time";
        kit.equal(what, answered, expected.clone());
    }
    visitor.apply(&visitor.update([set("b", "1")])).await;
    kit.equal(
        "the values that a take answers after another commit",
        visitor.apply(&commit).await,
        expected,
    );
    visitor.expect_absent("a").await;
}

pub(super) async fn a_take_that_arrives_twice_takes_no_later_value(kit: Kit) {
    let visitor = kit.session([set("a", "first")]).await;
    let commit = visitor.update([take("a")]);
    visitor.apply(&commit).await;
    visitor.apply(&visitor.update([set("a", "second")])).await;
    let answered = visitor.apply(&commit).await;
    kit.equal("what was taken", answered, vec![text("first")]);
    visitor.expect_value("a", "second").await;
}

pub(super) async fn a_take_that_arrives_twice_answers_no_other_commits_value(kit: Kit) {
    let visitor = kit.session([]).await;
    let too_early = visitor.update([take("a"), set("b", "1")]);
    let answered = visitor.apply(&too_early).await;
    kit.equal("what a take of nothing answers", answered, vec![None, None]);
    visitor.apply(&visitor.update([set("a", "secret")])).await;
    let answered = visitor.apply(&visitor.update([take("a")])).await;
    kit.equal("what another take found", answered, vec![text("secret")]);
    let answered = visitor.apply(&too_early).await;
    let what = "what the take of nothing answers when it arrives again";
    kit.equal(what, answered, vec![None, None]);
}

/// Each is remembered as long as the commit that took it, and the last eight are.
pub(super) async fn eight_taken_values_are_remembered(kit: Kit) {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let visitor = kit.session(names.map(|name| set(name, name))).await;
    let takes = names.map(|name| visitor.update([take(name)]));
    for commit in &takes {
        visitor.apply(commit).await;
    }
    for (name, commit) in names.iter().zip(&takes) {
        let answered = visitor.apply(commit).await;
        let what = format_args!("what the take of `{name}` answers when it arrives again");
        kit.equal(what, answered, vec![text(name)]);
    }
}

/// A store may have forgotten it then, and takes what there is, or may remember it.
pub(super) async fn a_take_that_arrives_far_too_late_answers_one_of_two_values(kit: Kit) {
    let visitor = kit.session([set("a", "first")]).await;
    let commit = visitor.update([take("a")]);
    visitor.apply(&commit).await;
    for later in 0..8 {
        let change = set("n", later.to_string());
        visitor.apply(&visitor.update([change])).await;
    }
    let present = visitor.update([set("a", "second")]);
    visitor.apply(&present).await;
    let answered = visitor.apply(&commit).await;
    let left = visitor.value("a").await;
    let is_new = answered == [text("second")] && left.is_none();
    let is_old = answered != [text("second")] && left == text("second");
    let what = "a take answers what it removes, or what it removed before and then removes nothing";
    kit.holds(what, is_new || is_old);
}

pub(super) async fn another_take_finds_nothing(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    visitor.apply(&visitor.update([take("a")])).await;
    let answered = visitor.apply(&visitor.update([take("a")])).await;
    let what = "what a second take, with an id of its own, finds";
    kit.equal(what, answered, vec![None]);
}

pub(super) async fn a_rotation_that_arrives_twice_rotates_once(kit: Kit) {
    let first = kit.session([]).await;
    let (rotation, second) = first.rotation(None);
    first.apply(&rotation).await;
    first.apply(&rotation).await;
    let verifier = second.load_live(&[]).await.header.verifier;
    kit.holds("the token is the new one", verifier == second.verifier);

    let (later, third) = second.rotation(Some(kit.long()));
    second.apply(&later).await;
    first.apply(&rotation).await;
    let header = third.load_live(&[]).await.header;
    kit.holds(
        "a rotation that arrives late does not undo a later one",
        header.verifier == third.verifier && previous_token(&header) == Some(second.verifier),
    );
}

pub(super) async fn a_rotation_that_arrives_twice_does_not_prolong_its_grace(kit: Kit) {
    let old = kit.session([]).await;
    let (rotation, new) = old.rotation(Some(kit.units(5)));
    old.apply(&rotation).await;
    kit.pass(2).await;
    old.apply(&rotation).await;
    kit.pass(4).await;
    new.refuse(&old.touch(), Outcome::Gone).await;
}

pub(super) async fn a_creation_that_arrives_twice_creates_once(kit: Kit) {
    let visitor = kit.visitor();
    let creation = visitor.creation([set("a", "1"), add("b", 1)]);
    visitor.apply(&creation).await;
    visitor.apply(&visitor.update([set("a", "2")])).await;
    let answered = visitor.apply(&creation).await;
    kit.equal("what it answers", answered, vec![None, text("1")]);
    visitor.expect_value("a", "2").await;
}

/// Whether the store still remembers it or finds its id in use.
pub(super) async fn a_creation_that_arrives_far_too_late_changes_nothing(kit: Kit) {
    let visitor = kit.visitor();
    let creation = visitor.creation([set("a", "1")]);
    visitor.apply(&creation).await;
    for later in 0..8 {
        let change = set("a", later.to_string());
        visitor.apply(&visitor.update([change])).await;
    }
    let before = visitor.load_live(&["a"]).await;
    match visitor.send(&creation).await {
        Outcome::Applied(_) | Outcome::IdTaken => {}
        other => kit.broken(format_args!(
            "expected `Applied` or `IdTaken`, found {other:?}"
        )),
    }
    let after = visitor.load_live(&["a"]).await;
    kit.equal("the header", after.header, before.header);
    visitor.expect_value("a", "7").await;
}

pub(super) async fn a_repeated_commit_changes_nothing_at_all(kit: Kit) {
    let visitor = kit.session([]).await;
    let mut commit = visitor.update([set("a", "1")]);
    commit.label = Some("first".into());
    visitor.apply(&commit).await;
    let mut later = visitor.update([set("b", "1")]);
    later.label = Some("second".into());
    visitor.apply(&later).await;

    let before = visitor.load_live(&[]).await.header;
    kit.pass(1).await;
    visitor.apply(&commit).await;
    let after = visitor.load_live(&[]).await.header;
    kit.equal("the header, `seen` included", after, before);
}

pub(super) async fn a_repeated_commit_is_applied_whatever_its_guards_say_now(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let last = visitor.load_live(&[]).await.header.last_commit;
    let mut commit = visitor.update_if(field_is("a", Some("1")), [set("a", "2")]);
    commit.conditions.push(Condition::LastCommit(last));
    visitor.apply(&commit).await;
    visitor.apply(&commit).await;
    visitor.expect_value("a", "2").await;
}

pub(super) async fn eight_commits_are_remembered(kit: Kit) {
    let visitor = kit.session([]).await;
    let commit = visitor.update([add("a", 1)]);
    visitor.apply(&commit).await;
    for later in 1..=7 {
        let what = format!(
            "a count that arrives again after {} other commits",
            later - 1
        );
        kit.equal(what, visitor.apply(&commit).await, vec![text("1")]);
        visitor.apply(&visitor.update([add("b", 1)])).await;
    }
    let what = "a count that arrives again after seven other commits";
    kit.equal(what, visitor.apply(&commit).await, vec![text("1")]);
    visitor.expect_value("b", "7").await;
}

/// Where ids are kept one behind the other, the end of one and the beginning of the next look like
/// a third.
pub(super) async fn commits_are_told_apart_by_their_whole_ids(kit: Kit) {
    let visitor = kit.session([]).await;
    for id in ["AAAAAAAB", "AAAAAAAA", "AAAAAABA"] {
        let mut commit = visitor.update([add("a", 1)]);
        commit.id = id.parse().expect("eight characters");
        visitor.apply(&commit).await;
    }
    visitor.expect_value("a", "3").await;
}

pub(super) async fn touches_and_refusals_do_not_make_a_store_forget(kit: Kit) {
    let visitor = kit.session([set("x", "1")]).await;
    let commit = visitor.update([add("a", 1)]);
    visitor.apply(&commit).await;
    for _ in 0..10 {
        visitor.apply(&visitor.touch()).await;
        let refused = visitor.update_if(field_is("x", None), [set("y", "1")]);
        visitor.refuse(&refused, conflict_at("x")).await;
        visitor.apply(&commit).await;
    }
    visitor.expect_value("a", "1").await;
}

pub(super) async fn sessions_remember_their_own_commits_only(kit: Kit) {
    let one = kit.session([]).await;
    let other = kit.session([]).await;
    let first = one.update([add("a", 1)]);
    one.apply(&first).await;
    let mut second = other.update([add("a", 1)]);
    second.id = first.id;
    other.apply(&second).await;
    other.expect_value("a", "1").await;
}
