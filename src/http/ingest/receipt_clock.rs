//! The time of receipt, for readings that say none of their own.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::reading::Timestamp;

/// How far the handed-out times may run ahead before they are taken for a clock that was set back.
const AHEAD_MAX_MICROS: i64 = 1_000_000;

/// Hands out each microsecond once, so that two readings of a sensor that came at the same moment, or in one
/// batch, are two rows and not a duplicate of each other.
#[derive(Debug, Default)]
pub(in crate::http) struct ReceiptClock(AtomicI64);

impl ReceiptClock {
    /// `now`, or the first later microsecond that nobody has got yet.
    pub(in crate::http) fn next(&self, now: Timestamp) -> Timestamp {
        let next_after = |last: i64| {
            let ahead = last.saturating_sub(now.micros());
            if (0..AHEAD_MAX_MICROS).contains(&ahead) { last + 1 } else { now.micros() }
        };
        let mut last = self.0.load(Ordering::Relaxed);
        loop {
            let next = next_after(last);
            match self.0.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Timestamp::from_micros(next),
                Err(actual) => last = actual,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn no_time_is_handed_out_twice() {
        let clock = ReceiptClock::default();
        assert_eq!(clock.next(at(5_000_000)), at(5_000_000));
        assert_eq!(clock.next(at(5_000_000)), at(5_000_001));
        assert_eq!(clock.next(at(4_999_999)), at(5_000_002));
        assert_eq!(clock.next(at(6_000_000)), at(6_000_000));
    }

    #[test]
    fn a_clock_set_back_is_followed() {
        let clock = ReceiptClock::default();
        clock.next(at(3_600_000_000));
        assert_eq!(clock.next(at(0)), at(0));
    }
}
