//! When a day begins and ends: at midnight, UTC.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};

use crate::reading::Timestamp;

const DAY_MICROS: i64 = 86_400_000_000;

/// The midnight that a day begins with.
pub(in crate::store) fn start_of(day: NaiveDate) -> Timestamp {
    Timestamp::from_micros(midnight(day).timestamp_micros())
}

/// The midnight that it ends with.
pub(in crate::store) fn end_of(day: NaiveDate) -> Timestamp {
    start_of(day).plus_micros(DAY_MICROS)
}

/// The same, as the database takes it.
pub(in crate::store) fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}
