//! Who is signed in where: lists, revocation, limits.
//!
//! 1. The index is a superset of the truth: an entry counts only if its session exists and still
//!    holds the principal.
//! 2. An entry that proves stale is forgotten, so the index repairs itself where it is read.
//! 3. Revoking checks the owner in the same step in which the session is removed.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_core::extract::FromRequestParts;
use bytes::Bytes;
use http::request::Parts;

use crate::config::Shared;
use crate::error::SessionError;
use crate::events::{self, Reason};
use crate::extract::{SessionRejection, request_session};
use crate::request::RequestSession;
use crate::schema::{Field, FieldSpec, FieldValue, SessionSchema};
use crate::store::{
    Action, Commit, Condition, Header, IndexChange, IndexEntry, Outcome, PrincipalKey, Selected,
    StoreErrorKind,
};
use crate::token::{CommitId, SessionId, Token, Verifier};

/// How long an entry without a session counts as one whose session is being written: where index
/// and session cannot be changed in one step, the index comes first.
const ARRIVAL: Duration = Duration::from_secs(10);

/// The sessions of a principal: which there are, and how to end them.
///
/// An extractor in handlers, where it knows which session is the visitor's own; elsewhere, such as
/// in an administrator's job, [`SessionLayer::sessions`](crate::SessionLayer::sessions).
///
/// A principal is named by the handle of the field marked `principal` and its value. What it costs
/// depends on the principal's own sessions only: one call to the store and one for each session.
///
/// ```
/// use session_runtime::{Session, SessionError, Sessions};
///
/// #[derive(Session, Default)]
/// struct Login {
///     #[session(principal)]
///     customer: Option<u64>,
/// }
///
/// async fn devices(sessions: Sessions, session: Session<Login>) -> Result<String, SessionError> {
///     let Some(customer) = session.customer else {
///         return Ok("nobody is signed in".to_owned());
///     };
///     let mut page = String::new();
///     for info in sessions.list(Login::CUSTOMER, &customer).await? {
///         page += info.label.as_deref().unwrap_or("unknown device");
///     }
///     Ok(page)
/// }
/// ```
#[derive(Clone)]
pub struct Sessions {
    shared: Arc<Shared>,
    visitor: Option<Visitor>,
}

/// What a request shows of who it is.
#[derive(Clone)]
struct Visitor {
    request: Arc<RequestSession>,
    tokens: Vec<Token>,
}

/// One session of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Names the session for [`Sessions::revoke`]. It opens nothing.
    pub id: SessionId,
    /// When it was created.
    pub created: SystemTime,
    /// When it was last used, by at most the touch interval too early.
    pub last_seen: SystemTime,
    /// What the application calls it; see [`Session::set_label`](crate::Session::set_label).
    pub label: Option<String>,
    /// Whether it is the session of the request that asks.
    pub current: bool,
}

impl Sessions {
    pub(crate) fn outside_requests(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            visitor: None,
        }
    }

    /// The principal's live sessions, the oldest first.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] when the store failed, [`SessionError::Encode`] when the principal
    /// has no encoding.
    pub async fn list<S: SessionSchema, V, T: FieldValue>(
        &self,
        field: Field<S, V, T>,
        principal: &T,
    ) -> Result<Vec<SessionInfo>, SessionError> {
        let mut found = self.owner(field, principal)?.find().await?;
        found.sort_by_key(|found| (found.header.created, found.id));
        let own = self.own_verifiers();
        let info = |found: Found| SessionInfo {
            id: found.id,
            created: found.header.created.into(),
            last_seen: found.header.seen.into(),
            label: found.header.label.as_deref().map(str::to_owned),
            current: found.belongs_to(&own),
        };
        Ok(found.into_iter().map(info).collect())
    }

    /// Ends one session, if it is the principal's; answers whether it was. Its next request has no
    /// session, on every node.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list).
    pub async fn revoke<S: SessionSchema, V, T: FieldValue>(
        &self,
        field: Field<S, V, T>,
        principal: &T,
        session: &SessionId,
    ) -> Result<bool, SessionError> {
        let owner = self.owner(field, principal)?;
        owner.remove(session, Reason::Revoked).await
    }

    /// Ends all sessions of the principal but the one of this request; answers how many ended.
    /// Outside a request there is no such session, and all end.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list). Some sessions may have ended by then; it can be called again.
    pub async fn revoke_others<S: SessionSchema, V, T: FieldValue>(
        &self,
        field: Field<S, V, T>,
        principal: &T,
    ) -> Result<usize, SessionError> {
        let own = self.own_verifiers();
        let owner = self.owner(field, principal)?;
        owner.remove_all(|found| !found.belongs_to(&own)).await
    }

    /// Ends all sessions of the principal, the one of this request too; answers how many ended.
    ///
    /// A login that began before this returned is either among them or listed afterwards; one that
    /// began before it was called is among them.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list). Some sessions may have ended by then; it can be called again.
    pub async fn revoke_all<S: SessionSchema, V, T: FieldValue>(
        &self,
        field: Field<S, V, T>,
        principal: &T,
    ) -> Result<usize, SessionError> {
        self.owner(field, principal)?.remove_all(|_| true).await
    }

    fn owner<S: SessionSchema, V, T: FieldValue>(
        &self,
        field: Field<S, V, T>,
        principal: &T,
    ) -> Result<Owner<'_>, SessionError> {
        let mut value = Vec::new();
        let encoded = field.encode(principal, &mut value);
        encoded.map_err(|_| SessionError::Encode {
            field: field.name(),
        })?;
        Ok(Owner::new(&self.shared, field.spec(), value.into()))
    }

    /// What opens the visitor's own session.
    fn own_verifiers(&self) -> Vec<Verifier> {
        let Some(visitor) = &self.visitor else {
            return Vec::new();
        };
        match visitor.request.verifier() {
            Some(verifier) => vec![verifier],
            None => visitor.tokens.iter().map(Token::verifier).collect(),
        }
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl<S: Sync> FromRequestParts<S> for Sessions {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let request = request_session(parts)?;
        let shared = request.shared().clone();
        let tokens = shared.config.cookie.presented(&parts.headers).tokens;
        Ok(Self {
            shared,
            visitor: Some(Visitor { request, tokens }),
        })
    }
}

/// One principal, as a field and its encoded value.
pub(crate) struct Owner<'a> {
    shared: &'a Shared,
    spec: &'static FieldSpec,
    value: Bytes,
}

/// A live session of the principal.
pub(crate) struct Found {
    pub(crate) id: SessionId,
    pub(crate) header: Header,
}

impl Found {
    fn belongs_to(&self, verifiers: &[Verifier]) -> bool {
        let present = std::iter::once(&self.header.verifier).chain(&self.header.previous);
        present
            .into_iter()
            .any(|verifier| verifiers.contains(verifier))
    }
}

/// What an entry of the index turned out to be.
enum Listed {
    Live(Found),
    /// The session is being written, as far as one can tell.
    Arriving,
    Stale,
}

impl<'a> Owner<'a> {
    pub(crate) fn new(shared: &'a Shared, spec: &'static FieldSpec, value: Bytes) -> Self {
        Self {
            shared,
            spec,
            value,
        }
    }

    /// The principal's live sessions.
    async fn find(&self) -> Result<Vec<Found>, SessionError> {
        let listed = self.look_at_all().await?.into_iter();
        let live = listed.filter_map(|(_, _, listed)| match listed {
            Listed::Live(found) => Some(found),
            _ => None,
        });
        Ok(live.collect())
    }

    /// The live sessions other than `session`, and how many are being written.
    pub(crate) async fn others(
        &self,
        session: &SessionId,
    ) -> Result<(Vec<Found>, usize), SessionError> {
        let (mut live, mut arriving) = (Vec::new(), 0);
        for (_, entry, listed) in self.look_at_all().await? {
            match listed {
                _ if entry.session == *session => {}
                Listed::Live(found) => live.push(found),
                Listed::Arriving => arriving += 1,
                Listed::Stale => {}
            }
        }
        Ok((live, arriving))
    }

    /// Ends the sessions that are chosen; answers how many.
    async fn remove_all(&self, chosen: impl Fn(&Found) -> bool) -> Result<usize, SessionError> {
        let mut removed = 0;
        for (key, entry, listed) in self.look_at_all().await? {
            match listed {
                Listed::Live(found) if chosen(&found) => {
                    removed += usize::from(self.remove(&found.id, Reason::Revoked).await?);
                }
                // Whoever is writing the session finds the entry gone, and gives up.
                Listed::Arriving => self.forget(&key, &entry).await?,
                Listed::Live(_) | Listed::Stale => {}
            }
        }
        Ok(removed)
    }

    /// Ends one session, if it is the principal's; answers whether it was.
    pub(crate) async fn remove(
        &self,
        session: &SessionId,
        reason: Reason,
    ) -> Result<bool, SessionError> {
        for name in self.names() {
            let mut commit = Commit::new(*session, CommitId::generate()?, Action::Revoke);
            commit.conditions.push(Condition::Field {
                name: name.into(),
                value: Some(self.value.clone()),
            });
            commit.index.push(IndexChange::Remove {
                principal: self.key(name),
            });
            let call = self.shared.store.commit(&commit);
            let late = StoreErrorKind::FateUnknown;
            match self.shared.within_deadline(late, call).await? {
                Outcome::Applied(_) => {
                    events::destroyed(*session, reason);
                    return Ok(true);
                }
                Outcome::Conflict { .. } => {}
                _ => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Looks at every entry of the principal, under the field's present name and its older ones,
    /// and forgets the stale ones.
    async fn look_at_all(&self) -> Result<Vec<(PrincipalKey, IndexEntry, Listed)>, SessionError> {
        let mut all = Vec::new();
        for name in self.names() {
            let key = self.key(name);
            let call = self.shared.store.index(&key);
            let late = StoreErrorKind::Unavailable;
            let index = self.shared.within_deadline(late, call).await?;
            for entry in index.entries {
                let listed = match self.load(&entry.session).await? {
                    Some(header) => Listed::Live(Found {
                        id: entry.session,
                        header,
                    }),
                    None if index.now.saturating_since(entry.added) < ARRIVAL => Listed::Arriving,
                    None => Listed::Stale,
                };
                if matches!(listed, Listed::Stale) {
                    self.forget(&key, &entry).await?;
                }
                all.push((key, entry, listed));
            }
        }
        Ok(all)
    }

    /// The header of a session, if it is the principal's.
    async fn load(&self, session: &SessionId) -> Result<Option<Header>, SessionError> {
        let selected = |name| Selected {
            name,
            deadline: false,
        };
        let selected: Vec<_> = self.names().map(selected).collect();
        let call = self.shared.store.load(session, &selected);
        let late = StoreErrorKind::Unavailable;
        let loaded = self.shared.within_deadline(late, call).await?;
        Ok(loaded.and_then(|loaded| {
            let held = loaded.fields.into_iter().flatten().next();
            let is_owner = held.is_some_and(|field| field.value == self.value);
            is_owner.then_some(loaded.header)
        }))
    }

    async fn forget(&self, key: &PrincipalKey, entry: &IndexEntry) -> Result<(), SessionError> {
        let call = self.shared.store.forget(key, entry);
        let late = StoreErrorKind::Unavailable;
        self.shared.within_deadline(late, call).await
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.spec.name).chain(self.spec.aliases.iter().copied())
    }

    fn key(&self, name: &str) -> PrincipalKey {
        PrincipalKey::new(name, &self.value)
    }
}
