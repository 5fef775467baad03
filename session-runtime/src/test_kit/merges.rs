//! Integers, exactly.

use super::changes::{
    add, conflict_at, field_is, merge, out_of_range, range, set, stopping_at_min, text,
};
use super::check::Contract;
use super::visitor::Kit;
use crate::store::{IntegerRange, MergeOperation};

pub(super) const CONTRACT: Contract = Contract("the contract of `Change::Merge`");

/// Where numbers that are doubles, or halves of an integer, go wrong.
const EDGES: [i64; 27] = [
    i64::MIN,
    i64::MIN + 1,
    -(1 << 62) - 1,
    -(1 << 53) - 1,
    -(1 << 53),
    -10_000_000_000,
    -(1 << 32),
    i32::MIN as i64,
    -1_000_000,
    -10,
    -2,
    -1,
    0,
    1,
    2,
    9,
    10,
    999_999,
    i32::MAX as i64,
    u32::MAX as i64,
    9_999_999_999,
    19_999_999_999,
    // With one more, its lower ten digits are full.
    1_000_009_999_999_999,
    (1 << 53) - 1,
    (1 << 53) + 1,
    i64::MAX - 1,
    i64::MAX,
];

/// Merges into a field that holds `stored`, or into none, and checks the result: `None` when it
/// must be refused.
async fn expect_merge(
    kit: &Kit,
    operation: MergeOperation,
    stored: Option<i64>,
    operand: i64,
    allowed: IntegerRange,
    expected: Option<i64>,
) {
    let visitor = kit.session([]).await;
    expect_merge_in(kit, &visitor, operation, stored, operand, allowed, expected).await;
}

async fn expect_merge_in(
    kit: &Kit,
    visitor: &super::visitor::Visitor,
    operation: MergeOperation,
    stored: Option<i64>,
    operand: i64,
    allowed: IntegerRange,
    expected: Option<i64>,
) {
    let initial = stored.unwrap_or(7);
    let present = match stored {
        Some(stored) => set("n", stored.to_string()),
        None => super::changes::remove("n"),
    };
    // One commit, so that the whole table takes one call per case.
    let change = merge("n", operation, operand, initial, allowed, None);
    let outcome = visitor.send(&visitor.update([present, change])).await;
    let what = || format!("{operation:?} of {initial} and {operand}, allowed {allowed:?}");
    match expected {
        Some(expected) => {
            let expected = expected.to_string();
            let applied = crate::store::Applied::new(vec![None, text(&expected)]);
            if outcome != crate::store::Outcome::Applied(applied) {
                let found = match outcome {
                    crate::store::Outcome::Applied(applied) => format!("{:?}", applied.values),
                    refused => format!("{refused:?}"),
                };
                kit.broken(format_args!(
                    "{}: expected {expected}, found {found}",
                    what()
                ));
            }
            kit.equal(what(), visitor.value("n").await, text(&expected));
        }
        None => kit.equal(what(), outcome, out_of_range("n")),
    }
}

pub(super) async fn add_is_exact_over_the_whole_range(kit: Kit) {
    let any = range(i64::MIN..=i64::MAX);
    let visitor = kit.session([]).await;
    for stored in EDGES {
        for operand in EDGES {
            let sum = stored.checked_add(operand);
            let add = MergeOperation::Add;
            expect_merge_in(&kit, &visitor, add, Some(stored), operand, any, sum).await;
        }
    }
}

pub(super) async fn max_and_min_are_exact_over_the_whole_range(kit: Kit) {
    let any = range(i64::MIN..=i64::MAX);
    let visitor = kit.session([]).await;
    for stored in EDGES {
        for operand in EDGES {
            for (operation, expected) in [
                (MergeOperation::Max, stored.max(operand)),
                (MergeOperation::Min, stored.min(operand)),
            ] {
                let expected = Some(expected);
                expect_merge_in(
                    &kit,
                    &visitor,
                    operation,
                    Some(stored),
                    operand,
                    any,
                    expected,
                )
                .await;
            }
        }
    }
}

pub(super) async fn random_sums_are_exact(kit: Kit) {
    let mut random = kit.random();
    let visitor = kit.session([]).await;
    for _ in 0..200 {
        let mut integer = || random.i64(..) >> random.u32(0..63);
        let (stored, operand, one, other) = (integer(), integer(), integer(), integer());
        let (min, max) = (one.min(other), one.max(other));
        let sum = i128::from(stored) + i128::from(operand);
        let inside = |sum: i128| {
            i64::try_from(sum)
                .ok()
                .filter(|sum| (min..=max).contains(sum))
        };
        let add = MergeOperation::Add;
        let allowed = range(min..=max);
        expect_merge_in(
            &kit,
            &visitor,
            add,
            Some(stored),
            operand,
            allowed,
            inside(sum),
        )
        .await;
        let allowed = stopping_at_min(min..=max);
        let expected = inside(sum.max(min.into()));
        expect_merge_in(
            &kit,
            &visitor,
            add,
            Some(stored),
            operand,
            allowed,
            expected,
        )
        .await;
    }
}

pub(super) async fn an_absent_field_counts_as_the_initial_value(kit: Kit) {
    let any = range(i64::MIN..=i64::MAX);
    for (operation, operand, expected) in [
        (MergeOperation::Add, 3, Some(10)),
        (MergeOperation::Add, i64::MAX, None),
        (MergeOperation::Max, 3, Some(7)),
        (MergeOperation::Max, 8, Some(8)),
        (MergeOperation::Min, 3, Some(3)),
        (MergeOperation::Min, 8, Some(7)),
    ] {
        expect_merge(&kit, operation, None, operand, any, expected).await;
    }
    let visitor = kit.session([]).await;
    for (name, initial) in [("min", i64::MIN), ("max", i64::MAX), ("zero", 0)] {
        let change = merge(name, MergeOperation::Add, 0, initial, any, None);
        let answered = visitor.apply(&visitor.update([change])).await;
        let what = "an initial value to which nothing is added";
        kit.equal(what, answered, vec![text(initial.to_string())]);
    }
}

pub(super) async fn the_range_bounds_the_result(kit: Kit) {
    use MergeOperation::{Add, Max, Min};
    let small = range(-5..=10);
    for (operation, stored, operand, expected) in [
        (Add, 9, 1, Some(10)),
        (Add, 10, 1, None),
        (Add, -4, -1, Some(-5)),
        (Add, -5, -1, None),
        (Add, 100, -90, Some(10)),
        (Add, 100, 0, None),
        (Max, 1, 10, Some(10)),
        (Max, 1, 11, None),
        (Max, 11, 1, None),
        (Min, 1, -5, Some(-5)),
        (Min, 1, -6, None),
        (Min, 11, 12, None),
    ] {
        expect_merge(&kit, operation, Some(stored), operand, small, expected).await;
    }
    let byte = range(0..=255);
    expect_merge(&kit, Add, Some(255), 1, byte, None).await;
    expect_merge(&kit, Add, Some(0), -1, byte, None).await;
    let single = range(3..=3);
    expect_merge(&kit, Add, Some(1), 2, single, Some(3)).await;
    expect_merge(&kit, Add, Some(1), 1, single, None).await;
}

pub(super) async fn a_result_below_the_range_can_stop_at_its_end(kit: Kit) {
    use MergeOperation::{Add, Max, Min};
    let unsigned = stopping_at_min(0..=i64::MAX);
    for (operation, stored, operand, expected) in [
        (Add, 3, -2, Some(1)),
        (Add, 3, -3, Some(0)),
        (Add, 3, -4, Some(0)),
        (Add, 0, i64::MIN, Some(0)),
        (Add, -5, i64::MIN, Some(0)),
        (Add, i64::MIN, i64::MIN, Some(0)),
        (Add, i64::MAX, 1, None),
        (Add, i64::MAX, i64::MIN, Some(0)),
        (Min, 3, -1, Some(0)),
        (Max, -3, -1, Some(0)),
    ] {
        expect_merge(&kit, operation, Some(stored), operand, unsigned, expected).await;
    }
    let lowest = stopping_at_min(i64::MIN..=0);
    expect_merge(&kit, Add, Some(i64::MIN), -1, lowest, Some(i64::MIN)).await;
    expect_merge(&kit, Add, Some(i64::MIN), i64::MIN, lowest, Some(i64::MIN)).await;
    expect_merge(&kit, Add, Some(0), 1, lowest, None).await;
    let high = stopping_at_min(100..=200);
    expect_merge(&kit, Add, Some(0), 1, high, Some(100)).await;
    expect_merge(&kit, Add, Some(200), 1, high, None).await;
}

pub(super) async fn every_integer_is_one_when_it_is_stored(kit: Kit) {
    let any = range(i64::MIN..=i64::MAX);
    let visitor = kit.session([]).await;
    // Also where the text is as long as that of the ends of the range, or nearly so.
    let lengths = (0..=18).map(|digits| 10_i64.pow(digits));
    for stored in lengths.flat_map(|power| [power, -power]).chain(EDGES) {
        let change = merge("n", MergeOperation::Add, 0, 41, any, None);
        let commit = visitor.update([set("n", stored.to_string()), change]);
        let answered = visitor.apply(&commit).await;
        let what = format!("the sum of nothing and the stored {stored}");
        kit.equal(what, answered, vec![None, text(stored.to_string())]);
    }
}

pub(super) async fn a_stored_value_that_is_no_integer_counts_as_absent(kit: Kit) {
    let any = range(i64::MIN..=i64::MAX);
    for stored in [
        "",
        "-",
        "+",
        "+5",
        "-0",
        "00",
        "007",
        "-01",
        " 5",
        "5 ",
        "5\n",
        "1.0",
        "1e3",
        "0x10",
        "nan",
        "inf",
        "null",
        "\"5\"",
        "9223372036854775808",
        "-9223372036854775809",
        "18446744073709551616",
        "99999999999999999999999999",
        "٣",
        "1\0",
    ] {
        let visitor = kit.session([set("n", stored)]).await;
        let change = merge("n", MergeOperation::Add, 1, 41, any, None);
        let answered = visitor.apply(&visitor.update([change])).await;
        let what = format!("41 and 1, where {stored:?} was stored");
        kit.equal(&what, answered, vec![text("42")]);
        kit.equal(&what, visitor.value("n").await, text("42"));
    }
    let visitor = kit.session([set("n", [0xff, 0xfe])]).await;
    let answered = visitor.apply(&visitor.update([add("n", 1)])).await;
    kit.equal(
        "0 and 1, where bytes were stored",
        answered,
        vec![text("1")],
    );
}

pub(super) async fn several_merges_of_one_field_build_on_each_other(kit: Kit) {
    use MergeOperation::{Add, Max, Min};
    let any = range(i64::MIN..=i64::MAX);
    let of = |operation, operand| merge("n", operation, operand, 0, any, None);
    let visitor = kit.session([]).await;
    let commit = visitor.update([of(Add, 5), of(Add, -7), of(Max, 3), of(Min, -1), of(Add, 1)]);
    let answered = visitor.apply(&commit).await;
    let expected = ["5", "-2", "3", "-1", "0"].map(text).to_vec();
    kit.equal("the results, in order", answered, expected);
    visitor.expect_value("n", "0").await;
}

pub(super) async fn a_merge_under_a_condition_compares_the_value_before(kit: Kit) {
    let visitor = kit.session([set("n", "1")]).await;
    let commit = visitor.update_if(field_is("n", Some("1")), [add("n", 1)]);
    visitor.apply(&commit).await;
    let commit = visitor.update_if(field_is("n", Some("1")), [add("n", 1)]);
    visitor.refuse(&commit, conflict_at("n")).await;
    visitor.expect_value("n", "2").await;
}
