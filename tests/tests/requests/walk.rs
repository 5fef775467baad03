//! Random walks through everything that a handler can do, beside a model of what must come of it.

use axum::RequestExt;
use axum::extract::Request;
use http::StatusCode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use session_runtime::store::StoreErrorKind;
use session_runtime::{MemoryStore, Session, SessionError, SessionLayer, SessionRejection};
use tests::faulty::{Fault, FaultyStore};
use tests::visitor::Visitor;

#[derive(Session, Debug, Default, Clone, PartialEq)]
struct Shop {
    plain: u32,
    note: Option<String>,
    #[session(merge = "add")]
    sum: i64,
}

/// The values that the handler must see, and those that the store must hold.
#[derive(Debug, Default, Clone)]
struct Model {
    view: Shop,
    stored: Shop,
    exists: bool,
    /// Whether a removal of `sum` waits.
    removed: bool,
}

impl Model {
    /// Everything that waits is saved.
    fn save(&mut self) {
        self.removed = false;
        if self.exists || self.view != Shop::default() {
            self.exists = true;
            self.stored = self.view.clone();
        }
    }

    /// A session that does not exist is created with everything that waits.
    fn creates(&mut self) {
        if !self.exists {
            self.exists = true;
            self.removed = false;
            self.stored = self.view.clone();
        }
    }
}

/// One thing after the other, chosen at random, and a look after each.
async fn walk(
    seed: u64,
    store: FaultyStore<MemoryStore>,
    mut model: Model,
    mut request: Request,
    context: String,
) -> Result<Model, SessionRejection> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut session: Session<Shop> = request.extract_parts().await?;
    assert_eq!(*session, model.view, "{context}: loaded");
    let steps = random.random_range(1..12);
    for step in 0..steps {
        let amount = random.random_range(1..5_u32);
        let delta = i64::from(amount) - 2;
        let deed = random.random_range(0..13);
        let context = format!("{context}, step {step}, deed {deed}");
        match deed {
            0 => {
                session.plain = amount;
                model.view.plain = amount;
            }
            1 => {
                session.note = Some(amount.to_string());
                model.view.note = Some(amount.to_string());
            }
            2 => {
                session.note = None;
                model.view.note = None;
            }
            3 => {
                session.sum += delta;
                model.view.sum += delta;
            }
            4 => {
                session.add(Shop::SUM, delta).await.expect(&context);
                model.view.sum += delta;
                model.creates();
                model.stored.sum = model.view.sum;
                model.removed = false;
            }
            5 => {
                session.add(Shop::PLAIN, 1).await.expect(&context);
                model.view.plain += 1;
                model.creates();
                model.stored.plain = model.view.plain;
            }
            6 => {
                let taken = session.take(Shop::NOTE).await.expect(&context);
                assert_eq!(taken, model.view.note.take(), "{context}");
                model.stored.note = None;
            }
            7 => {
                session.remove(Shop::SUM);
                model.view.sum = 0;
                model.removed = true;
            }
            8 => {
                session.save().await.expect(&context);
                model.save();
            }
            9 => {
                store.on_commit(Fault::Fail(StoreErrorKind::Unavailable));
                let failed: Result<(), SessionError> = session.save().await;
                store.on_commit(Fault::None);
                if failed.is_err() {
                    model.view = model.stored.clone();
                    model.removed = false;
                } else {
                    model.save();
                }
            }
            10 => {
                session.commit();
                session = request.extract_parts().await?;
            }
            11 => {
                session.reload().await.expect(&context);
                model.view = model.stored.clone();
                model.removed = false;
            }
            _ => {
                let change = |shop: &mut Shop| {
                    shop.plain = shop.plain * 2 + 1;
                    shop.sum += 3;
                };
                session.update(change).await.expect(&context);
                change(&mut model.view);
                model.save();
            }
        }
        assert_eq!(*session, model.view, "{context}");
        if deed % 4 == 0 {
            session.rotate();
        }
    }
    if random.random_range(0..4) == 0 {
        session.destroy();
        return Ok(Model::default());
    }
    model.save();
    Ok(model)
}

#[tokio::test]
async fn what_a_handler_does_is_what_is_stored() {
    const SEED: u64 = 7;
    println!("seed {SEED}");
    let mut random = StdRng::seed_from_u64(SEED);
    let store = FaultyStore::new(MemoryStore::new());
    let layer = SessionLayer::new(store.clone());
    for visitor in 0..300 {
        let mut model = Model::default();
        let mut browser = Visitor::new(&layer);
        for visit in 0..5 {
            let context = format!("seed {SEED}, visitor {visitor}, visit {visit}");
            let (sender, receiver) = std::sync::mpsc::channel();
            let (own, store) = (random.random(), store.clone());
            let page = {
                let (model, context) = (model.clone(), context.clone());
                move |request: Request| async move {
                    let model = walk(own, store, model, request, context).await?;
                    sender.send(model).expect("the test listens");
                    Ok::<_, SessionRejection>(())
                }
            };
            let answer = browser.visit(page).await;
            assert_eq!(answer.status, StatusCode::OK, "{context}: {}", answer.body);
            model = receiver.recv().expect("the page was visited");
            assert_eq!(browser.token().is_some(), model.exists, "{context}");
            model.view = model.stored.clone();
        }
    }
}
