//! Time in buckets: how long they are, where they begin in a zone's calendar, and what fills those without readings.
//!
//! Pure. Where buckets begin is worked out here, not in SQL: `time_bucket` joins the two hours that a clock shows
//! twice when summer time ends, and a database's zone rules are as old as its packages.

mod edges;
mod envelope;
mod fill;
mod zone;
mod zoom;

use std::fmt;

pub use self::{
    edges::{TooManyBuckets, edges},
    envelope::{Envelope, Envelopes},
    fill::{Fill, fill},
    zone::Zone,
    zoom::Step,
};

const MINUTE: u32 = 60;
const HOUR: u32 = 3_600;

/// How long a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// So many seconds, which divide the day: from when the local clock shows a multiple of them.
    ///
    /// Up to an hour, one begins each time that it does: an hour that is shown twice is two. Of longer ones, the one in
    /// which the clock is put back is longer. Where the clock skips a multiple, the bucket begins when it does.
    Seconds(u32),
    /// From local midnight to the next: 23 or 25 hours where the clocks change.
    Day,
    /// From Monday to Monday.
    Week,
    /// So many calendar months, which divide the year.
    Months(u32),
}

/// Every bucket that can be asked for.
const NAMES: [(&str, Bucket); 28] = [
    ("1s", Bucket::Seconds(1)),
    ("5s", Bucket::Seconds(5)),
    ("10s", Bucket::Seconds(10)),
    ("15s", Bucket::Seconds(15)),
    ("30s", Bucket::Seconds(30)),
    ("1m", Bucket::Seconds(MINUTE)),
    ("2m", Bucket::Seconds(2 * MINUTE)),
    ("3m", Bucket::Seconds(3 * MINUTE)),
    ("5m", Bucket::Seconds(5 * MINUTE)),
    ("10m", Bucket::Seconds(10 * MINUTE)),
    ("15m", Bucket::Seconds(15 * MINUTE)),
    ("20m", Bucket::Seconds(20 * MINUTE)),
    ("30m", Bucket::Seconds(30 * MINUTE)),
    ("1h", Bucket::Seconds(HOUR)),
    ("2h", Bucket::Seconds(2 * HOUR)),
    ("3h", Bucket::Seconds(3 * HOUR)),
    ("4h", Bucket::Seconds(4 * HOUR)),
    ("6h", Bucket::Seconds(6 * HOUR)),
    ("8h", Bucket::Seconds(8 * HOUR)),
    ("12h", Bucket::Seconds(12 * HOUR)),
    ("1d", Bucket::Day),
    ("1w", Bucket::Week),
    ("1month", Bucket::Months(1)),
    ("2month", Bucket::Months(2)),
    ("3month", Bucket::Months(3)),
    ("4month", Bucket::Months(4)),
    ("6month", Bucket::Months(6)),
    ("1year", Bucket::Months(12)),
];

impl Bucket {
    /// The bucket of this name.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|&(_, bucket)| bucket)
    }

    /// Every name, for people.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|&(name, _)| name)
    }

    /// How long it mostly is.
    pub fn usual_seconds(self) -> i64 {
        const DAY: i64 = 86_400;
        match self {
            Self::Seconds(seconds) => i64::from(seconds),
            Self::Day => DAY,
            Self::Week => 7 * DAY,
            // Of the mean Gregorian year, 365.2425 days.
            Self::Months(months) => i64::from(months) * 2_629_746,
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, bucket)| bucket == self).map_or("?", |&(name, _)| name);
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_its_bucket_and_divides_what_is_above_it() {
        for name in Bucket::names() {
            let bucket = Bucket::named(name).unwrap();
            assert_eq!(bucket.to_string(), name);
            match bucket {
                Bucket::Seconds(seconds) => assert_eq!(86_400 % seconds, 0, "{name}"),
                Bucket::Months(months) => assert_eq!(12 % months, 0, "{name}"),
                Bucket::Day | Bucket::Week => {}
            }
        }
        assert_eq!(Bucket::named("7m"), None);
        assert_eq!(Bucket::named("1H"), None);
    }
}
