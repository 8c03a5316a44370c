//! How many rows a portion has, so that each takes about as long.

use std::time::Duration;

const ROWS_FIRST: i64 = 1_000;
const ROWS_MIN: i64 = 100;
const ROWS_MAX: i64 = 20_000;
/// What a portion is to take: long enough to be worth a transaction, short enough that nobody notices its locks.
const WANTED: Duration = Duration::from_millis(200);

/// The size of the next portion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PortionSize(i64);

impl Default for PortionSize {
    fn default() -> Self {
        Self(ROWS_FIRST)
    }
}

impl PortionSize {
    /// Rows of the next portion.
    pub(super) fn rows(self) -> i64 {
        self.0
    }

    /// Learns from a portion that took so long: doubles where it was quick, halves where it was slow.
    pub(super) fn adapt(&mut self, took: Duration) {
        if took > WANTED * 2 {
            self.0 = (self.0 / 2).max(ROWS_MIN);
        } else if took < WANTED / 2 {
            self.0 = (self.0 * 2).min(ROWS_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_grow_and_shrink_within_bounds() {
        let mut size = PortionSize::default();
        size.adapt(Duration::from_millis(150));
        assert_eq!(size.rows(), ROWS_FIRST, "as wanted");
        for _ in 0..10 {
            size.adapt(Duration::from_millis(10));
        }
        assert_eq!(size.rows(), ROWS_MAX);
        size.adapt(Duration::from_millis(900));
        assert_eq!(size.rows(), ROWS_MAX / 2);
        for _ in 0..20 {
            size.adapt(Duration::from_secs(5));
        }
        assert_eq!(size.rows(), ROWS_MIN);
    }
}
