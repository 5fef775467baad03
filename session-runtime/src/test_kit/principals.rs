//! The principals in a session's header.

use super::changes::{conflict_at, field_is, principal_is, remove, set, set_for};
use super::check::Contract;
use super::lists::{add, add_as, expect_listed, principal, sign_in, take_off, take_off_as, with};
use super::visitor::{Kit, Visitor, timeouts};
use crate::store::{FieldTtl, Outcome, PrincipalKey};

pub(super) const CONTRACT: Contract = Contract("the contract of `Header::principals`");

/// The header lists exactly these, in any order.
async fn expect_principals(kit: &Kit, visitor: &Visitor, expected: &[(&str, PrincipalKey)]) {
    let header = visitor.load_live(&[]).await.header;
    let found = header.principals.iter();
    let mut found: Vec<_> = found.map(|one| (&*one.field, one.key)).collect();
    found.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    kit.equal("the principals in the header", found, expected);
}

pub(super) async fn a_load_tells_the_principals(kit: Kit) {
    let visitor = kit.session([]).await;
    expect_principals(&kit, &visitor, &[]).await;
    visitor
        .apply(&with(visitor.touch(), [add(&kit, "7")]))
        .await;
    expect_principals(&kit, &visitor, &[("owner", principal("7"))]).await;
    let clerk = add_as(&kit, "clerk", "8");
    visitor.apply(&with(visitor.touch(), [clerk])).await;
    let both = [("owner", principal("7")), ("clerk", principal("8"))];
    expect_principals(&kit, &visitor, &both).await;

    let newcomer = kit.visitor();
    newcomer.apply(&sign_in(&kit, &newcomer, "9")).await;
    expect_principals(&kit, &newcomer, &[("owner", principal("9"))]).await;
}

/// Whether or not the commit takes the session off the list of the one before.
pub(super) async fn a_field_names_one_principal(kit: Kit) {
    let visitor = kit.session([]).await;
    let clerk = add_as(&kit, "clerk", "7");
    let both = with(visitor.touch(), [clerk, add(&kit, "7")]);
    visitor.apply(&both).await;
    visitor
        .apply(&with(visitor.touch(), [add(&kit, "8")]))
        .await;
    let expected = [("clerk", principal("7")), ("owner", principal("8"))];
    expect_principals(&kit, &visitor, &expected).await;
    expect_listed(&kit, "8", &[&visitor]).await;

    for moved in [
        [take_off("8"), add(&kit, "9")],
        [add(&kit, "10"), take_off("9")],
    ] {
        visitor.apply(&with(visitor.touch(), moved)).await;
    }
    let expected = [("clerk", principal("7")), ("owner", principal("10"))];
    expect_principals(&kit, &visitor, &expected).await;
    // The same again.
    visitor
        .apply(&with(visitor.touch(), [add(&kit, "10")]))
        .await;
    expect_principals(&kit, &visitor, &expected).await;
}

pub(super) async fn only_the_pair_that_matches_is_removed(kit: Kit) {
    let visitor = kit.session([]).await;
    let clerk = add_as(&kit, "clerk", "8");
    let both = with(visitor.touch(), [add(&kit, "7"), clerk]);
    visitor.apply(&both).await;
    let expected = [("owner", principal("7")), ("clerk", principal("8"))];
    for other in [take_off("9"), take_off_as("waiter", "9"), take_off("77")] {
        visitor.apply(&with(visitor.touch(), [other])).await;
        expect_principals(&kit, &visitor, &expected).await;
    }
    visitor.apply(&with(visitor.touch(), [take_off("7")])).await;
    expect_principals(&kit, &visitor, &expected[1..]).await;
    expect_listed(&kit, "8", &[&visitor]).await;
}

/// They are no field's value: neither a rotation nor the end of the field touches them.
pub(super) async fn principals_outlive_tokens_and_fields(kit: Kit) {
    let short = FieldTtl::restarting(kit.units(1));
    let visitor = kit.session([set_for("owner", "7", short)]).await;
    visitor
        .apply(&with(visitor.touch(), [add(&kit, "7")]))
        .await;
    let expected = [("owner", principal("7"))];
    kit.pass(2).await;
    expect_principals(&kit, &visitor, &expected).await;
    visitor.apply(&visitor.update([set("a", "1")])).await;
    expect_principals(&kit, &visitor, &expected).await;
    visitor.apply(&visitor.update([remove("owner")])).await;
    let (rotation, new) = visitor.rotation(Some(kit.long()));
    visitor.apply(&rotation).await;
    expect_principals(&kit, &new, &expected).await;
    expect_listed(&kit, "7", &[&new]).await;
}

pub(super) async fn a_refused_commit_leaves_the_principals(kit: Kit) {
    let visitor = kit.visitor();
    visitor.apply(&sign_in(&kit, &visitor, "7")).await;
    let stranger = kit.visitor_of(visitor.id);
    let moved = [take_off("7"), add(&kit, "8")];
    let refused = with(stranger.touch(), moved.clone());
    visitor.refuse(&refused, Outcome::Gone).await;
    let refused = visitor.update_if(field_is("a", Some("1")), []);
    let refused = with(refused, moved);
    visitor.refuse(&refused, conflict_at("a")).await;
    expect_principals(&kit, &visitor, &[("owner", principal("7"))]).await;
}

pub(super) async fn principals_end_with_their_session(kit: Kit) {
    let visitor = kit.visitor();
    visitor.apply(&sign_in(&kit, &visitor, "7")).await;
    visitor.apply(&visitor.destruction()).await;
    visitor.apply(&visitor.creation([])).await;
    expect_principals(&kit, &visitor, &[]).await;

    let visitor = kit.visitor();
    let mut short = sign_in(&kit, &visitor, "7");
    short.timeouts = Some(timeouts(Some(kit.units(1)), None));
    visitor.apply(&short).await;
    kit.pass(2).await;
    visitor.apply(&visitor.creation([])).await;
    expect_principals(&kit, &visitor, &[]).await;
}

pub(super) async fn a_commit_that_arrives_twice_leaves_later_principals(kit: Kit) {
    let visitor = kit.session([]).await;
    let first = with(visitor.touch(), [add(&kit, "7")]);
    visitor.apply(&first).await;
    let moved = with(visitor.touch(), [take_off("7"), add(&kit, "8")]);
    visitor.apply(&moved).await;
    visitor.apply(&first).await;
    expect_principals(&kit, &visitor, &[("owner", principal("8"))]).await;
}

pub(super) async fn a_condition_compares_a_principal(kit: Kit) {
    let visitor = kit.session([set("owner", "7")]).await;
    let names = |name| principal_is("owner", principal(name));
    // The field's value does not matter.
    let early = visitor.update_if(names("7"), [set("a", "1")]);
    visitor.refuse(&early, conflict_at("owner")).await;
    visitor
        .apply(&with(visitor.touch(), [add(&kit, "7")]))
        .await;
    visitor.apply(&visitor.update([remove("owner")])).await;
    visitor
        .apply(&visitor.update_if(names("7"), [set("a", "1")]))
        .await;
    for (field, name) in [("owner", "8"), ("owner", "77"), ("clerk", "7")] {
        let condition = principal_is(field, principal(name));
        let commit = visitor.update_if(condition, [set("a", "2")]);
        visitor.refuse(&commit, conflict_at(field)).await;
    }

    let mut revocation = visitor.revocation();
    revocation.conditions = vec![names("8")];
    visitor.refuse(&revocation, conflict_at("owner")).await;
    let stranger = kit.visitor_of(visitor.id);
    let commit = stranger.update_if(names("8"), []);
    visitor.refuse(&commit, Outcome::Gone).await;
    revocation.conditions = vec![names("7")];
    visitor.apply(&revocation).await;
    visitor.expect_gone().await;
}

pub(super) async fn no_principal_is_listed_before_a_creation(kit: Kit) {
    let visitor = kit.visitor();
    let mut creation = sign_in(&kit, &visitor, "7");
    creation.conditions = vec![principal_is("owner", principal("7"))];
    let outcome = visitor.send(&creation).await;
    let what = "the outcome of a creation on the condition of its own principal";
    kit.equal(what, outcome, conflict_at("owner"));
    visitor.expect_gone().await;
    expect_listed(&kit, "7", &[]).await;
}
