//! What stands in a bucket without readings.

use crate::reading::Timestamp;

/// How gaps are filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// With nothing, said.
    Null,
    /// With the value before.
    Previous,
    /// With what lies on the line between the value before and the one after, by the buckets' first instants.
    Linear,
}

/// Fills the gaps of a series with one value a bucket; `is_gap` says where nothing was measured.
///
/// A bucket that was measured keeps what it has, even none. Nothing is made up before the first value, nor, on a
/// line, after the last.
pub fn fill(how: Fill, starts: &[Timestamp], is_gap: &[bool], values: &mut [Option<f64>]) {
    let mut previous: Option<(usize, f64)> = None;
    for n in 0..values.len() {
        if !is_gap[n] {
            if let Some(value) = values[n] {
                if let (Fill::Linear, Some(before)) = (how, previous) {
                    draw_line(starts, is_gap, values, before, (n, value));
                }
                previous = Some((n, value));
            }
        } else if how == Fill::Previous {
            values[n] = previous.map(|(_, value)| value);
        }
    }
}

fn draw_line(
    starts: &[Timestamp],
    is_gap: &[bool],
    values: &mut [Option<f64>],
    (first, from): (usize, f64),
    (last, to): (usize, f64),
) {
    let whole = (starts[last].micros() - starts[first].micros()) as f64;
    for n in first + 1..last {
        if is_gap[n] {
            let share = (starts[n].micros() - starts[first].micros()) as f64 / whole;
            // Not from + (to - from) * share: the largest doubles are further apart than any double.
            values[n] = Some(from * (1.0 - share) + to * share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The series with its gaps filled; buckets begin at these seconds.
    fn filled(how: Fill, series: &[(i64, Option<f64>)]) -> Vec<Option<f64>> {
        let starts: Vec<Timestamp> =
            series.iter().map(|(second, _)| Timestamp::from_micros(second * 1_000_000)).collect();
        let mut values: Vec<Option<f64>> = series.iter().map(|(_, value)| *value).collect();
        let is_gap: Vec<bool> = values.iter().map(Option::is_none).collect();
        fill(how, &starts, &is_gap, &mut values);
        values
    }

    const SERIES: [(i64, Option<f64>); 7] =
        [(0, None), (1, Some(1.0)), (2, None), (3, None), (5, Some(3.0)), (6, None), (7, None)];

    #[test]
    fn each_way_of_filling() {
        let values: Vec<Option<f64>> = SERIES.iter().map(|(_, value)| *value).collect();
        assert_eq!(filled(Fill::Null, &SERIES), values);
        let previous = [None, Some(1.0), Some(1.0), Some(1.0), Some(3.0), Some(3.0), Some(3.0)];
        assert_eq!(filled(Fill::Previous, &SERIES), previous);
        let linear = [None, Some(1.0), Some(1.5), Some(2.0), Some(3.0), None, None];
        assert_eq!(filled(Fill::Linear, &SERIES), linear);
    }

    #[test]
    fn what_was_measured_stays() {
        let starts = [0, 1, 2].map(Timestamp::from_micros);
        let mut values = [Some(1.0), None, Some(3.0)];
        fill(Fill::Linear, &starts, &[false; 3], &mut values);
        assert_eq!(values, [Some(1.0), None, Some(3.0)], "such as the deviation of one reading");
    }

    #[test]
    fn the_largest_doubles_have_a_middle() {
        let series = [(0, Some(-f64::MAX)), (1, None), (2, Some(f64::MAX))];
        assert_eq!(filled(Fill::Linear, &series)[1], Some(0.0));
    }
}
