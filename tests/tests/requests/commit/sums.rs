//! Fields that add: no difference is lost, and what has no exact sum is an error.

use http::StatusCode;
use session_runtime::Session;
use tests::visitor::Visitor;

use super::{Merged, OK, capture, id_of, plant, race, set, site, stored};

#[tokio::test]
async fn p3_add_loses_no_difference() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| (session.sum, session.count, session.from_ten) = (100, 5, 10),
        |session| {
            session.sum += 20;
            session.count += 3;
            session.from_ten += 1;
        },
        |session| {
            session.sum -= 150;
            session.count -= 1;
            session.from_ten += 1;
        },
    )
    .await;
    assert_eq!(statuses, OK);
    assert_eq!((after.sum, after.count, after.from_ten), (-30, 7, 12));
}

#[tokio::test]
async fn p3_an_unsigned_sum_stops_at_zero() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| session.count = 5,
        |session| session.count -= 4,
        |session| session.count = 0,
    )
    .await;
    assert_eq!((after.count, statuses), (0, OK));
}

#[tokio::test]
async fn p3_sums_are_exact_over_the_whole_range() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    for (from, to) in [
        (0, i64::MAX),
        (i64::MAX, i64::MIN),
        (i64::MIN, i64::MAX),
        (i64::MAX, i64::MAX - 1),
        (i64::MAX - 1, -(1 << 53) - 1),
        (-(1 << 53) - 1, i64::MIN),
        (i64::MIN, 0),
    ] {
        let page = move |mut session: Session<Merged>| async move {
            assert_eq!(session.sum, from);
            session.sum = to;
        };
        assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
        let id = id_of(&mut visitor).await;
        let held = stored(&store, &id, &["merged.sum"]).await;
        assert_eq!(held, [Some(to.to_string())]);
    }
}

#[tokio::test]
async fn p3_what_leaves_the_range_is_an_error_and_changes_nothing() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| session.sum = i64::MAX - 10,
        |session| session.sum += 9,
        |session| (session.sum, session.plain) = (session.sum + 2, 99),
    )
    .await;
    assert_eq!(
        statuses,
        [StatusCode::OK, StatusCode::INTERNAL_SERVER_ERROR]
    );
    assert_eq!(
        (after.sum, after.plain),
        (i64::MAX - 1, 1),
        "as a whole or not at all"
    );

    let (after, statuses) = race(
        &layer,
        |session| session.from_ten = 200,
        |session| session.from_ten += 50,
        |session| session.from_ten += 6,
    )
    .await;
    assert_eq!(statuses[1], StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(after.from_ten, 250);
}

#[tokio::test]
async fn p3_a_u64_beyond_i64_is_an_error_never_a_wrong_number() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let largest = |mut session: Session<Merged>| async move { session.large = i64::MAX as u64 };
    assert_eq!(visitor.visit(largest).await.status, StatusCode::OK);
    for wrong in [i64::MAX as u64 + 1, u64::MAX] {
        store.take_counts();
        let page = move |mut session: Session<Merged>| async move { session.large = wrong };
        let answer = visitor.visit(page).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(capture(&visitor).await.large, i64::MAX as u64);
    }
    // Nor does a value that another program stored confuse the sum.
    let id = id_of(&mut visitor).await;
    plant(
        &store,
        &id,
        vec![set("merged.large", "18446744073709551615")],
    )
    .await;
    assert_eq!(capture(&visitor).await.large, u64::MAX);
    let page = |mut session: Session<Merged>| async move { session.large -= 1 };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(capture(&visitor).await.large, u64::MAX);
}
