//! How long something stays.

use std::{fmt, str::FromStr, time::Duration};

use super::duration_text::duration_text;

/// So long, or for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionPeriod(pub Option<Duration>);

impl FromStr for RetentionPeriod {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
        if text == "off" {
            return Ok(Self(None));
        }
        match humantime::parse_duration(text) {
            Ok(duration) if duration <= LONGEST => Ok(Self(Some(duration))),
            Ok(_) => Err("at most 100 years, or `off` to keep them for ever".to_owned()),
            Err(error) => Err(format!("{error}; a duration such as `90days`, or `off`")),
        }
    }
}

impl fmt::Display for RetentionPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.map_or_else(|| "off".to_owned(), duration_text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_while_or_for_ever() {
        for (text, days) in [("off", None), ("90days", Some(90)), ("12h 12h", Some(1))] {
            let expected = days.map(|days| Duration::from_secs(days * 86_400));
            assert_eq!(text.parse::<RetentionPeriod>(), Ok(RetentionPeriod(expected)), "{text}");
        }
        for text in ["", "never", "90", "-1d", "200years"] {
            assert!(text.parse::<RetentionPeriod>().is_err(), "{text}");
        }
    }
}
