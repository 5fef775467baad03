//! A new token in place of the old one: at once, once, and never without its session.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use session_runtime::store::Timestamp;
use session_runtime::store::{Header, Selected, Selection};
use session_runtime::{Session, SessionError, SessionId, SessionLayer, SessionStore};
use tests::cutting::{self, CuttingStore};
use tests::drivers::{drivers, patient};
use tests::events::Recorder;
use tests::proxy::{Behavior, Cut, Proxy};
use tests::secrets::Secret;
use tests::visitor::Visitor;

use super::{Plain, cart, id_of, known, put, rotate, sign_in};

#[tokio::test]
async fn s09_a_sign_in_rotates_and_the_old_token_is_dead_on_every_node() {
    for driver in drivers().await {
        let what = driver.name();
        let layer = driver.layer();
        let other_node = patient(driver.another_node().await).build().unwrap();
        let mut visitor = known(&layer).await;
        let id = id_of(&mut visitor).await;
        for customer in [1, 2] {
            let old = visitor.clone();
            let answer = sign_in(&mut visitor, customer).await;
            assert_eq!(answer.status, StatusCode::OK, "{what}");
            assert_ne!(old.token(), visitor.token(), "{what}");
            for node in [&other_node, &layer] {
                let (mut old, mut new) = (old.clone(), visitor.clone());
                old.move_to(node);
                new.move_to(node);
                assert_eq!(cart(&mut old).await, 0, "{what}: dead on every node");
                assert_eq!(cart(&mut new).await, 3, "{what}: alive on every node");
            }
            assert_eq!(id_of(&mut visitor).await, id, "{what}: the same session");
        }
        // Signing out is a change of who it is as well.
        let mut old = visitor.clone();
        let page = |mut session: Session<Plain>| async move { session.customer = None };
        visitor.visit(page).await;
        assert_ne!(old.token(), visitor.token(), "{what}");
        old.move_to(&other_node);
        assert_eq!(cart(&mut old).await, 0, "{what}");
    }
}

/// A session with fields of every kind, and what must not change about it.
struct Kept {
    visitor: Visitor,
    id: SessionId,
    verifier: [u8; 16],
    fields: Fields,
    created: Timestamp,
    end: Option<Timestamp>,
}

type Fields = BTreeMap<&'static str, (Vec<u8>, Option<Timestamp>)>;

async fn read(store: &impl SessionStore, session: &SessionId) -> (Header, Fields) {
    let names = ["shop.customer", "shop.cart", "shop.note", "shop.otp"];
    let selected = names.map(Selected::with_deadline);
    let loaded = store
        .load(session, &Selection::fields(&selected))
        .await
        .unwrap()
        .unwrap();
    let fields = names.into_iter().zip(loaded.fields);
    let fields = fields.filter_map(|(name, field)| {
        let field = field?;
        Some((name, (field.value.to_vec(), field.deadline)))
    });
    (loaded.header, fields.collect())
}

impl Kept {
    async fn new(layer: &SessionLayer, store: &Arc<dyn SessionStore>) -> Self {
        let mut visitor = Visitor::new(layer);
        let fill = |mut session: Session<Plain>| async move {
            session.cart = 3;
            session.note = "kept".to_owned();
            session.otp = Some("123456".to_owned());
            session.customer = Some(7);
        };
        assert_eq!(visitor.visit(fill).await.status, StatusCode::OK);
        let id = id_of(&mut visitor).await;
        let (header, fields) = read(store, &id).await;
        assert_eq!(fields.len(), 4);
        assert!(fields["shop.otp"].1.is_some(), "it has a time of its own");
        Self {
            visitor,
            id,
            verifier: *header.verifier.as_bytes(),
            fields,
            created: header.created,
            end: header.end,
        }
    }

    /// Of the old and the new token exactly one opens the session, and the session is whole.
    /// Answers whether it is the new one.
    async fn check(
        &self,
        what: &str,
        layer: &SessionLayer,
        store: &Arc<dyn SessionStore>,
        new: Option<&Visitor>,
    ) -> bool {
        let (header, fields) = read(store, &self.id).await;
        assert_eq!(fields, self.fields, "{what}: fields and their deadlines");
        assert_eq!(
            (header.created, header.end),
            (self.created, self.end),
            "{what}"
        );
        assert_eq!(header.previous, None, "{what}: one token, not two");
        let is_new = *header.verifier.as_bytes() != self.verifier;
        let mut old = self.visitor.clone();
        old.move_to(layer);
        let expected = if is_new { 0 } else { 3 };
        assert_eq!(cart(&mut old).await, expected, "{what}: the old token");
        if let Some(new) = new {
            let mut new = new.clone();
            new.move_to(layer);
            assert_eq!(cart(&mut new).await, 3 - expected, "{what}: the new token");
        }
        is_new
    }
}

/// The connection is cut before a call, during it and after it, and is not made again.
#[tokio::test]
async fn s10_a_connection_that_is_cut_leaves_the_old_token_or_the_new_one() {
    for driver in drivers().await {
        let layer = driver.layer();
        let store = driver.store();
        let (mut old, mut new) = (0, 0);
        for cut in [
            cutting::Cut::Fail,
            cutting::Cut::Hang,
            cutting::Cut::LoseTheAnswer,
        ] {
            for call in 0..3 {
                let what = format!("{}: {cut:?} at call {call}", driver.name());
                let kept = Kept::new(&layer, &store).await;
                let cutting = CuttingStore::new(driver.store());
                let deadline = Duration::from_millis(300);
                let cut_off = SessionLayer::builder(cutting.clone()).store_deadline(deadline);
                let mut visitor = kept.visitor.clone();
                visitor.move_to(&cut_off.build().unwrap());
                cutting.cut_at(call, cut);
                let answer = rotate(&mut visitor).await;
                let succeeded = answer.status == StatusCode::OK;
                let status = StatusCode::SERVICE_UNAVAILABLE;
                assert!(
                    succeeded || answer.status == status,
                    "{what}: {}",
                    answer.status
                );
                assert_eq!(succeeded, !answer.set_cookies().is_empty(), "{what}");
                let tab = succeeded.then_some(&visitor);
                let is_new = kept.check(&what, &layer, &store, tab).await;
                assert!(is_new || !succeeded, "{what}: the answer was a lie");
                *if is_new { &mut new } else { &mut old } += 1;
            }
        }
        assert!(
            old > 0 && new > 0,
            "{}: {old} old, {new} new",
            driver.name()
        );
    }
}

/// On the wire: at each command of the request, before the server, inside the command, and before
/// the client, with and without a second chance.
#[tokio::test]
async fn s10_a_wire_that_is_cut_leaves_the_old_token_or_the_new_one() {
    for driver in drivers().await {
        let Some(server) = driver.server() else {
            continue;
        };
        let (layer, store) = (driver.layer(), driver.store());
        let mut outcomes = BTreeMap::new();
        for at in [Cut::BeforeServer, Cut::InsideCommand, Cut::BeforeClient] {
            for command in 0..3 {
                for again in [true, false] {
                    let what = format!("{}: {at:?} {command} {again}", driver.name());
                    let kept = Kept::new(&layer, &store).await;
                    let proxy = Proxy::start(server.port());
                    let through = driver.through(proxy.port()).await.unwrap();
                    let mut visitor = kept.visitor.clone();
                    // A connection that cannot be made again is given up soon.
                    let cut_off = SessionLayer::builder(through);
                    let deadline = Duration::from_millis(if again { 60_000 } else { 500 });
                    visitor.move_to(&cut_off.store_deadline(deadline).build().unwrap());
                    if !again {
                        proxy.refuse_from_next_cut();
                    }
                    proxy.behave(Behavior::CutOnce { command, at });
                    let answer = rotate(&mut visitor).await;
                    let succeeded = answer.status == StatusCode::OK;
                    let tab = succeeded.then_some(&visitor);
                    let is_new = kept.check(&what, &layer, &store, tab).await;
                    assert!(!again || succeeded, "{what}: sent again");
                    assert!(is_new || !succeeded, "{what}: the answer was a lie");
                    *outcomes.entry((succeeded, is_new)).or_insert(0) += 1;
                }
            }
        }
        // Told and done, not told and not done, and not told though it was done.
        let all = [(true, true), (false, false), (false, true)];
        assert_eq!(outcomes.into_keys().collect::<Vec<_>>(), sorted(all));
    }
}

fn sorted<const N: usize>(mut pairs: [(bool, bool); N]) -> Vec<(bool, bool)> {
    pairs.sort_unstable();
    pairs.into()
}

/// A process of its own rotates without end and says each token that it was given; it is killed
/// after a few of them, wherever it happens to be.
#[tokio::test]
async fn s10_a_process_that_is_killed_leaves_the_old_token_or_the_new_one() {
    let mut random = tests::sessions::random();
    for driver in drivers().await {
        // Sessions in memory end with their process.
        let Some(place) = driver.address() else {
            continue;
        };
        let (layer, store) = (driver.layer(), driver.store());
        let mut unheard = 0;
        for round in 0..30 {
            let what = format!("{}, round {round}", driver.name());
            let mut kept = Kept::new(&layer, &store).await;
            let mut process = Command::new(env!("CARGO_BIN_EXE_rotating_process"))
                .args(&place)
                .arg(kept.visitor.token().unwrap())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
            let mut last = None;
            for _ in 0..random.usize(1..8) {
                last = Some(lines.next().unwrap().unwrap());
            }
            let killed_at = std::time::Instant::now() + Duration::from_micros(random.u64(..2_000));
            while std::time::Instant::now() < killed_at {
                std::hint::spin_loop();
            }
            process.kill().unwrap();
            process.wait().unwrap();
            // A line that was being written is a token that no visitor was given.
            let whole = lines.map_while(Result::ok).filter(|line| line.len() == 43);
            let last = whole.last().or(last).unwrap();
            kept.verifier = Secret::in_cookie(&last).unwrap().verifier();
            kept.visitor.set_token(&last);
            unheard += u32::from(kept.check(&what, &layer, &store, None).await);
        }
        println!("{}: 30 kills, {unheard} inside a rotation", driver.name());
    }
}

#[tokio::test]
async fn s12_the_old_token_works_within_the_grace_and_not_after() {
    for driver in drivers().await {
        let what = driver.name();
        let interval = driver.minutes(30);
        // The grace is 30 seconds, and no longer than the interval.
        let grace = interval.min(Duration::from_secs(30));
        let builder = driver.builder().idle_timeout(driver.minutes(2_000));
        let layer = builder
            .lifetime(driver.minutes(3_000))
            .rotate_every(interval)
            .build()
            .unwrap();
        let mut visitor = known(&layer).await;
        let id = id_of(&mut visitor).await;
        let old = visitor.clone();
        // Until it is old enough, the token stays.
        let (before, after) = loop {
            let before = driver.now();
            cart(&mut visitor).await;
            if visitor.token() != old.token() {
                break (before, driver.now());
            }
            driver.pass(interval / 10).await;
        };
        let header = driver.look(&id).await.unwrap().header;
        assert!(header.previous.is_some(), "{what}: there is a grace");

        // The new token is not shown meanwhile, which would end the grace.
        let recorder = Recorder::start();
        let is_the_same = async || {
            let mut late = old.clone();
            let is_known = cart(&mut late).await == 3;
            let expected: &[&str] = if is_known { &[] } else { &["unknown-token"] };
            assert_eq!(recorder.take_events(), expected, "{what}");
            assert!(
                !is_known || late.token() == old.token(),
                "{what}: rotated again"
            );
            is_known
        };
        let (last_known, first_unknown) = driver.lasts(grace / 15, is_the_same).await;
        assert!(
            last_known.is_none_or(|known| known < after + grace),
            "{what}: too long"
        );
        assert!(first_unknown >= before + grace, "{what}: too short");
        assert_eq!(cart(&mut visitor).await, 3, "{what}: the new token");

        // A sign-in has no grace.
        let mut old = visitor.clone();
        sign_in(&mut visitor, 7).await;
        assert_eq!(cart(&mut old).await, 0, "{what}");
        let header = driver.look(&id).await.unwrap().header;
        assert_eq!(header.previous, None, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s15_of_a_thousand_racing_takes_one_gets_the_value() {
    for driver in drivers().await {
        let what = driver.name();
        let mut visitor = known(&driver.layer()).await;
        let fill = |mut session: Session<Plain>| async move {
            session.otp = Some("123456".to_owned());
        };
        assert_eq!(visitor.visit(fill).await.status, StatusCode::OK);
        let tasks = (0..1_000).map(|_| {
            let mut tab = visitor.clone();
            tokio::spawn(async move {
                let page = |mut session: Session<Plain>| async move {
                    Ok::<_, SessionError>(session.take(Plain::OTP).await?.unwrap_or_default())
                };
                let answer = tab.visit(page).await;
                assert_eq!(answer.status, StatusCode::OK, "{what}: {}", answer.body);
                answer.body
            })
        });
        let mut taken = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            taken.push(task.await.unwrap());
        }
        taken.retain(|value| !value.is_empty());
        assert_eq!(taken, ["123456"], "{what}");
        put(&mut visitor, 4).await;
        assert_eq!(cart(&mut visitor).await, 4, "{what}");
    }
}
