//! The two limits that bound a session in time.

use std::time::Duration;

use crate::config_error::ConfigError;

const DEFAULT_IDLE: Duration = Duration::from_secs(30 * 60);
const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
const SHORTEST: Duration = Duration::from_millis(1);

/// How long a session lives: without a visit, and in all.
///
/// The layer has timeouts for all its sessions
/// ([`idle_timeout`](crate::SessionLayerBuilder::idle_timeout) and
/// [`lifetime`](crate::SessionLayerBuilder::lifetime)); a single session can have its own
/// ([`Session::set_timeouts`](crate::Session::set_timeouts)). The default is 30 minutes without a
/// visit and 24 hours in all.
///
/// ```
/// use std::time::Duration;
/// use session_runtime::{ConfigError, Timeouts};
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// let remembered = Timeouts::new(14 * DAY, 90 * DAY)?;
/// assert_eq!(remembered.idle(), Some(14 * DAY));
///
/// // `None` and `Duration::MAX` are no limit.
/// let as_long_as_visited = Timeouts::new(14 * DAY, None)?;
/// assert_eq!(as_long_as_visited, Timeouts::new(14 * DAY, Duration::MAX)?);
///
/// // The other way round, no session would ever live as long as its idle timeout says.
/// let swapped = Timeouts::new(90 * DAY, 14 * DAY);
/// assert!(matches!(swapped, Err(ConfigError::IdleBeyondLifetime { .. })));
/// # Ok::<(), ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    idle: Option<Duration>,
    lifetime: Option<Duration>,
}

impl Timeouts {
    /// Bounds a session by `idle`, the time that it lives without a visit, and by `lifetime`, the
    /// time that it lives in all, counted from its creation.
    ///
    /// `None` and [`Duration::MAX`] are no limit. Stores count in milliseconds; a part of one is
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TooShort`] for less than a millisecond, and
    /// [`ConfigError::IdleBeyondLifetime`] when `idle` is longer than `lifetime`.
    pub fn new(
        idle: impl Into<Option<Duration>>,
        lifetime: impl Into<Option<Duration>>,
    ) -> Result<Self, ConfigError> {
        let limit = |duration: &Duration| *duration != Duration::MAX;
        let idle = idle.into().filter(limit);
        let lifetime = lifetime.into().filter(limit);
        for (setting, limit) in [("idle_timeout", idle), ("lifetime", lifetime)] {
            if let Some(duration) = limit {
                at_least_a_millisecond(setting, duration)?;
            }
        }
        match (idle, lifetime) {
            (Some(idle), Some(lifetime)) if idle > lifetime => {
                Err(ConfigError::IdleBeyondLifetime { idle, lifetime })
            }
            _ => Ok(Self { idle, lifetime }),
        }
    }

    /// Returns how long a session lives without a visit; `None` is no limit.
    #[must_use]
    pub const fn idle(&self) -> Option<Duration> {
        self.idle
    }

    /// Returns how long a session lives in all, counted from its creation; `None` is no limit.
    #[must_use]
    pub const fn lifetime(&self) -> Option<Duration> {
        self.lifetime
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle: Some(DEFAULT_IDLE),
            lifetime: Some(DEFAULT_LIFETIME),
        }
    }
}

/// Refuses a duration that stores would count as none.
pub(crate) fn at_least_a_millisecond(
    setting: &'static str,
    found: Duration,
) -> Result<(), ConfigError> {
    if found < SHORTEST {
        return Err(ConfigError::TooShort { setting, found });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn every_duration_from_a_millisecond_on_is_a_limit_except_the_longest() {
        let almost = Duration::MAX - Duration::from_nanos(1);
        for (given, limit) in [
            (SHORTEST, Some(SHORTEST)),
            (almost, Some(almost)),
            (Duration::MAX, None),
        ] {
            let timeouts = Timeouts::new(given, given).unwrap();
            assert_eq!((timeouts.idle(), timeouts.lifetime()), (limit, limit));
        }
        for found in [Duration::ZERO, SHORTEST - Duration::from_nanos(1)] {
            let setting = "idle_timeout";
            let refused = Err(ConfigError::TooShort { setting, found });
            assert_eq!(Timeouts::new(found, MINUTE), refused);
            let setting = "lifetime";
            let refused = Err(ConfigError::TooShort { setting, found });
            assert_eq!(Timeouts::new(None, found), refused);
        }
    }

    #[test]
    fn an_idle_timeout_is_not_longer_than_the_lifetime() {
        let (idle, lifetime) = (2 * MINUTE, MINUTE);
        let refused = Err(ConfigError::IdleBeyondLifetime { idle, lifetime });
        assert_eq!(Timeouts::new(idle, lifetime), refused);
        for (idle, lifetime) in [
            (Some(MINUTE), Some(MINUTE)),
            (Some(MINUTE), None),
            (None, Some(MINUTE)),
            (None, None),
        ] {
            let timeouts = Timeouts::new(idle, lifetime).unwrap();
            assert_eq!((timeouts.idle(), timeouts.lifetime()), (idle, lifetime));
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        let Timeouts { idle, lifetime } = Timeouts::default();
        assert_eq!(Timeouts::new(idle, lifetime), Ok(Timeouts::default()));
    }
}
