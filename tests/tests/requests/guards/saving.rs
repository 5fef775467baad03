//! Who sees what, and what is saved when.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use session_runtime::{ReadSession, Session, SessionError, SessionStore};
use tests::visitor::Visitor;

use super::{Login, Shop, read, site, write};

#[tokio::test]
async fn every_status_commits() {
    let (layer, _) = site();
    let mut visitor = Visitor::new(&layer);
    for (count, status) in [200, 204, 303, 304, 404, 422, 500, 503]
        .into_iter()
        .enumerate()
    {
        let status = StatusCode::from_u16(status).unwrap();
        let page = move |mut session: Session<Shop>| async move {
            session.visits += 1;
            status
        };
        assert_eq!(visitor.visit(page).await.status, status);
        assert_eq!(visitor.visit(read).await.body, format!("{} ", count + 1));
    }
}

#[tokio::test]
async fn an_early_return_commits_and_discard_does_not() {
    let (layer, _) = site();
    let mut visitor = Visitor::new(&layer);
    let early = |mut session: Session<Shop>| async move {
        session.visits += 1;
        Err::<(), _>(StatusCode::BAD_REQUEST)
    };
    visitor.visit(early).await;
    assert_eq!(visitor.visit(read).await.body, "1 ");

    let discarded = |mut session: Session<Shop>| async move {
        session.visits += 1;
        session.name = "lost".to_owned();
        session.discard();
    };
    visitor.visit(discarded).await;
    assert_eq!(visitor.visit(read).await.body, "1 ");
}

#[tokio::test]
async fn later_guards_see_earlier_changes_without_another_load() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    store.take_counts();

    async fn first(mut session: Session<Shop>, request: Request, next: Next) -> Response {
        session.visits += 10;
        session.commit();
        next.run(request).await
    }
    async fn second(mut session: Session<Shop>, again: ReadSession<Shop>) -> String {
        session.visits += 100;
        format!("{} {}", session.visits, again.visits)
    }
    let app = Router::new()
        .route("/", get(second))
        .layer(from_fn(first))
        .layer(layer);
    visitor.browser().go_to(&app);
    assert_eq!(visitor.browser().get("/").await.body, "111 11");
    assert_eq!(store.take_counts(), (1, 1), "one load, one commit for both");
    assert_eq!(visitor.visit(read).await.body, "111 ");
}

#[tokio::test]
async fn middleware_sees_after_the_handler_what_was_saved() {
    async fn around(mut session: Session<Shop>, request: Request, next: Next) -> Response {
        let response = next.run(request).await;
        session.name = "after".to_owned();
        response
    }
    let (layer, _) = site();
    let app = Router::new()
        .route("/", get(write))
        .layer(from_fn(around))
        .layer(layer.clone());
    let mut visitor = Visitor::new(&layer);
    visitor.browser().go_to(&app);
    visitor.browser().get("/").await;
    assert_eq!(visitor.visit(read).await.body, "1 after", "both were saved");
}

#[tokio::test]
async fn of_two_guards_the_last_drop_wins_field_by_field() {
    let (layer, _) = site();
    let mut visitor = Visitor::new(&layer);
    let both = |mut first: Session<Shop>, mut second: Session<Shop>| async move {
        first.visits = 1;
        first.name = "first".to_owned();
        second.visits = 2;
        drop(second);
        drop(first);
    };
    visitor.visit(both).await;
    assert_eq!(visitor.visit(read).await.body, "1 first");
    let both = |mut first: Session<Shop>, mut second: Session<Shop>| async move {
        second.visits = 2;
        first.visits = 3;
        first.commit();
        drop(second);
    };
    visitor.visit(both).await;
    assert_eq!(visitor.visit(read).await.body, "2 first");
}

#[tokio::test]
async fn schemas_share_a_session_and_each_loads_its_own_fields() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let both = |mut shop: Session<Shop>, mut login: Session<Login>| async move {
        shop.visits = 1;
        login.user = "ada".to_owned();
    };
    visitor.visit(both).await;
    assert_eq!(store.take_counts(), (0, 1), "one record for both");

    visitor
        .visit(|mut login: Session<Login>| async move { login.attempts += 1 })
        .await;
    assert_eq!(store.take_counts(), (1, 1));
    let both = |shop: Session<Shop>, login: Session<Login>, _: ReadSession<Shop>| async move {
        assert_eq!(shop.id(), login.id());
        format!("{} {} {}", shop.visits, login.user, login.attempts)
    };
    assert_eq!(visitor.visit(both).await.body, "1 ada 1");
    assert_eq!(store.take_counts(), (2, 0), "one load for each schema");
}

#[tokio::test]
async fn the_id_is_there_once_there_is_a_session() {
    let (layer, _) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Shop>, seen: ReadSession<Shop>| async move {
        assert!(session.id().is_none() && session.is_new());
        session.save().await?;
        assert!(session.id().is_none(), "nothing to save");
        session.visits = 1;
        assert!(session.id().is_none());
        session.save().await?;
        assert!(session.id().is_some() && session.is_new());
        assert_eq!(seen.id(), session.id());
        let before = session.id();
        session.rotate();
        session.save().await?;
        assert_eq!(session.id(), before, "the same session");
        Ok::<_, SessionError>(())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let page = |session: Session<Shop>| async move {
        assert!(session.id().is_some() && !session.is_new());
        session.visits.to_string()
    };
    assert_eq!(visitor.visit(page).await.body, "1");
}

#[tokio::test]
async fn save_and_reload_do_what_they_say() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    store.take_counts();
    let tab = visitor.clone();
    let page = move |mut session: Session<Shop>| async move {
        session.name = "saved".to_owned();
        session.save().await?;
        session.save().await?;
        assert_eq!(session.name, "saved");
        let mut tab = tab;
        tab.visit(|mut other: Session<Shop>| async move {
            assert_eq!(other.name, "saved", "visible to others at once");
            other.visits = 50;
        })
        .await;
        assert_eq!(session.visits, 1, "what was loaded stays");
        session.name = "forgotten".to_owned();
        session.reload().await?;
        assert_eq!((session.visits, session.name.as_str()), (50, "saved"));
        session.visits += 1;
        Ok::<_, SessionError>(())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(visitor.visit(read).await.body, "51 saved");
}

#[tokio::test]
async fn what_is_not_stored_stays_in_the_guard() {
    let (layer, _) = site();
    let page = |mut session: Session<Shop>| async move {
        session.scratch = "computed".to_owned();
        session.visits += 1;
        session.save().await?;
        assert_eq!(session.scratch, "computed", "after `save`");
        session.add(Shop::VISITS, 1).await?;
        session.update(|shop| shop.visits += 1).await?;
        assert_eq!(session.scratch, "computed", "after `update`");
        session.reload().await?;
        assert_eq!(session.scratch, "computed", "after `reload`");
        Ok::<_, SessionError>(())
    };
    let answer = Visitor::new(&layer).visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}

#[tokio::test]
async fn s07_debug_hides_what_is_sensitive() {
    let (layer, _) = site();
    let page = |mut session: Session<Shop>, mut other: Session<Shop>| async move {
        session.pin = Some(4711);
        session.name = "ada".to_owned();
        session.save().await?;
        other.reload().await?;
        Ok::<_, SessionError>(format!("{session:?} {other:?}"))
    };
    let mut visitor = Visitor::new(&layer);
    let shown = visitor.visit(page).await.body;
    let page = |session: ReadSession<Shop>| async move { format!("{session:?}") };
    for shown in [shown, visitor.visit(page).await.body] {
        assert!(!shown.contains("4711"), "{shown}");
        assert!(
            shown.contains("ada") && shown.contains("redacted"),
            "{shown}"
        );
        assert!(!shown.contains(&visitor.token().unwrap()));
    }
}

#[tokio::test]
async fn labels_are_cut_at_a_character_and_survive_rotation() {
    use session_runtime::store::Selection;
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Shop>| async move {
        session.set_label("é".repeat(64) + "cut");
        session.visits = 1;
    };
    visitor.visit(page).await;
    let page = |mut session: Session<Shop>| async move {
        session.rotate();
        session.id().map(|id| id.to_string()).unwrap_or_default()
    };
    let id = visitor.visit(page).await.body.parse().unwrap();
    let loaded = store
        .load(&id, &Selection::default())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        loaded.header.label.as_deref(),
        Some("é".repeat(64).as_str())
    );
    let page = |mut session: Session<Shop>| async move {
        session.set_label("x".to_owned() + &"é".repeat(64));
    };
    visitor.visit(page).await;
    let loaded = store
        .load(&id, &Selection::default())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(loaded.header.label.map(|label| label.len()), Some(127));
}
