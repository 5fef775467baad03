//! The calls that were recorded, and are made again to a server that lies.

use std::time::Duration;

use session_runtime::store::CommitId;
use session_runtime::store::{
    Count, ListChange, Listing, Loaded, Outcome, PrincipalKey, Selected, Selection, StoreError,
};
use session_runtime::{SessionId, SessionStore};

use crate::store_visitor::{Visitor, add, set, set_for, take};

/// The prefix of all keys.
pub const PREFIX: &str = "fuzz";

/// The contents of the two sessions.
pub const TREASURES: [&str; 2] = ["\"treasure of the first\"", "\"treasure of the second\""];

/// The tokens of the two sessions.
pub const TOKENS: [&str; 2] = [
    "AQEBAQEBAQEBAQEBAQEBASEhISEhISEhISEhISEhISE",
    "AgICAgICAgICAgICAgICAiIiIiIiIiIiIiIiIiIiIiI",
];

/// Two sessions, always the same ones.
#[derive(Debug)]
pub struct Sessions(pub [Visitor; 2]);

impl Sessions {
    /// The sessions of which the answers in the corpus are.
    pub fn new() -> Self {
        // Each token is an id and a secret; this is half of the SHA-256 of the secret.
        const VERIFIERS: [&str; 2] = ["U5snejiJXqFmpYPbk8JZ5w", "PcMPushBf3aUPpwQ4V7qyw"];
        Self([1, 2].map(|number| {
            Visitor {
                session: SessionId::from_bytes([number; 16]),
                verifier: VERIFIERS[usize::from(number) - 1]
                    .parse()
                    .expect("a verifier"),
            }
        }))
    }

    /// Creates both, signed in under the same principal.
    pub async fn create(&self, store: &impl SessionStore) {
        for (visitor, treasure) in self.0.iter().zip(TREASURES) {
            let hour = Duration::from_secs(3600);
            let changes = [
                set("shop.owner", treasure),
                set_for("shop.otp", "\"428117\"", hour),
                add("shop.visits", 3),
            ];
            let mut creation = visitor.creation(changes);
            creation.label = Some("Firefox on Linux".into());
            creation.lists.push(listed(None));
            let outcome = store.commit(&creation).await;
            assert!(matches!(outcome, Ok(Outcome::Applied(_))), "{outcome:?}");
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new()
    }
}

fn principal() -> PrincipalKey {
    PrincipalKey::new("shop.customer", b"7")
}

fn listed(limit: Option<u32>) -> ListChange {
    ListChange::Add {
        field: "shop.customer".into(),
        principal: principal(),
        keep: Some(Duration::from_secs(7200)),
        limit,
    }
}

/// How many calls there are.
pub const CALLS: usize = 8;

/// The answer to a call.
#[derive(Debug)]
pub enum Called {
    /// A load of this session.
    Load(Option<Loaded>),
    /// A commit with so many changes.
    Commit(usize, Outcome),
    /// A list.
    List(Listing),
    /// The removal of an entry.
    RemoveStale,
    /// A number of sessions.
    Len(Count),
    /// A sweep.
    Sweep,
}

/// Makes one of the calls, for one of the sessions.
pub async fn call(
    store: &impl SessionStore,
    number: usize,
    visitor: &Visitor,
) -> Result<Called, StoreError> {
    let select = |deadline| {
        ["shop.owner", "shop.otp", "shop.visits", "shop.cart"].map(if deadline {
            Selected::with_deadline
        } else {
            Selected::value
        })
    };
    match number {
        0 => Ok(Called::Load(
            store
                .load(&visitor.session, &Selection::fields(&select(false)))
                .await?,
        )),
        1 => Ok(Called::Load(
            store
                .load(&visitor.session, &Selection::fields(&select(true)))
                .await?,
        )),
        2 | 3 => {
            let changes = [
                add("shop.visits", 1),
                take("shop.otp"),
                set("shop.cart", "{}"),
            ];
            let mut commit = visitor.update(changes);
            if number == 3 {
                commit.lists.push(listed(Some(9)));
            }
            Ok(Called::Commit(3, store.commit(&commit).await?))
        }
        4 => Ok(Called::List(store.list(&principal()).await?)),
        5 => {
            let mark: CommitId = "AAAAAAAA".parse().expect("a commit's id");
            let now = session_runtime::store::Timestamp::from_millis(0);
            let entry = session_runtime::store::ListEntry::new(visitor.session, mark, now);
            store.remove_stale(&principal(), &entry).await?;
            Ok(Called::RemoveStale)
        }
        6 => Ok(Called::Len(store.len().await?)),
        _ => {
            store.sweep().await?;
            Ok(Called::Sweep)
        }
    }
}
