//! Days of sensors whose statistics could not be computed or kept: the others go on.

use std::fmt;

use chrono::NaiveDate;

use crate::{metrics::DAYS_KEPT, store::StoreError};

/// What failed in one round of work. Only the first failure is named: the log gets one line a round.
#[derive(Debug, Default)]
pub struct FailedDays {
    count: u64,
    first: Option<FailedDay>,
}

#[derive(Debug)]
struct FailedDay {
    sensor_id: i32,
    day: NaiveDate,
    error: StoreError,
}

impl FailedDays {
    /// How many days of sensors.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// None where nothing failed.
    pub fn any(self) -> Option<Self> {
        (self.count > 0).then_some(self)
    }

    /// The SQLSTATE of the first failure.
    pub fn sqlstate(&self) -> Option<String> {
        self.first.as_ref()?.error.sqlstate()
    }

    /// Takes the outcome of one day. A failure that would meet every other day, too, ends the round; one that passes by
    /// itself makes the day wait for the next round.
    pub(in crate::store) fn take<T: Default>(
        &mut self,
        sensor_id: i32,
        day: NaiveDate,
        outcome: Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let error = match outcome {
            Err(error) if error.is_of_the_work() => error,
            outcome => return outcome,
        };
        if error.gave_way() {
            metrics::counter!(DAYS_KEPT, "outcome" => "busy").increment(1);
            return Ok(T::default());
        }
        metrics::counter!(DAYS_KEPT, "outcome" => "failed").increment(1);
        self.count += 1;
        self.first.get_or_insert(FailedDay { sensor_id, day, error });
        Ok(T::default())
    }
}

impl fmt::Display for FailedDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(FailedDay { sensor_id, day, error }) = &self.first else { return f.write_str("none") };
        let cause = error.server_message();
        match self.count {
            1 => write!(f, "sensor {sensor_id}, day {day}: {error}: {cause}"),
            count => {
                write!(f, "{count} days of sensors, first sensor {sensor_id}, day {day}: {error}: {cause}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::error::Refusal;

    const DAY: NaiveDate = NaiveDate::from_ymd_opt(2026, 11, 1).expect("a date");

    #[test]
    fn what_meets_all_days_ends_the_round() {
        let mut failed = FailedDays::default();
        let refused = |code: &str, words: &str| {
            let refusal = Refusal { code: code.to_owned(), words: words.to_owned() };
            Err::<bool, _>(StoreError::refused("keeping daily statistics", refusal))
        };
        assert!(failed.take(1, DAY, Ok(true)).unwrap());
        assert!(!failed.take(3, DAY, refused("P0001", "not this one")).unwrap());
        assert!(!failed.take(4, DAY, refused("22003", "out of range")).unwrap());
        assert!(!failed.take(5, DAY, refused("40P01", "deadlock detected")).unwrap());
        for (code, words) in
            [("42501", "permission denied"), ("57P01", "shutting down"), ("53100", "no space")]
        {
            failed.take(6, DAY, refused(code, words)).unwrap_err();
        }
        assert_eq!(
            failed.to_string(),
            "2 days of sensors, first sensor 3, day 2026-11-01: keeping daily statistics failed: not this one"
        );
        assert_eq!(failed.sqlstate().as_deref(), Some("P0001"));
    }
}
