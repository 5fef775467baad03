//! The settings of a layer, and the state that all its requests share.

mod builder;
mod names;
mod upkeep;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

pub use self::builder::SessionLayerBuilder;
pub(crate) use self::upkeep::Upkeep;
use crate::config_error::ConfigError;
use crate::cookie::CookieSettings;
use crate::error::{OnError, SessionError, StoreError, StoreErrorKind};
use crate::events;
use crate::schema::{FieldSpec, SessionSchema};
use crate::sealing::Sealer;
use crate::store::SessionStore;
use crate::timeouts::Timeouts;

/// Longest time that a session goes without being touched while it is used.
const LONGEST_TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// As long as a store takes at most for one command.
const LONGEST_UPKEEP: Duration = Duration::from_millis(250);

/// The state that all requests of a layer share.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) config: Config,
    /// Fields whose ttl is longer than the lifetime and was reported, so each is reported once.
    pub(crate) reported_ttls: Mutex<BTreeSet<&'static str>>,
    /// Reports the loss of `Secure` cookies over plain http once.
    pub(crate) plain_http: Once,
    /// Reports a second layer round this one once.
    pub(crate) nested: Once,
    /// Upkeep that failed lately.
    pub(crate) upkeep: Upkeep,
}

/// The settings, checked.
pub(crate) struct Config {
    pub(crate) cookie: CookieSettings,
    /// Seals `encrypt` fields; `None` without keys.
    pub(crate) sealer: Option<Sealer>,
    pub(crate) timeouts: Timeouts,
    pub(crate) field_limit: usize,
    pub(crate) session_limit: usize,
    pub(crate) store_deadline: Duration,
    pub(crate) rotate_every: Option<Duration>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) on_error: OnError,
}

/// The limit of sessions for one principal.
pub(crate) struct Limit {
    pub(crate) spec: &'static FieldSpec,
    pub(crate) max: u32,
    pub(crate) when_full: WhenFull,
}

/// The effect of a sign-in on a principal that already has as many sessions as it may have.
///
/// See [`max_sessions`](SessionLayerBuilder::max_sessions).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The sign-in fails with [`SessionError::LimitReached`].
    Reject,
    /// The session that was created first ends, so that the sign-in succeeds.
    EvictOldest,
}

impl Shared {
    /// Reports an outer layer that answers with the same cookie: only one of the two tokens would
    /// reach the visitor.
    pub(crate) fn report_nested_in(&self, outer: &Self) {
        let cookie = &self.config.cookie.name;
        if *cookie == outer.config.cookie.name {
            self.nested.call_once(|| events::two_layers(cookie));
        }
    }

    /// Bounds a store call in time. A call that takes longer fails with the kind `on_timeout`. A store that
    /// bounds its calls itself, and not later, needs no timer here.
    pub(crate) async fn within_deadline<T>(
        &self,
        on_timeout: StoreErrorKind,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, SessionError> {
        self.within(self.config.store_deadline, on_timeout, call)
            .await
    }

    /// The same with a deadline of its own.
    pub(crate) async fn within<T>(
        &self,
        deadline: Duration,
        on_timeout: StoreErrorKind,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, SessionError> {
        let bound = self.store.answers_within();
        let answer = match bound.is_some_and(|bound| bound <= deadline) {
            true => call.await,
            false => match tokio::time::timeout(deadline, call).await {
                Ok(answer) => answer,
                Err(_) => Err(StoreError::new(on_timeout)),
            },
        };
        answer.map_err(|error| {
            events::store_failed(&error);
            SessionError::Store(error)
        })
    }
}

impl Config {
    /// Returns how long the old token works after an automatic rotation, for requests on their way:
    /// at most until the next rotation is due.
    pub(crate) fn rotation_grace(&self) -> Duration {
        let longest = Duration::from_secs(30);
        self.rotate_every
            .map_or(longest, |interval| interval.min(longest))
    }

    /// How long a response waits for upkeep that no handler asked for.
    pub(crate) fn upkeep_deadline(&self) -> Duration {
        self.store_deadline.min(LONGEST_UPKEEP)
    }

    /// Returns the limit of sessions for principals of this field.
    pub(crate) fn limit_of(&self, spec: &FieldSpec) -> Option<&Limit> {
        self.limits
            .iter()
            .find(|limit| limit.spec.name == spec.name)
    }

    /// Returns how long a session goes without a write before a visit writes.
    pub(crate) fn touch_interval(idle: Option<Duration>) -> Duration {
        idle.map_or(LONGEST_TOUCH_INTERVAL, |idle| {
            (idle / 30).min(LONGEST_TOUCH_INTERVAL)
        })
    }
}

/// Refuses a schema that the layer's settings cannot serve. Called where a schema is used.
pub(crate) fn check_schema<T: SessionSchema>(shared: &Shared) -> Result<(), SessionError> {
    for spec in T::FIELDS {
        let has_keys = shared.config.sealer.is_some();
        match check_field(spec, shared.config.timeouts, has_keys) {
            Ok(()) => {}
            // The field works, only not for as long as its ttl says.
            Err(problem @ ConfigError::TtlBeyondLifetime { .. }) => {
                let mut reported = shared
                    .reported_ttls
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if reported.insert(spec.name) {
                    events::ttl_exceeds_lifetime(&problem);
                }
            }
            Err(problem) => return Err(SessionError::Config(problem)),
        }
    }
    Ok(())
}

/// Refuses a field that asks for more than the layer's settings give.
fn check_field(
    spec: &FieldSpec,
    timeouts: Timeouts,
    has_encryption_keys: bool,
) -> Result<(), ConfigError> {
    // First, because the other problem is only a warning at the first request.
    if spec.encrypted && !has_encryption_keys {
        return Err(ConfigError::NoEncryptionKeys { field: spec.name });
    }
    if let Some(ttl) = spec.ttl
        && let Some(lifetime) = timeouts.lifetime()
        && ttl > lifetime
    {
        return Err(ConfigError::TtlBeyondLifetime {
            field: spec.name,
            ttl,
            lifetime,
        });
    }
    Ok(())
}
