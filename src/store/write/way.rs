//! Which way the readings of a batch are tried first, by what the batches before met. Pure.
//!
//! COPY is the fastest way and ends at the first reading that is there already. A statement that goes around those costs
//! twice as much and does not mind how many there are. In between a batch is copied in portions: a repeat costs its
//! portion, not the batch.

/// Rows that are tried as one where repeats are met now and then.
pub(super) const PORTION: usize = 4_096;

/// How rows are tried first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store) enum Way {
    /// All by one COPY.
    #[default]
    Copy,
    /// By a COPY for each portion.
    Portions,
    /// By statements that leave out what is there already.
    Staged,
}

/// What late batches met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    /// Rows of late batches, and those of them that were there already; older ones count for less.
    rows: f64,
    repeats: f64,
    /// More than one row of each portion of the last batch was there already.
    is_mostly_repeats: bool,
}

/// How much a batch counts for, beside the one after it.
const FADING: f64 = 7.0 / 8.0;
/// From this share of repeats on portions are worth their round trips.
const SHARE: f64 = 1e-6;

impl Met {
    /// Notes a batch that was written.
    pub(super) fn note(&mut self, rows: usize, repeats: usize) {
        if rows == 0 {
            return;
        }
        self.rows = self.rows * FADING + rows as f64;
        self.repeats = self.repeats * FADING + repeats as f64;
        self.is_mostly_repeats = repeats > rows.div_ceil(PORTION);
    }

    /// The way for the next batch.
    pub(super) fn way(&self) -> Way {
        if self.is_mostly_repeats {
            Way::Staged
        } else if self.repeats > self.rows * SHARE {
            Way::Portions
        } else {
            Way::Copy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copying_comes_back_at_once() {
        let mut met = Met::default();
        assert_eq!(met.way(), Way::Copy);
        met.note(50_000, 50_000);
        assert_eq!(met.way(), Way::Staged, "a replay");
        met.note(50_000, 0);
        assert_eq!(met.way(), Way::Portions, "its end");
        for _ in 0..150 {
            met.note(50_000, 0);
        }
        assert_eq!(met.way(), Way::Copy);
    }

    #[test]
    fn a_repeat_now_and_then_costs_a_portion() {
        let mut met = Met::default();
        for batch in 0..100 {
            met.note(50_000, batch % 2);
            if batch > 0 {
                assert_eq!(met.way(), Way::Portions, "batch {batch}");
            }
        }
        met.note(10, 1);
        assert_eq!(met.way(), Way::Portions, "one of a small batch");
        met.note(10, 2);
        assert_eq!(met.way(), Way::Staged);
        met.note(0, 0);
        assert_eq!(met.way(), Way::Staged, "nothing says nothing");
    }
}
