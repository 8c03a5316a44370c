//! Which reading times are accepted as time goes by.

use super::{Timestamp, Window};

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// The rules; what they come to depends on the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// Earliest time that is ever accepted.
    pub since: Timestamp,
    /// How far ahead of the clock a reading may be, in microseconds.
    pub ahead_micros: i64,
    /// For how long readings stay, in microseconds; for ever where not set.
    pub retention_micros: Option<i64>,
}

impl Acceptance {
    /// The times that are accepted at this moment.
    pub fn window(&self, now: Timestamp) -> Window {
        let edge = self.retention_edge(now).unwrap_or(self.since);
        Window { since: self.since.max(edge), until: now.plus_micros(self.ahead_micros) }
    }

    /// The midnight before which readings go. Whole days, so that no day's statistics lose a part of it.
    pub fn retention_edge(&self, now: Timestamp) -> Option<Timestamp> {
        let oldest = now.plus_micros(self.retention_micros?.saturating_neg()).micros();
        Some(Timestamp::from_micros(oldest.div_euclid(DAY_MICROS).saturating_mul(DAY_MICROS)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_window_moves_with_the_clock_in_whole_days() {
        let mut acceptance = Acceptance {
            since: at("2000-01-01T00:00:00Z"),
            ahead_micros: DAY_MICROS / 24,
            retention_micros: None,
        };
        let now = at("2026-03-10T15:00:00Z");
        let forever = acceptance.window(now);
        assert_eq!(forever.since, acceptance.since);
        assert_eq!(forever.until, at("2026-03-10T16:00:00Z"));
        acceptance.retention_micros = Some(2 * DAY_MICROS);
        assert_eq!(acceptance.window(now).since, at("2026-03-08T00:00:00Z"));
        assert_eq!(acceptance.window(at("2026-03-11T00:00:00Z")).since, at("2026-03-09T00:00:00Z"));
        acceptance.since = at("2026-03-09T07:00:00Z");
        assert_eq!(acceptance.window(now).since, acceptance.since, "the later of the two");
    }
}
