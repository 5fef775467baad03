//! All of a commit or nothing of it.

use super::changes::{
    add, conflict_at, field_is, merge, out_of_range, range, remove, renew, set, set_first, set_for,
    take, text,
};
use super::check::Contract;
use super::visitor::{Kit, Visitor, previous_token, random_commit_id, timeouts, values};
use crate::store::{Action, Commit, FieldTtl, MergeOperation, Outcome, Rotation};

pub(super) const CONTRACT: Contract = Contract("guarantee 2 (atomicity)");

const NAMES: [&str; 6] = ["set", "removed", "renewed", "taken", "merged", "new"];

async fn furnished(kit: &Kit) -> Visitor {
    let ttl = FieldTtl::restarting(kit.units(5_000));
    kit.session([
        set("set", "1"),
        set("removed", "2"),
        set_for("renewed", "3", ttl),
        set("taken", "4"),
        set("merged", "5"),
    ])
    .await
}

/// Changes everything that a commit can change.
fn change_everything(kit: &Kit, visitor: &Visitor) -> Commit {
    let mut commit = visitor.update([
        set("set", "changed"),
        remove("removed"),
        renew("renewed", kit.units(7_000)),
        take("taken"),
        add("merged", 1),
        add("new", 1),
    ]);
    let verifier = visitor.verifier;
    commit.action = Action::Update {
        verifier,
        rotation: Some(Rotation::new(kit.visitor().verifier, Some(kit.long()))),
    };
    commit.timeouts = Some(timeouts(None, None));
    commit.persistent = Some(true);
    commit.label = Some("changed".into());
    commit
}

/// Sends a commit that must be refused and compares all that a load shows.
async fn refuse_all(kit: &Kit, visitor: &Visitor, commit: &Commit, expected: Outcome) {
    let before = visitor.load_live(&NAMES).await;
    kit.pass(1).await;
    kit.equal("the outcome", visitor.send(commit).await, expected);
    let after = visitor.load_live(&NAMES).await;
    kit.equal("the header after a refusal", &after.header, &before.header);
    kit.equal(
        "the values after a refusal",
        values(&after),
        values(&before),
    );
    for (name, (after, before)) in NAMES.iter().zip(after.fields.iter().zip(&before.fields)) {
        let ends = |field: &Option<crate::store::StoredField>| field.as_ref()?.deadline;
        match (ends(after), ends(before)) {
            (Some(after), Some(before)) => {
                kit.same_moment(format_args!("the deadline of `{name}`"), after, before);
            }
            (after, before) => kit.equal("a deadline after a refusal", after, before),
        }
    }
}

pub(super) async fn a_refused_merge_undoes_the_changes_before_it(kit: Kit) {
    let visitor = furnished(&kit).await;
    let mut commit = change_everything(&kit, &visitor);
    let above = merge("set", MergeOperation::Add, 11, 0, range(0..=10), None);
    commit.changes.push(above);
    refuse_all(&kit, &visitor, &commit, out_of_range("set")).await;
}

pub(super) async fn a_refused_merge_undoes_the_changes_after_it(kit: Kit) {
    let visitor = furnished(&kit).await;
    let mut commit = change_everything(&kit, &visitor);
    let above = merge("over", MergeOperation::Add, 11, 0, range(0..=10), None);
    commit.changes.insert(0, above);
    refuse_all(&kit, &visitor, &commit, out_of_range("over")).await;
}

pub(super) async fn a_conflict_changes_nothing(kit: Kit) {
    let visitor = furnished(&kit).await;
    let mut commit = change_everything(&kit, &visitor);
    commit.conditions = vec![field_is("set", Some("1")), field_is("taken", Some("5"))];
    refuse_all(&kit, &visitor, &commit, conflict_at("taken")).await;
}

pub(super) async fn a_wrong_token_changes_nothing(kit: Kit) {
    let visitor = furnished(&kit).await;
    let stranger = kit.visitor_of(visitor.id);
    let commit = change_everything(&kit, &stranger);
    refuse_all(&kit, &visitor, &commit, Outcome::Gone).await;
}

pub(super) async fn a_refused_creation_creates_nothing(kit: Kit) {
    let visitor = kit.visitor();
    let above = merge("b", MergeOperation::Add, 11, 0, range(0..=10), None);
    let creation = visitor.creation([set("a", "1"), above]);
    let outcome = visitor.send(&creation).await;
    kit.equal("the outcome", outcome, out_of_range("b"));
    visitor.expect_gone().await;

    let mut creation = visitor.creation([set("a", "1")]);
    creation.conditions.push(field_is("a", Some("1")));
    let outcome = visitor.send(&creation).await;
    kit.equal("the outcome", outcome, conflict_at("a"));
    visitor.expect_gone().await;
}

pub(super) async fn a_refused_commit_is_not_remembered(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let mut commit = visitor.update_if(field_is("a", Some("2")), [set("b", "1")]);
    commit.id = random_commit_id();
    visitor.refuse(&commit, conflict_at("a")).await;
    visitor.apply(&visitor.update([set("a", "2")])).await;
    visitor.apply(&commit).await;
    visitor.expect_value("b", "1").await;
}

pub(super) async fn everything_changes_together(kit: Kit) {
    let visitor = furnished(&kit).await;
    let commit = change_everything(&kit, &visitor);
    let answered = visitor.apply(&commit).await;
    let expected = vec![None, None, None, text("4"), text("6"), text("1")];
    kit.equal("the values that a commit answers", answered, expected);

    let loaded = visitor.load_live(&NAMES).await;
    let expected = vec![text("changed"), None, text("3"), None, text("6"), text("1")];
    kit.equal("the values", values(&loaded), expected);
    let header = loaded.header;
    kit.holds(
        "the token was rotated",
        header.verifier != visitor.verifier && previous_token(&header) == Some(visitor.verifier),
    );
    kit.equal("`idle`", header.idle, None);
    kit.equal("`end`", header.end, None);
    kit.equal("`persistent`", header.persistent, Some(true));
    kit.equal("`label`", header.label.as_deref(), Some("changed"));
    kit.equal("`last_commit`", header.last_commit, Some(commit.id));
}

pub(super) async fn changes_of_one_field_follow_each_other(kit: Kit) {
    let visitor = kit.session([set("a", "old")]).await;
    let answered = visitor
        .apply(&visitor.update([
            take("a"),
            add("a", 5),
            add("a", 6),
            set_first("a", "ignored", None),
            take("a"),
            set_first("a", "written", None),
            set("b", "1"),
            remove("b"),
            remove("c"),
            set("c", "2"),
            set("d", "3"),
            add("d", 1),
            set("e", "1"),
            set("e", "2"),
        ]))
        .await;
    let mut expected = vec![None; 14];
    expected[0] = text("old");
    expected[1] = text("5");
    expected[2] = text("11");
    expected[3] = text("11");
    expected[4] = text("11");
    expected[11] = text("4");
    kit.equal("the values that a commit answers", answered, expected);
    let loaded = visitor.load_live(&["a", "b", "c", "d", "e"]).await;
    let expected = vec![text("written"), None, text("2"), text("4"), text("2")];
    kit.equal("the values", values(&loaded), expected);
}

pub(super) async fn a_commit_of_hundreds_of_changes_is_whole(kit: Kit) {
    let names: Vec<String> = (0..700).map(|n| format!("many.{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let visitor = kit.session([]).await;
    let sets = names.iter().map(|name| set(name, name));
    visitor.apply(&visitor.update(sets)).await;
    let expected: Vec<_> = names.iter().map(text).collect();
    let found = values(&visitor.load_live(&names).await);
    kit.holds("700 fields are written at once", found == expected);

    let above = merge("over", MergeOperation::Add, 11, 0, range(0..=10), None);
    let removals = names.iter().map(|name| remove(name)).chain([above]);
    let outcome = visitor.send(&visitor.update(removals)).await;
    kit.equal("the outcome", outcome, out_of_range("over"));
    let found = values(&visitor.load_live(&names).await);
    kit.holds("700 removals are undone together", found == expected);

    let removals = names.iter().map(|name| remove(name));
    visitor.apply(&visitor.update(removals)).await;
    let found = values(&visitor.load_live(&names).await);
    kit.holds(
        "700 fields are removed at once",
        found.iter().all(Option::is_none),
    );
}
