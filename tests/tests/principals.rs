//! Who is signed in where: lists, revocation and limits, as handlers and jobs use them.

use std::time::{Duration, SystemTime};

use axum::extract::Path;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use session_runtime::store::PrincipalKey;
use session_runtime::test_kit::ManualClock;
use session_runtime::{
    Clock, ConfigError, MemoryStore, ReadSession, Session, SessionError, SessionId, SessionInfo,
    SessionLayer, SessionStore, Sessions, WhenFull,
};
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::stepped::SteppedMemory;
use tests::visitor::Visitor;

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal, ttl = "2h")]
    customer: Option<u32>,
    cart: u32,
    visits: Option<String>,
}

#[derive(Session, Debug, Default)]
struct Staff {
    #[session(principal)]
    clerk: Option<String>,
}

/// A program that knows nothing of principals.
#[derive(Session, Debug, Default)]
#[session(name = "shop")]
struct OldShop {
    cart: u32,
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

type Store = CountingStore<MemoryStore>;

fn store() -> (Store, ManualClock) {
    let clock = ManualClock::new();
    let store = MemoryStore::builder().clock(clock.clone()).build();
    (CountingStore::new(store), clock)
}

fn site() -> (SessionLayer, Store, ManualClock) {
    let (store, clock) = store();
    (SessionLayer::new(store.clone()), store, clock)
}

async fn sign_in(visitor: &mut Visitor, customer: u32) -> StatusCode {
    let page = move |mut session: Session<Shop>| async move { session.customer = Some(customer) };
    visitor.visit(page).await.status
}

async fn signed_in(layer: &SessionLayer, customer: u32) -> Visitor {
    let mut visitor = Visitor::new(layer);
    assert_eq!(sign_in(&mut visitor, customer).await, StatusCode::OK);
    visitor
}

async fn sign_out(visitor: &mut Visitor) {
    let page = |mut session: Session<Shop>| async move { session.customer = None };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
}

/// Whom a visitor is signed in as.
async fn whoami(visitor: &mut Visitor) -> String {
    let page = |session: ReadSession<Shop>| async move {
        let customer = session.customer.map(|customer| customer.to_string());
        customer.unwrap_or_else(|| "nobody".to_owned())
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.body
}

async fn id_of(visitor: &mut Visitor) -> SessionId {
    let page = |session: ReadSession<Shop>| async move { session.id().unwrap().to_string() };
    visitor.visit(page).await.body.parse().unwrap()
}

async fn list(layer: &SessionLayer, customer: u32) -> Vec<SessionInfo> {
    let sessions = layer.sessions();
    sessions.list(Shop::CUSTOMER, &customer).await.unwrap()
}

async fn count(layer: &SessionLayer, customer: u32) -> usize {
    list(layer, customer).await.len()
}

fn time(clock: &ManualClock) -> SystemTime {
    clock.now().into()
}

#[tokio::test]
async fn s09_a_change_of_the_principal_replaces_the_token_at_once() {
    let (layer, _, _) = site();
    let mut visitor = Visitor::new(&layer);
    let put = |mut session: Session<Shop>| async move { session.cart = 5 };
    visitor.visit(put).await;
    let id = id_of(&mut visitor).await;
    for customer in [Some(7), Some(8), None] {
        let mut before = visitor.clone();
        let page = move |mut session: Session<Shop>| async move { session.customer = customer };
        visitor.visit(page).await;
        assert_ne!(visitor.token(), before.token());
        let page = |session: ReadSession<Shop>| async move { session.cart.to_string() };
        assert_eq!(before.visit(page).await.body, "0", "the old token is dead");
        assert_eq!(
            visitor.visit(page).await.body,
            "5",
            "the session is the same"
        );
        assert_eq!(id_of(&mut visitor).await, id);
    }
}

/// Every way in which a handler can change the principal.
#[tokio::test]
async fn s09_whatever_changes_the_principal_rotates_and_keeps_the_list() {
    let (layer, _, _) = site();

    let mut visitor = signed_in(&layer, 1).await;
    let mut before = visitor.clone();
    visitor
        .visit(|mut session: Session<Shop>| async move { session.remove(Shop::CUSTOMER) })
        .await;
    assert_eq!(whoami(&mut before).await, "nobody");
    assert_ne!(visitor.token(), before.token());
    assert_eq!(count(&layer, 1).await, 0, "removed");

    let mut visitor = signed_in(&layer, 2).await;
    let before = visitor.clone();
    let answer = visitor
        .visit(|mut session: Session<Shop>| async move {
            let taken = session.take(Shop::CUSTOMER).await.unwrap();
            format!("{taken:?} {:?}", session.customer)
        })
        .await;
    assert_eq!(answer.body, "Some(2) None");
    assert_ne!(visitor.token(), before.token());
    assert_eq!(count(&layer, 2).await, 0, "taken");

    let mut visitor = signed_in(&layer, 3).await;
    let before = visitor.clone();
    let answer = visitor
        .visit(|mut session: Session<Shop>| async move {
            session.update(|shop| shop.customer = Some(4)).await
        })
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_ne!(visitor.token(), before.token());
    assert_eq!((count(&layer, 3).await, count(&layer, 4).await), (0, 1));

    let mut visitor = signed_in(&layer, 5).await;
    let mut before = visitor.clone();
    let answer = visitor
        .visit(|mut session: Session<Shop>| async move {
            session.customer = Some(6);
            session.expire(Shop::CUSTOMER, MINUTE).await
        })
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.set_cookies().len(), 1);
    assert_eq!(whoami(&mut before).await, "nobody");
    assert_eq!(whoami(&mut visitor).await, "6");
    assert_eq!((count(&layer, 5).await, count(&layer, 6).await), (0, 1));
}

/// A failed commit takes the wish to rotate with it; what is saved later has its own.
#[tokio::test]
async fn s09_no_principal_is_saved_without_rotation_after_an_error() {
    let (store, _) = store();
    let layer = SessionLayer::builder(store)
        .max_sessions(Shop::CUSTOMER, 1, WhenFull::Reject)
        .build()
        .unwrap();
    signed_in(&layer, 7).await;
    let mut visitor = Visitor::new(&layer);
    let put = |mut session: Session<Shop>| async move { session.cart = 5 };
    visitor.visit(put).await;
    let before = visitor.clone();
    let answer = visitor
        .visit(
            |mut shop: Session<Shop>, mut staff: Session<Staff>| async move {
                staff.clerk = Some("eve".to_owned());
                staff.commit();
                shop.customer = Some(7);
                let refused = shop.expire(Shop::CUSTOMER, MINUTE).await;
                assert!(matches!(refused, Err(SessionError::LimitReached)));
            },
        )
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_ne!(
        visitor.token(),
        before.token(),
        "the clerk's sign-in rotates"
    );
}

#[tokio::test]
async fn s26_the_list_shows_each_session_as_it_is() {
    let (layer, _, clock) = site();
    let mut first = signed_in(&layer, 7).await;
    let first_created = time(&clock);
    first
        .visit(|mut session: Session<Shop>| async move { session.set_label("Firefox") })
        .await;
    clock.advance(MINUTE);
    let mut second = signed_in(&layer, 7).await;
    let second_created = time(&clock);
    signed_in(&layer, 8).await;

    let infos = list(&layer, 7).await;
    let ids = [id_of(&mut first).await, id_of(&mut second).await];
    assert_eq!([infos[0].id, infos[1].id], ids, "the oldest first");
    // `id_of` was a visit after the touch interval.
    let infos_now = list(&layer, 7).await;
    assert_eq!(infos[0].last_seen, first_created);
    assert_eq!(infos_now[0].last_seen, time(&clock));
    assert_eq!(infos_now[0].created, first_created);
    assert_eq!(infos_now[1].created, second_created);
    assert_eq!(infos_now[0].label.as_deref(), Some("Firefox"));
    assert_eq!(infos_now[1].label, None);
    assert!(
        infos_now.iter().all(|info| !info.current),
        "no request asks"
    );

    // Within the touch interval a visit is not written, so the time is at most that old.
    clock.advance(MINUTE - SECOND);
    whoami(&mut first).await;
    assert_eq!(
        list(&layer, 7).await[0].last_seen,
        time(&clock) - (MINUTE - SECOND)
    );
    clock.advance(SECOND);
    whoami(&mut first).await;
    assert_eq!(list(&layer, 7).await[0].last_seen, time(&clock));
}

/// How many sessions the page lists, and whether exactly one is the visitor's.
fn shown(infos: &[SessionInfo], id: Option<SessionId>) -> String {
    let current: Vec<_> = infos.iter().filter(|info| info.current).collect();
    let is_own = current.len() == 1 && id.is_none_or(|id| current[0].id == id);
    format!("{} {is_own}", infos.len())
}

#[tokio::test]
async fn s26_the_list_knows_the_current_session() {
    let (layer, _, _) = site();
    let mut visitor = signed_in(&layer, 7).await;
    signed_in(&layer, 7).await;

    let with_session = |sessions: Sessions, session: Session<Shop>| async move {
        let infos = sessions.list(Shop::CUSTOMER, &7).await.unwrap();
        shown(&infos, session.id())
    };
    assert_eq!(visitor.visit(with_session).await.body, "2 true");

    let alone = |sessions: Sessions| async move {
        let infos = sessions.list(Shop::CUSTOMER, &7).await.unwrap();
        shown(&infos, None)
    };
    let answer = visitor.visit(alone).await;
    assert_eq!(answer.body, "2 true");
    assert_eq!(answer.headers["vary"], "cookie", "the flag depends on it");

    let rotated = |sessions: Sessions, mut session: Session<Shop>| async move {
        session.rotate();
        session.save().await.unwrap();
        let infos = sessions.list(Shop::CUSTOMER, &7).await.unwrap();
        shown(&infos, session.id())
    };
    assert_eq!(visitor.visit(rotated).await.body, "2 true");

    let new = |sessions: Sessions, mut session: Session<Shop>| async move {
        session.customer = Some(7);
        session.save().await.unwrap();
        let infos = sessions.list(Shop::CUSTOMER, &7).await.unwrap();
        shown(&infos, session.id())
    };
    assert_eq!(Visitor::new(&layer).visit(new).await.body, "3 true");
    let mut stranger = Visitor::new(&layer);
    assert_eq!(stranger.visit(alone).await.body, "3 false");
}

#[tokio::test]
async fn s26_only_the_owner_revokes_a_session() {
    let (layer, _, _) = site();
    let sessions = layer.sessions();
    let mut seven = signed_in(&layer, 7).await;
    let mut eight = signed_in(&layer, 8).await;
    let id = id_of(&mut eight).await;

    let page = move |sessions: Sessions, Path(()): Path<()>| async move {
        let revoked = sessions.revoke(Shop::CUSTOMER, &7, &id).await.unwrap();
        revoked.to_string()
    };
    let page = move |sessions: Sessions| page(sessions, Path(()));
    assert_eq!(seven.visit(page).await.body, "false");
    for other in [7, 0, 88, 80] {
        assert!(!sessions.revoke(Shop::CUSTOMER, &other, &id).await.unwrap());
    }
    let clerk = "8".to_owned();
    assert!(!sessions.revoke(Staff::CLERK, &clerk, &id).await.unwrap());
    let unknown = SessionId::generate().unwrap();
    assert!(!sessions.revoke(Shop::CUSTOMER, &8, &unknown).await.unwrap());
    assert_eq!(whoami(&mut eight).await, "8");

    assert!(sessions.revoke(Shop::CUSTOMER, &8, &id).await.unwrap());
    assert_eq!(whoami(&mut eight).await, "nobody");
    assert!(!sessions.revoke(Shop::CUSTOMER, &8, &id).await.unwrap());
    assert_eq!(count(&layer, 8).await, 0);
    assert_eq!(whoami(&mut seven).await, "7");
}

#[tokio::test]
async fn s25_revoking_the_others_leaves_exactly_the_current_one() {
    let (layer, _, _) = site();
    let page = |sessions: Sessions, session: Session<Shop>| async move {
        let customer = session.customer.unwrap();
        let revoked = sessions.revoke_others(Shop::CUSTOMER, &customer).await;
        revoked.unwrap().to_string()
    };
    let alone = |sessions: Sessions| async move {
        let revoked = sessions.revoke_others(Shop::CUSTOMER, &7).await;
        revoked.unwrap().to_string()
    };
    for without_session in [false, true] {
        let mut own = signed_in(&layer, 7).await;
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(signed_in(&layer, 7).await);
        }
        let mut stranger = signed_in(&layer, 8).await;
        let answer = match without_session {
            false => own.visit(page).await,
            true => own.visit(alone).await,
        };
        assert_eq!(answer.body, "4");
        assert_eq!(whoami(&mut own).await, "7");
        for other in &mut others {
            assert_eq!(whoami(other).await, "nobody");
        }
        assert_eq!(whoami(&mut stranger).await, "8");
        assert_eq!(count(&layer, 7).await, 1);
        sign_out(&mut own).await;
    }
    // Outside a request nothing is current.
    signed_in(&layer, 9).await;
    let revoked = layer.sessions().revoke_others(Shop::CUSTOMER, &9).await;
    assert_eq!(revoked.unwrap(), 1);
}

#[tokio::test]
async fn s24_revoking_all_ends_the_session_of_the_request_too() {
    let (layer, _, clock) = site();
    let mut own = signed_in(&layer, 7).await;
    let mut other = signed_in(&layer, 7).await;
    // A touch would be due, of a session that does not exist any more.
    clock.advance(2 * MINUTE);
    let page = |sessions: Sessions, session: Session<Shop>| async move {
        let revoked = sessions.revoke_all(Shop::CUSTOMER, &7).await.unwrap();
        assert!(session.id().is_none());
        revoked.to_string()
    };
    let answer = own.visit(page).await;
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "2"));
    assert_eq!(own.token(), None, "the cookie is removed");
    assert_eq!(whoami(&mut other).await, "nobody");

    let mut own = signed_in(&layer, 7).await;
    let page = |sessions: Sessions, mut session: Session<Shop>| async move {
        let id = session.id().unwrap();
        assert!(sessions.revoke(Shop::CUSTOMER, &7, &id).await.unwrap());
        session.customer = None;
    };
    assert_eq!(own.visit(page).await.status, StatusCode::OK);
    assert_eq!(own.token(), None);
    assert_eq!(
        layer
            .sessions()
            .revoke_all(Shop::CUSTOMER, &7)
            .await
            .unwrap(),
        0
    );
}

/// A visit that only reads is answered even if its session ends meanwhile.
#[tokio::test]
async fn a_page_that_asked_for_nothing_is_not_replaced_by_an_error() {
    let (layer, _, clock) = site();
    let mut visitor = signed_in(&layer, 7).await;
    clock.advance(2 * MINUTE);
    let sessions = layer.sessions();
    let page = |_: Session<Shop>| async move {
        sessions.revoke_all(Shop::CUSTOMER, &7).await.unwrap();
        "read"
    };
    let recorder = Recorder::start();
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "read")
    );
    assert_eq!(answer.set_cookies(), [""; 0]);
    assert_eq!(recorder.take_events(), ["destroyed", "gone"]);

    // What it asked for is not silently lost.
    let mut visitor = signed_in(&layer, 7).await;
    let sessions = layer.sessions();
    let page = |mut session: Session<Shop>| async move {
        sessions.revoke_all(Shop::CUSTOMER, &7).await.unwrap();
        session.cart = 1;
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn expired_sessions_and_principals_are_not_listed() {
    let (store, clock) = store();
    let layer = SessionLayer::builder(store.clone())
        .idle_timeout(4 * 60 * MINUTE)
        .max_sessions(Shop::CUSTOMER, 2, WhenFull::Reject)
        .build()
        .unwrap();
    let mut expiring = signed_in(&layer, 7).await;
    signed_in(&layer, 7).await;
    assert_eq!(
        sign_in(&mut Visitor::new(&layer), 7).await,
        StatusCode::CONFLICT
    );

    // The principal goes on its own after two hours; the session stays.
    clock.advance(2 * 60 * MINUTE);
    assert_eq!(count(&layer, 7).await, 0);
    assert_eq!(whoami(&mut expiring).await, "nobody");
    let before = expiring.clone();
    assert_eq!(sign_in(&mut expiring, 7).await, StatusCode::OK);
    assert_ne!(expiring.token(), before.token());
    signed_in(&layer, 7).await;
    assert_eq!(count(&layer, 7).await, 2);

    // Without anybody asking for the list in between, the limit finds out itself.
    clock.advance(2 * 60 * MINUTE);
    signed_in(&layer, 7).await;
    signed_in(&layer, 7).await;
    assert_eq!(
        sign_in(&mut Visitor::new(&layer), 7).await,
        StatusCode::CONFLICT
    );
    clock.advance(5 * 60 * MINUTE);
    assert_eq!(count(&layer, 7).await, 0, "sessions that ended");
}

/// A place is free at once, however its session ended.
#[tokio::test]
async fn ended_sessions_free_their_place_at_once() {
    for when_full in [WhenFull::Reject, WhenFull::EvictOldest] {
        let (store, _) = store();
        let layer = SessionLayer::builder(store)
            .max_sessions(Shop::CUSTOMER, 1, when_full)
            .build()
            .unwrap();
        let ways: [fn(Session<Shop>, Session<OldShop>); 3] = [
            |shop, _| shop.destroy(),
            |mut shop, _| shop.customer = None,
            |mut shop, _| shop.remove(Shop::CUSTOMER),
        ];
        for way in ways {
            let mut visitor = signed_in(&layer, 7).await;
            let page = move |shop: Session<Shop>, old: Session<OldShop>| async move {
                way(shop, old);
            };
            assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
        }
        // A handler that does not know the principal leaves a stale entry.
        let mut visitor = signed_in(&layer, 7).await;
        visitor
            .visit(|session: Session<OldShop>| async move { session.destroy() })
            .await;
        signed_in(&layer, 7).await;
        assert_eq!(count(&layer, 7).await, 1);
    }
}

#[tokio::test]
async fn s31_the_oldest_makes_room() {
    let (store, clock) = store();
    let layer = SessionLayer::builder(store)
        .max_sessions(Shop::CUSTOMER, 3, WhenFull::EvictOldest)
        .build()
        .unwrap();
    let mut visitors = Vec::new();
    for _ in 0..5 {
        visitors.push(signed_in(&layer, 7).await);
        clock.advance(SECOND);
    }
    let mut who = Vec::new();
    for visitor in &mut visitors {
        who.push(whoami(visitor).await);
    }
    assert_eq!(who, ["nobody", "nobody", "7", "7", "7"]);
    // The session's own place does not count: signing in again evicts nobody.
    sign_in(&mut visitors[2], 8).await;
    sign_in(&mut visitors[2], 7).await;
    assert_eq!(count(&layer, 7).await, 3);
    assert_eq!(whoami(&mut visitors[3]).await, "7");
}

#[tokio::test]
async fn s31_a_rejected_sign_in_says_so_and_leaves_nothing() {
    let (store, _) = store();
    let layer = SessionLayer::builder(store.clone())
        .max_sessions(Shop::CUSTOMER, 1, WhenFull::Reject)
        .build()
        .unwrap();
    let mut holder = signed_in(&layer, 7).await;

    let mut visitor = Visitor::new(&layer);
    let recorder = Recorder::start();
    assert_eq!(sign_in(&mut visitor, 7).await, StatusCode::CONFLICT);
    assert_eq!(recorder.take_events(), ["limit-reached"]);
    assert_eq!(visitor.token(), None);

    let page = |mut session: Session<Shop>| async move {
        session.customer = Some(7);
        match session.save().await {
            Err(SessionError::LimitReached) => "too many devices",
            _ => "welcome",
        }
    };
    let answer = visitor.visit(page).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::OK, "too many devices")
    );
    assert_eq!(visitor.token(), None, "it is not tried again");
    assert_eq!(whoami(&mut holder).await, "7");
    assert_eq!(count(&layer, 7).await, 1);

    // One who has a session already keeps it as it was.
    let put = |mut session: Session<Shop>| async move { session.cart = 5 };
    visitor.visit(put).await;
    let token = visitor.token();
    assert_eq!(sign_in(&mut visitor, 7).await, StatusCode::CONFLICT);
    assert_eq!(visitor.token(), token);
    let cart = |session: Session<Shop>| async move { session.cart.to_string() };
    assert_eq!(visitor.visit(cart).await.body, "5");

    let update = |mut session: Session<Shop>| async move {
        session.update(|shop| shop.customer = Some(7)).await
    };
    assert_eq!(visitor.visit(update).await.status, StatusCode::CONFLICT);
    sign_out(&mut holder).await;
    assert_eq!(visitor.visit(update).await.status, StatusCode::OK);
    assert_eq!(count(&layer, 7).await, 1);
}

#[tokio::test]
async fn two_schemas_keep_separate_lists() {
    let (layer, _, _) = site();
    let mut visitor = signed_in(&layer, 7).await;
    let clerk = |mut session: Session<Staff>| async move { session.clerk = Some("7".to_owned()) };
    visitor.visit(clerk).await;
    let sessions = layer.sessions();
    let clerks = || async { sessions.list(Staff::CLERK, &"7".to_owned()).await.unwrap() };
    assert_eq!((count(&layer, 7).await, clerks().await.len()), (1, 1));
    sign_out(&mut visitor).await;
    assert_eq!((count(&layer, 7).await, clerks().await.len()), (0, 1));
    sign_in(&mut visitor, 8).await;
    assert_eq!(
        sessions
            .revoke_all(Staff::CLERK, &"7".to_owned())
            .await
            .unwrap(),
        1
    );
    assert_eq!(count(&layer, 8).await, 0, "one session, ended for both");
}

/// Both schemas in one request: one commit, one token, two lists.
#[tokio::test]
async fn two_principals_change_in_one_commit() {
    let (layer, store, _) = site();
    let mut visitor = Visitor::new(&layer);
    let both = |mut shop: Session<Shop>, mut staff: Session<Staff>| async move {
        shop.customer = Some(7);
        staff.clerk = Some("eve".to_owned());
    };
    store.take_counts();
    visitor.visit(both).await;
    assert_eq!(store.take_counts(), (0, 1));
    let clerks = layer.sessions().list(Staff::CLERK, &"eve".to_owned()).await;
    assert_eq!((count(&layer, 7).await, clerks.unwrap().len()), (1, 1));
}

/// The entry must outlast the session, also one whose life was prolonged in a handler that knows
/// nothing of principals.
#[tokio::test]
async fn a_longer_life_is_a_longer_listing() {
    let (layer, _, clock) = site();
    let day = 24 * 60 * MINUTE;
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Staff>| async move { session.clerk = Some("eve".to_owned()) };
    visitor.visit(page).await;
    let page = move |mut session: Session<OldShop>| async move {
        session.set_timeouts(None, 10 * day);
        session.cart = 1;
    };
    visitor.visit(page).await;
    clock.advance(9 * day);
    let sessions = layer.sessions();
    let eve = "eve".to_owned();
    assert_eq!(sessions.list(Staff::CLERK, &eve).await.unwrap().len(), 1);
    assert_eq!(sessions.revoke_all(Staff::CLERK, &eve).await.unwrap(), 1);

    // Set before the sign-in, it holds for the entry as well.
    let mut visitor = Visitor::new(&layer);
    let page = move |mut session: Session<Staff>| async move {
        session.set_timeouts(None, None);
        session.clerk = Some("eve".to_owned());
    };
    visitor.visit(page).await;
    clock.advance(1_000 * day);
    assert_eq!(sessions.list(Staff::CLERK, &eve).await.unwrap().len(), 1);
}

/// During a rollout one program knows the principal and the other does not.
#[tokio::test]
async fn a_program_that_knows_no_principal_shares_the_sessions() {
    let (new, store, clock) = site();
    let old = SessionLayer::new(store);
    let mut visitor = Visitor::new(&old);
    let put = |mut session: Session<OldShop>| async move { session.cart += 1 };
    visitor.visit(put).await;
    visitor.move_to(&new);
    assert_eq!(sign_in(&mut visitor, 7).await, StatusCode::OK);

    visitor.move_to(&old);
    visitor.visit(put).await;
    visitor
        .visit(|mut session: Session<OldShop>| async move { session.rotate() })
        .await;
    clock.advance(2 * MINUTE);
    visitor.visit(put).await;
    assert_eq!(count(&new, 7).await, 1, "still listed");

    visitor.move_to(&new);
    assert_eq!(whoami(&mut visitor).await, "7");
    visitor.move_to(&old);
    visitor
        .visit(|session: Session<OldShop>| async move { session.destroy() })
        .await;
    assert_eq!(count(&new, 7).await, 0, "ended, whoever ended it");

    let mut visitor = signed_in(&new, 7).await;
    assert_eq!(
        new.sessions().revoke_all(Shop::CUSTOMER, &7).await.unwrap(),
        1
    );
    visitor.move_to(&old);
    let cart = |session: ReadSession<OldShop>| async move { session.is_new().to_string() };
    assert_eq!(visitor.visit(cart).await.body, "true");
}

/// The field was called `user` in the version before.
#[tokio::test]
async fn a_renamed_principal_is_found_under_both_names() {
    #[derive(Session, Default)]
    #[session(name = "login")]
    struct Before {
        #[session(principal)]
        user: Option<u32>,
    }
    #[derive(Session, Default)]
    #[session(name = "login")]
    struct After {
        #[session(principal, alias = "user")]
        member: Option<u32>,
    }

    let (layer, _, _) = site();
    let sessions = layer.sessions();
    let before = |mut session: Session<Before>| async move { session.user = Some(7) };
    let after = |mut session: Session<After>| async move { session.member = Some(7) };
    let mut old = Visitor::new(&layer);
    old.visit(before).await;
    let mut new = Visitor::new(&layer);
    new.visit(after).await;
    assert_eq!(sessions.list(After::MEMBER, &7).await.unwrap().len(), 2);

    // Listed under the new name as well, it is still one session.
    let longer = |mut session: Session<After>| async move {
        session.set_timeouts(MINUTE, 60 * MINUTE);
    };
    old.visit(longer).await;
    assert_eq!(sessions.list(After::MEMBER, &7).await.unwrap().len(), 2);
    assert_eq!(sessions.revoke_all(After::MEMBER, &7).await.unwrap(), 2);
    assert_eq!(sessions.list(After::MEMBER, &7).await.unwrap(), []);

    // The newer name counts: whoever is signed in as 8 is not revoked as 7.
    let mut visitor = Visitor::new(&layer);
    let as_eight = |mut session: Session<After>| async move { session.member = Some(8) };
    visitor.visit(as_eight).await;
    visitor.visit(before).await;
    let id = sessions.list(After::MEMBER, &8).await.unwrap()[0].id;
    assert!(!sessions.revoke(After::MEMBER, &7, &id).await.unwrap());
    assert!(sessions.revoke(After::MEMBER, &8, &id).await.unwrap());
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    tenant: String,
    number: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Who {
    Guest,
    Member { name: String },
    Robot(u8, String),
}

#[derive(Session, Default)]
struct Keys {
    #[session(principal)]
    text: Option<String>,
}

#[derive(Session, Default)]
struct Accounts {
    #[session(principal, codec = session_runtime::Postcard)]
    account: Option<Account>,
}

#[derive(Session, Default)]
struct Whose {
    #[session(principal)]
    who: Option<Who>,
}

#[tokio::test]
async fn any_value_is_a_principal() {
    let (layer, _, _) = site();
    let sessions = layer.sessions();
    let texts = [
        "",
        "*",
        "?",
        "[a-z]",
        "a:b",
        "a\0b",
        "\0",
        "null",
        "\"quoted\"",
        "Zoë 🦀 \u{202e}",
        "\r\n$1\r\n",
        "{slot}",
        "../../etc/passwd",
        &"x".repeat(60_000),
    ];
    for text in texts {
        let text = text.to_owned();
        let page = move |mut session: Session<Keys>| async move { session.text = Some(text) };
        let answer = Visitor::new(&layer).visit(page).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
    for text in texts {
        let found = sessions.list(Keys::TEXT, &text.to_owned()).await.unwrap();
        assert_eq!(found.len(), 1, "{text:.20}");
    }

    let account = |tenant: &str, number| Account {
        tenant: tenant.to_owned(),
        number,
    };
    let accounts = [account("a", 1), account("a", 2), account("", 1)];
    for account in accounts.clone() {
        let page =
            move |mut session: Session<Accounts>| async move { session.account = Some(account) };
        Visitor::new(&layer).visit(page).await;
    }
    for account in &accounts {
        assert_eq!(
            sessions
                .revoke_all(Accounts::ACCOUNT, account)
                .await
                .unwrap(),
            1
        );
    }

    let member = |name: &str| Who::Member {
        name: name.to_owned(),
    };
    let everybody = [Who::Guest, member("Guest"), Who::Robot(1, "Guest".into())];
    for who in everybody.clone() {
        let page = move |mut session: Session<Whose>| async move { session.who = Some(who) };
        Visitor::new(&layer).visit(page).await;
    }
    for who in &everybody {
        assert_eq!(
            sessions.list(Whose::WHO, who).await.unwrap().len(),
            1,
            "{who:?}"
        );
    }
}

#[tokio::test]
async fn a_field_that_is_no_principal_is_refused() {
    let (layer, _, _) = site();
    let refused = layer
        .sessions()
        .revoke_all(Shop::VISITS, &"7".to_owned())
        .await;
    let expected = ConfigError::NotPrincipal {
        field: "shop.visits",
    };
    assert!(matches!(refused, Err(SessionError::Config(error)) if error == expected));
}

/// A call costs by the principal's own sessions, however many others there are.
#[tokio::test]
async fn a_list_costs_by_its_own_sessions() {
    let (layer, store, _) = site();
    for customer in 0..200 {
        signed_in(&layer, customer).await;
    }
    signed_in(&layer, 7).await;
    store.take_counts();
    store.take_index_count();
    assert_eq!(count(&layer, 7).await, 2);
    assert_eq!((store.take_counts(), store.take_index_count()), ((2, 0), 1));
    assert_eq!(
        layer
            .sessions()
            .revoke_all(Shop::CUSTOMER, &7)
            .await
            .unwrap(),
        2
    );
    assert_eq!((store.take_counts(), store.take_index_count()), ((2, 2), 2));
}

/// Nobody has to look at an entry for it to go.
#[tokio::test]
async fn an_entry_ends_with_the_lifetime_of_its_session() {
    let (layer, store, clock) = site();
    let customer = PrincipalKey::new("shop.customer", b"7");
    let entries = async || store.index(&customer).await.unwrap().entries.len();
    signed_in(&layer, 7).await;
    clock.advance(24 * 60 * MINUTE - SECOND);
    assert_eq!(entries().await, 1);
    clock.advance(SECOND);
    assert_eq!(entries().await, 0);
}

/// The list that a reader sees skips what is stale; here it is looked at as the store keeps it.
#[tokio::test]
async fn an_entry_goes_with_the_sign_out_or_the_session() {
    let (layer, store, _) = site();
    let customer = PrincipalKey::new("shop.customer", b"7");
    let entries = async || store.index(&customer).await.unwrap().entries.len();

    let mut visitor = signed_in(&layer, 7).await;
    sign_out(&mut visitor).await;
    assert_eq!(entries().await, 0);
    sign_in(&mut visitor, 7).await;
    let page =
        |mut session: Session<Shop>| async move { session.take(Shop::CUSTOMER).await.map(drop) };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    assert_eq!(entries().await, 0);
    sign_in(&mut visitor, 7).await;
    visitor
        .visit(|session: Session<Shop>| async move { session.destroy() })
        .await;
    assert_eq!(entries().await, 0);
}

/// Two limits are asked in one commit, and only one of them is reached.
#[tokio::test]
async fn s31_each_limit_counts_its_own_principal() {
    #[derive(Session, Default)]
    struct Office {
        #[session(principal)]
        clerk: Option<u32>,
    }
    let (store, _) = store();
    let layer = SessionLayer::builder(store)
        .max_sessions(Shop::CUSTOMER, 1, WhenFull::EvictOldest)
        .max_sessions(Office::CLERK, 1, WhenFull::Reject)
        .build()
        .unwrap();
    let page = |mut office: Session<Office>, mut shop: Session<Shop>| async move {
        office.clerk = Some(7);
        drop(office);
        shop.customer = Some(7);
    };
    let mut first = Visitor::new(&layer);
    assert_eq!(first.visit(page).await.status, StatusCode::OK);
    let second = Visitor::new(&layer).visit(page).await;
    assert_eq!(second.status, StatusCode::CONFLICT);
    assert_eq!(whoami(&mut first).await, "7", "nobody made room");
}

/// A sign-in of which only the entry has reached the store, as far as anybody can tell.
async fn half_signed_in(store: &SteppedMemory, visitor: &mut Visitor) {
    // The entry comes first, behind the load of a visitor who has a session.
    store.fail_after(1 + usize::from(visitor.token().is_some()));
    let status = sign_in(visitor, 7).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(store.recover());
}

#[tokio::test]
async fn an_entry_waits_ten_seconds_for_its_session() {
    let clock = ManualClock::new();
    let store = SteppedMemory::new(clock.clone());
    let layer = SessionLayer::new(store.clone());
    let customer = PrincipalKey::new("shop.customer", b"7");
    let entries = async || store.index(&customer).await.unwrap().entries.len();
    half_signed_in(&store, &mut Visitor::new(&layer)).await;
    for (pause, left) in [(0, 1), (9_999, 1), (1, 0)] {
        clock.advance(Duration::from_millis(pause));
        assert_eq!(count(&layer, 7).await, 0, "nobody is signed in");
        assert_eq!(entries().await, left, "after another {pause} ms");
    }
}

#[tokio::test]
async fn s25_revoking_the_others_spares_an_entry_of_the_current_session() {
    let store = SteppedMemory::new(ManualClock::new());
    let layer = SessionLayer::new(store.clone());
    let customer = PrincipalKey::new("shop.customer", b"7");
    let mut visitor = Visitor::new(&layer);
    let page = |mut session: Session<Shop>| async move { session.cart = 1 };
    visitor.visit(page).await;
    let own = id_of(&mut visitor).await;
    half_signed_in(&store, &mut visitor).await;
    half_signed_in(&store, &mut Visitor::new(&layer)).await;

    let page = |sessions: Sessions, _: Session<Shop>| async move {
        let ended = sessions.revoke_others(Shop::CUSTOMER, &7).await;
        ended.map(|ended| ended.to_string())
    };
    assert_eq!(visitor.visit(page).await.body, "0");
    let left = store.index(&customer).await.unwrap().entries;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].session, own);
}

/// Whoever knows an id, from a list or a log, is not its visitor.
#[tokio::test]
async fn s26_an_id_without_its_secret_is_nobodys_own_session() {
    let (layer, _, _) = site();
    let mut owner = signed_in(&layer, 7).await;
    let token = owner.token().unwrap();
    let mut thief = Visitor::new(&layer);
    // The id is in the first 22 of 43 characters.
    let guess = if token.ends_with("AAAA") {
        "BBBA"
    } else {
        "AAAA"
    };
    thief.set_token(&format!("{}{guess}", &token[..39]));
    let page = |sessions: Sessions| async move {
        let list = sessions.list(Shop::CUSTOMER, &7).await?;
        assert!(!list[0].current);
        let ended = sessions.revoke_others(Shop::CUSTOMER, &7).await?;
        Ok::<_, SessionError>(ended.to_string())
    };
    assert_eq!(thief.visit(page).await.body, "1", "nothing is spared");
    assert_eq!(whoami(&mut owner).await, "nobody");
}

/// How long a session is there counts, and not how long somebody is signed in.
#[tokio::test]
async fn s31_the_oldest_session_makes_room_whenever_it_signed_in() {
    let (store, clock) = store();
    let layer = SessionLayer::builder(store)
        .max_sessions(Shop::CUSTOMER, 2, WhenFull::EvictOldest)
        .build()
        .unwrap();
    let mut oldest = Visitor::new(&layer);
    let page = |mut session: Session<Shop>| async move { session.cart = 1 };
    oldest.visit(page).await;
    clock.advance(SECOND);
    let mut second = signed_in(&layer, 7).await;
    clock.advance(SECOND);
    sign_in(&mut oldest, 7).await;
    clock.advance(SECOND);
    signed_in(&layer, 7).await;
    assert_eq!(whoami(&mut oldest).await, "nobody");
    assert_eq!(whoami(&mut second).await, "7");
}
