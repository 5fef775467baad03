//! Checks of fields that a commit does not name.

use super::changes::{add, merge, range, remove, renew, set, set_first, set_for, take, text};
use super::check::Contract;
use super::visitor::{Kit, values};
use crate::store::{FieldTtl, MergeOperation};

pub(super) const CONTRACT: Contract = Contract("guarantee 8 (foreign fields survive)");

pub(super) async fn fields_that_are_not_named_stay(kit: Kit) {
    let long = FieldTtl::restarting(kit.long());
    let foreign = [
        "login.user",
        "login.since",
        "shop",
        "shop.",
        "shop.cart.x",
        "SHOP.CART",
    ];
    let visitor = kit
        .session(foreign.map(|name| set_for(name, name, long)))
        .await;
    let before = visitor.load_live(&foreign).await;
    kit.pass(1).await;
    let any = range(i64::MIN..=i64::MAX);
    for change in [
        set("shop.cart", "1"),
        set_first("shop.cart", "2", None),
        set_for("shop.cart", "3", long),
        renew("shop.cart", kit.long()),
        add("shop.cart", 1),
        merge("shop.cart", MergeOperation::Max, 1, 0, any, None),
        take("shop.cart"),
        remove("shop.cart"),
    ] {
        visitor.apply(&visitor.update([change])).await;
    }
    visitor.apply(&visitor.touch()).await;
    let (rotation, visitor) = visitor.rotation(Some(kit.long()));
    visitor.apply(&rotation).await;

    let after = visitor.load_live(&foreign).await;
    kit.equal(
        "the foreign fields",
        values(&after),
        foreign.map(text).to_vec(),
    );
    for (after, before) in after.fields.iter().zip(&before.fields) {
        let ends = |field: &Option<crate::store::StoredField>| field.as_ref()?.deadline;
        match (ends(after), ends(before)) {
            (Some(after), Some(before)) => kit.same_moment("a foreign deadline", after, before),
            other => kit.broken(format_args!("expected foreign deadlines, found {other:?}")),
        }
    }
}

pub(super) async fn sessions_do_not_touch_each_other(kit: Kit) {
    let one = kit.session([set("a", "one")]).await;
    let other = kit.session([set("a", "other")]).await;
    one.apply(&one.update([set("a", "changed"), set("b", "1")]))
        .await;
    other.expect_value("a", "other").await;
    other.expect_absent("b").await;
    one.apply(&one.destruction()).await;
    other.expect_value("a", "other").await;
    other.apply(&other.touch()).await;
}
