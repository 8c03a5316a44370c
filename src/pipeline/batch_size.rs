//! How much a batch may have: less for a while where one was too much for the database. Pure.

use crate::batch::Batch;

/// So many batches in a row that were written, before the next ones may have twice as much.
const GOOD_BATCHES: u32 = 8;

/// The bound on a consumer's batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSize {
    max_readings: usize,
    readings: usize,
    /// Records are not split: readings alone would not keep one that is much by itself apart from its neighbours.
    records: usize,
    good: u32,
}

impl BatchSize {
    /// As configured, to begin with.
    pub(super) fn new(max_readings: usize) -> Self {
        Self { max_readings, readings: max_readings, records: usize::MAX, good: 0 }
    }

    /// Sets it for a batch.
    pub(super) fn limit(&self, batch: &mut Batch) {
        batch.limit(self.readings, self.records);
    }

    /// A batch of so many records was too much; so many readings may fit.
    pub(super) fn cut(&mut self, records: usize, fits: usize) {
        self.readings = fits.clamp(1, self.max_readings);
        self.records = (records / 2).max(1);
        self.good = 0;
    }

    /// A batch was written.
    pub(super) fn written(&mut self) {
        self.good += 1;
        if self.good >= GOOD_BATCHES {
            self.good = 0;
            self.readings = self.readings.saturating_mul(2).min(self.max_readings);
            self.records = self.records.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_to_what_is_configured() {
        let mut size = BatchSize::new(1_000);
        size.cut(500, 0);
        assert_eq!((size.readings, size.records), (1, 250));
        for _ in 0..8 * 10 {
            assert!(size.readings < 1_000);
            size.written();
        }
        assert_eq!(size.readings, 1_000);
        size.cut(3, 5_000);
        assert_eq!((size.readings, size.records), (1_000, 1));
        for _ in 0..8 * 64 {
            size.written();
        }
        assert_eq!(size.records, usize::MAX);
    }
}
