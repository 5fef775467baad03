//! Where each principal is signed in: lists and revocation.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use axum_core::extract::FromRequestParts;
use bytes::Bytes;
use http::request::Parts;

use crate::config::Shared;
use crate::config_error::ConfigError;
use crate::error::SessionError;
use crate::events::Reason;
use crate::extract::{SessionRejection, request_session};
use crate::principals::{Found, Own, Owner};
use crate::request::RequestSession;
use crate::schema::{Field, FieldSpec, FieldValue, SessionSchema};
use crate::token::{SessionId, Token};

/// The sessions of a principal: which there are, and how to end them.
///
/// An extractor in handlers, where it knows which session is the visitor's own; elsewhere, such as
/// in an administrator's job, [`SessionLayer::sessions`](crate::SessionLayer::sessions).
///
/// A principal is named by the handle of the field marked `principal` and its value:
/// [`of`](Self::of) answers its sessions.
///
/// # When a list is lost
///
/// The sessions of a principal are found by its list, which the store keeps beside the sessions. Where
/// that is lost (a server that evicts keys, a hand that deletes one), `list` is empty,
/// `revoke_others` and `revoke_all` answer 0, and `max_sessions` counts from nothing, while the
/// sessions live on until they end by themselves. So a server for sessions does not evict
/// (`maxmemory-policy noeviction`). `FileStore` lists such sessions again with its next sweep. In
/// other stores a session is listed again when its principal signs in anew or its timeouts are set.
/// To end sessions that no list names, the application compares something of its own at each visit,
/// such as a number that it keeps with the account and in the session.
///
/// # In a handler
///
/// The cost depends on the principal's own sessions only:
/// one call to the store, and one for each session.
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
///         return Ok("you are not signed in".to_owned());
///     };
///     let mut page = String::new();
///     for info in sessions.of(Login::CUSTOMER, &customer).list().await? {
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

/// The request that asks, and the tokens that it shows.
#[derive(Clone)]
struct Visitor {
    request: Arc<RequestSession>,
    tokens: Vec<Token>,
}

/// One session of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Names the session for [`PrincipalSessions::revoke`]. It opens nothing.
    pub id: SessionId,
    /// When it was created.
    pub created: SystemTime,
    /// When it was last used, by at most the touch interval too early.
    pub last_seen: SystemTime,
    /// The application's name for it; see [`Session::set_label`](crate::Session::set_label).
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

    /// The sessions of one principal.
    ///
    /// A principal that has no encoding, and a field that is not marked `principal`, are reported
    /// by the calls on the answer.
    pub fn of<S: SessionSchema, V, T: FieldValue>(
        &self,
        field: Field<S, V, T>,
        principal: &T,
    ) -> PrincipalSessions {
        let mut encoded = Vec::new();
        let value = match field.encode(principal, &mut encoded) {
            _ if !field.spec().principal => Err(ConfigError::NotPrincipal {
                field: field.name(),
            }
            .into()),
            Err(_) => Err(SessionError::Encode {
                field: field.name().into(),
            }),
            Ok(()) => Ok(encoded.into()),
        };
        PrincipalSessions {
            sessions: self.clone(),
            spec: field.spec(),
            value,
        }
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
        let presented = request.cookie().presented(&parts.headers);
        let tokens = presented.tokens().copied().collect();
        Ok(Self {
            shared,
            visitor: Some(Visitor { request, tokens }),
        })
    }
}

/// The sessions of one principal; made by [`Sessions::of`].
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
/// async fn sign_out_elsewhere(
///     sessions: Sessions,
///     session: Session<Login>,
/// ) -> Result<String, SessionError> {
///     let Some(customer) = session.customer else {
///         return Ok("you are not signed in".to_owned());
///     };
///     let ended = sessions.of(Login::CUSTOMER, &customer).revoke_others().await?;
///     Ok(format!("{ended} other sessions have ended"))
/// }
/// ```
#[derive(Clone)]
pub struct PrincipalSessions {
    sessions: Sessions,
    spec: &'static FieldSpec,
    /// The encoded principal, or why there is none.
    value: Result<Bytes, SessionError>,
}

impl PrincipalSessions {
    /// The principal's live sessions, the oldest first.
    ///
    /// # Errors
    ///
    /// [`SessionError::Store`] when the store failed, [`SessionError::Encode`] when the principal
    /// has no encoding.
    pub async fn list(&self) -> Result<Vec<SessionInfo>, SessionError> {
        let mut found = self.owner()?.find().await?;
        found.sort_by_key(|found| (found.header.created, found.id));
        let own = self.sessions.own();
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
    pub async fn revoke(&self, session: &SessionId) -> Result<bool, SessionError> {
        let owner = self.owner()?;
        let ended = owner.remove(session, Reason::Revoked).await?;
        if ended {
            self.sessions.note_end(session);
        }
        Ok(ended)
    }

    /// Ends all sessions of the principal but the one of this request; answers how many ended.
    /// Outside a request there is no such session, and all end.
    ///
    /// # Errors
    ///
    /// As for [`list`](Self::list). Some sessions may have ended by then; it can be called again.
    pub async fn revoke_others(&self) -> Result<usize, SessionError> {
        let owner = self.owner()?;
        owner
            .remove_all(&self.sessions.own(), |session| {
                self.sessions.note_end(session)
            })
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
    pub async fn revoke_all(&self) -> Result<usize, SessionError> {
        let owner = self.owner()?;
        owner
            .remove_all(&[], |session| self.sessions.note_end(session))
            .await
    }

    fn owner(&self) -> Result<Owner<'_>, SessionError> {
        let value = self.value.clone()?;
        Ok(Owner::new(&self.sessions.shared, self.spec, value))
    }
}

impl fmt::Debug for PrincipalSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrincipalSessions")
            .field("field", &self.spec.name)
            .finish_non_exhaustive()
    }
}
