//! The events of this crate, emitted through `tracing` with the target `session_runtime`.
//!
//! An event has its name in the field `event`, a session's redacted id in `session`, and a field's
//! stored name in `field`. Tokens, verifiers and values never appear.

use std::fmt::Display;

use tracing::{debug, error, info, warn};

use crate::error::StoreError;
use crate::token::SessionId;

const TARGET: &str = "session_runtime";

pub(crate) fn created(session: SessionId) {
    info!(target: TARGET, event = "created", ?session);
}

pub(crate) fn rotated(session: SessionId) {
    info!(target: TARGET, event = "rotated", ?session);
}

/// The reason why a session was destroyed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reason {
    /// A handler asked for it.
    Asked,
    /// It was revoked by its id or its principal.
    Revoked,
    /// Its principal signed in elsewhere and had too many sessions.
    Evicted,
}

pub(crate) fn destroyed(session: SessionId, reason: Reason) {
    info!(target: TARGET, event = "destroyed", ?session, ?reason);
}

/// A principal has as many sessions as it may have.
pub(crate) fn limit_reached(session: SessionId) {
    warn!(target: TARGET, event = "limit-reached", ?session);
}

/// A cookie of our name has a signature that is not ours. The store was not asked.
pub(crate) fn forged_cookie() {
    warn!(target: TARGET, event = "forged-cookie");
}

/// A session ended by itself, and the store still had its record.
pub(crate) fn expired(session: SessionId) {
    info!(target: TARGET, event = "expired", ?session);
}

/// A commit came too late: the session was destroyed or its token replaced.
pub(crate) fn gone(session: SessionId) {
    warn!(target: TARGET, event = "gone", ?session);
}

pub(crate) fn conflict(session: SessionId, field: Option<&str>) {
    warn!(target: TARGET, event = "conflict", ?session, field);
}

pub(crate) fn decode_failed(field: &str) {
    warn!(target: TARGET, event = "decode-failed", field);
}

/// A well-formed token opens nothing: its session ended, it was replaced, or it was never issued.
pub(crate) fn unknown_token(session: SessionId) {
    debug!(target: TARGET, event = "unknown-token", ?session);
}

/// Two cookies of our name open two different live sessions, so the visitor counts as anonymous.
pub(crate) fn ambiguous_cookies(first: SessionId, second: SessionId) {
    warn!(target: TARGET, event = "ambiguous-cookies", ?first, ?second);
}

pub(crate) fn store_failed(error: &StoreError) {
    error!(
        target: TARGET,
        event = "store-failed",
        kind = ?error.kind(),
        source = std::error::Error::source(error).map(tracing::field::display),
    );
}

/// A guard was dropped with changes when the response had already left.
pub(crate) fn changes_lost(schema: &str) {
    warn!(
        target: TARGET,
        event = "changes-lost",
        schema,
        "a session was changed after its response had left; call `save` there"
    );
}

/// A change that the layer's settings or the field's type do not allow.
pub(crate) fn refused(error: &impl Display) {
    error!(target: TARGET, event = "refused", %error);
}

/// A field's time to live is longer than the layer's lifetime.
pub(crate) fn ttl_exceeds_lifetime(problem: &impl Display) {
    warn!(target: TARGET, event = "ttl-exceeds-lifetime", %problem);
}

/// `insecure_for_development` is on.
pub(crate) fn insecure(cookie: &str) {
    warn!(
        target: TARGET,
        event = "insecure",
        cookie,
        "the session cookie is sent over plain http; for development only"
    );
}

/// A handler extracts a session, and its router has no layer.
pub(crate) fn layer_missing(advice: &str) {
    error!(target: TARGET, event = "layer-missing", "{advice}");
}

/// Two layers, one round the other, use one cookie.
pub(crate) fn two_layers(cookie: &str) {
    error!(
        target: TARGET,
        event = "two-layers",
        cookie,
        "a request passes two session layers with the same cookie, and sessions get lost between \
         them; keep one layer, or give them two names with `cookie_name`"
    );
}

/// A browser that shows the site over plain http was given a `Secure` cookie.
pub(crate) fn secure_over_http(cookie: &str) {
    warn!(
        target: TARGET,
        event = "secure-over-http",
        cookie,
        "the session cookie is `Secure`, and a browser shows this site over plain http: except on \
         localhost it will not send the cookie back, and every visit is the first one; serve the \
         site over https, or build the layer with `.insecure_for_development()` while developing"
    );
}

/// A handler panicked while it held a session.
pub(crate) fn abandoned(schema: &str) {
    debug!(target: TARGET, event = "abandoned", schema, "the handler panicked, nothing is saved");
}

/// A touch, a renewal by reading or an automatic rotation that the store refused or did not answer.
/// The page is served all the same; a session that cannot be touched ends at its idle timeout.
pub(crate) fn upkeep_failed(session: SessionId, error: &dyn std::error::Error) {
    error!(
        target: TARGET,
        event = "upkeep-failed",
        ?session,
        %error,
        "the session was not prolonged; if this lasts, it ends at its idle timeout"
    );
}

/// An automatic rotation whose outcome stayed unknown. The visitor keeps the token so far, which
/// may be rotated again.
pub(crate) fn rotation_unknown(session: SessionId) {
    warn!(target: TARGET, event = "rotation-unknown", ?session);
}
