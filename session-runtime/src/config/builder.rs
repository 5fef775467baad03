//! The builder of a layer: every setting, its default, and the pairs that contradict.

use std::fmt;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use axum_core::response::IntoResponse;

use super::names::{is_cookie_name, is_host_name, split_prefix, without_prefixes};
use super::{Config, Limit, Shared, Upkeep, WhenFull, check_field};
use crate::config_error::ConfigError;
use crate::cookie::{CookieSettings, LONGEST_MAX_AGE, SameSite};
use crate::error::{OnError, SessionError};
use crate::events;
use crate::keys::Key;
use crate::schema::{Field, FieldSpec, SessionSchema};
use crate::sealing::Sealer;
use crate::signature::Signer;
use crate::store::SessionStore;
use crate::timeouts::{Timeouts, at_least_a_millisecond};

const DEFAULT_COOKIE: &str = "__Host-id";
const DEFAULT_FIELD_LIMIT: usize = 64 * 1024;
const DEFAULT_SESSION_LIMIT: usize = 256 * 1024;
/// A second to connect and a quarter of one for the command.
const DEFAULT_STORE_DEADLINE: Duration = Duration::from_millis(1250);

/// Builds a [`SessionLayer`](crate::SessionLayer) with other settings than the defaults.
///
/// Every setting has a secure default, and every relaxation has a name that says so. Settings can be
/// given in any order, and another call of the same setting replaces the one before
/// (`no_idle_timeout` is one of `idle_timeout`), so a common builder can be adapted. Only a list of
/// keys cannot be given twice: the first one would be lost, and with it the sessions under its keys.
/// [`build`](Self::build) refuses that, and settings that contradict each other.
///
/// ```
/// use std::time::Duration;
/// use session_runtime::{MemoryStore, SameSite, SessionLayer};
///
/// let layer = SessionLayer::builder(MemoryStore::new())
///     .cookie_name("__Host-shop")
///     .same_site(SameSite::Strict)
///     .idle_timeout(Duration::from_secs(15 * 60))
///     .lifetime(Duration::from_secs(8 * 60 * 60))
///     .build()?;
/// # Ok::<(), session_runtime::ConfigError>(())
/// ```
#[must_use]
pub struct SessionLayerBuilder {
    store: Arc<dyn SessionStore>,
    cookie_name: String,
    cookie_is_named: bool,
    domain: Option<String>,
    same_site: SameSite,
    partitioned: bool,
    persistent: bool,
    insecure: bool,
    signing_keys: Option<Vec<Key>>,
    #[cfg(feature = "encryption")]
    encryption_keys: Option<Vec<Key>>,
    idle_timeout: Option<Duration>,
    lifetime: Option<Duration>,
    field_limit: usize,
    session_limit: usize,
    store_deadline: Duration,
    rotate_every: Option<Duration>,
    limits: Vec<Limit>,
    on_error: OnError,
    schemas: Vec<&'static [FieldSpec]>,
    /// A list of keys that was given twice.
    repeated: Option<&'static str>,
}

impl SessionLayerBuilder {
    pub(crate) fn new(store: impl SessionStore) -> Self {
        let timeouts = Timeouts::default();
        Self {
            store: store.into_shared(),
            cookie_name: DEFAULT_COOKIE.to_owned(),
            cookie_is_named: false,
            domain: None,
            same_site: SameSite::Lax,
            partitioned: false,
            persistent: false,
            insecure: false,
            signing_keys: None,
            #[cfg(feature = "encryption")]
            encryption_keys: None,
            idle_timeout: timeouts.idle(),
            lifetime: timeouts.lifetime(),
            field_limit: DEFAULT_FIELD_LIMIT,
            session_limit: DEFAULT_SESSION_LIMIT,
            store_deadline: DEFAULT_STORE_DEADLINE,
            rotate_every: None,
            limits: Vec::new(),
            on_error: Arc::new(IntoResponse::into_response),
            schemas: Vec::new(),
            repeated: None,
        }
    }

    /// Sets the cookie's name; `__Host-id` by default.
    ///
    /// The prefix `__Host-` makes browsers refuse the cookie unless this very host set it over https
    /// (RFC 6265bis, section 4.1.3.2).
    pub fn cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie_name = name.into();
        self.cookie_is_named = true;
        self
    }

    /// Sends the cookie to `domain` and to all hosts below it, not only to the host that set it.
    ///
    /// The domain is a host name such as `example.com`: no IP address, no port, no dot in front. It
    /// contradicts a [`cookie_name`](Self::cookie_name) with the prefix `__Host-`, so it needs
    /// another name too.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domain = Some(domain.into());
        self
    }

    /// Sets which requests of other sites carry the cookie; [`SameSite::Lax`] by default.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Makes browsers keep a separate cookie for each site that embeds this one (`Partitioned`).
    pub fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }

    /// Lets cookies survive the end of the browser's session, by a `Max-Age` that never outlives
    /// the record. It contradicts timeouts of more than 400 days, the longest that browsers keep a
    /// cookie.
    ///
    /// [`Session::remember`](crate::Session::remember) does the same for a single visitor.
    pub fn persistent(mut self) -> Self {
        self.persistent = true;
        self
    }

    /// Sends the cookie over plain http too: drops `Secure` and the name's `__Host-` or `__Secure-`
    /// prefix, and emits a warning. Anything that listens on the network can then take over
    /// sessions.
    ///
    /// Unless [`cookie_name`](Self::cookie_name) says otherwise, the cookie is `id` and the port that
    /// the request's `Host` names, such as `id-3000`, or `id` where it names none: browsers keep one
    /// set of cookies for all ports of a host, and two programs on `localhost` would take each
    /// other's.
    pub fn insecure_for_development(mut self) -> Self {
        self.insecure = true;
        self
    }

    /// Signs the cookie, so a cookie that was not issued here is refused without asking the store;
    /// off by default.
    ///
    /// A token cannot be guessed in any case: signing keeps the load of attempts away from the
    /// store.
    ///
    /// The first key signs, all of them verify. A cookie under a later key still works, and is
    /// signed anew whenever it is sent. Keep a key in the list for as long as sessions live after it
    /// was the first: removing it signs out the visitors whose cookies are still under it. Switching
    /// signing on signs out every visitor, since unsigned cookies are refused too. An empty list is
    /// refused by [`build`](Self::build).
    ///
    /// ```
    /// use session_runtime::{Key, MemoryStore, SessionLayer};
    ///
    /// # let (new, old) = ([1; 32], [2; 32]);
    /// let layer = SessionLayer::builder(MemoryStore::new())
    ///     .signing_keys([Key::from(new), Key::from(old)])
    ///     .build()?;
    /// # Ok::<(), session_runtime::ConfigError>(())
    /// ```
    pub fn signing_keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        let before = self.signing_keys.replace(keys.into_iter().collect());
        self.cannot_repeat(before, "signing_keys");
        self
    }

    /// Sets the keys that seal the fields marked `encrypt`, which need them.
    ///
    /// The first key seals, all of them open. A field under a later key is read, and sealed under
    /// the first one when it is next written. A field whose key is missing counts as absent and is
    /// reported; the rest of the session lives. An empty list is refused by [`build`](Self::build).
    ///
    /// ```
    /// use session_runtime::{Key, MemoryStore, Session, SessionLayer};
    ///
    /// #[derive(Session)]
    /// struct Delivery {
    ///     #[session(encrypt)]
    ///     address: Option<String>,
    /// }
    ///
    /// # let key = [1; 32];
    /// let layer = SessionLayer::builder(MemoryStore::new())
    ///     .encryption_keys([Key::from(key)])
    ///     .schema::<Delivery>()
    ///     .build()?;
    /// # Ok::<(), session_runtime::ConfigError>(())
    /// ```
    #[cfg(feature = "encryption")]
    pub fn encryption_keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        let before = self.encryption_keys.replace(keys.into_iter().collect());
        self.cannot_repeat(before, "encryption_keys");
        self
    }

    /// Fails to compile with a message that names the missing feature.
    #[cfg(not(feature = "encryption"))]
    #[doc(hidden)]
    pub fn encryption_keys(self, _: impl crate::sealing::EncryptionIsOn) -> Self {
        self
    }

    /// Ends a session after this time without a visit; 30 minutes by default.
    ///
    /// `Duration::MAX` is no limit. A session keeps the timeouts that it was created with.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle_timeout = Some(idle);
        self
    }

    /// Removes the idle timeout: sessions live without visits, up to their lifetime.
    pub fn no_idle_timeout(mut self) -> Self {
        self.idle_timeout = None;
        self
    }

    /// Ends a session this long after its creation, whatever happens; 24 hours by default.
    ///
    /// `Duration::MAX` is no limit. A session keeps the timeouts that it was created with.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Removes the lifetime: sessions live as long as they are visited.
    pub fn no_lifetime(mut self) -> Self {
        self.lifetime = None;
        self
    }

    /// Limits the size of one encoded field in bytes; 64 KiB by default.
    ///
    /// A larger value is refused with [`SessionError::FieldTooLarge`] before anything is sent to the
    /// store. The limit must not be larger than [`max_session_bytes`](Self::max_session_bytes).
    pub fn max_field_bytes(mut self, bytes: usize) -> Self {
        self.field_limit = bytes;
        self
    }

    /// Limits the size of a session in bytes: all encoded fields that a request knows, together;
    /// 256 KiB by default.
    ///
    /// A larger session is refused with [`SessionError::SessionTooLarge`] before anything is sent to
    /// the store.
    pub fn max_session_bytes(mut self, bytes: usize) -> Self {
        self.session_limit = bytes;
        self
    }

    /// Limits how long a request waits for one call of the store, whatever the store's own deadlines
    /// are; 1.25 seconds by default. `Duration::MAX` is no limit.
    pub fn store_deadline(mut self, deadline: Duration) -> Self {
        self.store_deadline = deadline;
        self
    }

    /// Gives a visitor a new token when the present one is this old; off by default.
    ///
    /// The old token still works for requests that are on their way: for 30 seconds or one interval,
    /// whichever is shorter, or until the visitor has shown the new token. A change of the principal
    /// has no such grace. `Duration::MAX` switches the rotation off.
    pub fn rotate_every(mut self, interval: Duration) -> Self {
        self.rotate_every = (interval != Duration::MAX).then_some(interval);
        self
    }

    /// Limits the number of sessions of one principal. `when_full` decides about one more.
    ///
    /// The limit is exact, also when many sign in at once. Each principal field has one limit; another
    /// call for the same field replaces it.
    pub fn max_sessions<T: SessionSchema, V, F>(
        mut self,
        principal: Field<T, V, F>,
        max: u32,
        when_full: WhenFull,
    ) -> Self {
        let spec = principal.spec();
        self.limits.retain(|limit| limit.spec.name != spec.name);
        self.limits.push(Limit {
            spec,
            max,
            when_full,
        });
        self
    }

    /// Sets the function that turns errors into responses, such as a page of the application.
    pub fn on_error<R: IntoResponse>(
        mut self,
        respond: impl Fn(SessionError) -> R + Send + Sync + 'static,
    ) -> Self {
        self.on_error = Arc::new(move |error| respond(error).into_response());
        self
    }

    /// Checks a schema when the layer is built instead of at the first request that uses it.
    pub fn schema<T: SessionSchema>(mut self) -> Self {
        self.schemas.push(T::FIELDS);
        self
    }

    fn cannot_repeat(&mut self, before: Option<Vec<Key>>, setting: &'static str) {
        if before.is_some() {
            self.repeated.get_or_insert(setting);
        }
    }

    /// Checks the settings and makes what all requests of the layer share.
    pub(crate) fn into_shared(self) -> Result<Shared, ConfigError> {
        if let Some(setting) = self.repeated {
            return Err(ConfigError::Repeated { setting });
        }
        let cookie = self.cookie()?;
        let timeouts = Timeouts::new(self.idle_timeout, self.lifetime)?;
        self.check_times(timeouts)?;
        let sealer = self.sealer()?;
        for spec in self.schemas.iter().copied().flatten() {
            check_field(spec, timeouts, sealer.is_some())?;
        }
        for limit in &self.limits {
            let field = limit.spec.name;
            if !limit.spec.principal {
                return Err(ConfigError::LimitWithoutPrincipal { field });
            }
            if limit.max == 0 {
                return Err(ConfigError::LimitOfZero { field });
            }
        }
        for (setting, limit) in [
            ("max_field_bytes", self.field_limit),
            ("max_session_bytes", self.session_limit),
        ] {
            if limit == 0 {
                return Err(ConfigError::NoBytes { setting });
            }
        }
        if self.field_limit > self.session_limit {
            return Err(ConfigError::FieldLimitBeyondSessionLimit);
        }
        if self.insecure {
            events::insecure(&cookie.name);
        }
        let shared = Shared {
            store: self.store,
            config: Config {
                cookie,
                sealer,
                timeouts,
                field_limit: self.field_limit,
                session_limit: self.session_limit,
                store_deadline: self.store_deadline,
                rotate_every: self.rotate_every,
                limits: self.limits,
                on_error: self.on_error,
            },
            reported_ttls: Mutex::default(),
            plain_http: Once::new(),
            nested: Once::new(),
            upkeep: Upkeep::default(),
        };
        Ok(shared)
    }

    fn cookie(&self) -> Result<CookieSettings, ConfigError> {
        let (prefix, rest) = split_prefix(&self.cookie_name);
        let name = match self.insecure {
            true => without_prefixes(&self.cookie_name),
            false => self.cookie_name.as_str(),
        };
        if !is_cookie_name(name) || rest.is_empty() {
            return Err(ConfigError::CookieName {
                name: self.cookie_name.clone(),
            });
        }
        if let Some(domain) = &self.domain {
            if !is_host_name(domain) {
                return Err(ConfigError::Domain {
                    domain: domain.clone(),
                });
            }
            if prefix == Some("__Host-") && !self.insecure {
                return Err(ConfigError::HostPrefixWithDomain);
            }
        }
        if self.insecure && self.same_site == SameSite::None {
            return Err(ConfigError::SameSiteNoneInsecure);
        }
        if self.insecure && self.partitioned {
            return Err(ConfigError::PartitionedInsecure);
        }
        let signer = match &self.signing_keys {
            Some(keys) => Some(Signer::new(not_empty(keys, "signing_keys")?, name)),
            None => None,
        };
        Ok(CookieSettings {
            name: name.to_owned(),
            takes_port: self.insecure && !self.cookie_is_named,
            domain: self.domain.clone(),
            same_site: self.same_site,
            secure: !self.insecure,
            partitioned: self.partitioned,
            persistent: self.persistent,
            signer,
        })
    }

    #[cfg(feature = "encryption")]
    fn sealer(&self) -> Result<Option<Sealer>, ConfigError> {
        let Some(keys) = &self.encryption_keys else {
            return Ok(None);
        };
        Ok(Some(Sealer::new(not_empty(keys, "encryption_keys")?)))
    }

    #[cfg(not(feature = "encryption"))]
    fn sealer(&self) -> Result<Option<Sealer>, ConfigError> {
        Ok(None)
    }

    fn check_times(&self, timeouts: Timeouts) -> Result<(), ConfigError> {
        at_least_a_millisecond("store_deadline", self.store_deadline)?;
        if let Some(interval) = self.rotate_every {
            at_least_a_millisecond("rotate_every", interval)?;
        }
        if self.persistent {
            // The cookie lives as long as the record: the limit of one is the limit of the other.
            let (setting, longest) = match (timeouts.idle(), timeouts.lifetime()) {
                (Some(idle), _) => ("idle_timeout", Some(idle)),
                (None, lifetime) => ("lifetime", lifetime),
            };
            if longest.is_some_and(|longest| longest > LONGEST_MAX_AGE) {
                return Err(ConfigError::CookieTooOld { setting });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for SessionLayerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayerBuilder")
            .field("cookie_name", &self.cookie_name)
            .field("idle_timeout", &self.idle_timeout)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// The keys of `setting`, at least one.
fn not_empty<'a>(keys: &'a [Key], setting: &'static str) -> Result<&'a [Key], ConfigError> {
    match keys {
        [] => Err(ConfigError::NoKeys { setting }),
        _ => Ok(keys),
    }
}
