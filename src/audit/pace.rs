//! How fast an audit goes, so that it starves nobody who shares its machine or its database.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// Bounds on an audit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Share of one core, above 0 and up to 1; none where it is not bounded.
    pub cpu_share: Option<f64>,
    /// Records in a second; none where they are not bounded.
    pub records_per_second: Option<u32>,
}

/// What a piece of the audit took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// How long it was at work: the reader decoding, the database looking up. Waiting for Kafka is none.
    pub busy: Duration,
    /// Records of the log.
    pub records: u32,
}

/// Readings that are looked up at a time where nothing bounds the audit.
const CHUNK_READINGS: usize = 50_000;
/// Where something does: shorter bursts, and what shares the machine waits for none of them for long.
const PACED_CHUNK_READINGS: RangeInclusive<usize> = 1_000..=10_000;

impl Budget {
    /// Readings that are looked up at a time: where records have a rate, about a second's.
    pub fn chunk_readings(&self) -> usize {
        let (least, most) = (*PACED_CHUNK_READINGS.start(), *PACED_CHUNK_READINGS.end());
        match *self {
            Self { cpu_share: None, records_per_second: None } => CHUNK_READINGS,
            Self { records_per_second: Some(records), .. } => (records as usize).clamp(least, most),
            Self { cpu_share: Some(_), records_per_second: None } => most,
        }
    }

    /// The time that such work may fill.
    fn time_of(&self, work: Work) -> Duration {
        let by_cpu = self.cpu_share.map_or(work.busy, |share| work.busy.div_f64(share.clamp(0.001, 1.0)));
        let by_records = self.records_per_second.map_or(Duration::ZERO, |most| {
            Duration::from_secs(1).mul_f64(f64::from(work.records) / f64::from(most.max(1)))
        });
        by_cpu.max(by_records)
    }
}

/// Spreads work over time; whatever runs at the same time shares one.
#[derive(Debug)]
pub struct Pace {
    budget: Budget,
    /// Until then everything that may be spent is spent; none before any work.
    spent_until: Option<Instant>,
}

impl Pace {
    /// Nothing is spent yet.
    pub fn new(budget: Budget) -> Self {
        Self { budget, spent_until: None }
    }

    /// Adds work that was begun at `started`, and tells when more may follow. Time in which there was no work is not
    /// saved up.
    pub fn charge(&mut self, started: Instant, work: Work) -> Instant {
        let from = self.spent_until.map_or(started, |spent| spent.max(started));
        let until = from + self.budget.time_of(work);
        self.spent_until = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Duration = Duration::from_millis(30);

    /// Pieces of work, each begun when the one before and its pause are over. How long all of it takes.
    fn elapsed(budget: Budget, pieces: u32, records: u32) -> Duration {
        let begin = Instant::now();
        let (mut pace, mut now) = (Pace::new(budget), begin);
        for _ in 0..pieces {
            now = pace.charge(now, Work { busy: BUSY, records }).max(now + BUSY);
        }
        now - begin
    }

    #[test]
    fn work_takes_its_share_of_the_time() {
        let share = |share| Budget { cpu_share: Some(share), records_per_second: None };
        assert_eq!(elapsed(share(0.1), 50, 1), 500 * BUSY);
        assert_eq!(elapsed(share(0.5), 50, 1), 100 * BUSY);
        assert_eq!(elapsed(share(1.0), 50, 1), 50 * BUSY);
        assert_eq!(elapsed(Budget::default(), 50, 1), 50 * BUSY);
    }

    #[test]
    fn records_have_a_rate_and_the_stricter_bound_holds() {
        let rate = Budget { cpu_share: None, records_per_second: Some(100) };
        assert_eq!(elapsed(rate, 20, 50), Duration::from_secs(10));
        assert_eq!(elapsed(rate, 20, 1), 20 * BUSY, "below the rate nothing is held back");
        let both = Budget { cpu_share: Some(0.1), ..rate };
        assert_eq!(elapsed(both, 20, 50), Duration::from_secs(10));
        assert_eq!(elapsed(both, 20, 1), 200 * BUSY);
    }

    #[test]
    fn partitions_that_are_read_at_the_same_time_share_one_budget() {
        let begin = Instant::now();
        let mut pace = Pace::new(Budget { cpu_share: Some(0.1), records_per_second: None });
        let mut now = begin;
        for _ in 0..50 {
            // Two at once: both begin now, and go on when both may.
            let one = pace.charge(now, Work { busy: BUSY, records: 1 });
            now = pace.charge(now, Work { busy: BUSY, records: 1 }).max(one);
        }
        assert_eq!(now - begin, 1_000 * BUSY);
    }

    #[test]
    fn a_quiet_hour_is_not_made_up_for() {
        let mut pace = Pace::new(Budget { cpu_share: Some(0.1), records_per_second: None });
        let work = Work { busy: BUSY, records: 1 };
        let later = pace.charge(Instant::now(), work) + Duration::from_secs(3_600);
        assert_eq!(pace.charge(later, work), later + 10 * BUSY);
    }

    #[test]
    fn bounded_audits_look_up_less_at_a_time() {
        assert_eq!(Budget::default().chunk_readings(), CHUNK_READINGS);
        let share = Budget { cpu_share: Some(0.1), records_per_second: None };
        assert_eq!(share.chunk_readings(), 10_000);
        let rate = |records| Budget { records_per_second: Some(records), ..share };
        assert_eq!([20, 5_000, 90_000].map(|records| rate(records).chunk_readings()), [1_000, 5_000, 10_000]);
    }
}
