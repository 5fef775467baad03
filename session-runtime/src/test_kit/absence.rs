//! Checks that absence is an answer and not a failure.

use super::changes::{add, remove, renew, set, take};
use super::check::Contract;
use super::visitor::{Kit, Visitor};
use crate::store::Outcome;

pub(super) const CONTRACT: Contract = Contract("guarantee 7 (errors are not absence)");

async fn expect_none(kit: &Kit, visitor: &Visitor, names: &[&str]) {
    let loaded = visitor.load(names).await;
    kit.holds("a load of no session answers `None`", loaded.is_none());
}

pub(super) async fn a_load_of_no_session_is_none(kit: Kit) {
    let visitor = kit.visitor();
    expect_none(&kit, &visitor, &[]).await;
    expect_none(&kit, &visitor, &["a"]).await;
    expect_none(&kit, &visitor, &["a", "b", "a", "@", "@verifier"]).await;
}

pub(super) async fn a_commit_to_no_session_is_gone(kit: Kit) {
    let visitor = kit.visitor();
    let (rotation, _) = visitor.rotation(Some(kit.long()));
    for commit in [
        visitor.touch(),
        visitor.update([set("a", "1")]),
        visitor.update([remove("a"), take("a")]),
        visitor.update([renew("a", kit.long()), add("a", 1)]),
        rotation,
        visitor.destruction(),
    ] {
        visitor.refuse(&commit, Outcome::Gone).await;
        expect_none(&kit, &visitor, &["a"]).await;
    }
}

pub(super) async fn removing_what_is_absent_is_applied(kit: Kit) {
    let visitor = kit.session([]).await;
    let commit = visitor.update([remove("a"), take("b"), renew("c", kit.long())]);
    let answered = visitor.apply(&commit).await;
    kit.equal("what the changes answer", answered, vec![None; 3]);
    for name in ["a", "b", "c"] {
        visitor.expect_absent(name).await;
    }
}
