//! How fast an audit goes, so that it starves nobody who shares its machine or its database.

use std::time::{Duration, Instant};

/// Readings that are looked up at a time by an audit that may use any share of a core.
const CHUNK_READINGS: usize = 50_000;
/// By one that may not: shorter bursts, and what shares the machine waits for none of them for long.
const PACED_CHUNK_READINGS: usize = 10_000;

/// Readings that are looked up at a time.
pub fn chunk_readings(cpu_share: Option<f64>) -> usize {
    if cpu_share.is_some() { PACED_CHUNK_READINGS } else { CHUNK_READINGS }
}

/// Spreads work over time; whatever runs at the same time shares one.
#[derive(Debug)]
pub struct Pace {
    cpu_share: Option<f64>,
    /// Until then everything that may be spent is spent; none before any work.
    spent_until: Option<Instant>,
}

impl Pace {
    /// Nothing is spent yet of this share of one core, above 0 and up to 1; none where it is not bounded.
    pub fn new(cpu_share: Option<f64>) -> Self {
        Self { cpu_share, spent_until: None }
    }

    /// Adds work that was begun at `started`, and tells when more may follow. It was at work for so long: the reader
    /// decoding, the database looking up, and not waiting for Kafka. Time in which there was no work is not saved up.
    pub fn charge(&mut self, started: Instant, busy: Duration) -> Instant {
        let from = self.spent_until.map_or(started, |spent| spent.max(started));
        let until = from + self.cpu_share.map_or(busy, |share| busy.div_f64(share.clamp(0.001, 1.0)));
        self.spent_until = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Duration = Duration::from_millis(30);

    /// Pieces of work, each begun when the one before and its pause are over. How long all of it takes.
    fn elapsed(cpu_share: Option<f64>, pieces: u32) -> Duration {
        let begin = Instant::now();
        let (mut pace, mut now) = (Pace::new(cpu_share), begin);
        for _ in 0..pieces {
            now = pace.charge(now, BUSY).max(now + BUSY);
        }
        now - begin
    }

    #[test]
    fn work_takes_its_share_of_the_time() {
        assert_eq!(elapsed(Some(0.1), 50), 500 * BUSY);
        assert_eq!(elapsed(Some(0.5), 50), 100 * BUSY);
        assert_eq!(elapsed(Some(1.0), 50), 50 * BUSY);
        assert_eq!(elapsed(None, 50), 50 * BUSY);
    }

    #[test]
    fn partitions_that_are_read_at_the_same_time_share_one_budget() {
        let begin = Instant::now();
        let mut pace = Pace::new(Some(0.1));
        let mut now = begin;
        for _ in 0..50 {
            // Two at once: both begin now, and go on when both may.
            let one = pace.charge(now, BUSY);
            now = pace.charge(now, BUSY).max(one);
        }
        assert_eq!(now - begin, 1_000 * BUSY);
    }

    #[test]
    fn a_quiet_hour_is_not_made_up_for() {
        let mut pace = Pace::new(Some(0.1));
        let later = pace.charge(Instant::now(), BUSY) + Duration::from_secs(3_600);
        assert_eq!(pace.charge(later, BUSY), later + 10 * BUSY);
    }

    #[test]
    fn bounded_audits_look_up_less_at_a_time() {
        assert_eq!([None, Some(0.1)].map(chunk_readings), [CHUNK_READINGS, 10_000]);
    }
}
