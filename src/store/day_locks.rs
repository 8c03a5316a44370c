//! What keeps `daily_stats` and the readings in step, under READ COMMITTED and in any order of events.
//!
//! A row of `daily_stats` is there only while it agrees with the committed readings of its sensor and UTC day:
//!
//! - Whoever changes readings takes the **shared** lock of each day that it touches before it does, and then, in a
//!   later statement, deletes the rows of the days and sensors that it touches.
//! - Whoever fills in a row *tries* the day's **exclusive** lock, computes in a later statement, inserts and commits.
//!   Where the lock is not to be had, it answers from the readings and keeps nothing.
//! - All locks last until the transaction ends. A reader uses one statement, or one snapshot.
//!
//! So while a row is computed, nobody who changes its day is under way, and whoever comes next sees the row and
//! deletes it. Neither half does without the later statement: one that began before the lock was granted looks at
//! what was there then. Today is a day like any other; that it is not worth keeping is for the reader to decide.
//!
//! A filler also locks its sensor, as everybody does, so whoever deletes a sensor needs no lock but that one. Retention
//! locks all sensors; see there.
//!
//! Days share a bounded number of locks. Everybody takes locks in the order offsets, sensors, days, rows of
//! `daily_stats`, readings; the days' and the rows' in ascending order.

use chrono::{Days, NaiveDate};

/// First key of the advisory locks: "days" in ASCII.
pub(super) const LOCK_CLASS: i32 = 0x6461_7973;
/// So many locks; the second key is the day's number modulo this.
pub(super) const LOCK_SLOTS: i32 = 64;

/// Day 0, as in Postgres.
const EPOCH: NaiveDate = NaiveDate::from_ymd_opt(2000, 1, 1).expect("a date");
const DAY_MICROS: i64 = 86_400_000_000;

/// Number of the UTC day that a time in microseconds since 2000-01-01 falls into.
pub(super) const fn day_number(postgres_micros: i64) -> i64 {
    postgres_micros.div_euclid(DAY_MICROS)
}

/// The day of this number.
pub(super) fn day_of(number: i64) -> NaiveDate {
    let days = Days::new(number.unsigned_abs());
    let day = if number < 0 { EPOCH.checked_sub_days(days) } else { EPOCH.checked_add_days(days) };
    day.expect("days of readings are within chrono's range, which is wider than Postgres'")
}

/// The day after; the last one of chrono's has none, and comes after every reading that can be told.
pub(super) fn next_day(day: NaiveDate) -> NaiveDate {
    day.succ_opt().unwrap_or(day)
}

/// Second key of the lock of the day of this number.
pub(super) const fn slot(number: i64) -> i32 {
    number.rem_euclid(LOCK_SLOTS as i64) as i32
}

/// Second key of a day's lock.
pub(super) fn slot_of(day: NaiveDate) -> i32 {
    slot((day - EPOCH).num_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_and_share_the_slots() {
        for (micros, number, day) in [
            (0, 0, "2000-01-01"),
            (DAY_MICROS - 1, 0, "2000-01-01"),
            (DAY_MICROS, 1, "2000-01-02"),
            (-1, -1, "1999-12-31"),
        ] {
            assert_eq!(day_number(micros), number);
            assert_eq!(day_of(number).to_string(), day);
            assert_eq!(slot(number), slot_of(day_of(number)));
        }
        assert_eq!((slot(-1), slot(63), slot(64)), (63, 63, 0));
    }
}
