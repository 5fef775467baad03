//! Sealed fields that merge or have older names: compared as they are stored.

use http::StatusCode;
use session_runtime::{Session, SessionError};
use tests::visitor::Visitor;

use super::{filled, put, sealing, store, stored};

#[derive(Session, Default)]
#[session(name = "ledger")]
struct Ledger {
    #[session(encrypt, merge = "reject")]
    entry: Option<String>,
    #[session(encrypt, merge = "first")]
    opened_by: Option<String>,
}

/// The loaded value of a `reject` field is compared in its stored form, in later commits of the
/// same request too.
#[tokio::test]
async fn reject_compares_what_is_stored() {
    let store = store();
    let mut visitor = Visitor::new(&sealing(&store, [1]));
    let write = |mut session: Session<Ledger>| async move {
        for entry in ["a", "b"] {
            session.entry = Some(entry.to_owned());
            session.save().await?;
        }
        session
            .update(|ledger| ledger.entry = Some("c".to_owned()))
            .await?;
        session.entry = None;
        session.save().await?;
        session.entry = Some("d".to_owned());
        Ok::<_, SessionError>(())
    };
    for _ in 0..2 {
        let answer = visitor.visit(write).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }

    let other_tab = visitor.clone();
    let race = move |mut session: Session<Ledger>| {
        let mut other_tab = other_tab.clone();
        async move {
            let same = |mut session: Session<Ledger>| async move {
                session.entry = Some("meanwhile".to_owned());
            };
            assert_eq!(other_tab.visit(same).await.status, StatusCode::OK);
            session.entry = Some("too late".to_owned());
        }
    };
    assert_eq!(visitor.visit(race).await.status, StatusCode::CONFLICT);
    let show = |session: Session<Ledger>| async move { format!("{:?}", session.entry) };
    assert_eq!(visitor.visit(show).await.body, "Some(\"meanwhile\")");
}

#[tokio::test]
async fn merges_replace_what_does_not_open() {
    let store = store();
    let mut visitor = Visitor::new(&sealing(&store, [1]));
    let write = |mut session: Session<Ledger>| async move {
        session.entry = Some("a".to_owned());
        session.opened_by = Some("b".to_owned());
        session.save().await?;
        Ok::<_, SessionError>(session.id().unwrap().to_string())
    };
    let session = visitor.visit(write).await.body.parse().unwrap();
    for name in ["ledger.entry", "ledger.opened_by"] {
        put(&store, &session, name, "nonsense".into()).await;
        assert_eq!(visitor.visit(write).await.status, StatusCode::OK);
        let sealed = stored(&store, &session, name).await.unwrap();
        assert!(sealed.starts_with(b"v1."), "{name}");
    }
    // A value that is there already stays, though a new sealing of it differs.
    let sealed = stored(&store, &session, "ledger.opened_by").await;
    let late = |mut session: Session<Ledger>| async move {
        session.opened_by = Some("too late".to_owned());
    };
    assert_eq!(visitor.visit(late).await.status, StatusCode::OK);
    assert_eq!(stored(&store, &session, "ledger.opened_by").await, sealed);
}

#[derive(Session, Default)]
#[session(name = "shop")]
struct Renamed {
    #[session(encrypt, alias = "address", merge = "reject")]
    home: Option<String>,
}

#[tokio::test]
async fn a_value_under_an_older_name_opens_and_moves() {
    let store = store();
    let layer = sealing(&store, [1]);
    let show = |session: Session<Renamed>| async move { format!("{:?}", session.home) };
    let take = |mut session: Session<Renamed>| async move {
        let taken = session.take(Renamed::HOME).await?;
        Ok::<_, SessionError>(format!("{taken:?}"))
    };
    let (mut visitor, session) = filled(&layer).await;
    assert_eq!(visitor.visit(show).await.body, "Some(\"12 Main Street\")");
    let change = |mut session: Session<Renamed>| async move {
        session.home = Some("1 Side Street".to_owned());
    };
    assert_eq!(visitor.visit(change).await.status, StatusCode::OK);
    assert_eq!(visitor.visit(show).await.body, "Some(\"1 Side Street\")");
    assert_eq!(stored(&store, &session, "shop.address").await, None);

    let (mut visitor, _) = filled(&layer).await;
    assert_eq!(visitor.visit(take).await.body, "Some(\"12 Main Street\")");
}
