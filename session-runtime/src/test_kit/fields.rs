//! Names and values of any form, and the answer of a load.

use super::changes::{conflict_at, field_is, remove, set, set_first, set_for, take, text};
use super::check::Contract;
use super::visitor::{Kit, values};
use crate::store::{FieldTtl, Selected};

pub(super) const CONTRACT: Contract = Contract("the contract of fields");

/// Names that a driver might take for something else.
const ODD_NAMES: [&str; 20] = [
    "a",
    "A",
    "a.b",
    "a.b.c",
    "Größe.Käse",
    "🛒.🧀",
    "with space.and\ttab",
    "new\nline",
    "nul\0.byte",
    "quote\".'",
    "back\\slash",
    "../../a",
    "a/b",
    "*.?[a]",
    "{tag}.a",
    "a:b",
    "a=b",
    "a@b",
    "1",
    "%s.$1",
];

pub(super) async fn any_name_names_a_field_of_its_own(kit: Kit) {
    let visitor = kit.session(ODD_NAMES.map(|name| set(name, name))).await;
    let found = values(&visitor.load_live(&ODD_NAMES).await);
    kit.equal("the values", found, ODD_NAMES.map(text).to_vec());
    for name in ODD_NAMES {
        let commit = visitor.update_if(field_is(name, None), []);
        visitor.refuse(&commit, conflict_at(name)).await;
        let answered = visitor.apply(&visitor.update([take(name)])).await;
        kit.equal(
            format_args!("what `{name}` held"),
            answered,
            vec![text(name)],
        );
    }
}

pub(super) async fn a_name_may_be_long(kit: Kit) {
    let one = "n".repeat(1_000);
    let other = format!("{one}.");
    let visitor = kit.session([set(&one, "1"), set(&other, "2")]).await;
    visitor.expect_value(&one, "1").await;
    visitor.expect_value(&other, "2").await;
}

/// Values that a driver might take for something else, with any first byte.
fn odd_values() -> Vec<Vec<u8>> {
    let mut odd: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    odd.extend((0..=255).map(|byte| {
        let mut value = vec![byte];
        value.extend_from_slice(b"\x000123456789:{}[]\"\\\n\r\n");
        value
    }));
    odd.push(Vec::new());
    odd.push((0..=255).collect());
    odd.push(vec![0; 1_000]);
    odd.push(vec![0xff; 1_000]);
    odd
}

pub(super) async fn any_bytes_are_a_value(kit: Kit) {
    let odd = odd_values();
    let names: Vec<String> = (0..odd.len()).map(|n| format!("value.{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for ttl in [None, Some(FieldTtl::restarting(kit.long()))] {
        let visitor = kit.session([]).await;
        let write = |(name, value): (&&str, &Vec<u8>)| match ttl {
            None => set(name, value),
            Some(ttl) => set_for(name, value, ttl),
        };
        let sets = names.iter().zip(&odd).map(write);
        visitor.apply(&visitor.update(sets)).await;
        let found = values(&visitor.load_live(&names).await);
        for ((name, value), found) in names.iter().zip(&odd).zip(&found) {
            let what = format_args!("the value of `{name}` with ttl {ttl:?}");
            kit.equal(what, found.clone(), text(value));
        }
        let takes = names.iter().map(|name| take(name));
        let taken = visitor.apply(&visitor.update(takes)).await;
        kit.holds("a take answers the same bytes", taken == found);
    }
}

pub(super) async fn any_bytes_can_be_a_condition(kit: Kit) {
    let visitor = kit.session([]).await;
    for value in [&b"\0"[..], b"", b"\xff\xfe\0\r\n", &[b'x'; 10_000]] {
        visitor.apply(&visitor.update([set("a", value)])).await;
        let is_value = crate::store::Condition::Field {
            name: "a".into(),
            value: text(value),
        };
        visitor.apply(&visitor.update_if(is_value, [])).await;
    }
}

pub(super) async fn an_empty_value_is_a_value(kit: Kit) {
    let ttl = FieldTtl::restarting(kit.long());
    let visitor = kit.session([set("a", ""), set_for("b", "", ttl)]).await;
    visitor
        .apply(&visitor.update([set_first("a", "1", None)]))
        .await;
    visitor.expect_value("a", "").await;
    visitor.expect_value("b", "").await;
    let answered = visitor.apply(&visitor.update([take("a"), take("b")])).await;
    kit.equal("what was taken", answered, vec![text(""), text("")]);
}

pub(super) async fn a_value_may_have_64_kib(kit: Kit) {
    let mut random = kit.random();
    let large: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(64 * 1024)
        .collect();
    let visitor = kit.session([]).await;
    let names = ["a", "b", "c", "d"];
    let sets = names.map(|name| set(name, &large));
    visitor.apply(&visitor.update(sets)).await;
    let found = values(&visitor.load_live(&names).await);
    let is_large = |value: &Option<bytes::Bytes>| value.as_deref() == Some(&large[..]);
    kit.holds("four values of 64 KiB are kept", found.iter().all(is_large));
    let taken = visitor.apply(&visitor.update([take("a")])).await;
    kit.holds("a value of 64 KiB can be taken", is_large(&taken[0]));
}

pub(super) async fn a_load_answers_in_the_order_of_its_request(kit: Kit) {
    let visitor = kit
        .session([set("a", "1"), set("b", "2"), set("c", "3")])
        .await;
    let found = values(&visitor.load_live(&["c", "x", "a", "y", "b"]).await);
    let expected = vec![text("3"), None, text("1"), None, text("2")];
    kit.equal("the fields in the order c, x, a, y, b", found, expected);
}

pub(super) async fn a_load_may_name_a_field_twice(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let found = values(&visitor.load_live(&["a", "x", "a", "x", "a"]).await);
    let expected = vec![text("1"), None, text("1"), None, text("1")];
    kit.equal("the fields a, x, a, x, a", found, expected);
}

pub(super) async fn a_load_may_name_no_field(kit: Kit) {
    let visitor = kit.session([set("a", "1")]).await;
    let loaded = visitor.load_live(&[]).await;
    kit.equal("the number of fields", loaded.fields.len(), 0);
}

pub(super) async fn a_load_may_name_hundreds_of_fields(kit: Kit) {
    let names: Vec<String> = (0..1_000).map(|n| format!("many.{n}")).collect();
    let visitor = kit.session([]).await;
    let even = names.iter().step_by(2);
    visitor
        .apply(&visitor.update(even.map(|name| set(name, name))))
        .await;
    for asks in [false, true] {
        let selected: Vec<_> = names
            .iter()
            .map(|name| match asks {
                true => Selected::with_deadline(name),
                false => Selected::value(name),
            })
            .collect();
        let Some(loaded) = visitor.load_selected(&selected).await else {
            kit.broken("expected a session, found none");
        };
        for (n, (name, found)) in names.iter().zip(values(&loaded)).enumerate() {
            let expected = if n % 2 == 0 { text(name) } else { None };
            kit.equal(format_args!("the value of `{name}`"), found, expected);
        }
    }
}

pub(super) async fn a_removed_field_is_absent(kit: Kit) {
    let ttl = FieldTtl::restarting(kit.long());
    let visitor = kit.session([set("a", "1"), set_for("b", "2", ttl)]).await;
    visitor
        .apply(&visitor.update([remove("a"), remove("b")]))
        .await;
    visitor.expect_absent("a").await;
    visitor.expect_absent("b").await;
    let first = visitor.update([set_first("a", "3", None)]);
    visitor.apply(&first).await;
    visitor.expect_value("a", "3").await;
}

pub(super) async fn the_first_write_wins(kit: Kit) {
    let visitor = kit.session([]).await;
    for value in ["1", "2"] {
        let commit = visitor.update([set_first("a", value, None)]);
        visitor.apply(&commit).await;
        visitor.expect_value("a", "1").await;
    }
    visitor.apply(&visitor.update([set("a", "3")])).await;
    visitor.expect_value("a", "3").await;
}

pub(super) async fn a_first_write_that_comes_second_answers_the_first_value(kit: Kit) {
    let short = FieldTtl::restarting(kit.units(1));
    let visitor = kit.session([set("a", "1"), set_for("b", "1", short)]).await;
    kit.pass(2).await;
    let commit = visitor.update([
        set_first("a", "2", None),
        set_first("b", "2", None),
        set_first("c", "2", None),
        set_first("c", "3", None),
    ]);
    let answered = visitor.apply(&commit).await;
    let what = "what first writes answer: the value that they find";
    kit.equal(what, answered, vec![text("1"), None, None, text("2")]);

    visitor
        .apply(&visitor.update([set("a", "4"), remove("b")]))
        .await;
    let answered = visitor.apply(&commit).await;
    let what = "what first writes answer that arrive again: the value that there is";
    let expected = vec![text("4"), None, text("2"), text("2")];
    kit.equal(what, answered, expected);
}
