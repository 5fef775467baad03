//! The second credential of a creation.

use std::time::Duration;

use super::changes::{set, text};
use super::check::Contract;
use super::races::{is_applied, race};
use super::visitor::{Kit, Visitor, previous_token};
use crate::store::{Condition, Outcome};

pub(super) const CONTRACT: Contract = Contract("the contract of `Link`");

/// A visitor whose session was created with a link, and a visitor who shows the link.
async fn linked(kit: &Kit, keep: Duration) -> (Visitor, Visitor) {
    let visitor = kit.visitor();
    let (creation, linked) = visitor.linked_creation(keep);
    visitor.apply(&creation).await;
    (visitor, linked)
}

/// Every commit that shows the link is refused.
async fn expect_closed(visitor: &Visitor, linked: &Visitor) {
    for commit in [
        linked.touch(),
        linked.update([set("a", "late")]),
        linked.rotation(None).0,
        linked.rotation_from_previous(None).0,
        linked.destruction(),
    ] {
        visitor.refuse(&commit, Outcome::Gone).await;
    }
    visitor.apply(&visitor.touch()).await;
}

pub(super) async fn a_link_opens_the_session(kit: Kit) {
    let (visitor, linked) = linked(&kit, kit.long()).await;
    linked.apply(&linked.touch()).await;
    linked.apply(&linked.update([set("a", "by link")])).await;
    visitor.expect_value("a", "by link").await;
    visitor.apply(&visitor.update([set("a", "by token")])).await;
    linked.apply(&linked.touch()).await;

    let stranger = kit.visitor_of(visitor.id);
    visitor.refuse(&stranger.touch(), Outcome::Gone).await;
    linked.apply(&linked.destruction()).await;
    visitor.expect_gone().await;
}

pub(super) async fn a_load_tells_an_open_link(kit: Kit) {
    let plain = kit.session([]).await;
    let header = plain.load_live(&[]).await.header;
    kit.holds("no link without one", header.link.is_none());

    let (visitor, linked) = linked(&kit, kit.long()).await;
    let created = visitor.load_live(&[]).await.header;
    let Some(link) = created.link else {
        kit.broken("expected a link, found none");
    };
    kit.holds(
        "the link's verifier is told",
        link.verifier == linked.verifier,
    );
    let until = created.created + kit.long();
    kit.same_moment("the end of the link", link.until, until);
    visitor.apply(&visitor.update([set("a", "1")])).await;
    linked.apply(&linked.touch()).await;
    let told = visitor.load_live(&[]).await.header.link;
    kit.equal("the link after other commits", told, created.link);
}

pub(super) async fn a_link_closes_when_its_time_is_over(kit: Kit) {
    let (visitor, linked) = linked(&kit, kit.units(3)).await;
    kit.pass(1).await;
    // Which prolongs nothing.
    linked.apply(&linked.touch()).await;
    visitor.apply(&visitor.update([set("a", "1")])).await;
    kit.pass(3).await;
    let header = visitor.load_live(&[]).await.header;
    kit.holds(
        "a link whose time is over is not told",
        header.link.is_none(),
    );
    expect_closed(&visitor, &linked).await;
}

pub(super) async fn a_link_closes_at_the_millisecond(kit: Kit) {
    if !kit.is_exact() {
        return;
    }
    let (visitor, linked) = linked(&kit, kit.units(2)).await;
    let one = Duration::from_millis(1);
    kit.pass_exactly(kit.units(2) - one).await;
    linked.apply(&linked.touch()).await;
    kit.pass_exactly(one).await;
    expect_closed(&visitor, &linked).await;

    let (visitor, never) = self::linked(&kit, Duration::ZERO).await;
    expect_closed(&visitor, &never).await;
}

pub(super) async fn the_longest_link_is_no_error(kit: Kit) {
    let (visitor, linked) = linked(&kit, Duration::MAX).await;
    linked.apply(&linked.touch()).await;
    kit.holds(
        "the link is told",
        visitor.load_live(&[]).await.header.link.is_some(),
    );
}

pub(super) async fn a_link_can_be_closed(kit: Kit) {
    let (visitor, linked) = linked(&kit, kit.long()).await;
    let mut close = visitor.touch();
    close.close_link = true;
    visitor.apply(&close).await;
    let header = visitor.load_live(&[]).await.header;
    kit.holds("a link that was closed is not told", header.link.is_none());
    kit.equal("`last_commit`", header.last_commit, Some(close.id));
    expect_closed(&visitor, &linked).await;

    // Where there is none it is no error.
    let mut again = visitor.touch();
    again.close_link = true;
    visitor.apply(&again).await;

    // The link itself can close it.
    let (visitor, linked) = self::linked(&kit, kit.long()).await;
    let mut close = linked.update([set("a", "1")]);
    close.close_link = true;
    linked.apply(&close).await;
    visitor.expect_value("a", "1").await;
    expect_closed(&visitor, &linked).await;
}

pub(super) async fn a_refused_commit_does_not_close_a_link(kit: Kit) {
    let (visitor, linked) = linked(&kit, kit.long()).await;
    let mut close = visitor.update_if(super::changes::field_is("a", Some("1")), []);
    close.close_link = true;
    let conflict = super::changes::conflict_at("a");
    visitor.refuse(&close, conflict).await;
    linked.apply(&linked.touch()).await;
}

/// It is neither the previous token nor one that a grace could end.
pub(super) async fn a_link_is_no_previous_token(kit: Kit) {
    let (visitor, linked) = linked(&kit, kit.long()).await;
    let header = visitor.load_live(&[]).await.header;
    kit.equal("`previous` of a linked session", header.previous, None);
    let mut end = visitor.touch();
    end.end_grace = true;
    visitor.apply(&end).await;
    linked.apply(&linked.touch()).await;

    // It rotates, and the token that is replaced gets the grace.
    let (rotation, new) = linked.rotation(Some(kit.long()));
    linked.apply(&rotation).await;
    let header = new.load_live(&[]).await.header;
    kit.holds("the token is the new one", header.verifier == new.verifier);
    kit.holds(
        "the token that was replaced has the grace",
        previous_token(&header) == Some(visitor.verifier),
    );
    visitor.apply(&visitor.touch()).await;
    linked.apply(&linked.update([set("a", "1")])).await;
    new.refuse(&visitor.rotation(None).0, Outcome::Gone).await;

    let (rotation, newest) = linked.rotation(None);
    linked.apply(&rotation).await;
    let header = newest.load_live(&[]).await.header;
    kit.equal("`previous` without grace", header.previous, None);
    newest.refuse(&new.touch(), Outcome::Gone).await;
    newest.refuse(&visitor.touch(), Outcome::Gone).await;
    linked.apply(&linked.touch()).await;
}

pub(super) async fn one_of_many_rotations_by_link_wins(kit: Kit) {
    for _ in 0..10 {
        let (visitor, linked) = linked(&kit, kit.long()).await;
        let last = visitor.load_live(&[]).await.header.last_commit;
        let rotations: Vec<_> = (0..12)
            .map(|_| {
                let (mut rotation, successor) = linked.rotation(None);
                rotation.conditions = vec![Condition::LastCommit(last)];
                (rotation, successor)
            })
            .collect();
        let outcomes = race(rotations.len(), |racer| {
            let (linked, rotation) = (linked.clone(), rotations[racer].0.clone());
            async move { linked.send(&rotation).await }
        })
        .await;
        let winners = outcomes
            .iter()
            .filter(|outcome| is_applied(outcome))
            .count();
        kit.equal("how many rotations win", winners, 1);
        for (outcome, (_, successor)) in outcomes.iter().zip(&rotations) {
            if is_applied(outcome) {
                let header = successor.load_live(&[]).await.header;
                let is_new = header.verifier == successor.verifier;
                kit.holds("the token is the winner's", is_new);
            } else {
                let conflict = Outcome::Conflict { field: None };
                kit.equal("the outcome of the others", outcome, &conflict);
            }
        }
    }
}

pub(super) async fn a_creation_that_arrives_twice_prolongs_no_link(kit: Kit) {
    let visitor = kit.visitor();
    let (creation, linked) = visitor.linked_creation(kit.units(4));
    visitor.apply(&creation).await;
    kit.pass(2).await;
    visitor.apply(&creation).await;
    kit.pass(3).await;
    expect_closed(&visitor, &linked).await;

    let visitor = kit.visitor();
    let (creation, linked) = visitor.linked_creation(kit.long());
    visitor.apply(&creation).await;
    let mut close = visitor.touch();
    close.close_link = true;
    visitor.apply(&close).await;
    visitor.apply(&creation).await;
    expect_closed(&visitor, &linked).await;
}

pub(super) async fn a_link_ends_with_its_session(kit: Kit) {
    let (visitor, linked) = linked(&kit, kit.long()).await;
    visitor.apply(&visitor.destruction()).await;
    linked.expect_gone().await;
    let again = visitor.creation([set("a", "again")]);
    visitor.apply(&again).await;
    kit.holds(
        "no link without one",
        visitor.load_live(&[]).await.header.link.is_none(),
    );
    expect_closed(&visitor, &linked).await;
    kit.equal("the value", visitor.value("a").await, text("again"));
}
