//! A change is a difference between the value that would be stored and the stored one.

use std::collections::{BTreeMap, HashMap, HashSet};

use axum::RequestExt;
use axum::extract::Request;
use http::StatusCode;
use session_runtime::{Session, SessionError, SessionRejection};
use tests::visitor::Visitor;

use super::{Merged, id_of, site, stored};

#[tokio::test]
async fn p6_the_same_value_is_no_change() {
    #[derive(Session, Default)]
    struct Shuffled {
        map: HashMap<String, u32>,
        set: HashSet<u32>,
        nested: BTreeMap<String, HashMap<String, Vec<u32>>>,
        text: String,
    }

    fn map() -> HashMap<String, u32> {
        (0..50).map(|n| (format!("key {n}"), n)).collect()
    }

    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let fill = |mut session: Session<Shuffled>| async move {
        session.map = map();
        session.set = (0..50).collect();
        session.text = "text".to_owned();
        session.nested = BTreeMap::from([(
            "a".to_owned(),
            (0..9).map(|n| (n.to_string(), vec![n])).collect(),
        )]);
    };
    visitor.visit(fill).await;
    store.take_counts();

    // Every hash map has an order of its own.
    let same = |mut session: Session<Shuffled>| async move {
        session.map = map();
        session.text = "text".to_owned();
        for inner in session.nested.values_mut() {
            *inner = inner.clone().into_iter().collect();
        }
        session.set.insert(7);
        session.map.insert("one more".to_owned(), 1);
        session.map.remove("one more");
    };
    for _ in 0..5 {
        let answer = visitor.visit(same).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(store.take_counts(), (1, 0));
    }

    let other = |mut session: Session<Shuffled>| async move {
        session.map.insert("key 1".to_owned(), 0);
    };
    visitor.visit(other).await;
    assert_eq!(store.take_counts(), (1, 1));
}

#[tokio::test]
async fn p6_defaults_that_the_store_does_not_hold_are_not_written() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        *session = Merged::default();
        session.from_ten = 10;
        session.least = 1_000;
    };
    // The derive's defaults are those of the fields, not those of `Default`.
    let answer = visitor.visit(page).await;
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(store.take_counts(), (0, 0));

    let page = |mut session: Session<Merged>| async move {
        session.plain = 5;
        session.text.clear();
        session.note = None;
    };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;
    let names = [
        "merged.plain",
        "merged.text",
        "merged.note",
        "merged.from_ten",
    ];
    let five = Some("5".to_owned());
    assert_eq!(stored(&store, &id, &names).await, [five, None, None, None]);
}

#[tokio::test]
async fn p6_a_change_that_is_undone_in_the_same_request_is_none() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut first: Session<Merged>, mut second: Session<Merged>| async move {
        first.plain = 5;
        first.commit();
        second.reload().await?;
        second.note = Some("a".to_owned());
        second.note = None;
        Ok::<_, SessionError>(())
    };
    visitor.visit(page).await;
    assert_eq!(visitor.token(), None);
    assert_eq!(store.take_counts(), (0, 0));
}

#[tokio::test]
async fn none_removes_and_a_default_that_was_set_is_written() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Merged>| async move {
        session.plain = 5;
        session.note = Some("note".to_owned());
        session.sum = 3;
    };
    visitor.visit(page).await;
    let id = id_of(&mut visitor).await;
    let page = |mut session: Session<Merged>| async move {
        session.plain = 0;
        session.note = None;
        session.sum = 0;
    };
    visitor.visit(page).await;
    let names = ["merged.plain", "merged.note", "merged.sum"];
    let zero = Some("0".to_owned());
    assert_eq!(
        stored(&store, &id, &names).await,
        [zero.clone(), None, zero]
    );
}

#[tokio::test]
async fn p6_what_guards_change_and_change_back_is_no_change() {
    let (layer, store) = site();
    let page = |mut first: Session<Merged>, mut request: Request| async move {
        first.plain += 5;
        first.count += 5;
        first.commit();
        let mut second: Session<Merged> = request.extract_parts().await?;
        second.plain -= 5;
        second.count -= 5;
        second.commit();
        Ok::<_, SessionRejection>(())
    };
    let mut visitor = Visitor::new(&layer);
    visitor.visit(page).await;
    assert_eq!((visitor.token(), store.take_counts()), (None, (0, 0)));
    let fill = |mut session: Session<Merged>| async move { session.plain = 1 };
    visitor.visit(fill).await;
    store.take_counts();
    visitor.visit(page).await;
    assert_eq!(store.take_counts(), (1, 0));
}

/// A default that is another value each time is not stored by a visit that leaves it alone, and the
/// remedies of the documentation keep the first one.
#[tokio::test]
async fn a_default_that_moves_is_not_stored_and_can_be_kept() {
    use std::sync::atomic::{AtomicU32, Ordering};

    static COUNTER: AtomicU32 = AtomicU32::new(0);
    fn next() -> u32 {
        COUNTER.fetch_add(1, Ordering::Relaxed)
    }

    #[derive(Session)]
    struct Form {
        #[session(default = next())]
        moves: u32,
        #[session(merge = "first")]
        kept: Option<u32>,
        visits: u32,
    }

    let (layer, _) = site();
    let mut visitor = Visitor::new(&layer);
    let mut seen = std::collections::BTreeSet::new();
    let mut kept = std::collections::BTreeSet::new();
    for _ in 0..4 {
        let page = |mut form: Session<Form>| async move {
            form.visits += 1;
            let kept = *form.kept.get_or_insert_with(next);
            format!("{} {kept}", form.moves)
        };
        let body = visitor.visit(page).await.body;
        let (moves, first) = body.split_once(' ').expect("two numbers");
        seen.insert(moves.to_owned());
        kept.insert(first.to_owned());
    }
    assert_eq!((seen.len(), kept.len()), (4, 1));
}
