//! The guard in a handler: who sees what, what is saved and when, and what an error does.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::StatusCode;
use session_runtime::store::StoreErrorKind;
use session_runtime::{
    MemoryStore, ReadSession, Session, SessionError, SessionLayer, SessionRejection, SessionStore,
};
use tests::browser::Browser;
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::visitor::{Visitor, page};

type Store = CountingStore<FaultyStore<MemoryStore>>;

fn site() -> (SessionLayer, Store) {
    let store = CountingStore::new(FaultyStore::new(MemoryStore::new()));
    (SessionLayer::new(store.clone()), store)
}

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    visits: u32,
    name: String,
    #[session(skip)]
    scratch: String,
    #[session(sensitive)]
    pin: Option<u32>,
}

/// Another crate's schema in the same session.
#[derive(Session, Debug, Default)]
struct Login {
    user: String,
    attempts: u32,
}

async fn write(mut session: Session<Shop>) {
    session.visits += 1;
}

async fn read(session: ReadSession<Shop>) -> String {
    format!("{} {}", session.visits, session.name)
}

async fn destroy(session: Session<Shop>) {
    session.destroy();
}

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
async fn s23_destroy_takes_effect_with_the_commit() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let token = visitor.token().unwrap();
    store.take_counts();
    let page = |mut session: Session<Shop>| async move {
        session.name = "forgotten".to_owned();
        session.destroy();
    };
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, store.take_counts()),
        (StatusCode::OK, (1, 1))
    );
    assert_eq!(visitor.token(), None);
    visitor.set_token(&token);
    assert_eq!(visitor.visit(read).await.body, "0 ");
    assert_eq!(store.sessions().await, 0, "nothing of it remains");

    let answer = Visitor::new(&layer).visit(destroy).await;
    assert_eq!(answer.set_cookies(), [""; 0], "there was nothing");
}

#[tokio::test]
async fn data_after_destroy_is_a_new_visitors() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let old = visitor.token().unwrap();
    let page = |session: Session<Shop>, request: Request| async move {
        use axum::RequestExt;
        session.destroy();
        let mut request = request;
        let mut fresh: Session<Shop> = request.extract_parts().await?;
        assert!(fresh.is_new() && fresh.id().is_none());
        assert_eq!(fresh.visits, 0);
        fresh.name = "new".to_owned();
        Ok::<_, SessionRejection>(())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.set_cookies().len(), 1);
    let new = visitor.token().expect("the new session's cookie");
    assert_ne!(new[..21], old[..21]);
    assert_eq!(visitor.visit(read).await.body, "0 new");
    assert_eq!(store.sessions().await, 1);
}

/// Destroys, and then saves in the store at once what a new visitor does.
#[tokio::test]
async fn a_session_that_was_made_after_destroy_keeps_its_cookie() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let page = |session: Session<Shop>, request: Request| async move {
        use axum::RequestExt;
        session.destroy();
        let mut request = request;
        let mut fresh: Session<Login> = request.extract_parts().await?;
        fresh
            .add(Login::ATTEMPTS, 1)
            .await
            .map_err(|_| StatusCode::BAD_GATEWAY)
            .unwrap();
        Ok::<_, SessionRejection>(())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let page = |login: ReadSession<Login>| async move { login.attempts.to_string() };
    assert_eq!(visitor.visit(page).await.body, "1");
    assert_eq!(store.sessions().await, 1, "the old one is gone");
}

#[tokio::test]
async fn every_session_that_was_destroyed_is_removed() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let page = |session: Session<Shop>, mut request: Request| async move {
        use axum::RequestExt;
        session.destroy();
        let mut second: Session<Login> = request.extract_parts().await?;
        second.add(Login::ATTEMPTS, 1).await.unwrap();
        second.destroy();
        Ok::<_, SessionRejection>(())
    };
    visitor.visit(page).await;
    assert_eq!(visitor.token(), None);
    assert_eq!(store.sessions().await, 0);
}

#[tokio::test]
async fn destroy_now_takes_effect_now() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let behind = store.clone();
    let page = move |session: Session<Shop>| async move {
        session.destroy_now().await?;
        assert_eq!(behind.sessions().await, 0);
        Ok::<_, SessionError>(())
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    assert_eq!(visitor.token(), None);
}

#[tokio::test]
async fn s09_a_login_rotates_and_so_does_a_logout_of_the_principal() {
    let (layer, _) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let mut tokens = vec![visitor.token().unwrap()];
    let mut step = async |visitor: &mut Visitor, answer: axum::http::HeaderMap| {
        assert_eq!(answer.get_all("set-cookie").iter().count(), 1);
        let token = visitor.token().unwrap();
        assert!(!tokens.contains(&token));
        for old in &tokens {
            let mut thief = visitor.clone();
            thief.set_token(old);
            assert_eq!(thief.visit(read).await.body, "0 ", "an old token is dead");
        }
        tokens.push(token);
    };
    let login = |mut session: Session<Shop>| async move { session.customer = Some(7) };
    let answer = visitor.visit(login).await;
    step(&mut visitor, answer.headers).await;
    let other = |mut session: Session<Shop>| async move { session.customer = Some(8) };
    let answer = visitor.visit(other).await;
    step(&mut visitor, answer.headers).await;
    let logout = |mut session: Session<Shop>| async move { session.customer = None };
    let answer = visitor.visit(logout).await;
    step(&mut visitor, answer.headers).await;

    visitor.visit(login).await;
    let removal = |mut session: Session<Shop>| async move { session.remove(Shop::CUSTOMER) };
    let answer = visitor.visit(removal).await;
    step(&mut visitor, answer.headers).await;
    visitor.visit(login).await;
    let taking = |mut session: Session<Shop>| async move {
        let taken = session.take(Shop::CUSTOMER).await?;
        assert_eq!(taken, Some(7));
        Ok::<_, SessionError>(())
    };
    let answer = visitor.visit(taking).await;
    step(&mut visitor, answer.headers).await;
    visitor.visit(login).await;
    let update = |mut session: Session<Shop>| async move {
        session.update(|shop| shop.customer = Some(9)).await
    };
    let answer = visitor.visit(update).await;
    step(&mut visitor, answer.headers).await;

    // The same customer again is no change.
    let again = |mut session: Session<Shop>| async move { session.customer = Some(9) };
    assert_eq!(visitor.visit(again).await.set_cookies(), [""; 0]);
}

#[tokio::test]
async fn s57_p5_a_commit_that_failed_is_the_answer() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Shop>| async move {
        session.customer = Some(1);
        "welcome"
    };
    for kind in [
        StoreErrorKind::Unavailable,
        StoreErrorKind::FateUnknown,
        StoreErrorKind::Full,
        StoreErrorKind::Misconfigured,
        StoreErrorKind::Corrupt,
    ] {
        store.inner().on_commit(Fault::Fail(kind));
        let answer = visitor.visit(page).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{kind:?}");
        assert!(!answer.body.contains("welcome"));
        assert_eq!(answer.set_cookies(), [""; 0]);
        let unsure = answer.body.contains("may have been saved");
        assert_eq!(unsure, kind == StoreErrorKind::FateUnknown);
        assert_eq!(store.take_counts(), (0, 1), "tried once");
    }
}

#[tokio::test]
async fn s57_a_store_that_is_down_is_never_nobody() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    store
        .inner()
        .on_load(Fault::Fail(StoreErrorKind::Unavailable));
    store.take_counts();
    for _ in 0..2 {
        let answer = visitor.visit(write).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.set_cookies(), [""; 0]);
    }
    assert_eq!(store.take_counts(), (2, 0));
    // A visitor without a cookie needs no store to be nobody.
    assert_eq!(
        Visitor::new(&layer).visit(read).await.status,
        StatusCode::OK
    );

    let patient = |session: Result<Session<Shop>, SessionRejection>| async move {
        let rejection = session.expect_err("the store is down");
        assert!(matches!(rejection.error(), Some(SessionError::Store(_))));
        "a page without a session"
    };
    let answer = visitor.visit(patient).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "a page without a session")
    );
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(answer.headers["vary"], "cookie", "others see another page");

    store.inner().on_load(Fault::None);
    assert_eq!(visitor.visit(read).await.body, "1 ");
}

#[tokio::test]
async fn a_second_attempt_in_the_same_request_may_succeed() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    let behind = store.clone();
    let page = move |mut session: Session<Shop>| async move {
        behind
            .inner()
            .on_commit(Fault::Fail(StoreErrorKind::Unavailable));
        session.name = "name".to_owned();
        assert!(session.save().await.is_err());
        assert_eq!(session.name, "", "the guard shows what the store holds");
        behind.inner().on_commit(Fault::None);
        session.name = "name".to_owned();
        session.save().await?;
        Ok::<_, SessionError>(())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(visitor.visit(read).await.body, "1 name");
}

#[tokio::test]
async fn what_save_refused_is_not_tried_again() {
    let (layer, store) = site();
    let mut visitor = Visitor::new(&layer);
    visitor.visit(write).await;
    store.take_counts();
    let behind = store.clone();
    let page = move |mut session: Session<Shop>| async move {
        behind
            .inner()
            .on_commit(Fault::Fail(StoreErrorKind::Unavailable));
        session.name = "name".to_owned();
        session.customer = Some(1);
        let failed = session.save().await.is_err();
        behind.inner().on_commit(Fault::None);
        failed.to_string()
    };
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "true")
    );
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(store.take_counts(), (1, 1));
    assert_eq!(visitor.visit(read).await.body, "1 ");
}

#[tokio::test]
async fn on_error_answers_for_loads_and_commits() {
    let store = FaultyStore::new(MemoryStore::new());
    let layer = SessionLayer::builder(store.clone())
        .on_error(|error: SessionError| (StatusCode::IM_A_TEAPOT, error.status().to_string()))
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&layer);
    store.on_commit(Fault::Fail(StoreErrorKind::Unavailable));
    let answer = visitor.visit(write).await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert!(answer.body.starts_with("503"));
    store.on_commit(Fault::None);
    visitor.visit(write).await;
    store.on_load(Fault::Fail(StoreErrorKind::Unavailable));
    assert_eq!(visitor.visit(write).await.status, StatusCode::IM_A_TEAPOT);
}

#[tokio::test]
async fn on_error_answers_for_errors_that_a_handler_passes_on() {
    let store = FaultyStore::new(MemoryStore::new());
    let layer = SessionLayer::builder(store.clone())
        .on_error(|error: SessionError| (StatusCode::IM_A_TEAPOT, error.status().to_string()))
        .build()
        .unwrap();
    let mut visitor = Visitor::new(&layer);
    store.on_commit(Fault::Fail(StoreErrorKind::Unavailable));
    let page = |mut session: Session<Shop>| async move {
        session.visits = 1;
        session.save().await
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::IM_A_TEAPOT);
    assert!(answer.body.starts_with("503"));
}

#[tokio::test]
async fn a_missing_layer_says_what_to_add() {
    let recorder = Recorder::start();
    for app in [
        Router::new().route("/", get(write)),
        Router::new().route("/", get(read)),
        Router::new()
            .layer(SessionLayer::new(MemoryStore::new()))
            .route("/", get(write)),
    ] {
        let answer = Browser::new(&app).get("/").await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            answer.body.contains(".layer(SessionLayer::new(store))"),
            "{}",
            answer.body
        );
        assert_eq!(recorder.take_events(), ["layer-missing"]);
    }
    let page = |session: Result<Session<Shop>, SessionRejection>| async move {
        let rejection = session.expect_err("no layer");
        assert!(rejection.error().is_none());
        rejection.to_string()
    };
    let app = Router::new().route("/", get(page));
    assert!(
        Browser::new(&app)
            .get("/")
            .await
            .body
            .contains("SessionLayer")
    );
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
async fn layers_with_different_cookies_keep_to_themselves() {
    let stores = [MemoryStore::new(), MemoryStore::new()].map(CountingStore::new);
    let part = |name: &str, store: &CountingStore<MemoryStore>| {
        Router::new()
            .route("/write", post(write))
            .route("/read", get(read))
            .route("/destroy", post(destroy))
            .layer(
                SessionLayer::builder(store.clone())
                    .cookie_name(name)
                    .build()
                    .unwrap(),
            )
    };
    let app = Router::new()
        .nest("/shop", part("__Host-shop", &stores[0]))
        .nest("/admin", part("__Host-admin", &stores[1]));
    let mut visitor = Browser::new(&app);
    visitor.post("/shop/write").await;
    assert!(visitor.cookie("__Host-shop").is_some());
    assert_eq!(visitor.cookie("__Host-admin"), None);
    visitor.post("/admin/write").await;
    visitor.post("/admin/write").await;
    assert_eq!(visitor.get("/shop/read").await.body, "1 ");
    assert_eq!(visitor.get("/admin/read").await.body, "2 ");
    visitor.post("/admin/destroy").await;
    assert_eq!(visitor.get("/shop/read").await.body, "1 ");
    assert_eq!(visitor.get("/admin/read").await.body, "0 ");
}

#[tokio::test]
async fn one_layer_serves_nested_routers_and_their_errors() {
    let (layer, _) = site();
    let inner = Router::new().route("/write", post(write)).fallback(
        |mut session: Session<Shop>| async move {
            session.name.push('x');
            StatusCode::NOT_FOUND
        },
    );
    let app = Router::new()
        .nest("/inner", inner)
        .route("/read", get(read))
        .layer(layer);
    let mut visitor = Browser::new(&app);
    assert_eq!(visitor.post("/inner/write").await.status, StatusCode::OK);
    assert_eq!(
        visitor.get("/inner/none").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(visitor.get("/read").await.body, "1 x");
}

#[tokio::test]
async fn an_error_of_save_can_be_the_handlers_answer() {
    let (layer, store) = site();
    store
        .inner()
        .on_commit(Fault::Fail(StoreErrorKind::Unavailable));
    let page = |mut session: Session<Shop>| async move {
        session.visits = 1;
        match session.save().await {
            Ok(()) => "saved".into_response(),
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    };
    let answer = page_answer(&layer, page).await;
    assert_eq!(answer.0, StatusCode::BAD_GATEWAY);
    assert_eq!(answer.1, "the session store is unavailable");
}

async fn page_answer<H, T>(layer: &SessionLayer, handler: H) -> (StatusCode, String)
where
    H: axum::handler::Handler<T, ()>,
    T: 'static,
{
    let answer = Browser::new(&page(layer, handler)).get("/").await;
    (answer.status, answer.body)
}

#[tokio::test]
async fn labels_are_cut_at_a_character_and_survive_rotation() {
    use session_runtime::store::Selected;
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
    let nothing: [Selected<'_>; 0] = [];
    let loaded = store.load(&id, &nothing).await.unwrap().unwrap();
    assert_eq!(
        loaded.header.label.as_deref(),
        Some("é".repeat(64).as_str())
    );
    let page = |mut session: Session<Shop>| async move {
        session.set_label("x".to_owned() + &"é".repeat(64));
    };
    visitor.visit(page).await;
    let loaded = store.load(&id, &nothing).await.unwrap().unwrap();
    assert_eq!(loaded.header.label.map(|label| label.len()), Some(127));
}
