//! Counting and reclaiming.

use super::changes::set;
use super::check::Contract;
use super::visitor::{Kit, timeouts};
use crate::store::{Count, SessionStore};

pub(super) const CONTRACT: Contract = Contract("the contract of `len` and `sweep`");

/// The number of records, if the store counts exactly.
async fn exact_len(kit: &Kit) -> Option<u64> {
    match kit.store.len().await {
        Ok(Count::Exact(sessions)) => Some(sessions),
        Ok(Count::Estimated(_) | Count::Unknown) => None,
        Err(error) => kit.broken(format_args!("`len` failed: {error:?}")),
    }
}

async fn sweep(kit: &Kit) -> u64 {
    match kit.store.sweep().await {
        Ok(swept) => swept,
        Err(error) => kit.broken(format_args!("`sweep` failed: {error:?}")),
    }
}

pub(super) async fn living_sessions_are_counted(kit: Kit) {
    let Some(before) = exact_len(&kit).await else {
        return;
    };
    kit.equal("the sessions in a new store", before, 0);
    let one = kit.session([set("a", "1")]).await;
    kit.session([]).await;
    kit.session([set("a", "1"), set("b", "1")]).await;
    kit.equal("the sessions", exact_len(&kit).await, Some(3));
    one.apply(&one.update([set("b", "1")])).await;
    one.load_live(&["a"]).await;
    one.send(&kit.visitor().update([set("a", "1")])).await;
    let what = "the sessions after writes";
    kit.equal(what, exact_len(&kit).await, Some(3));
    one.apply(&one.destruction()).await;
    let what = "the sessions after a destruction";
    kit.equal(what, exact_len(&kit).await, Some(2));
}

pub(super) async fn a_sweep_takes_ended_sessions_only(kit: Kit) {
    let short = timeouts(Some(kit.units(1)), None);
    for _ in 0..20 {
        kit.session_ending(short, [set("a", "1")]).await;
    }
    let living = kit.session([set("a", "1")]).await;
    kit.pass(2).await;

    let before = exact_len(&kit).await;
    let swept = sweep(&kit).await;
    kit.holds(
        format_args!("a sweep takes at most the 20 ended sessions, found {swept}"),
        swept <= 20,
    );
    living.expect_value("a", "1").await;
    if let (Some(before), Some(after)) = (before, exact_len(&kit).await) {
        kit.holds(
            format_args!("the living session is counted, and at most 20 others; found {before}"),
            (1..=21).contains(&before),
        );
        kit.holds(
            format_args!("a sweep of {swept} leaves from 1 to {before}, found {after}"),
            1 <= after && after + swept <= before,
        );
    }
    // A second sweep may remove what the first one left, such as files in use, and nothing else.
    let again = sweep(&kit).await;
    kit.holds(
        format_args!("two sweeps take at most the 20 ended sessions, found {swept} and {again}"),
        swept + again <= 20,
    );
}
