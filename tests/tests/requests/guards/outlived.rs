//! A guard whose session ends while it is alive: nothing that is done with it reaches another session,
//! and no visitor is signed in after a sign-out.

use std::time::Duration;

use axum::RequestExt;
use axum::extract::Request;
use http::StatusCode;
use session_runtime::store::{Action, Commit, CommitId};
use session_runtime::{
    MemoryStore, ReadSession, Session, SessionError, SessionLayer, SessionRejection, SessionStore,
    Sessions, Timeouts,
};
use tests::clock::ManualClock;
use tests::counting::CountingStore;
use tests::events::Recorder;
use tests::faulty::{Fault, FaultyStore};
use tests::gate::Gate;
use tests::visitor::Visitor;

#[derive(Session, Debug, Default, PartialEq, Clone)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    #[session(ttl = "5m")]
    code: Option<String>,
    #[session(merge = "add")]
    visits: i64,
    #[session(merge = "reject")]
    guarded: u32,
    plain: u32,
}

/// The ends of a session within one request.
#[derive(Debug, Clone, Copy)]
enum End {
    Destroy,
    DestroyNow,
    Revoke,
    RevokeAll,
}

const ENDS: [End; 4] = [End::Destroy, End::DestroyNow, End::Revoke, End::RevokeAll];

/// The things that a handler does with a guard.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Nothing,
    Write,
    SignIn,
    Set,
    Renew,
    Remove,
    Take,
    Add,
    Expire,
    Update,
    Save,
    SaveAndWrite,
    Reload,
    Rotate,
    Remember,
    SetTimeouts,
    SetLabel,
}

const ACTS: [Act; 17] = [
    Act::Nothing,
    Act::Write,
    Act::SignIn,
    Act::Set,
    Act::Renew,
    Act::Remove,
    Act::Take,
    Act::Add,
    Act::Expire,
    Act::Update,
    Act::Save,
    Act::SaveAndWrite,
    Act::Reload,
    Act::Rotate,
    Act::Remember,
    Act::SetTimeouts,
    Act::SetLabel,
];

impl Act {
    async fn perform(self, shop: &mut Session<Shop>) -> Result<(), SessionError> {
        match self {
            Self::Nothing => {}
            Self::Write => shop.plain = 9,
            Self::SignIn => shop.customer = Some(9),
            Self::Set => shop.set(Shop::CUSTOMER, 9)?,
            Self::Renew => shop.renew(Shop::CODE),
            Self::Remove => shop.remove(Shop::CODE),
            Self::Take => drop(shop.take(Shop::CODE).await?),
            Self::Add => drop(shop.add(Shop::VISITS, 9).await?),
            Self::Expire => {
                shop.code = Some("9".to_owned());
                shop.expire(Shop::CODE, Duration::from_secs(9)).await?;
            }
            Self::Update => shop.update(|shop| shop.customer = Some(9)).await?,
            Self::Save => {
                shop.customer = Some(9);
                shop.save().await?;
            }
            Self::SaveAndWrite => {
                let saved = shop.save().await;
                shop.customer = Some(9);
                saved?;
            }
            Self::Reload => {
                let loaded = shop.reload().await;
                shop.customer = Some(9);
                loaded?;
            }
            Self::Rotate => shop.rotate(),
            Self::Remember => shop.remember(true),
            Self::SetTimeouts => {
                let minute = Duration::from_secs(60);
                shop.set_timeouts(Timeouts::new(minute, minute)?);
            }
            Self::SetLabel => shop.set_label("9"),
        }
        Ok(())
    }

    /// Whether the call answers at once, and needs a session.
    fn is_direct(self) -> bool {
        let direct = [
            Self::Take,
            Self::Add,
            Self::Expire,
            Self::Update,
            Self::Save,
            Self::Reload,
        ];
        direct.contains(&self)
    }
}

fn site() -> (SessionLayer, CountingStore<MemoryStore>) {
    let store = CountingStore::new(MemoryStore::new());
    (SessionLayer::new(store.clone()), store)
}

async fn signed_in(layer: &SessionLayer) -> Visitor {
    let mut visitor = Visitor::new(layer);
    let page = |mut session: Session<Shop>| async move {
        session.customer = Some(7);
        session.code = Some("1".to_owned());
        (session.visits, session.guarded, session.plain) = (1, 1, 1);
    };
    assert_eq!(visitor.visit(page).await.status, StatusCode::OK);
    visitor
}

async fn look(visitor: &mut Visitor) -> String {
    let page = |session: ReadSession<Shop>| async move { format!("{:?}", *session) };
    visitor.visit(page).await.body
}

/// Every end, every act before it and after it, with a new session of the same request or without.
#[tokio::test]
async fn no_act_with_an_outlived_guard_reaches_another_session() {
    let mut cases = 0;
    for end in ENDS {
        for before in ACTS.into_iter().filter(|act| !act.is_direct()) {
            for act in ACTS {
                for begins_anew in [false, true] {
                    let context = format!("{before:?}, {end:?}, {act:?}, anew {begins_anew}");
                    one_case(end, before, act, begins_anew, &context).await;
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} cases");
}

async fn one_case(end: End, before: Act, act: Act, begins_anew: bool, context: &str) {
    let recorder = Recorder::start();
    let (layer, store) = site();
    let mut visitor = signed_in(&layer).await;
    let thief = visitor.clone();
    recorder.take_events();
    let page = {
        let context = context.to_owned();
        move |mut old: Session<Shop>, sessions: Sessions, mut request: Request| async move {
            before.perform(&mut old).await.expect(&context);
            let other: Session<Shop> = request.extract_parts().await?;
            let theirs = sessions.of(Shop::CUSTOMER, &7);
            match end {
                End::Destroy => other.destroy(),
                End::DestroyNow => other.destroy_now().await.expect(&context),
                End::Revoke => {
                    let id = other.id().expect(&context);
                    assert!(theirs.revoke(&id).await.expect(&context));
                }
                End::RevokeAll => {
                    assert_eq!(theirs.revoke_all().await.expect(&context), 1);
                }
            }
            if begins_anew {
                let mut new: Session<Shop> = request.extract_parts().await?;
                assert_eq!(*new, Shop::default(), "{context}");
                new.plain = 5;
            }
            let performed = act.perform(&mut old).await;
            if act.is_direct() {
                assert!(
                    matches!(performed, Err(SessionError::Gone)),
                    "{context}: {performed:?}"
                );
            }
            Ok::<_, SessionRejection>(())
        }
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{context}: {}", answer.body);
    let expected = Shop {
        plain: if begins_anew { 5 } else { 0 },
        ..Shop::default()
    };
    assert_eq!(
        look(&mut visitor).await,
        format!("{expected:?}"),
        "{context}"
    );
    assert_eq!(visitor.token().is_some(), begins_anew, "{context}");
    assert_eq!(store.sessions().await, u64::from(begins_anew), "{context}");
    let is_persistent = answer
        .set_cookies()
        .iter()
        .any(|cookie| cookie.contains("Max-Age=1"));
    assert!(!is_persistent, "{context}");
    let mut thief = thief;
    assert_eq!(
        look(&mut thief).await,
        format!("{:?}", Shop::default()),
        "{context}"
    );
    for customer in [7, 9] {
        let theirs = layer.sessions().of(Shop::CUSTOMER, &customer);
        assert_eq!(theirs.list().await.unwrap().len(), 0, "{context}");
    }
    let asks = |act: Act| !matches!(act, Act::Nothing | Act::SaveAndWrite);
    let is_reported = recorder.take_events().contains(&"gone".to_owned());
    assert!(is_reported || !(asks(before) || asks(act)), "{context}");
}

/// The ends of a session by another request, or by a job.
#[derive(Debug, Clone, Copy)]
enum Elsewhere {
    Destroy,
    RevokeAll,
    SignOut,
    Rotate,
}

/// An end by another request is an error where this one asked for something.
#[tokio::test]
async fn no_act_after_an_end_elsewhere_reaches_a_session() {
    let mut cases = 0;
    for end in [
        Elsewhere::Destroy,
        Elsewhere::RevokeAll,
        Elsewhere::SignOut,
        Elsewhere::Rotate,
    ] {
        for act in ACTS {
            let context = format!("{end:?}, {act:?}");
            let (layer, store) = site();
            let mut visitor = signed_in(&layer).await;
            let mut other = visitor.clone();
            let (sender, receiver) = std::sync::mpsc::channel();
            let sessions = layer.sessions();
            let page = move |mut session: Session<Shop>| async move {
                match end {
                    Elsewhere::Destroy => {
                        let page = |session: Session<Shop>| async move { session.destroy() };
                        other.visit(page).await;
                    }
                    Elsewhere::RevokeAll => {
                        let theirs = sessions.of(Shop::CUSTOMER, &7);
                        assert_eq!(theirs.revoke_all().await?, 1);
                    }
                    Elsewhere::SignOut => {
                        let page =
                            |mut session: Session<Shop>| async move { session.customer = None };
                        other.visit(page).await;
                    }
                    Elsewhere::Rotate => {
                        let page = |mut session: Session<Shop>| async move { session.rotate() };
                        other.visit(page).await;
                    }
                }
                sender.send(other).expect("the test listens");
                act.perform(&mut session).await
            };
            let answer = visitor.visit(page).await;
            let mut other = receiver.recv().expect(&context);
            let expected = match act {
                Act::Nothing => StatusCode::OK,
                _ => StatusCode::CONFLICT,
            };
            assert_eq!(answer.status, expected, "{context}: {}", answer.body);
            assert_eq!(answer.set_cookies(), [""; 0], "{context}");
            let (sessions, customer) = match end {
                Elsewhere::Destroy | Elsewhere::RevokeAll => (0, None),
                Elsewhere::SignOut => (1, None),
                Elsewhere::Rotate => (1, Some(7)),
            };
            assert_eq!(store.sessions().await, sessions, "{context}");
            let expected = match sessions {
                0 => Shop::default(),
                _ => Shop {
                    customer,
                    code: Some("1".to_owned()),
                    visits: 1,
                    guarded: 1,
                    plain: 1,
                },
            };
            assert_eq!(look(&mut other).await, format!("{expected:?}"), "{context}");
            cases += 1;
        }
    }
    println!("{cases} cases");
}

#[derive(Session, Default)]
struct Shelf {
    #[session(ttl = "10m", renew = "read")]
    book: Option<u32>,
}

/// The renewal at the load of a second schema finds that another request has ended the session. What
/// the first guard changed is lost, and the answer does not say that all is well.
#[tokio::test]
async fn a_change_is_not_lost_silently_where_the_renewal_at_a_load_finds_the_end() {
    for changes in [false, true] {
        let clock = ManualClock::new();
        let store = FaultyStore::new(MemoryStore::builder().clock(clock.clone()).build());
        let mut visitor = Visitor::new(&SessionLayer::new(store.clone()));
        let page = |mut shop: Session<Shop>, mut shelf: Session<Shelf>| async move {
            shop.plain = 1;
            shelf.book = Some(1);
        };
        visitor.visit(page).await;
        clock.advance(Duration::from_secs(6 * 60));
        let page = move |mut request: Request| async move {
            let mut shop: Session<Shop> = request.extract_parts().await?;
            let id = shop.id().expect("a session");
            if changes {
                shop.plain = 9;
            }
            let gate = Gate::new();
            store.on_commit(Fault::WaitBefore(gate.clone()));
            let end = async {
                gate.arrivals(1).await;
                let commit = CommitId::generate().expect("random bytes");
                let revocation = Commit::new(id, commit, Action::Revoke);
                store
                    .inner()
                    .commit(&revocation)
                    .await
                    .expect("the store works");
                store.on_commit(Fault::None);
                gate.open();
            };
            let load = request.extract_parts::<Session<Shelf>>();
            let (shelf, ()) = tokio::join!(load, end);
            assert_eq!(shelf?.book, None);
            Ok::<_, SessionRejection>(())
        };
        let answer = visitor.visit(page).await;
        let expected = match changes {
            true => StatusCode::CONFLICT,
            false => StatusCode::OK,
        };
        assert_eq!(answer.status, expected, "{}", answer.body);
        assert_eq!(answer.set_cookies(), [""; 0]);
    }
}
