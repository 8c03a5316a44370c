//! Where buckets begin and end.

use std::ops::Range;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime};

use super::{Bucket, HOUR, Zone};
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
    zone: &Zone,
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

/// The date that the zone's calendar shows.
fn date_of(zone: &Zone, time: Timestamp) -> NaiveDate {
    let local = time.plus_micros(i64::from(zone.offset_seconds(time)) * 1_000_000);
    local.to_datetime().as_ref().map_or(NaiveDate::MIN, DateTime::date_naive)
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
fn starts_between(bucket: Bucket, zone: &Zone, period: NaiveDate, next_period: NaiveDate) -> Vec<Timestamp> {
    let midnight_micros = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
    let first = zone.first_instant(midnight_micros(period));
    let end = zone.first_instant(midnight_micros(next_period));
    match bucket {
        Bucket::Seconds(seconds) if seconds <= HOUR => {
            starts_by_the_clock(zone, i64::from(seconds) * 1_000_000, first..end)
        }
        Bucket::Seconds(seconds) => {
            let length_micros = i64::from(seconds) * 1_000_000;
            let mut starts: Vec<Timestamp> = (0..86_400 / i64::from(seconds))
                .map(|n| zone.first_instant(midnight_micros(period) + n * length_micros))
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

/// The instants of a range at which the clock shows a multiple of the length, each time that it does, or is put past
/// one or back before one.
fn starts_by_the_clock(zone: &Zone, length_micros: i64, range: Range<Timestamp>) -> Vec<Timestamp> {
    let (mut starts, mut multiple_before) = (Vec::new(), None);
    for stretch in zone.stretches(range) {
        let shown = stretch.local_micros(stretch.time.start);
        let past_multiple = shown.rem_euclid(length_micros);
        let is_in_the_same = past_multiple > 0 && multiple_before == Some(shown.div_euclid(length_micros));
        if !is_in_the_same && !stretch.time.is_empty() {
            starts.push(stretch.time.start);
        }
        let next = stretch.time.start.micros() - past_multiple + length_micros;
        let following = (next..stretch.time.end.micros()).step_by(length_micros as usize);
        starts.extend(following.map(Timestamp::from_micros));
        multiple_before = Some((stretch.local_micros(stretch.time.end) - 1).div_euclid(length_micros));
    }
    starts
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
        in_zone("Europe/Berlin", bucket, start, end)
    }

    fn in_zone(zone: &str, bucket: &str, start: &str, end: &str) -> Vec<String> {
        let bucket = Bucket::named(bucket).unwrap();
        let zone = Zone::named(zone).unwrap();
        edges(bucket, &zone, time(start), time(end), MAX).unwrap().iter().map(ToString::to_string).collect()
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
            in_zone("Asia/Kolkata", "1h", "2026-01-01T00:00Z", "2026-01-01T00:31Z"),
            ["2025-12-31T23:30:00Z", "2026-01-01T00:30:00Z", "2026-01-01T01:30:00Z"]
        );
    }

    #[test]
    fn hours_begin_by_the_clock_where_it_is_moved_by_half_of_one() {
        let on_lord_howe = |bucket, start, end| in_zone("Australia/Lord_Howe", bucket, start, end);
        // From 02:00 to 02:30: the hour of 02 has half an hour.
        assert_eq!(
            on_lord_howe("1h", "2026-10-03T14:30Z", "2026-10-03T17:00Z"),
            ["2026-10-03T14:30:00Z", "2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z", "2026-10-03T17:00:00Z"]
        );
        // From 02:00 back to 01:30: the hour of 01 has an hour and a half.
        assert_eq!(
            on_lord_howe("1h", "2026-04-04T14:00Z", "2026-04-04T16:30Z"),
            ["2026-04-04T14:00:00Z", "2026-04-04T15:30:00Z", "2026-04-04T16:30:00Z"]
        );
        assert_eq!(on_lord_howe("1h", "2026-10-03T13:30Z", "2026-10-04T13:00Z").len() - 1, 24);
        assert_eq!(on_lord_howe("1h", "2026-04-04T13:00Z", "2026-04-05T13:30Z").len() - 1, 24);
        // The half-hour that is shown twice is two.
        assert_eq!(on_lord_howe("30m", "2026-04-04T13:00Z", "2026-04-05T13:30Z").len() - 1, 49);
        assert_eq!(on_lord_howe("15m", "2026-10-03T13:30Z", "2026-10-04T13:00Z").len() - 1, 94);
        assert_eq!(
            on_lord_howe("2h", "2026-10-03T13:30Z", "2026-10-03T17:00Z"),
            ["2026-10-03T13:30:00Z", "2026-10-03T15:30:00Z", "2026-10-03T17:00:00Z"]
        );
        assert_eq!(
            on_lord_howe("2h", "2026-04-04T13:00Z", "2026-04-04T17:30Z"),
            ["2026-04-04T13:00:00Z", "2026-04-04T15:30:00Z", "2026-04-04T17:30:00Z"]
        );
        // At 00:01 back to 23:01: what the clock shows of another hour is a bucket of its own.
        assert_eq!(
            in_zone("America/St_Johns", "1h", "2006-10-29T01:30Z", "2006-10-29T04:30Z"),
            [
                "2006-10-29T01:30:00Z",
                "2006-10-29T02:30:00Z",
                "2006-10-29T02:31:00Z",
                "2006-10-29T03:30:00Z",
                "2006-10-29T04:30:00Z"
            ]
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
            in_zone("UTC", "3month", "2026-02-03", "2026-04-01"),
            ["2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z"]
        );
        assert_eq!(
            in_zone("UTC", "1year", "2026-02-03", "2026-02-04"),
            ["2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"]
        );
    }

    #[test]
    fn clocks_that_change_at_midnight_and_a_day_that_never_was() {
        // Havana goes from 01:00 back to 00:00: the first midnight begins the day, which has 25 hours.
        assert_eq!(
            in_zone("America/Havana", "1d", "2025-11-02T12:00Z", "2025-11-03T05:00Z"),
            ["2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"]
        );
        // Beirut skips midnight.
        assert_eq!(
            in_zone("Asia/Beirut", "1d", "2025-03-30T12:00Z", "2025-03-30T13:00Z"),
            ["2025-03-29T22:00:00Z", "2025-03-30T21:00:00Z"]
        );
        // Samoa went from the 29th to the 31st.
        assert_eq!(
            in_zone("Pacific/Apia", "1d", "2011-12-29T12:00Z", "2011-12-31T09:00Z"),
            ["2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"]
        );
        assert_eq!(in_zone("Pacific/Apia", "4h", "2011-12-30T09:59Z", "2011-12-30T10:00Z").len(), 2);
    }

    #[test]
    fn a_range_on_the_edges_has_no_bucket_more() {
        assert_eq!(
            in_zone("UTC", "1h", "2026-01-01T01:00", "2026-01-01T02:00"),
            ["2026-01-01T01:00:00Z", "2026-01-01T02:00:00Z"]
        );
        assert_eq!(in_zone("UTC", "1h", "2026-01-01T01:59:59.999999", "2026-01-01T02:00:00.000001").len(), 3);
    }

    #[test]
    fn the_number_is_bounded() {
        let range = (time("2026-01-01"), time("2026-01-02"));
        let minutes = Bucket::named("1m").unwrap();
        assert_eq!(edges(minutes, &Zone::UTC, range.0, range.1, 1_440).unwrap().len(), 1_441);
        let error = edges(minutes, &Zone::UTC, range.0, range.1, 1_439).unwrap_err();
        assert_eq!(error, TooManyBuckets { about: 1_441, max: 1_439 });
        let error =
            edges(Bucket::Seconds(1), &Zone::UTC, time("0001-01-01"), time("9999-12-31"), MAX).unwrap_err();
        assert!(error.about > 300_000_000_000, "{error}");
    }

    proptest! {
        #[test]
        fn edges_cover_the_range_in_order(
            name in prop::sample::select(Bucket::names().collect::<Vec<_>>()),
            zone in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe",
                "America/St_Johns", "Pacific/Apia", "America/Havana", "Africa/Monrovia",
            ]),
            start in 0_i64..10_000_000_000_000_000,
            buckets in 1_i64..200,
            share in 0.0_f64..1.0,
        ) {
            let bucket = Bucket::named(name).unwrap();
            let start = Timestamp::from_micros(start);
            let length = (bucket.usual_seconds() * 1_000_000 * buckets) as f64 * share;
            let end = start.plus_micros(length as i64 + 1);
            let edges = edges(bucket, &Zone::named(zone).unwrap(), start, end, MAX).unwrap();
            prop_assert!(edges.is_sorted_by(|one, other| one < other));
            prop_assert!(edges[0] <= start && start < edges[1]);
            prop_assert!(edges[edges.len() - 2] < end && end <= edges[edges.len() - 1]);
        }
    }
}
