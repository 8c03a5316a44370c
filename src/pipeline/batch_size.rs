//! How many readings a batch may have: fewer for a while where one was too much for the database. Pure.

/// So many batches in a row that were written, before the next ones may have twice as many readings.
const GOOD_BATCHES: u32 = 8;

/// The bound on a consumer's batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchSize {
    max: usize,
    now: usize,
    good: u32,
}

impl BatchSize {
    /// As configured, to begin with.
    pub(super) fn new(max: usize) -> Self {
        Self { max, now: max, good: 0 }
    }

    /// Readings of the next batch.
    pub(super) fn readings(&self) -> usize {
        self.now
    }

    /// A batch was too much; so many may fit.
    pub(super) fn cut_to(&mut self, fits: usize) {
        self.now = fits.clamp(1, self.max);
        self.good = 0;
    }

    /// A batch was written.
    pub(super) fn written(&mut self) {
        self.good += 1;
        if self.good >= GOOD_BATCHES {
            self.good = 0;
            self.now = self.now.saturating_mul(2).min(self.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_to_what_is_configured() {
        let mut size = BatchSize::new(1_000);
        size.cut_to(0);
        assert_eq!(size.readings(), 1);
        for _ in 0..8 * 10 {
            assert!(size.readings() < 1_000);
            size.written();
        }
        assert_eq!(size.readings(), 1_000);
        size.cut_to(5_000);
        assert_eq!(size.readings(), 1_000);
    }
}
