//! Every pair, and every three, of the things that a handler does with a guard, for a visitor with a
//! session and for a new one, beside a model of what must come of it.

use std::sync::mpsc;
use std::time::Duration;

use axum::RequestExt;
use axum::extract::Request;
use http::StatusCode;
use session_runtime::store::Selection;
use session_runtime::{
    MemoryStore, ReadSession, Session, SessionLayer, SessionRejection, SessionStore, Timeouts, Ttl,
};
use tests::clock::ManualClock;
use tests::counting::CountingStore;
use tests::visitor::Visitor;

const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Session, Debug, Default, Clone, PartialEq)]
struct Shop {
    #[session(principal)]
    user: Option<u32>,
    #[session(ttl = "5m")]
    note: Option<String>,
    #[session(merge = "add")]
    sum: i64,
    plain: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Write,
    WriteNote,
    EmptyNote,
    WriteSum,
    SignIn,
    Set,
    Renew,
    Remove,
    Take,
    Add,
    Expire,
    Update,
    Save,
    Reload,
    Commit,
    Discard,
    Destroy,
    Rotate,
    Remember,
    SetTimeouts,
    SetLabel,
}

const ACTS: [Act; 21] = [
    Act::Write,
    Act::WriteNote,
    Act::EmptyNote,
    Act::WriteSum,
    Act::SignIn,
    Act::Set,
    Act::Renew,
    Act::Remove,
    Act::Take,
    Act::Add,
    Act::Expire,
    Act::Update,
    Act::Save,
    Act::Reload,
    Act::Commit,
    Act::Discard,
    Act::Destroy,
    Act::Rotate,
    Act::Remember,
    Act::SetTimeouts,
    Act::SetLabel,
];

/// The contents of a session, or of what it would be.
#[derive(Debug, Clone, PartialEq)]
struct Contents {
    shop: Shop,
    /// What is left of the note's time, in seconds.
    note_ttl: u64,
    persistent: Option<bool>,
    idle: Duration,
    label: Option<String>,
    rotates: bool,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            shop: Shop::default(),
            note_ttl: 0,
            persistent: None,
            idle: HOUR / 2,
            label: None,
            rotates: false,
        }
    }
}

/// The requests of the guard, on top of those that wait in the request, on top of what is stored.
#[derive(Debug, Clone, Default)]
struct Model {
    seen: Contents,
    waits: Contents,
    stored: Contents,
    exists: bool,
    has_new_token: bool,
}

impl Model {
    fn hand_over(&mut self) {
        self.waits = self.seen.clone();
    }

    fn commit(&mut self) {
        let is_empty = self.waits.shop == Shop::default();
        if !self.exists && is_empty {
            self.seen = self.waits.clone();
            return;
        }
        let changes_user = self.waits.shop.user != self.stored.shop.user;
        self.has_new_token |= !self.exists || self.waits.rotates || changes_user;
        self.exists = true;
        self.waits.rotates = false;
        self.seen = self.waits.clone();
        self.stored = self.waits.clone();
    }

    /// The note, or the sum, is committed alone where there is a session.
    fn commit_part(&mut self, part: impl Fn(&Contents, &mut Contents)) {
        let seen = self.seen.clone();
        part(&seen, &mut self.waits);
        part(&seen, &mut self.stored);
    }

    fn perform(&mut self, act: Act, step: u32) {
        let seen = &mut self.seen;
        match act {
            Act::Write => seen.shop.plain = step,
            Act::WriteNote | Act::Set => {
                seen.shop.note = Some(step.to_string());
                seen.note_ttl = 300;
            }
            Act::EmptyNote | Act::Remove => seen.shop.note = None,
            Act::WriteSum => seen.shop.sum += 10,
            Act::SignIn => seen.shop.user = Some(step),
            Act::Renew => seen.note_ttl = 300,
            Act::Take => {
                seen.shop.note = None;
                self.commit_part(|seen, to| to.shop.note = seen.shop.note.clone());
            }
            Act::Add => {
                seen.shop.sum += 1;
                match self.exists {
                    true => self.commit_part(|seen, to| to.shop.sum = seen.shop.sum),
                    false => {
                        self.hand_over();
                        self.create();
                    }
                }
            }
            Act::Expire => match (self.exists, &seen.shop.note) {
                (true, _) => {
                    seen.note_ttl = 60;
                    self.commit_part(|seen, to| {
                        to.shop.note = seen.shop.note.clone();
                        to.note_ttl = seen.note_ttl;
                    });
                }
                (false, Some(_)) => {
                    seen.note_ttl = 60;
                    self.hand_over();
                    self.create();
                }
                (false, None) => {}
            },
            Act::Update => {
                seen.shop.plain = seen.shop.plain * 2 + 1;
                self.hand_over();
                self.commit();
            }
            Act::Save => {
                self.hand_over();
                self.commit();
            }
            Act::Reload => {
                self.waits.shop = self.stored.shop.clone();
                self.waits.note_ttl = self.stored.note_ttl;
                self.seen = self.waits.clone();
            }
            Act::Commit => self.hand_over(),
            Act::Discard => self.seen = self.waits.clone(),
            Act::Destroy => *self = Self::default(),
            Act::Rotate => seen.rotates = true,
            Act::Remember => seen.persistent = Some(true),
            Act::SetTimeouts => seen.idle = 2 * HOUR,
            Act::SetLabel => seen.label = Some(step.to_string()),
        }
    }

    fn create(&mut self) {
        self.exists = true;
        self.has_new_token = true;
        self.waits.rotates = false;
        self.seen = self.waits.clone();
        self.stored = self.waits.clone();
    }
}

/// Performs the acts in one request.
async fn perform(acts: Vec<Act>, mut model: Model, mut request: Request) -> Result<Model, String> {
    let mut session: Session<Shop> = extract(&mut request).await?;
    for (step, act) in (2..).zip(&acts) {
        let failed = |error: &dyn std::fmt::Display| format!("{act:?} at step {step}: {error}");
        let expected = model.seen.shop.note.clone();
        model.perform(*act, step);
        match act {
            Act::Write => session.plain = step,
            Act::WriteNote => session.note = Some(step.to_string()),
            Act::EmptyNote => session.note = None,
            Act::WriteSum => session.sum += 10,
            Act::SignIn => session.user = Some(step),
            Act::Set => {
                let set = session.set(Shop::NOTE, step.to_string());
                set.map_err(|error| failed(&error))?;
            }
            Act::Renew => session.renew(Shop::NOTE),
            Act::Remove => session.remove(Shop::NOTE),
            Act::Take => {
                let taken = session
                    .take(Shop::NOTE)
                    .await
                    .map_err(|error| failed(&error))?;
                if taken != expected {
                    return Err(failed(&format!("took {taken:?}, not {expected:?}")));
                }
            }
            Act::Add => {
                let sum = session
                    .add(Shop::SUM, 1)
                    .await
                    .map_err(|error| failed(&error))?;
                if sum != model.seen.shop.sum {
                    return Err(failed(&format!("the sum is {sum}")));
                }
            }
            Act::Expire => {
                let expired = session.expire(Shop::NOTE, Duration::from_secs(60)).await;
                expired.map_err(|error| failed(&error))?;
            }
            Act::Update => {
                let change = |shop: &mut Shop| shop.plain = shop.plain * 2 + 1;
                session
                    .update(change)
                    .await
                    .map_err(|error| failed(&error))?;
            }
            Act::Save => session.save().await.map_err(|error| failed(&error))?,
            Act::Reload => session.reload().await.map_err(|error| failed(&error))?,
            Act::Commit => {
                session.commit();
                session = extract(&mut request).await?;
            }
            Act::Discard => {
                session.discard();
                session = extract(&mut request).await?;
            }
            Act::Destroy => {
                session.destroy();
                session = extract(&mut request).await?;
            }
            Act::Rotate => session.rotate(),
            Act::Remember => session.remember(true),
            Act::SetTimeouts => {
                let timeouts = Timeouts::new(2 * HOUR, 20 * HOUR);
                session.set_timeouts(timeouts.map_err(|error| failed(&error))?);
            }
            Act::SetLabel => session.set_label(step.to_string()),
        }
        if *session != model.seen.shop {
            let wrong = format!("shows {:?}, not {:?}", *session, model.seen.shop);
            return Err(failed(&wrong));
        }
    }
    model.hand_over();
    model.commit();
    Ok(model)
}

async fn extract(request: &mut Request) -> Result<Session<Shop>, String> {
    let session: Result<Session<Shop>, SessionRejection> = request.extract_parts().await;
    session.map_err(|error| error.to_string())
}

async fn one_case(acts: &[Act], is_known: bool) {
    let context = format!("{acts:?}, known {is_known}");
    let clock = ManualClock::new();
    let store = CountingStore::new(MemoryStore::builder().clock(clock.clone()).build());
    let layer = SessionLayer::new(store.clone());
    let mut visitor = Visitor::new(&layer);
    let mut model = Model::default();
    if is_known {
        let page = |mut session: Session<Shop>| async move {
            session.note = Some("1".to_owned());
            (session.sum, session.plain) = (1, 1);
        };
        visitor.visit(page).await;
        clock.advance(Duration::from_secs(120));
        let shop = &mut model.stored.shop;
        (shop.note, shop.sum, shop.plain) = (Some("1".to_owned()), 1, 1);
        model.stored.note_ttl = 180;
        (model.waits, model.seen) = (model.stored.clone(), model.stored.clone());
        model.exists = true;
    }
    let token = visitor.token();

    let (sender, receiver) = mpsc::channel();
    let page = {
        let acts = acts.to_vec();
        move |request: Request| async move {
            sender
                .send(perform(acts, model, request).await)
                .expect("the test listens");
        }
    };
    let answer = visitor.visit(page).await;
    assert_eq!(answer.status, StatusCode::OK, "{context}: {}", answer.body);
    let model = receiver.recv().expect(&context);
    let model = model.unwrap_or_else(|wrong| panic!("{context}: {wrong}"));

    assert_eq!(visitor.token().is_some(), model.exists, "{context}");
    let has_new_token = model.exists && visitor.token() != token;
    assert_eq!(has_new_token, model.has_new_token, "{context}: the token");
    assert_eq!(store.sessions().await, u64::from(model.exists), "{context}");
    if !model.exists {
        return;
    }
    let (sender, receiver) = mpsc::channel();
    let page = move |session: ReadSession<Shop>, full: Session<Shop>| async move {
        let ttl = full.ttl(Shop::NOTE).await.expect("the session lives");
        let found = (session.id(), Shop::clone(&session), ttl);
        sender.send(found).expect("the test listens");
    };
    visitor.visit(page).await;
    let (id, shop, ttl) = receiver.recv().expect(&context);
    assert_eq!(shop, model.stored.shop, "{context}");
    let expected_ttl = match shop.note {
        None => Ttl::Missing,
        Some(_) => Ttl::Remaining(Duration::from_secs(model.stored.note_ttl)),
    };
    assert_eq!(ttl, expected_ttl, "{context}");
    let id = id.expect(&context);
    let loaded = store.inner().load(&id, &Selection::default()).await;
    let header = loaded.expect(&context).expect(&context).header;
    assert_eq!(header.persistent, model.stored.persistent, "{context}");
    assert_eq!(header.idle, Some(model.stored.idle), "{context}");
    assert_eq!(
        header.label.as_deref(),
        model.stored.label.as_deref(),
        "{context}"
    );
    for user in 0..6 {
        let listed = layer
            .sessions()
            .of(Shop::USER, &user)
            .list()
            .await
            .expect(&context);
        let expected = usize::from(shop.user == Some(user));
        assert_eq!(listed.len(), expected, "{context}: the list of {user}");
    }
}

#[tokio::test]
async fn every_pair_of_acts_does_what_the_model_says() {
    let mut cases = 0;
    for is_known in [false, true] {
        for first in ACTS {
            for second in ACTS {
                one_case(&[first, second], is_known).await;
                cases += 1;
            }
        }
    }
    println!("{cases} pairs");
}

#[tokio::test]
async fn every_three_acts_do_what_the_model_says() {
    let mut cases = 0;
    for is_known in [false, true] {
        for first in ACTS {
            for second in ACTS {
                for third in ACTS {
                    one_case(&[first, second, third], is_known).await;
                    cases += 1;
                }
            }
        }
    }
    println!("{cases} threes");
}
