//! A sum of doubles without rounding.
//!
//! Every finite double is a whole multiple of 2^-1075, so a large integer holds the sum of any. Crates such as `xsum` round
//! the sum to a double; a mean has to be divided before it is rounded.

use num_bigint::{BigInt, BigUint};
use num_rational::Ratio;
use num_traits::{ToPrimitive as _, float::FloatCore as _};

/// The sum counts units of 2^-1075.
const UNIT_EXPONENT: i16 = 1_075;

/// A sum.
#[derive(Clone, Debug, Default)]
pub(super) struct ExactSum(BigInt);

impl ExactSum {
    /// Adds a finite value; others have no place here.
    pub(super) fn add(&mut self, value: f64) {
        debug_assert!(value.is_finite(), "{value} is no number");
        let (mantissa, exponent, sign) = value.integer_decode();
        self.0 += (BigInt::from(sign) * mantissa) << (exponent + UNIT_EXPONENT);
    }

    /// The nearest double, of two equally near ones the even one; infinite where the sum is past the largest double.
    pub(super) fn rounded(&self) -> f64 {
        self.divided(1)
    }

    /// The nearest double to the sum divided by `count`, which is not 0.
    pub(super) fn divided(&self, count: u64) -> f64 {
        let units = BigUint::from(count) << UNIT_EXPONENT;
        Ratio::new_raw(self.0.clone(), units.into()).to_f64().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "sums are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        for value in values {
            sum.add(*value);
        }
        sum
    }

    fn mean(values: &[f64]) -> f64 {
        sum(values).divided(values.len() as u64)
    }

    /// Compares `count` times the midpoint of two doubles with the sum of `values`, by nothing but additions.
    fn compare_with_midpoint(values: &[f64], below: f64, above: f64) -> std::cmp::Ordering {
        let mut difference = ExactSum::default();
        for value in values {
            difference.add(*value);
            difference.add(*value);
            for bound in [below, above] {
                // Above the largest double comes 2^1024, which is twice 2^1023.
                let parts =
                    if bound.is_infinite() { [2_f64.powi(1023).copysign(bound); 2] } else { [bound, 0.0] };
                for part in parts {
                    difference.add(-part);
                }
            }
        }
        difference.0.cmp(&BigInt::ZERO)
    }

    /// Whether no other double is nearer to the mean, and of two equally near ones it is the even one.
    fn is_nearest(values: &[f64], mean: f64) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let is_even = mean.to_bits() & 1 == 0;
        let above = compare_with_midpoint(values, mean, mean.next_up());
        let below = compare_with_midpoint(values, mean.next_down(), mean);
        (above == Less || above == Equal && is_even) && (below == Greater || below == Equal && is_even)
    }

    #[test]
    fn the_ends_of_doubles_are_exact() {
        let tiny = f64::from_bits(1);
        for (values, expected) in [
            (vec![f64::MAX, f64::MAX], f64::MAX),
            (vec![f64::MAX, -f64::MAX, tiny], 0.0),
            (vec![1e308, -1e308, tiny], 0.0),
            (vec![1e308, -1e308, tiny, tiny], 0.0),
            (vec![1e308, -1e308, tiny, tiny, tiny], tiny),
            (vec![tiny, tiny, tiny], tiny),
            (vec![tiny, 2.0 * tiny], 2.0 * tiny),
            (vec![2.0 * tiny, 3.0 * tiny], 2.0 * tiny),
            (vec![-tiny, -2.0 * tiny], -2.0 * tiny),
            (vec![f64::MIN_POSITIVE, f64::MIN_POSITIVE.next_down()], f64::MIN_POSITIVE),
            (vec![1e200, 1.0, -1e200, 0.0], 0.25),
            (vec![f64::MIN, f64::MIN, f64::MIN], f64::MIN),
            (vec![0.0, -0.0], 0.0),
        ] {
            assert_eq!(
                mean(&values).to_bits() << 1,
                expected.to_bits() << 1,
                "{values:?}: {}",
                mean(&values)
            );
            assert!(mean(&values) == expected, "{values:?}");
        }
    }

    #[test]
    fn a_sum_past_the_largest_double_is_infinite() {
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]).rounded(), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).rounded(), f64::INFINITY);
        assert_eq!(sum(&[f64::MIN, f64::MIN]).rounded(), f64::NEG_INFINITY);
        // Half a unit of the last place more: the even neighbour is 2^1024.
        let half = 2_f64.powi(970);
        assert_eq!(sum(&[f64::MAX, half]).rounded(), f64::INFINITY);
        assert_eq!(sum(&[f64::MAX, half.next_down()]).rounded(), f64::MAX);
    }

    fn any_finite() -> impl Strategy<Value = f64> {
        any::<u64>().prop_map(f64::from_bits).prop_filter("a number", |value| value.is_finite())
    }

    proptest! {
        #[test]
        fn means_are_rounded_correctly(
            mut values in proptest::collection::vec(any_finite(), 1..40),
            cancels in any::<bool>(),
            least in any::<u8>(),
        ) {
            if cancels {
                let negated: Vec<f64> = values.iter().map(|value| -value).collect();
                values.extend(negated);
                values.push(f64::from_bits(least.into()));
            }
            let mean = mean(&values);
            prop_assert!(is_nearest(&values, mean), "{values:?}: {mean:e}");
            let (least, most) = values.iter().fold((f64::MAX, f64::MIN), |(least, most), value| {
                (least.min(*value), most.max(*value))
            });
            prop_assert!(least <= mean && mean <= most);
        }

        #[test]
        fn whole_numbers_are_what_integers_say(values in proptest::collection::vec(-1_i64 << 50..1 << 50, 1..40)) {
            let floats: Vec<f64> = values.iter().map(|value| *value as f64).collect();
            let expected = values.iter().map(|value| i128::from(*value)).sum::<i128>();
            // `as` rounds to the nearest, ties to even.
            prop_assert_eq!(sum(&floats).rounded(), expected as f64);
        }
    }
}
