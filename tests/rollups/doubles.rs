//! Doubles of all sizes, and what lies between them.

use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

/// What lies at the ends of the doubles, or where sums and squares begin to overflow.
const EDGES: [f64; 16] = [
    f64::MAX,
    f64::MIN,
    1.7e308,
    -1.7e308,
    1e308,
    9e307,
    1e200,
    1.234_567_890_123_456_7e200,
    1.4e154,
    1e154,
    3e144,
    f64::MIN_POSITIVE,
    5e-324,
    -5e-324,
    0.0,
    -0.0,
];

/// The values of a day, within its first quarter-hour.
pub(crate) type Values = Vec<f64>;

/// Ordinary values, any bits, equal ones, the largest and the smallest, mixed; often such as cancel each other.
pub(crate) fn any_values(dice: &mut StdRng, count: usize) -> Values {
    let kind = dice.random_range(0..6);
    let value = |dice: &mut StdRng| match kind {
        0 => dice.random_range(-1e3..1e3),
        1 => *EDGES.choose(dice).unwrap(),
        2 => {
            std::iter::repeat_with(|| f64::from_bits(dice.random())).find(|value| value.is_finite()).unwrap()
        }
        // Equal ones, whose mean is themselves.
        3 => f64::MAX,
        4 => f64::from_bits(dice.random_range(0..9)),
        _ if dice.random() => *EDGES.choose(dice).unwrap(),
        _ => dice.random_range(-1e3..1e3),
    };
    let mut values: Values = (0..count).map(|_| value(dice)).collect();
    if count > 2 && dice.random_range(0..3) == 0 {
        // What is left of large ones is small.
        let half = count / 2;
        for place in 0..half {
            values[half + place] = -values[place];
        }
    }
    values
}

/// As `percentile_cont`, with an answer where the distance of two values overflows.
pub(crate) fn percentile(values: &Values, share: f64) -> f64 {
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    let whole = below + (place - place.floor()) * (above - below);
    if whole.is_finite() {
        return whole;
    }
    (below / 2.0 + (place - place.floor()) * (above / 2.0 - below / 2.0)) * 2.0
}
