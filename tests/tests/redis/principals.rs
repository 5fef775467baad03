//! Who is signed in where, on real servers: steps that are cut off on a Cluster, and lists that go by
//! themselves. `principals/races` has what happens at the same time.

#![allow(clippy::unwrap_used, reason = "in a test it is an assertion")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::StatusCode;
use session_runtime::store::{
    AddStep, Commit, ListEntry, Listing, Loaded, NewEntry, Outcome, PrincipalKey, Selected,
    Selection, SessionStep, SteppedStore, StoreErrorKind, commit_in_steps,
};
use session_runtime::store::{CommitId, StoreError};
use session_runtime::{
    ReadSession, RedisStore, Session, SessionId, SessionLayer, SessionStore, Timeouts,
};
use tests::servers::{Cluster, Generation, Options, Server, available, on_all_at_once};
use tests::visitor::Visitor;

#[derive(Session, Debug, Default)]
struct Shop {
    #[session(principal)]
    customer: Option<u32>,
}

async fn sign_in(visitor: &mut Visitor, customer: u32) -> StatusCode {
    let page = move |mut session: Session<Shop>| async move { session.customer = Some(customer) };
    visitor.visit(page).await.status
}

/// An empty store of its own on a Cluster.
struct Place {
    name: &'static str,
    store: Arc<RedisStore>,
    _cluster: Arc<Cluster>,
}

async fn cluster(generation: Generation) -> Place {
    let cluster = Cluster::shared(generation);
    let store = RedisStore::builder()
        .cluster(cluster.urls())
        .prefix("cut")
        .connect_deadline(Duration::from_secs(10))
        .command_deadline(Duration::from_secs(30))
        .connect();
    Place {
        name: generation.name(),
        store: Arc::new(store.await.unwrap()),
        _cluster: cluster,
    }
}

/// With no program running, the entries go one by one, and with the last one the list.
#[tokio::test]
async fn the_lists_of_ended_sessions_go_by_themselves() {
    for generation in available() {
        let server = Server::start(generation, &Options::default());
        let store = Arc::new(server.store().await);
        let lasting = |lifetime| {
            SessionLayer::builder(Arc::clone(&store))
                .idle_timeout(lifetime)
                .lifetime(lifetime)
                .build()
                .unwrap()
        };
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(600));
        for customer in 0..20 {
            for _ in 0..3 {
                sign_in(&mut Visitor::new(&lasting(short)), customer).await;
            }
        }
        sign_in(&mut Visitor::new(&lasting(long)), 0).await;
        drop(store);

        let keys = || server.command::<u64>(&["DBSIZE"]);
        // One session, its list, and the record of the layout.
        wait_for("all keys but three are gone", || keys() == 3);
        let list = format!(
            "session:@principal:{}",
            PrincipalKey::new("shop.customer", b"0")
        );
        if generation.has_field_ttl() {
            wait_for("all entries but one are gone", || {
                server.command::<u64>(&["HLEN", &list]) == 1
            });
        }
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "timed out before {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The outcome of the step at which the connection is cut. All later ones fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Before,
    After,
}

/// A Cluster whose connection is cut at a step of a commit.
#[derive(Clone)]
struct CutCluster {
    store: Arc<RedisStore>,
    cut: Arc<Mutex<Option<Planned>>>,
}

struct Planned {
    steps_left: usize,
    cut: Cut,
    happened: bool,
}

impl CutCluster {
    async fn step<T>(
        &self,
        step: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let cut = match &mut *self.cut.lock().unwrap() {
            None => None,
            Some(planned) if planned.steps_left > 0 => {
                planned.steps_left -= 1;
                None
            }
            Some(planned) => {
                planned.happened = true;
                Some(std::mem::replace(&mut planned.cut, Cut::Before))
            }
        };
        match cut {
            None => step.await,
            Some(Cut::Before) => Err(StoreError::new(StoreErrorKind::Unavailable)),
            Some(Cut::After) => {
                step.await?;
                Err(StoreError::new(StoreErrorKind::OutcomeUnknown))
            }
        }
    }
}

impl SteppedStore for CutCluster {
    async fn commit_session(&self, commit: &Commit) -> Result<SessionStep, StoreError> {
        self.step(self.store.commit_session(commit)).await
    }

    async fn add_entry(
        &self,
        principal: &PrincipalKey,
        entry: &NewEntry,
    ) -> Result<AddStep, StoreError> {
        self.step(async {
            let answer = self.store.add_entry(principal, entry).await?;
            // A client sends it again after a lost connection.
            let again = self.store.add_entry(principal, entry).await?;
            assert_eq!(again, answer);
            Ok(answer)
        })
        .await
    }

    async fn confirm_entry(
        &self,
        principal: &PrincipalKey,
        session: &SessionId,
        mark: &CommitId,
    ) -> Result<bool, StoreError> {
        let confirm = self.store.confirm_entry(principal, session, mark);
        self.step(confirm).await
    }

    async fn remove_entry(
        &self,
        principal: &PrincipalKey,
        session: &SessionId,
    ) -> Result<(), StoreError> {
        self.step(self.store.remove_entry(principal, session)).await
    }
}

impl SessionStore for CutCluster {
    async fn load(
        &self,
        session: &SessionId,
        selection: &Selection<'_>,
    ) -> Result<Option<Loaded>, StoreError> {
        self.store.load(session, selection).await
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, StoreError> {
        commit_in_steps(self, commit).await
    }

    async fn list(&self, principal: &PrincipalKey) -> Result<Listing, StoreError> {
        self.step(self.store.list(principal)).await
    }

    async fn remove_stale(
        &self,
        principal: &PrincipalKey,
        entry: &ListEntry,
    ) -> Result<(), StoreError> {
        self.step(self.store.remove_stale(principal, entry)).await
    }
}

/// Wherever the connection is cut, every visitor who is signed in is listed, and a list later shows
/// no other.
#[test]
fn a_cut_at_any_step_on_a_cluster_leaves_a_superset() {
    let cuts = AtomicUsize::new(0);
    on_all_at_once(async |generation| {
        let place = cluster(generation).await;
        let store = CutCluster {
            store: Arc::clone(&place.store),
            cut: Arc::default(),
        };
        let layer = SessionLayer::builder(store.clone()).build().unwrap();
        // Each cut has customers of its own: the one before, and the one after.
        let mut customers = 0;
        let mut left = Vec::new();
        for deed in [
            "sign in", "move", "prolong", "sign out", "destroy", "revoke",
        ] {
            for at in [Cut::Before, Cut::After] {
                for step in 0.. {
                    let (from, to) = (customers, customers + 1);
                    customers += 2;
                    let mut visitor = Visitor::new(&layer);
                    if deed != "sign in" {
                        assert_eq!(sign_in(&mut visitor, from).await, StatusCode::OK);
                    }
                    let mut same = visitor.clone();
                    *store.cut.lock().unwrap() = Some(Planned {
                        steps_left: step,
                        cut: at,
                        happened: false,
                    });
                    let what = format!("{}: {deed}, step {step}, {at:?}", place.name);
                    match deed {
                        "sign in" | "move" => drop(sign_in(&mut visitor, to).await),
                        "prolong" => {
                            let page = |mut session: Session<Shop>| async move {
                                session.set_timeouts(
                                    Timeouts::new(None, Duration::from_secs(3600)).unwrap(),
                                );
                            };
                            visitor.visit(page).await;
                        }
                        "sign out" => {
                            let page = |mut session: Session<Shop>| async move {
                                session.customer = None;
                            };
                            visitor.visit(page).await;
                        }
                        "destroy" => {
                            let page = |session: Session<Shop>| async move { session.destroy() };
                            visitor.visit(page).await;
                        }
                        _ => drop(
                            layer
                                .sessions()
                                .of(Shop::CUSTOMER, &from)
                                .revoke_all()
                                .await,
                        ),
                    }
                    let planned = store.cut.lock().unwrap().take();
                    let was_cut = planned.unwrap().happened;
                    // A session that can be used as a customer is listed under that customer.
                    for visitor in [&mut visitor, &mut same] {
                        let page = |session: ReadSession<Shop>| async move {
                            let customer = session.customer.map(|customer| customer.to_string());
                            customer.unwrap_or_default()
                        };
                        let shown = visitor.visit(page).await.body;
                        if shown.is_empty() {
                            continue;
                        }
                        let key = PrincipalKey::new("shop.customer", shown.as_bytes());
                        let listed = place.store.list(&key).await.unwrap().entries;
                        assert_eq!(listed.len(), 1, "{what}: {shown} is listed");
                    }
                    left.push((from, to, what));
                    if !was_cut {
                        break;
                    }
                    cuts.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        // An entry that may still be arriving is waited for, on the server's clock.
        tokio::time::sleep(Duration::from_millis(10_500)).await;
        for (from, to, what) in left {
            for customer in [from, to] {
                let infos = layer.sessions().of(Shop::CUSTOMER, &customer).list().await;
                let infos = infos.unwrap();
                let text = customer.to_string();
                let key = PrincipalKey::new("shop.customer", text.as_bytes());
                let indexed = place.store.list(&key).await.unwrap().entries;
                assert_eq!(indexed.len(), infos.len(), "{what}: {customer} is repaired");
                for info in infos {
                    let selected = [Selected::value("shop.customer")];
                    let loaded = place
                        .store
                        .load(&info.id, &Selection::fields(&selected))
                        .await
                        .unwrap();
                    let field = loaded.unwrap().fields.remove(0).unwrap();
                    assert_eq!(field.value, text.as_bytes(), "{what}");
                }
            }
        }
    });
    if !available().is_empty() {
        let cuts = cuts.into_inner();
        assert!(cuts > 30, "only {cuts} cuts");
    }
}
