//! Who is signed in where: lists, revocation, limits.
//!
//! 1. The index is a superset of the truth: an entry counts only if its session exists and still
//!    holds the principal.
//! 2. An entry that proves stale is forgotten, so the index repairs itself where it is read.
//! 3. Revoking checks the owner in the same step in which the session is removed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_core::extract::FromRequestParts;
use bytes::Bytes;
use http::request::Parts;

use crate::clock::Timestamp;
use crate::config::Shared;
use crate::config_error::ConfigError;
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

/// How long an entry may be on its way to its session: where index and session cannot be changed
/// in one step, the index comes first. Later it is what a crash left behind.
const ARRIVAL: Duration = Duration::from_secs(10);

/// How often ending all sessions looks for new ones. More than once only while somebody signs in.
const REMOVAL_ROUNDS: usize = 16;

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
        let own = self.own();
        let info = |found: Found| SessionInfo {
            id: found.id,
            created: found.header.created.into(),
            last_seen: found.header.seen.into(),
            label: found.header.label.as_deref().map(str::to_owned),
            current: found.is_among(&own),
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
        let ended = owner.remove(session, Reason::Revoked).await?;
        if ended {
            self.note_end(session);
        }
        Ok(ended)
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
        let owner = self.owner(field, principal)?;
        owner
            .remove_all(&self.own(), |session| self.note_end(session))
            .await
    }

    /// Ends all sessions of the principal, the one of this request too; answers how many ended.
    ///
    /// For a moment before this returns the principal has no session. A sign-in that had reached the
    /// store before this was called is among those that end; one that reaches it later either ends
    /// too or is listed afterwards.
    ///
    /// Where the session of this request was among them, the response removes the cookie, and what
    /// the request saves from then on is a new visitor's.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list). Some sessions may have ended by then; it can be called again.
    pub async fn revoke_all<S: SessionSchema, V, T: FieldValue>(
        &self,
        field: Field<S, V, T>,
        principal: &T,
    ) -> Result<usize, SessionError> {
        let owner = self.owner(field, principal)?;
        owner
            .remove_all(&[], |session| self.note_end(session))
            .await
    }

    fn owner<S: SessionSchema, V, T: FieldValue>(
        &self,
        field: Field<S, V, T>,
        principal: &T,
    ) -> Result<Owner<'_>, SessionError> {
        let field_name = field.name();
        if !field.spec().principal {
            return Err(ConfigError::NotPrincipal { field: field_name }.into());
        }
        self.shared.learn_principal(field.spec());
        let mut value = Vec::new();
        let encoded = field.encode(principal, &mut value);
        encoded.map_err(|_| SessionError::Encode {
            field: field_name.into(),
        })?;
        Ok(Owner::new(&self.shared, field.spec(), value.into()))
    }

    /// The visitor's own session, and what opens it.
    fn own(&self) -> Vec<Own> {
        let Some(visitor) = &self.visitor else {
            return Vec::new();
        };
        let token = visitor.request.token();
        let own = |token: &Token| Own {
            id: token.id(),
            verifier: token.verifier(),
        };
        match token {
            Some(token) => vec![own(&token)],
            None => {
                visitor.request.consult_cookie();
                visitor.tokens.iter().map(own).collect()
            }
        }
    }

    /// Tells the request that its session has ended, if it is this one.
    fn note_end(&self, session: &SessionId) {
        if let Some(visitor) = &self.visitor {
            visitor.request.note_end(session);
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
        let presented = shared.config.cookie.presented(&parts.headers);
        let tokens = presented.tokens().copied().collect();
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

/// The visitor's session.
struct Own {
    id: SessionId,
    verifier: Verifier,
}

impl Found {
    fn is_among(&self, own: &[Own]) -> bool {
        let Header {
            verifier, previous, ..
        } = &self.header;
        own.iter().any(|own| {
            let opens = own.verifier == *verifier || Some(own.verifier) == *previous;
            own.id == self.id && opens
        })
    }
}

/// What an entry of the index turned out to be.
enum Listed {
    Live(Found),
    /// The session is being written, as far as one can tell.
    Arriving,
    Stale,
}

impl IndexEntry {
    fn is_arriving(&self, now: Timestamp) -> bool {
        self.arriving && now.saturating_since(self.added) < ARRIVAL
    }
}

/// The sessions that a principal has beside one.
pub(crate) struct Others<'a> {
    owner: &'a Owner<'a>,
    pub(crate) count: usize,
    oldest: Option<Oldest>,
}

enum Oldest {
    Live(SessionId),
    Arriving(PrincipalKey, IndexEntry),
}

impl Others<'_> {
    /// Ends the oldest one.
    pub(crate) async fn evict(self) -> Result<(), SessionError> {
        match self.oldest {
            Some(Oldest::Live(session)) => {
                let evicted = self.owner.remove(&session, Reason::Evicted);
                evicted.await.map(drop)
            }
            // Whoever is writing the session finds the entry gone, and gives up.
            Some(Oldest::Arriving(key, entry)) => self.owner.forget(&key, &entry).await,
            None => Ok(()),
        }
    }
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

    /// How many sessions there are beside `session`, those included that are being written, and the
    /// one to end if there are too many: the oldest.
    pub(crate) async fn others(&self, session: &SessionId) -> Result<Others<'_>, SessionError> {
        let mut others = self.look_at_all().await?;
        others.retain(|(_, entry, listed)| {
            entry.session != *session && !matches!(listed, Listed::Stale)
        });
        let count = others.len();
        let oldest = others
            .into_iter()
            .min_by_key(|(_, entry, listed)| match listed {
                Listed::Live(found) => (false, found.header.created),
                _ => (true, entry.added),
            });
        let oldest = oldest.map(|(key, entry, listed)| match listed {
            Listed::Live(found) => Oldest::Live(found.id),
            _ => Oldest::Arriving(key, entry),
        });
        Ok(Others {
            owner: self,
            count,
            oldest,
        })
    }

    /// Ends all sessions that are not spared, and tells of each; answers how many.
    async fn remove_all(
        &self,
        spared: &[Own],
        tell: impl Fn(&SessionId),
    ) -> Result<usize, SessionError> {
        let mut removed = 0;
        for _ in 0..REMOVAL_ROUNDS {
            let mut found_any = false;
            for (key, entry, listed) in self.look_at_all().await? {
                match listed {
                    Listed::Live(found) if !found.is_among(spared) => {
                        found_any = true;
                        if self.remove(&found.id, Reason::Revoked).await? {
                            tell(&found.id);
                            removed += 1;
                        }
                    }
                    // Whoever is writing the session finds the entry gone, and gives up.
                    Listed::Arriving if spared.iter().all(|own| own.id != entry.session) => {
                        found_any = true;
                        self.forget(&key, &entry).await?;
                    }
                    Listed::Live(_) | Listed::Arriving | Listed::Stale => {}
                }
            }
            if !found_any {
                break;
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
        let names: Vec<_> = self.names().collect();
        for (position, name) in names.iter().enumerate() {
            let mut commit = Commit::new(*session, CommitId::generate()?, Action::Revoke);
            // As for loads, an older name counts only where the newer ones hold nothing.
            let absent = names[..position].iter().map(|newer| (*newer, None));
            let conditions = absent.chain([(*name, Some(self.value.clone()))]);
            commit.conditions = conditions
                .map(|(name, value)| Condition::Field {
                    name: name.into(),
                    value,
                })
                .collect();
            let principals = names.iter().map(|name| self.key(name));
            commit.index = principals
                .map(|principal| IndexChange::Remove { principal })
                .collect();
            let call = self.shared.store.commit(&commit);
            let late = StoreErrorKind::OutcomeUnknown;
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
        // A session can be listed under two names while programs disagree about the name.
        let mut living = BTreeSet::new();
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
                    None if entry.is_arriving(index.now) => Listed::Arriving,
                    None => Listed::Stale,
                };
                match listed {
                    Listed::Live(_) if !living.insert(entry.session) => continue,
                    Listed::Stale => self.forget(&key, &entry).await?,
                    _ => {}
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
