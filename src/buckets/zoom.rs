//! How long a chart's buckets are at a zoom.

use std::fmt;

use crate::reading::Timestamp;

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;
const WEEK: u32 = 7 * DAY;

/// Each is a whole number of the one before; the last is 52 weeks.
const LADDER: [(u32, &str); 15] = [
    (1, "1s"),
    (5, "5s"),
    (15, "15s"),
    (MINUTE, "1m"),
    (5 * MINUTE, "5m"),
    (15 * MINUTE, "15m"),
    (HOUR, "1h"),
    (3 * HOUR, "3h"),
    (6 * HOUR, "6h"),
    (DAY, "1d"),
    (WEEK, "1w"),
    (2 * WEEK, "2w"),
    (4 * WEEK, "4w"),
    (12 * WEEK, "12w"),
    (48 * WEEK, "48w"),
];

/// A Monday's midnight, UTC: where buckets of every length begin.
const ORIGIN_MICROS: i64 = 4 * 86_400 * 1_000_000;

/// A rung of the ladder: a bucket's length, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(u32);

impl Step {
    /// What the envelopes of a day are kept in.
    pub const QUARTER_HOUR: Self = Self(15 * MINUTE);
    /// What statistics are kept of.
    pub const DAY: Self = Self(DAY);

    /// The shortest one that `width` of cover the range, at most by one more; the longest where none does.
    pub fn covering(start: Timestamp, end: Timestamp, width: usize) -> Self {
        let range = end.micros().saturating_sub(start.micros());
        let wanted = range / i64::try_from(width.max(1)).unwrap_or(i64::MAX);
        let (last, _) = LADDER[LADDER.len() - 1];
        let shortest = LADDER.iter().find(|(seconds, _)| Self(*seconds).micros() >= wanted);
        Self(shortest.map_or(last, |&(seconds, _)| seconds))
    }

    /// Its length.
    pub const fn micros(self) -> i64 {
        self.0 as i64 * 1_000_000
    }

    /// Where the bucket begins that a time falls into.
    pub const fn start_of(self, time: Timestamp) -> Timestamp {
        let since_origin = time.micros().saturating_sub(ORIGIN_MICROS);
        time.plus_micros(-since_origin.rem_euclid(self.micros()))
    }

    /// Where buckets begin and end that cover a range.
    pub fn edges(self, start: Timestamp, end: Timestamp) -> Vec<Timestamp> {
        let mut edges = vec![self.start_of(start)];
        while let Some(&last) = edges.last().filter(|last| **last < end) {
            edges.push(last.plus_micros(self.micros()));
        }
        edges
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = LADDER.iter().find(|(seconds, _)| *seconds == self.0).map_or("?", |&(_, name)| name);
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rungs_fit_into_each_other() {
        for pair in LADDER.windows(2) {
            assert_eq!(pair[1].0 % pair[0].0, 0, "{} {}", pair[0].1, pair[1].1);
        }
    }

    #[test]
    fn a_zoom_has_its_bucket() {
        let day = 86_400_000_000;
        let covering = |micros| {
            Step::covering(Timestamp::from_micros(0), Timestamp::from_micros(micros), 1_000).to_string()
        };
        for (micros, name) in [
            (1, "1s"),
            (day / 24, "5s"),
            (day, "5m"),
            (7 * day, "15m"),
            (90 * day, "3h"),
            (347 * day, "1d"),
            (30 * 365 * day, "2w"),
            (i64::MAX, "48w"),
        ] {
            assert_eq!(covering(micros), name, "{micros}");
        }
        let monday: Timestamp = "2026-11-16T00:00:00Z".parse().unwrap();
        let week = Step(WEEK);
        assert_eq!(week.start_of(monday), monday);
        assert_eq!(week.start_of(monday.plus_micros(-1)), monday.plus_micros(-7 * day));
    }

    proptest! {
        #[test]
        fn as_many_buckets_as_the_width_and_a_few(
            start in 0_i64..4_000_000_000_000_000,
            length in 1_i64..900_000_000_000_000,
            width in 2_usize..4_000,
        ) {
            let (start, end) = (Timestamp::from_micros(start), Timestamp::from_micros(start + length));
            let step = Step::covering(start, end, width);
            let edges = step.edges(start, end);
            prop_assert!(edges[0] <= start && end <= edges[edges.len() - 1]);
            let wanted = width.max((length / Step(LADDER[LADDER.len() - 1].0).micros()) as usize);
            prop_assert!(edges.len() <= wanted + 3, "{step}: {}", edges.len());
        }
    }
}
