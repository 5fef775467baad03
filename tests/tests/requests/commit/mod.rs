//! A request saves its changes only, merged as the fields declare, or nothing at all.

mod changes;
mod encodings;
mod merges;
mod saves;
mod sizes;
mod stored_by_others;
mod sums;

use http::StatusCode;
use session_runtime::store::CommitId;
use session_runtime::store::{Action, Change, Commit, Selected, Selection, StoredField};
use session_runtime::{MemoryStore, ReadSession, Session, SessionId, SessionLayer, SessionStore};
use tests::counting::CountingStore;
use tests::gate::Gate;
use tests::visitor::Visitor;

type Store = CountingStore<MemoryStore>;

fn site() -> (SessionLayer, Store) {
    let store = CountingStore::new(MemoryStore::new());
    (SessionLayer::new(store.clone()), store)
}

/// A schema whose fields merge in every way there is.
#[derive(Session, Debug, Default, Clone, PartialEq)]
struct Merged {
    plain: u32,
    text: String,
    note: Option<String>,
    #[session(merge = "add")]
    sum: i64,
    #[session(merge = "add")]
    count: u32,
    #[session(merge = "add")]
    large: u64,
    #[session(merge = "add", default = 10)]
    from_ten: u8,
    #[session(merge = "max")]
    best: i64,
    #[session(merge = "min", default = 1_000)]
    least: i64,
    #[session(merge = "first")]
    first: Option<String>,
    #[session(merge = "reject")]
    guarded: String,
}

async fn id_of(visitor: &mut Visitor) -> SessionId {
    let page = |session: ReadSession<Merged>| async move {
        session.id().map(|id| id.to_string()).unwrap_or_default()
    };
    let answer = visitor.visit(page).await;
    answer.body.parse().expect("the visitor has a session")
}

/// The stored values under these names.
async fn stored(store: &Store, session: &SessionId, names: &[&str]) -> Vec<Option<String>> {
    let selected: Vec<_> = names.iter().map(|name| Selected::value(name)).collect();
    let loaded = store
        .inner()
        .load(session, &Selection::fields(&selected))
        .await
        .expect("the store works");
    let text = |field: StoredField| String::from_utf8_lossy(&field.value).into_owned();
    let fields = loaded.expect("the session lives").fields;
    fields.into_iter().map(|field| field.map(text)).collect()
}

/// Changes the record past the layer, as another version of the program would.
async fn plant(store: &Store, session: &SessionId, changes: Vec<Change>) {
    let loaded = store
        .inner()
        .load(session, &Selection::default())
        .await
        .expect("the store works");
    let verifier = loaded.expect("the session lives").header.verifier;
    let update = Action::Update {
        verifier,
        rotation: None,
    };
    let mut commit = Commit::new(
        *session,
        CommitId::generate().expect("random bytes"),
        update,
    );
    commit.changes = changes;
    store
        .inner()
        .commit(&commit)
        .await
        .expect("the store works");
}

fn set(name: &'static str, value: &'static str) -> Change {
    Change::Set {
        name: name.into(),
        value: value.into(),
        ttl: None,
        only_if_absent: false,
    }
}

/// Two requests of one visitor load the same, then change it, then commit one after the other.
/// Answers what is stored afterwards, and the statuses.
async fn race(
    layer: &SessionLayer,
    before: fn(&mut Merged),
    one: fn(&mut Merged),
    other: fn(&mut Merged),
) -> (Merged, [StatusCode; 2]) {
    let mut visitor = Visitor::new(layer);
    visitor
        .visit(move |mut session: Session<Merged>| async move {
            session.plain = 1;
            before(&mut session);
        })
        .await;
    let mut statuses = Vec::new();
    let gates = [Gate::new(), Gate::new()];
    let tasks = [one, other].into_iter().zip(&gates).map(|(change, gate)| {
        let (mut tab, gate) = (visitor.clone(), gate.clone());
        tokio::spawn(async move {
            let page = move |mut session: Session<Merged>| async move {
                gate.pass().await;
                change(&mut session);
            };
            tab.visit(page).await.status
        })
    });
    let tasks: Vec<_> = tasks.collect();
    for gate in &gates {
        gate.arrivals(1).await;
    }
    for (task, gate) in tasks.into_iter().zip(&gates) {
        gate.open();
        statuses.push(task.await.expect("the request ends"));
    }
    let page =
        |session: ReadSession<Merged>| async move { format!("{:?}", Merged::clone(&session)) };
    let shown = visitor.visit(page).await.body;
    let after = capture(&visitor).await;
    assert_eq!(shown, format!("{after:?}"));
    (after, [statuses[0], statuses[1]])
}

async fn capture(visitor: &Visitor) -> Merged {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let page = move |session: ReadSession<Merged>| async move {
        sender
            .send(Merged::clone(&session))
            .expect("the test listens");
    };
    visitor.clone().visit(page).await;
    receiver.recv().await.expect("the page was visited")
}

const OK: [StatusCode; 2] = [StatusCode::OK, StatusCode::OK];
