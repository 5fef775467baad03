//! The error of settings that are refused.

use std::time::Duration;

/// A setting makes no sense, or two settings contradict.
///
/// The text names the settings as the methods of
/// [`SessionLayerBuilder`](crate::SessionLayerBuilder) are called, and says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A cookie cannot have this name.
    #[error(
        "`cookie_name` is `{name}`, expected letters, digits and `-`, `_` or `.`, at most 1024 and not a prefix such as `__Host-` alone"
    )]
    CookieName {
        /// The name that was given.
        name: String,
    },
    /// A cookie cannot have this domain: it is an IP address, or not a host name at all.
    #[error(
        "`domain` is `{domain}`, expected a host name such as `example.com`: no IP address, no port, no dot in front"
    )]
    Domain {
        /// The domain that was given.
        domain: String,
    },
    /// Browsers refuse a cookie whose name begins with `__Host-` and that has a domain.
    #[error(
        "`domain` contradicts the prefix `__Host-` of `cookie_name`: choose a name without the prefix, or no domain"
    )]
    HostPrefixWithDomain,
    /// Browsers refuse a cookie with `SameSite=None` and without `Secure`.
    #[error(
        "`same_site(SameSite::None)` contradicts `insecure_for_development`: browsers want `Secure` beside it"
    )]
    SameSiteNoneInsecure,
    /// Browsers refuse a cookie with `Partitioned` and without `Secure`.
    #[error(
        "`partitioned` contradicts `insecure_for_development`: browsers want `Secure` beside it"
    )]
    PartitionedInsecure,
    /// The idle timeout is longer than the lifetime, so no session could ever be idle that long.
    /// Where only one of the two was set, the other is the default: 30 minutes and 24 hours.
    #[error(
        "`idle_timeout` of {idle:?} contradicts `lifetime` of {lifetime:?}: it must not be longer"
    )]
    IdleBeyondLifetime {
        /// The idle timeout.
        idle: Duration,
        /// The lifetime.
        lifetime: Duration,
    },
    /// A persistent cookie would have to live longer than 400 days, when browsers forget it.
    #[error("`persistent` contradicts `{setting}`: browsers keep no cookie longer than 400 days")]
    CookieTooOld {
        /// The setting that is longer.
        setting: &'static str,
    },
    /// A duration is below one millisecond, which stores would count as none.
    #[error("`{setting}` is {found:?}, expected at least a millisecond")]
    TooShort {
        /// The setting.
        setting: &'static str,
        /// The duration that was given.
        found: Duration,
    },
    /// A field's time to live is longer than the session's lifetime, so it would never be over.
    #[error(
        "the ttl of {ttl:?} of the field `{field}` contradicts `lifetime` of {lifetime:?}: it must not be longer"
    )]
    TtlBeyondLifetime {
        /// The field's stored name.
        field: &'static str,
        /// The field's time to live.
        ttl: Duration,
        /// The session's lifetime.
        lifetime: Duration,
    },
    /// A schema has an `encrypt` field, and the layer has no keys to seal it.
    #[error(
        "the field `{field}` is marked `encrypt`, but the layer has no keys: add `.encryption_keys(…)`, which needs the feature `encryption`"
    )]
    NoEncryptionKeys {
        /// The field's stored name.
        field: &'static str,
    },
    /// The list of keys is empty, so nothing could be signed or sealed.
    #[error("`{setting}` was given no keys, expected at least one")]
    NoKeys {
        /// The setting.
        setting: &'static str,
    },
    /// A list of keys was given twice; the first one would have no effect.
    #[error("`{setting}` is called twice; give all keys in one list, the present one first")]
    Repeated {
        /// The setting.
        setting: &'static str,
    },
    /// The limit is for a field that does not say whose a session is.
    #[error("`max_sessions` names the field `{field}`, which is not marked `principal`")]
    LimitWithoutPrincipal {
        /// The field's stored name.
        field: &'static str,
    },
    /// Sessions were asked for by a field that does not say whose a session is, so no list of
    /// sessions is kept for it.
    #[error("the field `{field}` is not marked `principal`, so no sessions are listed by it")]
    NotPrincipal {
        /// The field's stored name.
        field: &'static str,
    },
    /// The limit of sessions is zero, so no sign-in could succeed.
    #[error("`max_sessions` of the field `{field}` is zero, expected at least one")]
    LimitOfZero {
        /// The field's stored name.
        field: &'static str,
    },
    /// The limit of a size is zero, so nothing could be stored.
    #[error("`{setting}` is zero, expected at least one byte")]
    NoBytes {
        /// The setting.
        setting: &'static str,
    },
    /// A field may be larger than its session, so no field could ever reach its limit. Where only
    /// one of the two was set, the other is the default: 64 KiB and 256 KiB.
    #[error("`max_field_bytes` contradicts `max_session_bytes`: it must not be larger")]
    FieldLimitBeyondSessionLimit,
}
