//! What is wrong with settings.

use std::time::Duration;

/// Two settings contradict, or one makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The name is not one that a cookie can have.
    #[error("`cookie_name` is `{name}`, expected letters, digits and `-`, `_` or `.`")]
    CookieName {
        /// What was given.
        name: String,
    },
    /// The domain is not one that a cookie can have.
    #[error("`domain` is `{domain}`, expected a host name such as `example.com`")]
    Domain {
        /// What was given.
        domain: String,
    },
    /// Browsers refuse the pair.
    #[error(
        "`domain` contradicts the prefix `__Host-` of `cookie_name`: choose a name without the prefix, or no domain"
    )]
    HostPrefixWithDomain,
    /// Browsers refuse the pair.
    #[error(
        "`same_site(SameSite::None)` contradicts `insecure_for_development`: browsers want `Secure` beside it"
    )]
    SameSiteNoneInsecure,
    /// Browsers refuse the pair.
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
    /// Browsers forget cookies after 400 days.
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
    /// A field would never reach its time to live.
    #[error(
        "the ttl of {ttl:?} of the field `{field}` contradicts `lifetime` of {lifetime:?}: it must not be longer"
    )]
    TtlBeyondLifetime {
        /// The field's stored name.
        field: &'static str,
        /// Its time to live.
        ttl: Duration,
        /// The session's lifetime.
        lifetime: Duration,
    },
    /// A schema has an `encrypt` field.
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
    /// Only a principal can have several sessions.
    #[error("`max_sessions` names the field `{field}`, which is not marked `principal`")]
    LimitWithoutPrincipal {
        /// The field's stored name.
        field: &'static str,
    },
    /// Only of principals a list of sessions is kept.
    #[error("the field `{field}` is not marked `principal`, so nobody's sessions are listed by it")]
    NotPrincipal {
        /// The field's stored name.
        field: &'static str,
    },
    /// Nobody could sign in.
    #[error("`max_sessions` of the field `{field}` is zero, expected at least one")]
    LimitOfZero {
        /// The field's stored name.
        field: &'static str,
    },
    /// No field could ever be as large as its limit.
    #[error("`max_field_bytes` contradicts `max_session_bytes`: it must not be larger")]
    FieldLimitBeyondSessionLimit,
}
