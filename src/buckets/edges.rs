//! Where buckets begin and end.

use chrono::{
    DateTime, Datelike, Days, MappedLocalTime, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta,
    TimeZone,
};
use chrono_tz::Tz;

use super::{Bucket, HOUR};
use crate::reading::Timestamp;

/// A range has more buckets than are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("about {about} buckets, more than {max}")]
pub struct TooManyBuckets {
    /// How many there would be, more or less.
    pub about: i64,
    /// How many there may be.
    pub max: usize,
}

/// The edges of the buckets that cover `start..end`: the first is not after `start`, the last not before `end`, and
/// bucket n is from edge n to edge n + 1. `start` is before `end`.
pub fn edges(
    bucket: Bucket,
    zone: Tz,
    start: Timestamp,
    end: Timestamp,
    max: usize,
) -> Result<Vec<Timestamp>, TooManyBuckets> {
    let about = (end.micros() - start.micros()) / 1_000_000 / bucket.usual_seconds() + 1;
    // Known before anything is made of it; no bucket is twice as long as usual.
    if about / 2 > max as i64 {
        return Err(TooManyBuckets { about, max });
    }
    let mut edges = Vec::with_capacity(about as usize + 2);
    let mut period = first_of_period(bucket, date_of(zone, start));
    loop {
        let next_period = period_after(bucket, period);
        for edge in starts_between(bucket, zone, period, next_period) {
            if edge <= start {
                edges.clear();
            }
            edges.push(edge);
            if edge >= end {
                return Ok(edges);
            }
            if edges.len() > max {
                return Err(TooManyBuckets { about: about.max(max as i64 + 1), max });
            }
        }
        period = next_period;
    }
}

/// The first instant at which the local clock shows this time, or has passed it where it skips it.
pub fn first_instant(zone: Tz, local: NaiveDateTime) -> Timestamp {
    let instant = match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(instant) => instant.timestamp(),
        MappedLocalTime::Ambiguous(one, other) => one.timestamp().min(other.timestamp()),
        MappedLocalTime::None => end_of_gap(zone, local),
    };
    let micros = i64::from(local.and_utc().timestamp_subsec_micros());
    Timestamp::from_micros(instant * 1_000_000 + micros)
}

/// The second in which clocks are put forward past `local`.
fn end_of_gap(zone: Tz, local: NaiveDateTime) -> i64 {
    /// No two clocks are further apart, and no gap is longer.
    const TWO_DAYS: i64 = 2 * 86_400;
    let seconds = local.and_utc().timestamp();
    let (mut before, mut after) = (seconds - TWO_DAYS, seconds + TWO_DAYS);
    while after - before > 1 {
        let middle = i64::midpoint(before, after);
        match DateTime::from_timestamp(middle, 0) {
            Some(time) if time.with_timezone(&zone).naive_local() < local => before = middle,
            _ => after = middle,
        }
    }
    after
}

fn date_of(zone: Tz, time: Timestamp) -> NaiveDate {
    time.to_datetime().map_or(NaiveDate::MIN, |time| time.with_timezone(&zone).date_naive())
}

/// The first day of the stretch of the calendar in which a bucket's edges are counted.
fn first_of_period(bucket: Bucket, date: NaiveDate) -> NaiveDate {
    match bucket {
        Bucket::Seconds(_) | Bucket::Day => date,
        Bucket::Week => date - Days::new(date.weekday().num_days_from_monday().into()),
        Bucket::Months(months) => {
            let month = date.month0() / months * months;
            NaiveDate::from_ymd_opt(date.year(), month + 1, 1).unwrap_or(date)
        }
    }
}

fn period_after(bucket: Bucket, period: NaiveDate) -> NaiveDate {
    match bucket {
        Bucket::Seconds(_) | Bucket::Day => period + Days::new(1),
        Bucket::Week => period + Days::new(7),
        Bucket::Months(months) => period + Months::new(months),
    }
}

/// The instants from `period` up to `next_period` at which a bucket begins, in order, without repeats.
fn starts_between(bucket: Bucket, zone: Tz, period: NaiveDate, next_period: NaiveDate) -> Vec<Timestamp> {
    let midnight = period.and_time(NaiveTime::MIN);
    let first = first_instant(zone, midnight);
    let end = first_instant(zone, next_period.and_time(NaiveTime::MIN));
    match bucket {
        Bucket::Seconds(seconds) if seconds <= HOUR => {
            let step = usize::try_from(seconds).unwrap_or(1) * 1_000_000;
            (first.micros()..end.micros()).step_by(step).map(Timestamp::from_micros).collect()
        }
        Bucket::Seconds(seconds) => {
            let mut starts: Vec<Timestamp> = (0..86_400 / i64::from(seconds))
                .map(|n| first_instant(zone, midnight + TimeDelta::seconds(n * i64::from(seconds))))
                .filter(|&start| start < end)
                .collect();
            // Times that the clock skips all become the instant at which it does.
            starts.dedup();
            starts
        }
        // A whole day is skipped where the date line moved.
        Bucket::Day | Bucket::Week | Bucket::Months(_) => {
            if first < end {
                vec![first]
            } else {
                vec![]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 10_000;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn berlin(bucket: &str, start: &str, end: &str) -> Vec<String> {
        in_zone(Tz::Europe__Berlin, bucket, start, end)
    }

    fn in_zone(zone: Tz, bucket: &str, start: &str, end: &str) -> Vec<String> {
        let bucket = Bucket::named(bucket).unwrap();
        edges(bucket, zone, time(start), time(end), MAX).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_day_in_berlin_has_23_or_25_hours() {
        assert_eq!(
            berlin("1d", "2026-03-28T12:00Z", "2026-03-30T12:00Z"),
            ["2026-03-27T23:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"]
        );
        assert_eq!(berlin("1h", "2026-03-28T23:00Z", "2026-03-29T22:00Z").len() - 1, 23);
        assert_eq!(berlin("1h", "2026-10-24T22:00Z", "2026-10-25T23:00Z").len() - 1, 25);
        assert_eq!(berlin("15m", "2026-10-24T22:00Z", "2026-10-25T23:00Z").len() - 1, 100);
    }

    #[test]
    fn parts_of_a_day_begin_by_the_local_clock() {
        // 00, 02 (which is skipped and so 03), 04 and so on, up to the next midnight.
        assert_eq!(
            berlin("2h", "2026-03-28T23:00Z", "2026-03-29T04:00Z"),
            ["2026-03-28T23:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z", "2026-03-29T04:00:00Z"]
        );
        assert_eq!(
            berlin("6h", "2026-10-24T22:00Z", "2026-10-25T23:00Z"),
            [
                "2026-10-24T22:00:00Z",
                "2026-10-25T05:00:00Z",
                "2026-10-25T11:00:00Z",
                "2026-10-25T17:00:00Z",
                "2026-10-25T23:00:00Z"
            ]
        );
        assert_eq!(
            in_zone(Tz::Asia__Kolkata, "1h", "2026-01-01T00:00Z", "2026-01-01T00:31Z"),
            ["2025-12-31T23:30:00Z", "2026-01-01T00:30:00Z", "2026-01-01T01:30:00Z"]
        );
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        assert_eq!(
            berlin("1w", "2026-10-25T12:00Z", "2026-10-26T12:00Z"),
            ["2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z", "2026-11-01T23:00:00Z"]
        );
        assert_eq!(
            berlin("1month", "2024-02-29T12:00Z", "2024-04-01T00:00Z"),
            ["2024-01-31T23:00:00Z", "2024-02-29T23:00:00Z", "2024-03-31T22:00:00Z", "2024-04-30T22:00:00Z"]
        );
        assert_eq!(
            in_zone(Tz::UTC, "3month", "2026-02-03", "2026-04-01"),
            ["2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z"]
        );
        assert_eq!(
            in_zone(Tz::UTC, "1year", "2026-02-03", "2026-02-04"),
            ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"]
        );
    }

    #[test]
    fn clocks_that_change_at_midnight_and_a_day_that_never_was() {
        // Havana goes from 01:00 back to 00:00: the first midnight begins the day, which has 25 hours.
        assert_eq!(
            in_zone(Tz::America__Havana, "1d", "2025-11-02T12:00Z", "2025-11-03T05:00Z"),
            ["2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"]
        );
        // Beirut skips midnight.
        assert_eq!(
            in_zone(Tz::Asia__Beirut, "1d", "2025-03-30T12:00Z", "2025-03-30T13:00Z"),
            ["2025-03-29T22:00:00Z", "2025-03-30T21:00:00Z"]
        );
        // Samoa went from the 29th to the 31st.
        assert_eq!(
            in_zone(Tz::Pacific__Apia, "1d", "2011-12-29T12:00Z", "2011-12-31T09:00Z"),
            ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"]
        );
        assert_eq!(in_zone(Tz::Pacific__Apia, "4h", "2011-12-30T09:59Z", "2011-12-30T10:00Z").len(), 2);
    }

    #[test]
    fn a_range_on_the_edges_has_no_bucket_more() {
        assert_eq!(
            in_zone(Tz::UTC, "1h", "2026-01-01T01:00", "2026-01-01T02:00"),
            ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]
        );
        assert_eq!(
            in_zone(Tz::UTC, "1h", "2026-01-01T01:59:59.999999", "2026-01-01T02:00:00.000001").len(),
            3
        );
    }

    #[test]
    fn the_number_is_bounded() {
        let range = (time("2026-01-01"), time("2026-01-02"));
        let minutes = Bucket::named("1m").unwrap();
        assert_eq!(edges(minutes, Tz::UTC, range.0, range.1, 1_440).unwrap().len(), 1_441);
        let error = edges(minutes, Tz::UTC, range.0, range.1, 1_439).unwrap_err();
        assert_eq!(error, TooManyBuckets { about: 1_441, max: 1_439 });
        let error =
            edges(Bucket::Seconds(1), Tz::UTC, time("0001-01-01"), time("9999-12-31"), MAX).unwrap_err();
        assert!(error.about > 300_000_000_000, "{error}");
    }

    proptest! {
        #[test]
        fn edges_cover_the_range_in_order(
            name in prop::sample::select(Bucket::names().collect::<Vec<_>>()),
            zone in prop::sample::select(vec![
                Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York, Tz::Asia__Kathmandu, Tz::Australia__Lord_Howe,
                Tz::America__St_Johns, Tz::Pacific__Apia, Tz::America__Havana, Tz::Africa__Monrovia,
            ]),
            start in 0_i64..2_500_000_000_000_000,
            buckets in 1_i64..200,
            share in 0.0_f64..1.0,
        ) {
            let bucket = Bucket::named(name).unwrap();
            let start = Timestamp::from_micros(start);
            let length = (bucket.usual_seconds() * 1_000_000 * buckets) as f64 * share;
            let end = start.plus_micros(length as i64 + 1);
            let edges = edges(bucket, zone, start, end, MAX).unwrap();
            prop_assert!(edges.is_sorted_by(|one, other| one < other));
            prop_assert!(edges[0] <= start && start < edges[1]);
            prop_assert!(edges[edges.len() - 2] < end && end <= edges[edges.len() - 1]);
        }
    }
}
