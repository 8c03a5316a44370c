//! What is left of many readings so that a chart of them shows how far they reach.

use std::collections::BTreeMap;

use super::Step;
use crate::reading::Timestamp;

/// Readings as far as a chart shows them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Envelope {
    /// How many.
    pub count: i64,
    /// The smallest value.
    pub min: f64,
    /// The largest one.
    pub max: f64,
    /// The mean.
    pub avg: f64,
}

impl Envelope {
    /// That of a single value.
    pub const fn of(value: f64) -> Self {
        Self { count: 1, min: value, max: value, avg: value }
    }

    /// That of these and others together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let count = self.count + other.count;
        let share = |part: Self| part.avg * (part.count as f64 / count as f64);
        let (min, max) = (self.min.min(other.min), self.max.max(other.max));
        // Rounding takes it past the largest double, or makes the smallest one vanish.
        let avg = share(self) + share(other);
        Self { count, min, max, avg: if avg.is_nan() { avg } else { avg.max(min).min(max) } }
    }
}

/// Envelopes by bucket, put together from finer ones in any order.
#[derive(Debug)]
pub struct Envelopes {
    step: Step,
    buckets: BTreeMap<Timestamp, Envelope>,
}

impl Envelopes {
    /// None yet.
    pub fn new(step: Step) -> Self {
        Self { step, buckets: BTreeMap::new() }
    }

    /// Adds what began then and does not reach out of the bucket of that time.
    pub fn add(&mut self, time: Timestamp, envelope: Envelope) {
        let bucket = self.buckets.entry(self.step.start_of(time));
        bucket.and_modify(|present| *present = present.with(envelope)).or_insert(envelope);
    }

    /// Each bucket that has readings by its start, the oldest first.
    pub fn into_points(self) -> Vec<(Timestamp, Envelope)> {
        self.buckets.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mean_lies_between_the_extremes() {
        for value in [f64::MAX, f64::MIN, f64::from_bits(1), 0.1] {
            let of = |count| Envelope { count, ..Envelope::of(value) };
            for (few, more) in [(1, 1), (1, 2), (3, 4), (7, 1)] {
                assert_eq!(of(few).with(of(more)), of(few + more), "{value:e}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_value_vanishes(values in proptest::collection::vec((0_i64..200_000, -1e300_f64..1e300), 1..200)) {
            let mut hours = Envelopes::new(Step::covering(
                Timestamp::from_micros(0), Timestamp::from_micros(3_600_000_000), 1));
            for &(second, value) in &values {
                hours.add(Timestamp::from_micros(second * 1_000_000), Envelope::of(value));
            }
            let points = hours.into_points();
            for &(second, value) in &values {
                let start = Timestamp::from_micros(second / 3_600 * 3_600_000_000);
                let (_, envelope) = points.iter().find(|(at, _)| *at == start).unwrap();
                prop_assert!(envelope.min <= value && value <= envelope.max);
                prop_assert!(envelope.avg.is_finite());
            }
            let together = points.iter().map(|(_, envelope)| *envelope).reduce(Envelope::with).unwrap();
            prop_assert_eq!(together.count, values.len() as i64);
            let mean = values.iter().map(|(_, value)| value / values.len() as f64).sum::<f64>();
            prop_assert!((together.avg - mean).abs() <= 1e289, "{} {mean}", together.avg);
        }
    }
}
