//! From when to when, and by which clock.

use super::Parameters;
use crate::{buckets::Zone, http::server::errors::validation::FieldError, reading::Timestamp};

/// 0001-01-01, and the last microsecond of 9999: RFC 3339 writes years in four digits.
pub(in crate::http) const EARLIEST: Timestamp = Timestamp::from_micros(-62_135_596_800_000_000);
pub(in crate::http) const LATEST: Timestamp = Timestamp::from_micros(253_402_300_799_999_999);

/// The zone of `timezone`; UTC where absent.
pub(in crate::http) fn zone(parameters: &mut Parameters<'_>) -> Zone {
    let zone = parameters.take("timezone", |text| {
        Zone::named(text).ok_or_else(|| {
            FieldError::new("timezone", "Input should be the name of a time zone, such as 'Europe/Berlin'")
        })
    });
    zone.unwrap_or(Zone::UTC)
}

/// `start` and `end`, where given; a time without an offset is local to `zone`.
pub(in crate::http) fn bounds(
    parameters: &mut Parameters<'_>,
    zone: &Zone,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let start = parameters.take("start", |text| match time(text, zone)? {
        // An end has to be after it, and a start before that.
        LATEST => Err(out_of_years()),
        start => Ok(start),
    });
    let end = parameters.take("end", |text| match time(text, zone)? {
        EARLIEST => Err(out_of_years()),
        end => Ok(end),
    });
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        parameters.refuse("end", empty_range());
    }
    (start, end)
}

pub(in crate::http) fn empty_range() -> FieldError {
    FieldError::new("empty_range", "Input should be after start")
}

fn out_of_years() -> FieldError {
    FieldError::new("datetime_out_of_range", "Input should be in the years 1 to 9999")
}

/// A time in any form that a reading's timestamp has, in the years 1 to 9999.
pub(in crate::http) fn time(text: &str, zone: &Zone) -> Result<Timestamp, FieldError> {
    let text = with_plus(text);
    let time: Timestamp = text.parse().map_err(|error| {
        FieldError::new("datetime_parsing", format!("Input should be a valid datetime: {error}"))
    })?;
    let time = if is_local(&text) { zone.first_instant(time.micros()) } else { time };
    if (EARLIEST..=LATEST).contains(&time) { Ok(time) } else { Err(out_of_years()) }
}

/// A `+` that was not encoded arrives as a space: `2024-10-12T14:29:00 02:00` has an offset of two hours.
fn with_plus(text: &str) -> String {
    const DATE_AND_T: usize = "2024-10-12T".len();
    match text.trim().rsplit_once(' ') {
        Some((time, offset)) if time.len() > DATE_AND_T => format!("{time}+{offset}"),
        _ => text.trim().to_owned(),
    }
}

/// A date, or a date with a time, that does not say where.
fn is_local(text: &str) -> bool {
    const DATE: usize = "2024-10-12".len();
    let bytes = text.as_bytes();
    bytes.get(4) == Some(&b'-')
        && bytes.get(7) == Some(&b'-')
        && !bytes[DATE.min(bytes.len())..].iter().any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_berlin(text: &str) -> String {
        time(text, &Zone::named("Europe/Berlin").unwrap()).unwrap().to_string()
    }

    #[test]
    fn a_time_without_an_offset_is_local() {
        assert_eq!(in_berlin("2026-03-29"), "2026-03-28T23:00:00Z");
        assert_eq!(in_berlin("2026-03-29T12:00"), "2026-03-29T10:00:00Z");
        assert_eq!(in_berlin("2026-03-29 12:00:00.25"), "2026-03-29T10:00:00.250Z");
        // Skipped, so the instant at which it is; and shown twice, so the first.
        assert_eq!(in_berlin("2026-03-29T02:30"), "2026-03-29T01:00:00Z");
        assert_eq!(in_berlin("2026-03-29T02:30:00.9"), "2026-03-29T01:00:00Z");
        assert_eq!(in_berlin("2026-10-25T02:30"), "2026-10-25T00:30:00Z");
        assert_eq!(in_berlin("2100-07-01"), "2100-06-30T22:00:00Z");
    }

    #[test]
    fn a_time_with_one_is_not() {
        assert_eq!(in_berlin("2026-03-29T12:00Z"), "2026-03-29T12:00:00Z");
        assert_eq!(in_berlin("2026-03-29T12:00-01:00"), "2026-03-29T13:00:00Z");
        assert_eq!(in_berlin("2026-03-29T12:00+01:00"), "2026-03-29T11:00:00Z");
        assert_eq!(in_berlin("2026-03-29T12:00:00 01:00"), "2026-03-29T11:00:00Z");
        assert_eq!(in_berlin("2026-03-29 12:00 0100"), "2026-03-29T11:00:00Z");
        assert_eq!(in_berlin("1774785600"), "2026-03-29T12:00:00Z");
        assert_eq!(in_berlin("1774785600000.5"), "2026-03-29T12:00:00.000500Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (text, kind) in [
            ("", "datetime_parsing"),
            ("yesterday", "datetime_parsing"),
            ("2026-02-30", "datetime_parsing"),
            ("2026-1-1", "datetime_parsing"),
            ("9e14", "datetime_out_of_range"),
            ("-9e14", "datetime_out_of_range"),
            ("0000-01-01", "datetime_out_of_range"),
            ("0000-12-31T23:59:59.999999", "datetime_out_of_range"),
            ("253402300800000", "datetime_out_of_range"),
            ("9999-12-31T23:59:59-00:01", "datetime_out_of_range"),
        ] {
            assert_eq!(time(text, &Zone::UTC).unwrap_err().kind, kind, "{text}");
        }
    }
}
