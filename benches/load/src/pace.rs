//! When: records leave on schedule, however long the answers to those before them take.

use std::time::Duration;

use crate::config::LoadConfig;

/// Readings where the command line says neither how many nor for how long.
pub(crate) const COUNT_DEFAULT: u64 = 100_000;

/// How fast records go, and when it is enough.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    records_per_second: Option<f64>,
    records: Option<u64>,
    duration: Option<Duration>,
}

impl Pace {
    /// As the command line has it.
    pub(crate) fn new(config: &LoadConfig) -> Self {
        let per_record = config.readings_per_record;
        let records_per_second = config.rate.map(|rate| rate as f64 / per_record as f64);
        let records = match (config.count, config.duration, records_per_second) {
            (Some(count), _, _) => Some(count.div_ceil(per_record)),
            (None, None, _) => Some(COUNT_DEFAULT.div_ceil(per_record)),
            (None, Some(duration), Some(rate)) => Some((rate * duration.as_secs_f64()).ceil() as u64),
            (None, Some(_), None) => None,
        };
        let duration = if records.is_none() { config.duration } else { None };
        Self { records_per_second, records, duration }
    }

    /// How many records there will be; none where only the time is known.
    pub(crate) fn records(&self) -> Option<u64> {
        self.records
    }

    /// Whether record `number`, counted from 0, is past the end after so much time.
    pub(crate) fn is_over(&self, number: u64, elapsed: Duration) -> bool {
        self.records.is_some_and(|records| number >= records)
            || self.duration.is_some_and(|duration| elapsed >= duration)
    }

    /// When record `number` is due, counted from the start; none where each goes as soon as it can.
    pub(crate) fn due(&self, number: u64) -> Option<Duration> {
        self.records_per_second.map(|rate| Duration::from_secs_f64(number as f64 / rate))
    }

    /// Every how many records one's way into the database is followed: enough for percentiles, few enough to keep.
    pub(crate) fn sample_every(&self) -> u64 {
        const SAMPLES: u64 = 500_000;
        const RECORDS_PER_SECOND_GUESS: u64 = 1_000_000;
        let guess = self.duration.map(|duration| (duration.as_secs() + 1) * RECORDS_PER_SECOND_GUESS);
        self.records.or(guess).unwrap_or(0).div_ceil(SAMPLES).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_due_at_the_rate() {
        let pace = Pace { records_per_second: Some(4.0), records: Some(8), duration: None };
        assert_eq!(pace.due(0), Some(Duration::ZERO));
        assert_eq!(pace.due(6), Some(Duration::from_millis(1_500)));
        assert!(!pace.is_over(7, Duration::from_secs(100)));
        assert!(pace.is_over(8, Duration::ZERO));
    }

    #[test]
    fn without_a_rate_or_a_count_time_ends_it() {
        let pace = Pace { records_per_second: None, records: None, duration: Some(Duration::from_secs(3)) };
        assert_eq!(pace.due(6), None);
        assert!(!pace.is_over(1_000_000, Duration::from_millis(2_999)));
        assert!(pace.is_over(0, Duration::from_secs(3)));
        assert_eq!(pace.sample_every(), 8);
    }
}
