//! Two requests that load the same and change it: each field merges as it declares.

use http::StatusCode;

use super::{Merged, OK, race, site};

#[tokio::test]
async fn p1_requests_that_change_different_fields_do_not_overwrite_each_other() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| session.text = "before".to_owned(),
        |session| session.plain = 7,
        |session| session.text = "after".to_owned(),
    )
    .await;
    assert_eq!(statuses, OK);
    assert_eq!((after.plain, after.text.as_str()), (7, "after"));

    // Also where both requests touched the struct as a whole.
    let (after, _) = race(
        &layer,
        |session| session.note = Some("before".to_owned()),
        |session| {
            *session = Merged {
                plain: 8,
                ..session.clone()
            }
        },
        |session| {
            *session = Merged {
                note: None,
                ..session.clone()
            }
        },
    )
    .await;
    assert_eq!((after.plain, after.note), (8, None));
}

#[tokio::test]
async fn p3_replace_keeps_what_was_committed_last() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |_| {},
        |session| session.plain = 7,
        |session| session.plain = 8,
    )
    .await;
    assert_eq!((after.plain, statuses), (8, OK));
}

#[tokio::test]
async fn p3_max_and_min_keep_the_extreme() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| (session.best, session.least) = (5, 50),
        |session| (session.best, session.least) = (9, 20),
        |session| (session.best, session.least) = (7, 30),
    )
    .await;
    assert_eq!((after.best, after.least, statuses), (9, 20, OK));

    let (after, _) = race(
        &layer,
        |_| {},
        |session| (session.best, session.least) = (i64::MAX, i64::MIN),
        |session| (session.best, session.least) = (i64::MIN, i64::MAX),
    )
    .await;
    assert_eq!((after.best, after.least), (i64::MAX, i64::MIN));
}

#[tokio::test]
async fn p3_first_is_set_once() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |_| {},
        |session| session.first = Some("one".to_owned()),
        |session| session.first = Some("other".to_owned()),
    )
    .await;
    assert_eq!((after.first.as_deref(), statuses), (Some("one"), OK));

    let (after, _) = race(
        &layer,
        |session| session.first = Some("before".to_owned()),
        |session| session.first = Some("one".to_owned()),
        |_| {},
    )
    .await;
    assert_eq!(after.first.as_deref(), Some("before"));
}

#[tokio::test]
async fn p3_reject_fails_where_the_field_changed_meanwhile() {
    let (layer, _) = site();
    let (after, statuses) = race(
        &layer,
        |session| session.guarded = "before".to_owned(),
        |session| session.guarded = "one".to_owned(),
        |session| (session.guarded, session.plain) = ("other".to_owned(), 99),
    )
    .await;
    assert_eq!(statuses, [StatusCode::OK, StatusCode::CONFLICT]);
    assert_eq!((after.guarded.as_str(), after.plain), ("one", 1));

    // A field that was absent counts as well.
    let (after, statuses) = race(
        &layer,
        |_| {},
        |session| session.guarded = "one".to_owned(),
        |session| session.guarded = "other".to_owned(),
    )
    .await;
    assert_eq!(statuses[1], StatusCode::CONFLICT);
    assert_eq!(after.guarded, "one");

    // Another field's change is no conflict.
    let (after, statuses) = race(
        &layer,
        |_| {},
        |session| session.text = "one".to_owned(),
        |session| session.guarded = "other".to_owned(),
    )
    .await;
    assert_eq!(statuses, OK);
    assert_eq!(
        (after.text.as_str(), after.guarded.as_str()),
        ("one", "other")
    );
}
