//! The state after the connection to the store was cut in the middle of a sign-in, a sign-out or a
//! revocation: the list still has every visitor who is signed in, and reading it repairs it.

use std::collections::BTreeMap;
use std::time::Duration;

use http::StatusCode;
use session_runtime::store::{PrincipalKey, Selected, Selection};
use session_runtime::test_kit::ManualClock;
use session_runtime::{
    MemoryStore, Session, SessionId, SessionLayer, SessionStore, Sessions, WhenFull,
};
use tests::cutting::{Cut, CuttingStore};
use tests::stepped::SteppedMemory;
use tests::visitor::Visitor;

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
    cart: u32,
}

const CUSTOMERS: [u32; 3] = [1, 2, 3];
const LIMIT: u32 = 2;

/// The requests that may be cut. The visitor is signed in as 1, as is another one; as 2 as many as
/// the limit allows.
const DEEDS: [&str; 9] = [
    "sign in anew",
    "sign in with a cart",
    "move to a customer with room",
    "move to a customer without room",
    "sign out",
    "destroy",
    "take",
    "revoke one",
    "revoke all",
];

async fn visit(visitor: &mut Visitor, deed: &str) -> StatusCode {
    let become_ = |customer| {
        move |mut session: Session<Shop>| async move { session.customer = Some(customer) }
    };
    let answer = match deed {
        "sign in anew" | "sign in with a cart" => visitor.visit(become_(1)).await,
        "move to a customer with room" => visitor.visit(become_(3)).await,
        "move to a customer without room" => visitor.visit(become_(2)).await,
        "sign out" => {
            let page = |mut session: Session<Shop>| async move { session.customer = None };
            visitor.visit(page).await
        }
        "destroy" => {
            let page = |session: Session<Shop>| async move { session.destroy() };
            visitor.visit(page).await
        }
        "take" => {
            let page = |mut session: Session<Shop>| async move {
                session.take(Shop::CUSTOMER).await.map(drop)
            };
            visitor.visit(page).await
        }
        "revoke one" => {
            let page = |sessions: Sessions, session: Session<Shop>| async move {
                let id = session.id().unwrap();
                let revoked = sessions.of(Shop::CUSTOMER, &1).revoke(&id).await;
                revoked.map(drop)
            };
            visitor.visit(page).await
        }
        "revoke all" => {
            let page = |sessions: Sessions| async move {
                sessions.of(Shop::CUSTOMER, &1).revoke_all().await.map(drop)
            };
            visitor.visit(page).await
        }
        other => unreachable!("no deed {other}"),
    };
    answer.status
}

/// A site on which a visitor is about to do something.
struct Scene<S> {
    store: CuttingStore<S>,
    layer: SessionLayer,
    clock: ManualClock,
    visitor: Visitor,
}

impl<S: SessionStore + Clone> Scene<S> {
    async fn before(deed: &str, open: impl Fn(ManualClock) -> S) -> Self {
        let clock = ManualClock::new();
        let store = CuttingStore::new(open(clock.clone()));
        let layer = SessionLayer::builder(store.clone())
            .max_sessions(Shop::CUSTOMER, LIMIT, WhenFull::EvictOldest)
            .build()
            .unwrap();
        for customer in [1, 2, 2] {
            let page =
                move |mut session: Session<Shop>| async move { session.customer = Some(customer) };
            Visitor::new(&layer).visit(page).await;
            clock.advance(Duration::from_secs(1));
        }
        let mut visitor = Visitor::new(&layer);
        let arrive = match deed {
            "sign in anew" => None,
            "sign in with a cart" => Some(None),
            _ => Some(Some(1)),
        };
        if let Some(customer) = arrive {
            let page = move |mut session: Session<Shop>| async move {
                session.customer = customer;
                session.cart = 1;
            };
            visitor.visit(page).await;
        }
        Self {
            store,
            layer,
            clock,
            visitor,
        }
    }

    /// Who is signed in as whom, by the sessions themselves.
    async fn truth(&self) -> BTreeMap<SessionId, u32> {
        let mut truth = BTreeMap::new();
        let selected = [Selected::value("shop.customer")];
        for session in self.store.sessions() {
            let loaded = self
                .store
                .inner()
                .load(&session, &Selection::fields(&selected))
                .await
                .unwrap();
            let field = loaded.and_then(|loaded| loaded.fields.into_iter().next().flatten());
            if let Some(field) = field {
                let customer = std::str::from_utf8(&field.value).unwrap();
                truth.insert(session, customer.parse().unwrap());
            }
        }
        truth
    }

    /// Whom the index lists for a customer, looked through or not.
    async fn indexed(&self, customer: u32) -> Vec<SessionId> {
        let key = PrincipalKey::new("shop.customer", customer.to_string().as_bytes());
        let index = self.store.inner().list(&key).await.unwrap();
        let mut sessions: Vec<_> = index.entries.iter().map(|entry| entry.session).collect();
        sessions.sort();
        sessions
    }

    async fn check(&self, what: &str) {
        let truth = self.truth().await;
        let holders = |customer| {
            let of_customer = truth.iter().filter(move |(_, held)| **held == customer);
            of_customer.map(|(session, _)| *session).collect::<Vec<_>>()
        };
        for customer in CUSTOMERS {
            let listed = self.indexed(customer).await;
            for holder in holders(customer) {
                assert!(listed.contains(&holder), "{what}: {customer} is not listed");
            }
            let live = holders(customer).len();
            assert!(
                live <= LIMIT as usize,
                "{what}: {live} sessions of {customer}"
            );
        }
        let sessions = self.layer.sessions();
        for wait in [Duration::ZERO, Duration::from_secs(11)] {
            self.clock.advance(wait);
            for customer in CUSTOMERS {
                let infos = sessions.of(Shop::CUSTOMER, &customer).list().await.unwrap();
                let mut listed: Vec<_> = infos.iter().map(|info| info.id).collect();
                listed.sort();
                assert_eq!(listed, holders(customer), "{what}: {customer}");
            }
        }
        for customer in CUSTOMERS {
            let indexed = self.indexed(customer).await;
            assert_eq!(indexed, holders(customer), "{what}: {customer} is repaired");
        }
    }
}

/// Cuts every deed at every call, in every way, and answers how many cuts there were.
async fn cut_every_call<S: SessionStore + Clone>(open: impl Fn(ManualClock) -> S) -> usize {
    let mut cuts = 0;
    for deed in DEEDS {
        for cut in [Cut::Fail, Cut::Hang, Cut::LoseTheAnswer] {
            for call in 0.. {
                let mut scene = Scene::before(deed, &open).await;
                scene.store.cut_at(call, cut);
                let status = visit(&mut scene.visitor, deed).await;
                let was_cut = scene.store.connect();
                let expected = match was_cut {
                    true => StatusCode::SERVICE_UNAVAILABLE,
                    false => StatusCode::OK,
                };
                let what = format!("{deed}, call {call}, {cut:?}");
                assert_eq!(status, expected, "{what}");
                scene.check(&what).await;
                // A visitor who tries again gets through.
                if was_cut && deed.starts_with("sign in") {
                    let status = visit(&mut scene.visitor, deed).await;
                    let is_gone = cut == Cut::LoseTheAnswer && status == StatusCode::CONFLICT;
                    assert!(status == StatusCode::OK || is_gone, "{what}: {status}");
                    scene.check(&what).await;
                }
                if !was_cut {
                    break;
                }
                cuts += 1;
            }
        }
    }
    cuts
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_any_call_leaves_a_superset() {
    let cuts =
        cut_every_call(|clock| std::sync::Arc::new(MemoryStore::builder().clock(clock).build()))
            .await;
    assert!(cuts > 50, "only {cuts} cuts");
}

#[tokio::test(start_paused = true)]
async fn a_cut_at_any_call_leaves_a_superset_where_the_store_works_in_steps() {
    let cuts = cut_every_call(SteppedMemory::new).await;
    assert!(cuts > 50, "only {cuts} cuts");
}

/// Between two steps of one commit, as a process is killed that talks to a cluster.
#[tokio::test]
async fn a_cut_at_any_step_leaves_a_superset() {
    let mut cuts = 0;
    for deed in DEEDS {
        for steps in 0.. {
            let mut scene = Scene::before(deed, SteppedMemory::new).await;
            scene.store.inner().fail_after(steps);
            let status = visit(&mut scene.visitor, deed).await;
            let was_cut = scene.store.inner().recover();
            let what = format!("{deed}, {steps} steps");
            if !was_cut {
                assert_eq!(status, StatusCode::OK, "{what}");
            }
            scene.check(&what).await;
            if !was_cut {
                break;
            }
            cuts += 1;
        }
    }
    assert!(cuts > 40, "only {cuts} cuts");
}
