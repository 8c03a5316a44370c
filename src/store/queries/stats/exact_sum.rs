//! A sum of doubles without rounding.
//!
//! Every finite double is a whole multiple of 2^-1074, so a number of 2,240 bits holds the sum of up to 2^64 of them
//! (a "superaccumulator", as in Kulisch, "Computer Arithmetic and Validity"). Crates such as `xsum` round the sum to a
//! double; a mean has to be divided before it is rounded, so it is done here.

/// Words of 64 bits: 1,074 + 1,024 bits for a double, 64 for how many there are, and the sign.
const WORDS: usize = 35;
/// Bits of a double behind its leading one.
const FRACTION_BITS: u32 = 52;

/// A sum in units of 2^-1074, as two's complement, the lowest word first.
#[derive(Clone, Debug)]
pub(super) struct ExactSum([u64; WORDS]);

impl ExactSum {
    /// Of nothing.
    pub(super) const ZERO: Self = Self([0; WORDS]);

    /// Adds a finite value; others have no place here.
    pub(super) fn add(&mut self, value: f64) {
        debug_assert!(value.is_finite(), "{value} is no number");
        let bits = value.to_bits();
        let fraction = bits & ((1 << FRACTION_BITS) - 1);
        // Subnormal doubles have no leading one, and the unit of those with exponent 1.
        let (mantissa, shift) = match (bits >> FRACTION_BITS) & 0x7FF {
            0 => (fraction, 0),
            exponent => (fraction | 1 << FRACTION_BITS, exponent as usize - 1),
        };
        let shifted = u128::from(mantissa) << (shift % 64);
        self.add_at(shift / 64, [shifted as u64, (shifted >> 64) as u64], value.is_sign_negative());
    }

    /// Adds or subtracts two words, the lower one at `place`.
    fn add_at(&mut self, place: usize, words: [u64; 2], is_negative: bool) {
        let mut carry = false;
        for (distance, present) in self.0[place..].iter_mut().enumerate() {
            let word = words.get(distance).copied().unwrap_or_default();
            if distance >= words.len() && !carry {
                break;
            }
            let (sum, first) =
                if is_negative { present.overflowing_sub(word) } else { present.overflowing_add(word) };
            let (sum, second) = if is_negative {
                sum.overflowing_sub(carry.into())
            } else {
                sum.overflowing_add(carry.into())
            };
            *present = sum;
            carry = first || second;
        }
    }

    /// The nearest double, of two equally near ones the even one; infinite where the sum is past the largest double.
    pub(super) fn rounded(&self) -> f64 {
        self.divided(1)
    }

    /// The nearest double to the sum divided by `count`, which is not 0.
    pub(super) fn divided(&self, count: u64) -> f64 {
        let is_negative = self.0[WORDS - 1] >> 63 == 1;
        let mut quotient = self.magnitude(is_negative);
        let mut remainder = 0;
        for word in quotient.iter_mut().rev() {
            let dividend = u128::from(remainder) << 64 | u128::from(*word);
            *word = (dividend / u128::from(count)) as u64;
            remainder = (dividend % u128::from(count)) as u64;
        }
        let magnitude = nearest(&quotient, remainder, count);
        if is_negative { -magnitude } else { magnitude }
    }

    fn magnitude(&self, is_negative: bool) -> [u64; WORDS] {
        let mut words = self.0;
        if is_negative {
            let mut carry = true;
            for word in &mut words {
                (*word, carry) = (!*word).overflowing_add(carry.into());
            }
        }
        words
    }
}

/// The double that is nearest to `quotient` + `remainder` / `divisor` units.
fn nearest(quotient: &[u64; WORDS], remainder: u64, divisor: u64) -> f64 {
    let bit = |place: u32| quotient[place as usize / 64] >> (place % 64) & 1;
    let Some(top) = quotient.iter().rposition(|word| *word != 0) else {
        return f64::from_bits(u64::from(is_over_half(remainder, divisor, false)));
    };
    let length = (top as u32 + 1) * 64 - quotient[top].leading_zeros();
    // So many low bits do not fit.
    let dropped = length.saturating_sub(FRACTION_BITS + 1);
    let mantissa = (dropped..length).rev().fold(0, |mantissa, place| mantissa << 1 | bit(place));
    let is_odd = mantissa & 1 == 1;
    let rounds_up = if dropped == 0 {
        is_over_half(remainder, divisor, is_odd)
    } else {
        let has_more = remainder > 0 || (0..dropped - 1).any(|place| bit(place) == 1);
        bit(dropped - 1) == 1 && (has_more || is_odd)
    };
    // The bits of doubles count on from one to the next, across exponents, too: the leading one of the mantissa adds 1
    // to the exponent, a mantissa that is rounded up to the next power of two another one, past the last is infinity.
    let bits = (u64::from(dropped) << FRACTION_BITS) + mantissa + u64::from(rounds_up);
    f64::from_bits(bits.min(f64::INFINITY.to_bits()))
}

/// Whether a part of a unit is rounded up; a half where what comes before it is odd.
fn is_over_half(remainder: u64, divisor: u64, is_odd: bool) -> bool {
    let doubled = u128::from(remainder) * 2;
    doubled > divisor.into() || (doubled == divisor.into() && is_odd)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "sums are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::ZERO;
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
        let mut difference = ExactSum::ZERO;
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
        let is_negative = difference.0[WORDS - 1] >> 63 == 1;
        let is_zero = difference.0.iter().all(|word| *word == 0);
        if is_zero {
            std::cmp::Ordering::Equal
        } else if is_negative {
            std::cmp::Ordering::Less
        } else {
            std::cmp::Ordering::Greater
        }
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
