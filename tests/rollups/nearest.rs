//! Whether a double is the nearest to a sum or mean of doubles, by schoolbook addition and nothing else.

use std::cmp::Ordering;

/// 2^-1075, half of the smallest double.
const UNIT_EXPONENT: i32 = -1_075;
const DIGIT_BITS: usize = 32;

/// A whole number of half the smallest double, as digits of 32 bits that may be negative or too large.
struct Halves(Vec<i64>);

impl Halves {
    fn zero() -> Self {
        Self(vec![0; 70])
    }

    /// Adds a double so many times.
    fn add(&mut self, value: f64, times: i64) {
        let bits = value.to_bits();
        let (exponent, fraction) = ((bits >> 52 & 0x7FF) as i32, bits & ((1 << 52) - 1));
        let (mantissa, exponent) =
            if exponent == 0 { (fraction, -1_074) } else { (fraction | 1 << 52, exponent - 1_075) };
        let place = (exponent - UNIT_EXPONENT) as usize;
        let mut shifted = u128::from(mantissa) << (place % DIGIT_BITS);
        let times = if value.is_sign_negative() { -times } else { times };
        for digit in &mut self.0[place / DIGIT_BITS..] {
            *digit += i64::from(shifted as u32) * times;
            shifted >>= DIGIT_BITS;
        }
    }

    fn compare_with_zero(&self) -> Ordering {
        let (mut carry, mut is_zero) = (0_i64, true);
        for digit in &self.0 {
            let all = digit + carry;
            carry = all >> DIGIT_BITS;
            is_zero &= all.trailing_zeros() >= DIGIT_BITS as u32;
        }
        if carry < 0 {
            Ordering::Less
        } else if is_zero && carry == 0 {
            Ordering::Equal
        } else {
            Ordering::Greater
        }
    }
}

/// How the sum of `values` lies to `count` times the middle between two neighbours.
fn compare_with_middle(values: &[f64], count: i64, below: f64, above: f64) -> Ordering {
    let mut difference = Halves::zero();
    for value in values {
        difference.add(*value, 2);
    }
    for neighbour in [below, above] {
        if neighbour.is_infinite() {
            // After the largest double 2^1024 would come.
            difference.add(2_f64.powi(1_023).copysign(neighbour), -2 * count);
        } else {
            difference.add(neighbour, -count);
        }
    }
    difference.compare_with_zero()
}

/// Whether no double is nearer to the sum of `values` divided by `count`, and none that is as near has an even last bit.
pub(crate) fn is_nearest(quotient: f64, values: &[f64], count: usize) -> bool {
    let is_even = quotient.to_bits() & 1 == 0;
    let fits = |ordering: Ordering, wanted| ordering == wanted || ordering == Ordering::Equal && is_even;
    quotient.is_finite()
        && fits(compare_with_middle(values, count as i64, quotient, quotient.next_up()), Ordering::Less)
        && fits(compare_with_middle(values, count as i64, quotient.next_down(), quotient), Ordering::Greater)
}

#[test]
fn the_nearest_is_told_from_its_neighbours() {
    let tiny = f64::from_bits(1);
    for (values, mean) in [
        (vec![1.0, 2.0], 1.5),
        (vec![0.1, 0.2, 0.3], 0.2),
        (vec![f64::MAX, f64::MAX], f64::MAX),
        (vec![f64::MIN, f64::MIN], f64::MIN),
        (vec![1e308, -1e308, tiny], 0.0),
        (vec![tiny, 2.0 * tiny], 2.0 * tiny),
        (vec![1e200, 1.0, -1e200, 0.0], 0.25),
    ] {
        assert!(is_nearest(mean, &values, values.len()), "{values:?}");
        for other in [mean.next_up(), mean.next_down()] {
            assert!(!is_nearest(other, &values, values.len()), "{values:?}: {other:e}");
        }
    }
}
