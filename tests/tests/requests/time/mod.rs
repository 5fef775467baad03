//! How long sessions, fields and cookies live, on a clock that the test moves.

mod cookies;
mod fields;
mod sessions;

use std::time::Duration;

use session_runtime::{MemoryStore, ReadSession, Session, SessionLayer, SessionLayerBuilder};
use tests::browser::Answer;
use tests::clock::ManualClock;
use tests::counting::CountingStore;
use tests::visitor::Visitor;

const MINUTE: Duration = Duration::from_secs(60);

const SECOND: Duration = Duration::from_secs(1);

const MILLISECOND: Duration = Duration::from_millis(1);

const IDLE: Duration = Duration::from_secs(30 * 60);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Session, Debug, Default)]
struct Shop {
    visits: u32,
    #[session(ttl = "30m", renew = "read")]
    customer: Option<u32>,
    #[session(ttl = "5m")]
    otp: Option<u32>,
    #[session(ttl = "10m", renew = "never", merge = "add")]
    failures: u32,
    #[session(ttl = "100s", renew = "read")]
    brief: Option<u32>,
}

struct Site {
    layer: SessionLayer,
    store: CountingStore<MemoryStore>,
    clock: ManualClock,
}

fn site(settings: impl FnOnce(SessionLayerBuilder) -> SessionLayerBuilder) -> Site {
    let clock = ManualClock::new();
    let store = CountingStore::new(MemoryStore::builder().clock(clock.clone()).build());
    let layer = settings(SessionLayer::builder(store.clone())).build();
    let layer = layer.expect("the settings are sound");
    Site {
        layer,
        store,
        clock,
    }
}

impl Site {
    async fn visitor(&self) -> Visitor {
        let mut visitor = Visitor::new(&self.layer);
        visitor.visit(write).await;
        self.store.take_counts();
        visitor
    }
}

async fn write(mut session: Session<Shop>) {
    session.visits += 1;
}

async fn read(session: ReadSession<Shop>) -> String {
    session.visits.to_string()
}

async fn is_anonymous(session: ReadSession<Shop>) -> String {
    session.is_new().to_string()
}

async fn is_dead(visitor: &Visitor) -> bool {
    visitor.clone().visit(is_anonymous).await.body == "true"
}

/// The `Max-Age` of the one cookie that the answer sets.
fn max_age(answer: &Answer) -> Option<u64> {
    let cookies = answer.set_cookies();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    let age = cookies[0]
        .split("; ")
        .find_map(|attribute| attribute.strip_prefix("Max-Age="))?;
    Some(age.parse().expect("seconds"))
}
