//! Loads that ask for all fields whose names begin with a prefix.

use std::collections::BTreeMap;

use super::changes::{remove, renew, set, set_for, text};
use super::check::Contract;
use super::races::race;
use super::visitor::{Kit, select, values};
use crate::store::{FieldTtl, Selection};

pub(super) const CONTRACT: Contract = Contract("the contract of `load` (prefixes)");

pub(super) async fn a_prefix_finds_the_fields_that_begin_with_it(kit: Kit) {
    let visitor = kit.session([]).await;
    let names = [
        "shop.flow",
        "shop.flows",
        "shop.flows/b",
        "shop.flows/a",
        "shop.flows/a/c",
        "shop.flows0",
        "shop.fl/ows/",
        "Shop.flows/a",
        "other/shop.flows/a",
    ];
    visitor
        .apply(&visitor.update(names.map(|name| set(name, name))))
        .await;
    let found = visitor.prefixed(&["shop.flows/"]).await;
    let found: Vec<_> = found
        .iter()
        .map(|(name, field)| (&**name, Some(field.value.clone())))
        .collect();
    let expected = ["shop.flows/a", "shop.flows/a/c", "shop.flows/b"];
    let expected = expected.map(|name| (name, text(name)));
    let what = "the fields with a prefix, by name, and their values";
    kit.equal(what, found.as_slice(), &expected);
    visitor.expect_prefixed("shop.flows/c", &[]).await;
    visitor
        .expect_prefixed("shop.flows/a/c", &["shop.flows/a/c"])
        .await;

    let gone = visitor.update([remove("shop.flows/a"), set("shop.flows/d", "")]);
    visitor.apply(&gone).await;
    let left = ["shop.flows/a/c", "shop.flows/b", "shop.flows/d"];
    visitor.expect_prefixed("shop.flows/", &left).await;
}

pub(super) async fn a_load_asks_for_names_and_prefixes(kit: Kit) {
    let visitor = kit
        .session([
            set("a", "1"),
            set("e/x", "2"),
            set("e/y", "3"),
            set("f/z", "4"),
        ])
        .await;
    let names = ["f/z", "absent", "e/y", "a"].map(select);
    let selection = Selection::fields(&names).with_prefixes(&["e/"]);
    let Some(loaded) = visitor.load_selection(&selection).await else {
        kit.broken("expected a session, found none");
    };
    let named = vec![text("4"), None, text("3"), text("1")];
    kit.equal("the fields by name", values(&loaded), named);
    let prefixed: Vec<_> = loaded.prefixed.iter().map(|(name, _)| &**name).collect();
    let what = "the fields by prefix, those asked for by name included";
    kit.equal(what, prefixed, vec!["e/x", "e/y"]);
}

pub(super) async fn a_load_without_prefixes_finds_none(kit: Kit) {
    let visitor = kit.session([set("e/x", "1")]).await;
    let loaded = visitor.load_live(&["e/x"]).await;
    kit.equal("the fields by prefix", loaded.prefixed, Vec::new());

    let stranger = kit.visitor();
    let selection = Selection::default().with_prefixes(&["e/"]);
    let loaded = stranger.load_selection(&selection).await;
    let what = "a load by prefix finds no session where there is none";
    kit.holds(what, loaded.is_none());
}

pub(super) async fn an_ended_field_is_not_found_by_its_prefix(kit: Kit) {
    let short = FieldTtl::restarting(kit.units(1));
    let long = FieldTtl::restarting(kit.long());
    let visitor = kit
        .session([
            set_for("e/ends", "1", short),
            set_for("e/renewed", "2", short),
            set_for("e/stays", "3", long),
            set("e/unbounded", "4"),
        ])
        .await;
    let all = ["e/ends", "e/renewed", "e/stays", "e/unbounded"];
    visitor.expect_prefixed("e/", &all).await;
    visitor
        .apply(&visitor.update([renew("e/renewed", kit.long())]))
        .await;
    kit.pass(2).await;
    visitor.expect_prefixed("e/", &all[1..]).await;
}

/// The load does not ask for them.
pub(super) async fn a_prefix_tells_no_deadlines(kit: Kit) {
    let long = FieldTtl::restarting(kit.long());
    let visitor = kit.session([set_for("e/x", "1", long)]).await;
    let found = visitor.prefixed(&["e/"]).await;
    let deadlines: Vec<_> = found.iter().map(|(_, field)| field.deadline).collect();
    kit.equal("the deadlines of fields by prefix", deadlines, vec![None]);
}

/// Also where one prefix begins with another.
pub(super) async fn several_prefixes_find_each_field_once(kit: Kit) {
    let names = ["e", "e/", "e/x", "e/x/y", "f/z", "g/z"];
    let visitor = kit.session(names.map(|name| set(name, name))).await;
    for prefixes in [
        ["e", "e/", "e/x", "f/"],
        ["f/", "e/x", "e/", "e"],
        ["e", "e", "f/", "f/z"],
    ] {
        let found = visitor.prefixed(&prefixes).await;
        let found: Vec<_> = found.iter().map(|(name, _)| &**name).collect();
        let what = format_args!("the fields with the prefixes {prefixes:?}, by name");
        kit.equal(what, found.as_slice(), &names[..5]);
    }
}

/// Whatever a database makes of such characters in patterns, paths or ranges.
pub(super) async fn any_prefix_is_taken_as_it_is(kit: Kit) {
    let prefixes = [
        "e/",
        "e%2F",
        "e%",
        "e_",
        "e*",
        "e?",
        "e[a-z]",
        "e\\",
        "e.",
        "e$",
        "e^",
        "e|",
        "e\"",
        "e'",
        "e\u{0}",
        "e\n",
        "e é",
        "e\u{1f980}",
        "e\u{10ffff}",
        "ee",
        "E/",
    ];
    let mut names = BTreeMap::new();
    for prefix in prefixes {
        for key in ["", "a", "%41%2F", "-_", "\u{10ffff}"] {
            let name = format!("{prefix}{key}");
            names.insert(name.clone(), name);
        }
    }
    let visitor = kit.session([]).await;
    let changes = names.keys().map(|name| set(name, name));
    visitor.apply(&visitor.update(changes)).await;
    for prefix in prefixes {
        let expected: Vec<_> = names
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with(prefix))
            .collect();
        visitor.expect_prefixed(prefix, &expected).await;
    }
}

/// However a store keeps it.
pub(super) async fn the_header_is_found_by_no_prefix(kit: Kit) {
    let visitor = kit.session([set("a", "1"), set("taken", "2")]).await;
    let (mut rotation, visitor) = {
        let (rotation, successor) = visitor.rotation(Some(kit.long()));
        (rotation, (visitor, successor))
    };
    let (old, new) = visitor;
    rotation.changes = vec![super::changes::take("taken")];
    rotation.label = Some("label".into());
    rotation.lists = vec![super::lists::add(&kit, "7")];
    old.apply(&rotation).await;
    new.expect_prefixed("@", &[]).await;
    new.expect_prefixed("", &["a"]).await;
}

pub(super) async fn hundreds_of_fields_are_found_by_their_prefix(kit: Kit) {
    let names: Vec<String> = (0..400).map(|number| format!("e/{number:03}")).collect();
    let visitor = kit.session([set("d/0", "0"), set("f/0", "0")]).await;
    let changes = names.iter().map(|name| set(name, name));
    visitor.apply(&visitor.update(changes)).await;
    let expected: Vec<_> = names.iter().map(String::as_str).collect();
    visitor.expect_prefixed("e/", &expected).await;
}

pub(super) async fn no_load_by_prefix_sees_half_a_commit(kit: Kit) {
    const NAMES: [&str; 4] = ["e/a", "e/b", "e/c", "e/d"];
    let visitor = kit.session(NAMES.map(|name| set(name, "0"))).await;
    race(8, |racer| {
        let (kit, visitor) = (kit.clone(), visitor.clone());
        async move {
            for round in 0..25 {
                if racer < 4 {
                    let value = format!("{racer}.{round}");
                    let changes = NAMES.map(|name| set(name, &value));
                    visitor.apply(&visitor.update(changes)).await;
                    continue;
                }
                let found = visitor.prefixed(&["e/"]).await;
                kit.equal("how many fields there are", found.len(), NAMES.len());
                let first = &found[0].1.value;
                let whole = found.iter().all(|(_, field)| field.value == *first);
                kit.holds("a load sees a commit as a whole", whole);
            }
        }
    })
    .await;
}
