//! The guard that a handler works with.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::error::SessionError;
use crate::events;
use crate::request::{Loan, RequestSession, Ttl, encode};
use crate::schema::{Field, FieldValue, Integer, SessionSchema};
use crate::timeouts::Timeouts;
use crate::token::SessionId;

/// How many bytes of a label are kept.
const LONGEST_LABEL: usize = 128;

/// The visitor's session, as the struct `T`.
///
/// **An early `return Err(…)` saves the changes made before it.** Changes are saved after the handler
/// has returned and before the response leaves, whatever the status; [`discard`](Self::discard) drops
/// them. If saving fails, the handler's response is replaced by the error.
///
/// It is an extractor: take it as an argument and use it as the struct it is.
///
/// ```
/// use session_runtime::Session;
///
/// #[derive(Session, Default)]
/// struct Visit {
///     count: u32,
/// }
///
/// async fn visit(mut session: Session<Visit>) -> String {
///     session.count += 1;
///     format!("visit number {}", session.count)
/// }
/// ```
///
/// Loading costs one round trip to the store, and nothing when the request has no cookie of ours.
/// Only `T`'s fields are loaded. A visitor whose session never held anything gets neither a record
/// nor a cookie.
///
/// # Several guards
///
/// A guard hands its changes over to the request when it is dropped. A later extraction in the same
/// request sees them, without a second load. Two guards that are alive at once work on copies, and
/// their changes of one field are combined as its `merge` declares:
///
/// | `merge` | the field's value |
/// |---|---|
/// | none | the value of the last guard that is dropped |
/// | `"add"` | the sum: each guard contributes the difference between its value and the one that it began with |
/// | `"max"`, `"min"` | the larger, the smaller value |
/// | `"first"` | the value of the first guard that is dropped |
/// | `"reject"` | the value of the last guard that is dropped, on the condition that the store still has the loaded one |
///
/// To let the second guard see the changes of the first, hand them over with
/// [`commit`](Self::commit) before the second is extracted.
///
/// A guard belongs to the session that it was extracted from. Once that session has ended in the same
/// request, the guard's changes are dropped, with the event `gone`, and calls that act at once
/// answer [`SessionError::Gone`]. To go on as a new visitor, extract another one.
///
/// # The cookie
///
/// The response removes the cookie only if the request's own commit ended the session. A cookie
/// that opens nothing stays where it is, because another response may just have replaced it. A
/// visitor with such a cookie who writes gets a new session; its cookie takes the place of the one
/// that the browser has by then.
///
/// # Panics and cancellation
///
/// When a handler panics while it holds a guard, nothing of the request is saved. When the client
/// goes away and the server drops the request, nothing is saved that was not saved already.
///
/// # After the response
///
/// In a WebSocket, a streaming body or a spawned task the response may have left: call
/// [`save`](Self::save) there. A guard that is dropped with unsaved changes reports them with the
/// event `changes-lost`. A new session or a new token cannot reach the visitor any more
/// ([`SessionError::ResponseSent`]); [`destroy_now`](Self::destroy_now) ends a session.
pub struct Session<T: SessionSchema> {
    loan: Loan<T>,
    request: Arc<RequestSession>,
}

impl<T: SessionSchema> Session<T> {
    pub(crate) fn new(loan: Loan<T>, request: Arc<RequestSession>) -> Self {
        Self { loan, request }
    }

    /// The id of the visitor's session; `None` while nothing has been saved for this visitor.
    pub fn id(&self) -> Option<SessionId> {
        self.request.id()
    }

    /// Whether the request came without a live session.
    pub fn is_new(&self) -> bool {
        self.request.is_new()
    }

    /// Saves now what this guard and earlier ones of the request changed.
    ///
    /// Handlers rarely need it: it is for handlers that answer errors themselves, and for code that
    /// outlives the response. Without changes it costs nothing.
    ///
    /// # Errors
    ///
    /// See [`SessionError`]. A failed save is not tried again, not by the layer either: the guard shows
    /// the values from before the changes, so a handler makes them again for another attempt.
    pub async fn save(&mut self) -> Result<(), SessionError> {
        let is_taken = self.request.hand_over(&mut self.loan);
        let saved = self.request.save().await;
        self.request.refresh(&mut self.loan);
        match is_taken {
            true => saved,
            false => saved.and(Err(SessionError::Gone)),
        }
    }

    /// Hands the changes over to the request's commit, as dropping the guard does.
    pub fn commit(self) {}

    /// Drops everything that this guard asked for and that no call has committed: changed values,
    /// [`set`](Self::set), [`renew`](Self::renew), [`remove`](Self::remove),
    /// [`rotate`](Self::rotate), [`remember`](Self::remember), timeouts and label. Changes that other
    /// guards of the request handed over stay.
    pub fn discard(mut self) {
        self.loan.forget();
    }

    /// Drops this guard's changes and loads the fields again.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] when the session has ended, [`SessionError::Store`] when the store
    /// failed. The guard then keeps what it had.
    pub async fn reload(&mut self) -> Result<(), SessionError> {
        self.request.reload(&mut self.loan).await
    }

    /// Gives the session a new token; the old one stops working when the commit is applied.
    ///
    /// Call it whenever a visitor's rights change, unless a field marked `principal` changes, which
    /// rotates by itself. It takes effect with the request's commit, or with [`save`](Self::save).
    ///
    /// A request that was sent before still shows the old token, and finds no session. Within 30
    /// seconds of the rotation its writes are refused with [`SessionError::Gone`], so that it does not
    /// replace the visitor's new cookie.
    pub fn rotate(&mut self) {
        self.loan.wants.rotate = true;
    }

    /// Ends the session: the record is removed with everything in it, the visitor's cookie too.
    ///
    /// It takes effect with the request's commit. Unsaved changes are dropped. A later extraction in
    /// the same request is a new visitor's.
    pub fn destroy(mut self) {
        self.loan.forget();
        self.request.destroy();
    }

    /// Ends the session at once, for code that outlives the response.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] when another request gave the session a new token, so that it lives
    /// on, and [`SessionError::Store`] when the store failed; the session may then still live.
    pub async fn destroy_now(mut self) -> Result<(), SessionError> {
        self.loan.forget();
        self.request.destroy();
        self.request.save().await
    }

    /// Sets whether this visitor's cookie survives the end of the browser's session ("remember me").
    ///
    /// It is recorded in the session, so later commits keep it. It waits until there is a session.
    pub fn remember(&mut self, persistent: bool) {
        self.loan.wants.persistent = Some(persistent);
    }

    /// Replaces the layer's timeouts for this session.
    ///
    /// They are recorded in the session, so later commits keep them. Where there is no session yet,
    /// they wait for the commit that creates it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use session_runtime::{Session, SessionError, Timeouts};
    ///
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    ///
    /// # #[derive(Session, Default)]
    /// # struct Login {
    /// #     user: Option<String>,
    /// # }
    /// async fn remember_me(mut session: Session<Login>) -> Result<(), SessionError> {
    ///     session.remember(true);
    ///     session.set_timeouts(Timeouts::new(14 * DAY, 90 * DAY)?);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// If the session is on a principal's list, its entry is kept for as long as the session can live
    /// from now on.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.loan.wants.timeouts = Some(timeouts);
    }

    /// Sets the session's name in a list, such as "Firefox on Linux". At most 128 bytes are kept.
    pub fn set_label(&mut self, label: impl AsRef<str>) {
        let label = label.as_ref();
        let mut end = label.len().min(LONGEST_LABEL);
        while !label.is_char_boundary(end) {
            end -= 1;
        }
        self.loan.wants.label = Some(label[..end].into());
    }

    /// Writes a field with the next commit, whatever the store holds by then and whatever the
    /// field's merge, and restarts its time to live. Assigning an equal value through the guard is
    /// no change; this is one.
    ///
    /// # Errors
    ///
    /// [`SessionError::Encode`] when the value has no encoding, or one that does not give it back;
    /// nothing changes then.
    pub fn set<V, F: FieldValue>(
        &mut self,
        field: Field<T, V, F>,
        value: F,
    ) -> Result<(), SessionError> {
        let mut encoded = Vec::new();
        let no_encoding = |_| SessionError::Encode {
            field: field.name().into(),
        };
        field.encode(&value, &mut encoded).map_err(no_encoding)?;
        self.loan.overwrite(field.index(), encoded.into());
        Ok(())
    }

    /// Restarts a field's time to live with the next commit. The value in the store stays.
    ///
    /// Where the field has run out meanwhile, the loaded value is written again if the session's
    /// last commit is still the one that the field was loaded at; otherwise another request may
    /// have removed or taken it, and the commit fails with [`SessionError::Conflict`] of the field.
    /// Nothing happens to a field without a `ttl` or without a value.
    pub fn renew<V, F>(&mut self, field: Field<T, V, F>) {
        self.loan.renew(field.index());
    }

    /// Removes a field with the next commit, whatever its merge: the next write starts anew.
    pub fn remove<V, F>(&mut self, field: Field<T, V, F>) {
        self.loan.remove(field.index());
    }

    /// How long a field still lives in the store.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] when the session has ended, [`SessionError::Store`] when the store
    /// failed.
    pub async fn ttl<V, F>(&self, field: Field<T, V, F>) -> Result<Ttl, SessionError> {
        self.request.ttl(field.spec()).await
    }

    /// Sets the remaining time of a field, in the store and at once. A change of the field that
    /// waits for the commit is saved with it. Nothing happens to a field that is absent.
    ///
    /// # Errors
    ///
    /// See [`SessionError`].
    pub async fn expire<V, F>(
        &mut self,
        field: Field<T, V, F>,
        remaining: Duration,
    ) -> Result<(), SessionError> {
        let loan = &mut self.loan;
        self.request.expire(loan, field.index(), remaining).await
    }

    /// Reads a field and removes it, in the store and at once: of any number of racing callers
    /// exactly one gets the value. For values that may be used once, such as an OAuth state.
    ///
    /// A change of the field that waits for the commit is applied first. Without a session it
    /// returns the waiting value and calls no store.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] when the session has ended, [`SessionError::Store`] when the store
    /// failed.
    pub async fn take<V, F>(&mut self, field: Field<T, V, F>) -> Result<Option<F>, SessionError> {
        let taken = self.request.take(&mut self.loan, field.index()).await?;
        let Some(bytes) = taken else {
            return Ok(None);
        };
        let value = field.decode(&bytes);
        if value.is_err() {
            events::decode_failed(field.name());
        }
        Ok(value.ok())
    }

    /// Adds to an integer field, in the store and at once, and returns the new value. No concurrent
    /// change is lost. An unsigned field stops at zero. A change of the field that waits for the
    /// commit is saved with it.
    ///
    /// Where there is no session yet, it is created with everything that waits.
    ///
    /// # Errors
    ///
    /// [`SessionError::OutOfRange`] when the sum does not fit the field's type, and see
    /// [`SessionError`].
    pub async fn add<V: Integer>(
        &mut self,
        field: Field<T, V>,
        delta: i64,
    ) -> Result<V, SessionError> {
        if !field.is_decimal() {
            return Err(SessionError::NotDecimal {
                field: field.name().into(),
            });
        }
        let loan = &mut self.loan;
        let sum = self.request.add(loan, field.index(), delta, V::RANGE);
        field
            .decode(&sum.await?)
            .map_err(|_| SessionError::OutOfRange {
                field: field.name().into(),
            })
    }

    /// Changes fields on the basis of what the store holds now, and commits at once. When another
    /// request commits meanwhile, the closure runs again on fresh values, so it may run several
    /// times.
    ///
    /// The closure sees the store's values with everything on top that this guard and the request
    /// have pending for `T`; all of it is committed together. A pending change of a field with
    /// `merge = "reject"` keeps the value that it was loaded with as its condition.
    ///
    /// # Errors
    ///
    /// [`SessionError::Conflict`] with a field's name when a field with `merge = "reject"` changed
    /// since it was loaded, without a name when a thousand attempts were not enough, and see
    /// [`SessionError`].
    pub async fn update<R>(&mut self, change: impl FnMut(&mut T) -> R) -> Result<R, SessionError> {
        self.request.update(&mut self.loan, change).await
    }
}

impl<T: SessionSchema> Deref for Session<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.loan.value
    }
}

impl<T: SessionSchema> DerefMut for Session<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.loan.value_mut()
    }
}

impl<T: SessionSchema> Drop for Session<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.request.abandon(T::NAME);
        } else {
            self.request.let_go(&mut self.loan);
        }
    }
}

/// Shows the fields as they are stored, except `sensitive` ones.
impl<T: SessionSchema> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_fields("Session", &self.loan.value, f)
    }
}

/// The visitor's session, to read only.
///
/// Loads what [`Session`] loads, and has no way to change it.
pub struct ReadSession<T: SessionSchema> {
    value: T,
    request: Arc<RequestSession>,
}

impl<T: SessionSchema> ReadSession<T> {
    pub(crate) fn new(value: T, request: Arc<RequestSession>) -> Self {
        Self { value, request }
    }

    /// The id of the visitor's session; `None` for a visitor without one.
    pub fn id(&self) -> Option<SessionId> {
        self.request.id()
    }

    /// Whether the request came without a live session.
    pub fn is_new(&self) -> bool {
        self.request.is_new()
    }

    /// How long a field still lives in the store.
    ///
    /// # Errors
    ///
    /// As for [`Session::ttl`].
    pub async fn ttl<V, F>(&self, field: Field<T, V, F>) -> Result<Ttl, SessionError> {
        self.request.ttl(field.spec()).await
    }
}

impl<T: SessionSchema> Deref for ReadSession<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Shows the fields as they are stored, except `sensitive` ones.
impl<T: SessionSchema> fmt::Debug for ReadSession<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_fields("ReadSession", &self.value, f)
    }
}

fn debug_fields<T: SessionSchema>(
    name: &str,
    value: &T,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let encoded = encode(value);
    let mut shown = f.debug_struct(name);
    for (index, spec) in T::FIELDS.iter().enumerate() {
        match encoded.value(index) {
            Some(_) if spec.sensitive => shown.field(spec.name, &format_args!("[redacted]")),
            Some(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                shown.field(spec.name, &format_args!("{text}"))
            }
            None => shown.field(spec.name, &format_args!("-")),
        };
    }
    shown.finish()
}
