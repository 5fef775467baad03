//! The value of `ttl`.

use std::panic::catch_unwind;
use std::time::Duration;

use humantime::DurationError;

/// Ten years of 365.25 days, as `humantime` counts them. More is a mistake in the unit.
const MAX: Duration = Duration::from_secs(10 * 31_557_600);

const FORM: &str = "write for example `ttl = \"5m\"`, with the units `ms`, `s`, `m`, `h`, `d`, `w`";

/// A time to live in milliseconds, or what is wrong with the text.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    // humantime 2.4 panics on a sum that exceeds `Duration` by less than a second.
    let duration = catch_unwind(|| humantime::parse_duration(text))
        .unwrap_or(Err(DurationError::NumberOverflow))
        .map_err(|error| format!("{}; {FORM}", explain(text, &error)))?;
    if duration.is_zero() {
        return Err(
            "a `ttl` of zero would drop every value as it is written; give a longer time, \
             or leave `ttl` out for a field that lives as long as the session"
                .to_owned(),
        );
    }
    if duration > MAX {
        return Err(format!(
            "`{text}` is longer than ten years; give a shorter time, \
             or leave `ttl` out for a field that lives as long as the session"
        ));
    }
    let millis = duration.as_millis();
    match u64::try_from(millis) {
        Ok(millis) if duration == Duration::from_millis(millis) => Ok(millis),
        _ => Err(format!(
            "`{text}` is not a whole number of milliseconds, the smallest unit that stores keep; \
             {FORM}"
        )),
    }
}

fn explain(text: &str, error: &DurationError) -> String {
    match error {
        DurationError::Empty => "`ttl` is empty".to_owned(),
        DurationError::InvalidCharacter(at) | DurationError::NumberExpected(at) => {
            match text.get(*at..).and_then(|rest| rest.chars().next()) {
                Some(found) => {
                    format!("`{text}` is not a duration: `{found}` stands where a number should")
                }
                None => format!("`{text}` is not a duration"),
            }
        }
        DurationError::UnknownUnit { unit, value, .. } if unit.is_empty() => {
            format!("`{text}` is not a duration: `{value}` has no unit")
        }
        DurationError::UnknownUnit { unit, .. } => {
            format!("`{text}` is not a duration: `{unit}` is not a unit of time")
        }
        DurationError::NumberOverflow => {
            format!("`{text}` is not a duration that can be counted: too long or too fine")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_milliseconds_up_to_ten_years() {
        assert_eq!(parse("5m"), Ok(300_000));
        assert_eq!(parse("1h 30min"), Ok(5_400_000));
        assert_eq!(parse("1ms"), Ok(1));
        assert_eq!(parse("1.5s"), Ok(1_500));
        assert_eq!(parse("10years"), Ok(315_576_000_000));
        for wrong in [
            "",
            " ",
            "5",
            "m",
            "5 minuts",
            "-5m",
            "0s",
            "1us",
            "1500us",
            "10years 1ms",
            "5m,",
            "99999999999999999999s",
            "18446744073709551615s 1000ms",
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
