//! Sum, mean and deviation of values that Postgres' own aggregates may refuse.
//!
//! `avg` and `stddev_samp` keep the sum of squares besides, which overflows for values from about 1e154 on; `sum` fails
//! where an intermediate sum is past the largest double. Where they have an answer, it is the answer here, bit for bit;
//! elsewhere it is the exact one, rounded once.

use super::exact_sum::ExactSum;
use crate::store::queries::measure::Measure;

/// By this, squares of any doubles fit into doubles. What it makes vanish is too small to matter beside what overflowed.
const SCALE: i32 = -600;

/// What a bucket's values come to so far.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    count: u64,
    /// None since Postgres would have failed.
    sum: Option<f64>,
    /// The same.
    accumulated: Option<Accumulated>,
    scaled: Accumulated,
    exact: ExactSum,
    /// Values that are no numbers, which only others' SQL can store, have neither sum nor mean.
    has_only_numbers: bool,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            count: 0,
            sum: Some(0.0),
            accumulated: Some(Accumulated::default()),
            scaled: Accumulated::default(),
            exact: ExactSum::default(),
            has_only_numbers: true,
        }
    }
}

impl Moments {
    /// Adds the next value.
    pub(super) fn add(&mut self, value: f64) {
        self.count += 1;
        if !value.is_finite() {
            self.has_only_numbers = false;
            return;
        }
        self.sum = self.sum.map(|sum| sum + value).filter(|sum| sum.is_finite());
        self.accumulated = self.accumulated.and_then(|accumulated| accumulated.with(value));
        self.scaled = self.scaled.with(value * 2_f64.powi(SCALE)).unwrap_or_default();
        self.exact.add(value);
    }

    /// The value of a measure that adds up.
    pub(super) fn of(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Avg => self.mean(),
            Measure::Sum => self.sum(),
            Measure::Stddev => self.deviation(),
            Measure::Count
            | Measure::Min
            | Measure::Max
            | Measure::First
            | Measure::Last
            | Measure::Iqr
            | Measure::Quantile(_) => None,
        }
    }

    /// As `avg`.
    fn mean(&self) -> Option<f64> {
        let mean = self.accumulated.map_or_else(|| self.exact.divided(self.count), |all| all.sum / all.count);
        (self.has_only_numbers && self.count > 0).then_some(mean)
    }

    /// As `sum`; none where it is past the largest double.
    fn sum(&self) -> Option<f64> {
        let sum = self.sum.unwrap_or_else(|| self.exact.rounded());
        (self.has_only_numbers && self.count > 0 && sum.is_finite()).then_some(sum)
    }

    /// As `stddev_samp`; none where it is past the largest double.
    fn deviation(&self) -> Option<f64> {
        let deviation = self
            .accumulated
            .map_or_else(|| self.scaled.deviation() * 2_f64.powi(-SCALE), Accumulated::deviation);
        (self.has_only_numbers && self.count > 1 && deviation.is_finite()).then_some(deviation)
    }
}

/// The state of `avg` and `stddev_samp`: `float8_accum` in Postgres' `float.c`, after Youngs and Cramer.
#[derive(Clone, Copy, Debug, Default)]
struct Accumulated {
    count: f64,
    sum: f64,
    /// Sum of the squared distances from the mean.
    squares: f64,
}

impl Accumulated {
    /// One value more; none where Postgres says that it is out of range.
    fn with(self, value: f64) -> Option<Self> {
        let (count, sum) = (self.count + 1.0, self.sum + value);
        let mut squares = self.squares;
        if self.count > 0.0 {
            let distance = value * count - sum;
            squares += distance * distance / (count * self.count);
        }
        (!sum.is_infinite() && !squares.is_infinite()).then_some(Self { count, sum, squares })
    }

    fn deviation(self) -> f64 {
        (self.squares / (self.count - 1.0)).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        for value in values {
            moments.add(*value);
        }
        moments
    }

    #[test]
    fn ordinary_values_are_added_as_postgres_adds_them() {
        let moments = moments(&[0.1, 0.2, 0.3]);
        assert_eq!(moments.sum(), Some(0.1 + 0.2 + 0.3));
        assert_eq!(moments.mean(), Some((0.1 + 0.2 + 0.3) / 3.0));
        assert!((moments.deviation().unwrap() - 0.1).abs() < 1e-15);
    }

    #[test]
    fn what_overflows_is_exact() {
        let all = moments(&[1e200, 1.0, -1e200, 0.0]);
        assert_eq!((all.mean(), all.sum()), (Some(0.25), Some(0.0)), "`sum` has an answer of its own");
        let deviation = all.deviation().unwrap();
        assert!((deviation / (1e200 * (2.0_f64 / 3.0).sqrt()) - 1.0).abs() < 1e-15, "{deviation}");
        let largest = moments(&[f64::MAX, f64::MAX]);
        assert_eq!((largest.mean(), largest.sum(), largest.deviation()), (Some(f64::MAX), None, Some(0.0)));
        assert_eq!(moments(&[f64::MAX, f64::MAX, -f64::MAX]).sum(), Some(f64::MAX));
        assert_eq!(moments(&[f64::MAX, f64::MIN]).deviation(), None, "larger than any double");
    }

    #[test]
    fn one_large_value_is_itself() {
        let one = moments(&[1e300]);
        assert_eq!((one.mean(), one.sum(), one.deviation()), (Some(1e300), Some(1e300), None));
        assert_eq!(moments(&[]).mean(), None);
    }

    #[test]
    fn what_is_no_number_has_no_mean() {
        for value in [f64::NAN, f64::INFINITY] {
            let all = moments(&[1e300, value, -1e300]);
            assert_eq!((all.mean(), all.sum(), all.deviation()), (None, None, None));
        }
    }
}
