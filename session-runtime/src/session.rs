//! The guard that a handler works with.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use crate::error::SessionError;
use crate::events;
use crate::request::{RequestSession, baseline};
use crate::schema::{Encoded, Field, Integer, SessionSchema};
use crate::timeouts::Timeouts;
use crate::token::SessionId;

/// How many bytes of a label are kept.
const LONGEST_LABEL: usize = 128;

/// The visitor's session, as the struct `T`.
///
/// It is an extractor: take it as an argument and use it as the struct it is. What changed is
/// saved after the handler has returned and before the response leaves, **whatever the handler
/// returned**: an early `return Err(…)` saves what was changed before it. Call
/// [`discard`](Self::discard) where that is not wanted. If saving fails, the handler's response is
/// replaced by the error.
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
/// A later extraction in the same request sees what earlier guards changed. Where two guards are
/// alive at once, the last one that is dropped wins, field by field; hand changes over sooner with
/// [`commit`](Self::commit).
///
/// # Panics and cancellation
///
/// When a handler panics while it holds a guard, nothing of the request is saved. When the client
/// goes away and the server drops the request, nothing is saved that was not saved already.
///
/// # After the response
///
/// In a WebSocket, a streaming body or a spawned task the response may have left: call
/// [`save`](Self::save) there. Changes that nobody saved are reported by an event. A new session or
/// a new token cannot reach the visitor any more ([`SessionError::ResponseSent`]).
pub struct Session<T: SessionSchema> {
    value: T,
    /// What the fields were before the handler could first change them.
    baseline: Option<Encoded>,
    request: Arc<RequestSession>,
}

impl<T: SessionSchema> Session<T> {
    pub(crate) fn new(value: T, request: Arc<RequestSession>) -> Self {
        Self {
            value,
            baseline: None,
            request,
        }
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
    /// Handlers rarely need it: it is for errors that a handler wants to answer itself, and for
    /// code that outlives the response. Without changes it costs nothing.
    ///
    /// # Errors
    ///
    /// See [`SessionError`]. What could not be saved is not tried again: the guard shows what the
    /// store held before, so a handler that wants another attempt makes its changes again.
    pub async fn save(&mut self) -> Result<(), SessionError> {
        self.hand_over();
        let saved = self.request.save().await;
        self.request.view_fields(&mut self.value);
        saved
    }

    /// Hands the changes over to the request's commit. The same as dropping the guard, in a word.
    pub fn commit(self) {}

    /// Forgets what this guard changed since its last call that acts on the store, such as
    /// [`save`](Self::save) or [`add`](Self::add): that call took the earlier changes over.
    pub fn discard(mut self) {
        self.baseline = None;
    }

    /// Forgets what this guard changed and loads the fields again.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] when the session has ended, [`SessionError::Store`] when the store
    /// failed. The guard then keeps what it had.
    pub async fn reload(&mut self) -> Result<(), SessionError> {
        self.request.reload::<T>().await?;
        self.request.view_fields(&mut self.value);
        self.baseline = None;
        Ok(())
    }

    /// Gives the session a new token; the old one stops working when the commit is applied.
    ///
    /// Call it whenever a visitor's rights change, unless a field marked `principal` changes, which
    /// rotates by itself. It takes effect with the request's commit, or with [`save`](Self::save).
    ///
    /// A request that was on its way meanwhile still shows the old token, and finds no session.
    /// For 30 seconds it leaves the visitor's new cookie alone, and what it would write is refused
    /// with [`SessionError::Gone`].
    pub fn rotate(&mut self) {
        self.request.rotate();
    }

    /// Ends the session: the record is removed with everything in it, the visitor's cookie too.
    ///
    /// It takes effect with the request's commit. Changes that were not saved are forgotten. A
    /// later extraction in the same request is a new visitor's.
    pub fn destroy(mut self) {
        self.baseline = None;
        self.request.destroy();
    }

    /// Ends the session at once, for code that outlives the response.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] when another request gave the session a new token, so that it lives
    /// on, and [`SessionError::Store`] when the store failed; the session may then still live.
    pub async fn destroy_now(mut self) -> Result<(), SessionError> {
        self.baseline = None;
        self.request.destroy();
        self.request.save().await
    }

    /// Whether this visitor's cookie survives the end of the browser's session ("remember me").
    ///
    /// Recorded in the session, so that later commits keep it. It waits until there is a session.
    pub fn remember(&mut self, persistent: bool) {
        self.request.remember(persistent);
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
    /// A longer lifetime must be known to the index of principals too: a program that lengthens the
    /// lives of sessions names every schema with a `principal` to its layer
    /// ([`schema`](crate::SessionLayerBuilder::schema)), also those that its handlers do not use.
    pub fn set_timeouts(&mut self, timeouts: Timeouts) {
        self.request.set_timeouts(timeouts);
    }

    /// What to call this session in a list, such as "Firefox on Linux". At most 128 bytes are
    /// kept.
    pub fn set_label(&mut self, label: impl AsRef<str>) {
        let label = label.as_ref();
        let mut end = label.len().min(LONGEST_LABEL);
        while !label.is_char_boundary(end) {
            end -= 1;
        }
        self.request.set_label(label[..end].into());
    }

    /// Restarts a field's time to live with the next commit, though its value stays the same.
    /// Nothing happens to a field without a `ttl`.
    pub fn renew<V, F>(&mut self, field: Field<T, V, F>) {
        self.request.renew::<T>(field.index());
    }

    /// Removes a field with the next commit, whatever its merge: the next write starts anew.
    pub fn remove<V, F>(&mut self, field: Field<T, V, F>) {
        self.hand_over();
        self.request.remove::<T>(field.index());
        self.request.view_field(&mut self.value, field.index());
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

    /// Sets what remains of a field's time, in the store and at once. A change of the field that
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
        self.hand_over();
        let result = self.request.expire(field.spec(), remaining).await;
        self.request.view_field(&mut self.value, field.index());
        result
    }

    /// Reads a field and removes it, in the store and at once: of any number of racing callers
    /// exactly one gets the value. For what may be used once, such as an OAuth state.
    ///
    /// # Errors
    ///
    /// [`SessionError::Gone`] when the session has ended, [`SessionError::Store`] when the store
    /// failed.
    pub async fn take<V, F>(&mut self, field: Field<T, V, F>) -> Result<Option<F>, SessionError> {
        self.hand_over();
        let taken = self.request.take(field.spec()).await;
        self.request.view_field(&mut self.value, field.index());
        let Some(bytes) = taken? else {
            return Ok(None);
        };
        let value = field.decode(&bytes);
        if value.is_err() {
            events::decode_failed(field.name());
        }
        Ok(value.ok())
    }

    /// Adds to an integer field, in the store and at once; answers the new value. No concurrent
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
        self.hand_over();
        let sum = self.request.add::<T>(field.index(), delta, V::RANGE).await;
        self.request.view_field(&mut self.value, field.index());
        field.decode(&sum?).map_err(|_| SessionError::OutOfRange {
            field: field.name().into(),
        })
    }

    /// Changes fields on the basis of what the store holds now, and saves at once. When another
    /// request interferes, the closure runs again on fresh values, so it may run several times.
    ///
    /// The closure sees the store's values, not changes of this request that wait for the commit;
    /// those keep waiting. Where there is no session yet, it is created with everything that waits.
    ///
    /// # Errors
    ///
    /// [`SessionError::Conflict`] when a thousand attempts were not enough, and see
    /// [`SessionError`].
    pub async fn update<R>(&mut self, change: impl FnMut(&mut T) -> R) -> Result<R, SessionError> {
        self.hand_over();
        let answer = self.request.update(change).await;
        self.request.view_fields(&mut self.value);
        answer
    }

    /// What changed since the last time is the request's business from now on.
    fn hand_over(&mut self) {
        if let Some(baseline) = self.baseline.take() {
            self.request.hand_over(&self.value, &baseline);
        }
    }
}

impl<T: SessionSchema> Deref for Session<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: SessionSchema> DerefMut for Session<T> {
    fn deref_mut(&mut self) -> &mut T {
        // Taken from the value and not from the store, so that what a type writes in no fixed
        // order, such as a `HashSet`, is the same as long as nobody touches it.
        self.baseline.get_or_insert_with(|| baseline(&self.value));
        &mut self.value
    }
}

impl<T: SessionSchema> Drop for Session<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.request.abandon(T::NAME);
        } else {
            self.request.let_go(&self.value, self.baseline.as_ref());
        }
    }
}

/// Shows the fields as they are stored, except `sensitive` ones.
impl<T: SessionSchema> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_fields("Session", &self.value, f)
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

/// The time that a field still lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// The store does not hold it.
    Missing,
    /// As long as the session.
    Unbounded,
    /// This long, or until the session ends if that is sooner.
    Remaining(Duration),
}

fn debug_fields<T: SessionSchema>(
    name: &str,
    value: &T,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let encoded = baseline(value);
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
