//! Principals' lists: supersets of the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::changes::{conflict_at, field_is, merge, out_of_range, range, set};
use super::check::Contract;
use super::races::{is_applied, race};
use super::visitor::{Kit, Visitor};
use crate::store::{
    Commit, ListChange, ListEntry, MergeOperation, Outcome, PrincipalKey, SessionStore,
};
use crate::token::SessionId;

pub(super) const CONTRACT: Contract = Contract("guarantee 9 (a list is a superset)");

/// The principal that this value of the field `owner` names.
pub(super) fn principal(name: &str) -> PrincipalKey {
    PrincipalKey::new("owner", name.as_bytes())
}

pub(super) fn add_kept(name: &str, keep: Option<Duration>, limit: Option<u32>) -> ListChange {
    ListChange::Add {
        field: "owner".into(),
        principal: principal(name),
        keep,
        limit,
    }
}

pub(super) fn add(kit: &Kit, name: &str) -> ListChange {
    add_kept(name, Some(kit.long()), None)
}

pub(super) fn add_within(kit: &Kit, name: &str, limit: u32) -> ListChange {
    add_kept(name, Some(kit.long()), Some(limit))
}

pub(super) fn take_off(name: &str) -> ListChange {
    take_off_as("owner", name)
}

/// Lists the session under the principal that another field than `owner` names.
pub(super) fn add_as(kit: &Kit, field: &str, name: &str) -> ListChange {
    ListChange::Add {
        field: field.to_owned().into(),
        principal: principal(name),
        keep: Some(kit.long()),
        limit: None,
    }
}

pub(super) fn take_off_as(field: &str, name: &str) -> ListChange {
    ListChange::Remove {
        field: field.to_owned().into(),
        principal: principal(name),
    }
}

pub(super) fn reached(name: &str) -> Outcome {
    Outcome::LimitReached {
        principal: principal(name),
    }
}

pub(super) async fn entries(kit: &Kit, principal: &PrincipalKey) -> Vec<ListEntry> {
    match kit.store.list(principal).await {
        Ok(listing) => listing.entries,
        Err(error) => kit.broken(format_args!("the store failed to list: {error:?}")),
    }
}

pub(super) async fn remove_stale(kit: &Kit, name: &str, entry: &ListEntry) {
    if let Err(error) = kit.store.remove_stale(&principal(name), entry).await {
        kit.broken(format_args!(
            "the store failed to remove an entry: {error:?}"
        ));
    }
}

/// Exactly these sessions are listed, each once.
pub(super) async fn expect_listed(kit: &Kit, name: &str, expected: &[&Visitor]) {
    let mut found: Vec<_> = entries(kit, &principal(name)).await;
    found.sort_by_key(|entry| entry.session);
    let found: Vec<_> = found.iter().map(|entry| entry.session).collect();
    let mut expected: Vec<_> = expected.iter().map(|visitor| visitor.id).collect();
    expected.sort();
    kit.equal(format_args!("the sessions of `{name}`"), found, expected);
}

/// A session of this principal.
pub(super) async fn signed_in(kit: &Kit, name: &str) -> Visitor {
    let visitor = kit.visitor();
    visitor.apply(&sign_in(kit, &visitor, name)).await;
    visitor
}

pub(super) fn sign_in(kit: &Kit, visitor: &Visitor, name: &str) -> Commit {
    let mut creation = visitor.creation([set("owner", name)]);
    creation.lists.push(add(kit, name));
    creation
}

pub(super) fn with(mut commit: Commit, lists: impl IntoIterator<Item = ListChange>) -> Commit {
    commit.lists.extend(lists);
    commit
}

pub(super) async fn a_session_is_listed_and_taken_off(kit: Kit) {
    expect_listed(&kit, "7", &[]).await;
    let visitor = kit.visitor();
    let creation = sign_in(&kit, &visitor, "7");
    visitor.apply(&creation).await;
    expect_listed(&kit, "7", &[&visitor]).await;

    let entry = entries(&kit, &principal("7")).await[0];
    kit.equal("the mark of an entry", entry.mark, creation.id);
    kit.holds("the session has arrived", !entry.arriving);
    let loaded = visitor.load_live(&[]).await;
    kit.same_moment("when it was added", entry.added, loaded.header.created);
    match kit.store.list(&principal("7")).await {
        Ok(listing) => kit.same_moment("the store's time", listing.now, loaded.now),
        Err(error) => kit.broken(format_args!("the store failed to list: {error:?}")),
    }

    visitor.apply(&with(visitor.touch(), [take_off("7")])).await;
    expect_listed(&kit, "7", &[]).await;
    visitor.expect_value("owner", "7").await;
}

pub(super) async fn any_commit_can_change_lists(kit: Kit) {
    let visitor = kit.session([]).await;
    let update = with(visitor.update([set("owner", "7")]), [add(&kit, "7")]);
    visitor.apply(&update).await;
    expect_listed(&kit, "7", &[&visitor]).await;

    let (rotation, visitor) = {
        let (rotation, successor) = visitor.rotation(None);
        visitor
            .apply(&with(rotation.clone(), [take_off("7"), add(&kit, "8")]))
            .await;
        (rotation, successor)
    };
    expect_listed(&kit, "7", &[]).await;
    expect_listed(&kit, "8", &[&visitor]).await;
    let mark = entries(&kit, &principal("8")).await[0].mark;
    kit.equal("the mark", mark, rotation.id);
}

pub(super) async fn principals_have_lists_of_their_own(kit: Kit) {
    let seven = signed_in(&kit, "7").await;
    let again = signed_in(&kit, "7").await;
    let eight = signed_in(&kit, "8").await;
    expect_listed(&kit, "7", &[&seven, &again]).await;
    expect_listed(&kit, "8", &[&eight]).await;
    expect_listed(&kit, "77", &[]).await;
    expect_listed(&kit, "", &[]).await;
    expect_listed(&kit, "*", &[]).await;

    // Removing an entry that is not listed is no error, and leaves the others.
    eight.apply(&with(eight.touch(), [take_off("7")])).await;
    expect_listed(&kit, "7", &[&seven, &again]).await;
    again.apply(&with(again.touch(), [take_off("7")])).await;
    expect_listed(&kit, "7", &[&seven]).await;
}

pub(super) async fn a_session_can_have_several_principals(kit: Kit) {
    let visitor = kit.visitor();
    let creation = sign_in(&kit, &visitor, "customer");
    let creation = with(creation, [add_as(&kit, "clerk", "clerk")]);
    visitor.apply(&creation).await;
    expect_listed(&kit, "customer", &[&visitor]).await;
    expect_listed(&kit, "clerk", &[&visitor]).await;
    visitor
        .apply(&with(visitor.touch(), [take_off_as("clerk", "clerk")]))
        .await;
    expect_listed(&kit, "customer", &[&visitor]).await;
    expect_listed(&kit, "clerk", &[]).await;
}

/// Every split of one text into name and value is another principal, whatever it contains.
pub(super) async fn names_and_values_of_principals_do_not_run_together(kit: Kit) {
    let long = "x".repeat(64 * 1024);
    let mut principals = BTreeMap::new();
    for text in [
        "shop.customer7",
        "a:b:c",
        "\0\0\0",
        "*?[a]\\{}\r\n$5\r\n",
        "\u{1f980}\u{0}é",
        "../../etc",
        long.as_str(),
    ] {
        let cuts = text.char_indices().map(|(cut, _)| cut);
        for cut in cuts.take(24).chain([text.len()]) {
            let (name, value) = text.split_at(cut);
            let key = PrincipalKey::new(name, value.as_bytes());
            let before = principals.insert(key, (name.to_owned(), value.to_owned()));
            kit.holds("every name and value have their own key", before.is_none());
            let again: Result<PrincipalKey, _> = key.to_string().parse();
            kit.equal("a key from its text", again, Ok(key));
        }
    }
    let mut sessions = BTreeMap::new();
    for key in principals.keys() {
        let visitor = kit.visitor();
        let creation = with(
            visitor.creation([]),
            [ListChange::Add {
                field: "owner".into(),
                principal: *key,
                keep: Some(kit.long()),
                limit: Some(1),
            }],
        );
        visitor.apply(&creation).await;
        sessions.insert(key, visitor.id);
    }
    for (key, session) in sessions {
        let listed: Vec<_> = entries(&kit, key).await;
        let listed: Vec<_> = listed.iter().map(|entry| entry.session).collect();
        kit.equal("the sessions of one of many", listed, vec![session]);
    }
}

pub(super) async fn a_move_is_one_commit(kit: Kit) {
    let visitor = signed_in(&kit, "a").await;
    let other = signed_in(&kit, "a").await;
    let moved = visitor.update([set("owner", "b")]);
    let moved = with(moved, [take_off("a"), add_within(&kit, "b", 1)]);
    visitor.apply(&moved).await;
    expect_listed(&kit, "a", &[&other]).await;
    expect_listed(&kit, "b", &[&visitor]).await;
}

pub(super) async fn the_end_of_a_session_takes_it_off(kit: Kit) {
    let destroyed = signed_in(&kit, "7").await;
    let revoked = signed_in(&kit, "7").await;
    let living = signed_in(&kit, "7").await;
    let destruction = with(destroyed.destruction(), [take_off("7")]);
    destroyed.apply(&destruction).await;
    expect_listed(&kit, "7", &[&revoked, &living]).await;

    let mut revocation = with(revoked.revocation(), [take_off("7")]);
    revocation.conditions = vec![field_is("owner", Some("8"))];
    revoked.refuse(&revocation, conflict_at("owner")).await;
    expect_listed(&kit, "7", &[&revoked, &living]).await;
    revocation.conditions = vec![field_is("owner", Some("7"))];
    revoked.apply(&revocation).await;
    revoked.expect_gone().await;
    expect_listed(&kit, "7", &[&living]).await;
}

/// A commit that changes nothing but a list is no touch: it is remembered.
pub(super) async fn an_entry_needs_no_other_change(kit: Kit) {
    let visitor = kit.session([]).await;
    let commit = with(visitor.touch(), [add(&kit, "7")]);
    visitor.apply(&commit).await;
    expect_listed(&kit, "7", &[&visitor]).await;
    let told = visitor.load_live(&[]).await.header.last_commit;
    kit.equal("`last_commit`", told, Some(commit.id));
}

/// A commit of each kind that must be refused, listing the session under `name`.
async fn refused(kit: &Kit, visitor: &Visitor, name: &str) -> Vec<(Commit, Outcome)> {
    let stranger = kit.visitor_of(visitor.id);
    let (rotation, _) = stranger.rotation(None);
    let above = merge("count", MergeOperation::Add, 11, 0, range(0..=10), None);
    let all = [
        (stranger.update([set("owner", name)]), Outcome::Gone),
        (rotation, Outcome::Gone),
        (stranger.creation([set("owner", name)]), Outcome::IdTaken),
        (stranger.destruction(), Outcome::Gone),
        (
            visitor.update_if(field_is("absent", Some("1")), [set("owner", name)]),
            conflict_at("absent"),
        ),
        (
            visitor.update([set("owner", name), above]),
            out_of_range("count"),
        ),
    ];
    all.into()
}

pub(super) async fn a_refused_commit_lists_nothing(kit: Kit) {
    let visitor = signed_in(&kit, "7").await;
    for (commit, outcome) in refused(&kit, &visitor, "8").await {
        let commit = with(commit, [take_off("7"), add(&kit, "8")]);
        visitor.refuse(&commit, outcome).await;
        expect_listed(&kit, "8", &[]).await;
        expect_listed(&kit, "7", &[&visitor]).await;
    }
    let missing = kit.visitor();
    let update = with(missing.update([set("owner", "8")]), [add(&kit, "8")]);
    missing.refuse(&update, Outcome::Gone).await;
    expect_listed(&kit, "8", &[]).await;
}

/// Not even where it would list again what is listed already.
pub(super) async fn a_refused_commit_takes_nothing_off(kit: Kit) {
    let visitor = signed_in(&kit, "7").await;
    for (commit, outcome) in refused(&kit, &visitor, "7").await {
        let commit = with(commit, [add(&kit, "7")]);
        visitor.refuse(&commit, outcome).await;
        expect_listed(&kit, "7", &[&visitor]).await;
        kit.holds(
            "a refused commit leaves no entry that is on its way",
            !entries(&kit, &principal("7")).await[0].arriving,
        );
    }
}

pub(super) async fn a_commit_that_arrives_twice_lists_once(kit: Kit) {
    let visitor = kit.visitor();
    let mut creation = sign_in(&kit, &visitor, "7");
    creation.lists = vec![add_within(&kit, "7", 1)];
    visitor.apply(&creation).await;
    visitor.apply(&creation).await;
    expect_listed(&kit, "7", &[&visitor]).await;

    let off = with(visitor.touch(), [take_off("7")]);
    visitor.apply(&off).await;
    visitor.apply(&off).await;
    expect_listed(&kit, "7", &[]).await;
}

/// A commit that arrives again after a later one leaves the lists as the later one made them.
pub(super) async fn a_late_repetition_leaves_the_lists(kit: Kit) {
    let visitor = signed_in(&kit, "a").await;
    let to_b = with(
        visitor.update([set("owner", "b")]),
        [take_off("a"), add(&kit, "b")],
    );
    let to_a = with(
        visitor.update([set("owner", "a")]),
        [take_off("b"), add(&kit, "a")],
    );
    visitor.apply(&to_b).await;
    visitor.apply(&to_a).await;
    visitor.apply(&to_b).await;
    visitor.expect_value("owner", "a").await;
    expect_listed(&kit, "a", &[&visitor]).await;
}

/// It took effect when there was room.
pub(super) async fn a_commit_that_arrives_twice_meets_no_limit(kit: Kit) {
    let visitor = kit.session([]).await;
    let sign_in = with(visitor.touch(), [add_within(&kit, "7", 1)]);
    visitor.apply(&sign_in).await;
    visitor.apply(&with(visitor.touch(), [take_off("7")])).await;
    let holder = kit.visitor();
    let other = with(holder.creation([]), [add_within(&kit, "7", 1)]);
    holder.apply(&other).await;
    visitor.apply(&sign_in).await;
    expect_listed(&kit, "7", &[&holder]).await;

    // Nor does its guard matter, which its own rotation may have changed.
    let (rotation, successor) = visitor.rotation(None);
    let rotation = with(rotation, [add_within(&kit, "8", 1)]);
    visitor.apply(&rotation).await;
    successor
        .apply(&with(successor.touch(), [take_off("8")]))
        .await;
    let other = with(holder.touch(), [add_within(&kit, "8", 1)]);
    holder.apply(&other).await;
    visitor.apply(&rotation).await;
    expect_listed(&kit, "8", &[&holder]).await;
}

/// The session has forgotten the commit, and the token of then is dead.
pub(super) async fn a_sign_in_that_arrives_far_too_late_leaves_the_list(kit: Kit) {
    let stranger = kit.session([]).await;
    let (rotation, visitor) = stranger.rotation(None);
    let sign_in = with(rotation, [add(&kit, "a")]);
    stranger.apply(&sign_in).await;
    for later in 0..8 {
        let change = set("n", later.to_string());
        visitor.apply(&visitor.update([change])).await;
    }
    stranger.refuse(&sign_in, Outcome::Gone).await;
    expect_listed(&kit, "a", &[&visitor]).await;
}

/// While visitors sign in, every listed session is removed as stale and ended: a sign-in that was
/// answered `Applied` is listed or was ended, and one whose entry was removed was answered `Gone`.
pub(super) async fn a_sign_in_removed_as_stale_is_gone_or_listed(kit: Kit) {
    for round in 0..10 {
        let name = format!("round {round}");
        let visitors: Vec<_> = (0..24).map(|_| kit.visitor()).collect();
        let outcomes = race(visitors.len() + 1, |racer| {
            let (kit, name) = (kit.clone(), name.clone());
            let visitor = visitors.get(racer).cloned();
            async move {
                let Some(visitor) = visitor else {
                    for entry in entries(&kit, &principal(&name)).await {
                        remove_stale(&kit, &name, &entry).await;
                        let ended = kit.visitor_of(entry.session);
                        ended.send(&ended.revocation()).await;
                    }
                    return Outcome::Gone;
                };
                let creation = sign_in(&kit, &visitor, &name);
                visitor.send(&creation).await
            }
        })
        .await;
        let listed = entries(&kit, &principal(&name)).await;
        let listed: BTreeSet<SessionId> = listed.iter().map(|entry| entry.session).collect();
        for (visitor, outcome) in visitors.iter().zip(outcomes) {
            let lives = visitor.load(&[]).await.is_some();
            kit.holds(
                "who lives is listed",
                !lives || listed.contains(&visitor.id),
            );
            kit.holds("who lives was told so", !lives || is_applied(&outcome));
        }
    }
}

/// Whatever happens in whatever order, who holds the principal is on its list.
pub(super) async fn random_changes_leave_a_superset(kit: Kit) {
    const OWNERS: [&str; 3] = ["x", "y", "z"];
    let mut random = kit.random();
    let mut visitors = Vec::new();
    for _ in 0..6 {
        visitors.push((kit.session([]).await, None::<&str>));
    }
    for _ in 0..300 {
        let chosen = random.usize(0..visitors.len());
        let (visitor, owner) = visitors[chosen].clone();
        let next = OWNERS[random.usize(0..OWNERS.len())];
        let off = owner.map(take_off);
        match random.u8(0..10) {
            0 => {
                let end = match random.bool() {
                    true => visitor.destruction(),
                    false => visitor.revocation(),
                };
                visitor.apply(&with(end, off)).await;
                visitors[chosen] = (kit.session([]).await, None);
            }
            1 => {
                let update = visitor.update([super::changes::remove("owner")]);
                visitor.apply(&with(update, off)).await;
                visitors[chosen].1 = None;
            }
            2 => {
                let stranger = kit.visitor_of(visitor.id);
                let commit = with(stranger.update([set("owner", next)]), off);
                let commit = with(commit, [add(&kit, next)]);
                visitor.refuse(&commit, Outcome::Gone).await;
            }
            _ => {
                let (mut rotation, successor) = visitor.rotation(None);
                rotation.changes = vec![set("owner", next)];
                rotation.lists.extend(off.filter(|_| owner != Some(next)));
                let limit = random.bool().then(|| random.u32(1..5));
                rotation.lists.push(add_kept(next, Some(kit.long()), limit));
                if is_applied(&visitor.send(&rotation).await) {
                    visitors[chosen] = (successor, Some(next));
                }
            }
        }
        for owner in OWNERS {
            let holders = visitors.iter().filter(|(_, held)| *held == Some(owner));
            let holders: Vec<_> = holders.map(|(visitor, _)| visitor).collect();
            // Every commit says what it changes, so in a sequence there is nothing too many.
            expect_listed(&kit, owner, &holders).await;
        }
    }
}
