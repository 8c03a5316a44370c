//! A bucket that has more chunks than one statement may touch: put together from its spans.
//!
//! Counts, extremes, and the first and last values are what one statement would answer; sums, means and deviations may
//! differ in the last digit, as they do wherever Postgres adds up in parallel; those that may overflow are added up of
//! the readings. Quantiles are selected: see [`quantiles`].

mod quantiles;

use std::{collections::BTreeMap, ops::Range};

use sqlx::PgConnection;

use super::{BucketStats, StatsQuery, huge_values};
use crate::{
    reading::Timestamp,
    store::{
        chunk_spans::ChunkSpans,
        queries::measure::{Columns, HUGE, Measure},
        read_snapshot::release_locks,
    },
};

/// What is asked of each span; [`Parts`] knows their places.
const MEASURES: [Measure; 8] = [
    Measure::Count,
    Measure::Min,
    Measure::Max,
    Measure::Sum,
    Measure::Avg,
    Measure::Stddev,
    Measure::First,
    Measure::Last,
];

/// The statistics of a query of one bucket.
pub(super) async fn stats(
    snapshot: &mut PgConnection,
    query: &StatsQuery,
    spans: &ChunkSpans,
) -> Result<Vec<BucketStats>, sqlx::Error> {
    let parts = parts(snapshot, query, spans).await?;
    let columns = Columns::new(&query.measures);
    let mut stats = Vec::with_capacity(parts.len());
    let spans = spans.split(query.start..query.end);
    for (sensor_id, parts) in parts {
        let sensor_ids = if query.by_sensor { vec![sensor_id] } else { query.sensor_ids.clone() };
        let quantiles = if columns.quantiles().is_empty() {
            vec![]
        } else {
            let readings = quantiles::Readings { sensor_ids: sensor_ids.clone(), spans: spans.clone() };
            readings.quantiles(snapshot, &parts, columns.quantiles()).await?
        };
        let moments = if parts.may_overflow() && query.measures.iter().any(|measure| measure.adds_up()) {
            Some(huge_values::moments(snapshot, &sensor_ids, &spans).await?)
        } else {
            None
        };
        let value = |measure: &Measure| match &moments {
            Some(moments) if measure.adds_up() => moments.of(*measure),
            _ => parts.value(*measure),
        };
        let is_aggregate = |measure: &&Measure| measure.aggregate().is_some();
        let aggregates: Vec<Option<f64>> = query.measures.iter().filter(is_aggregate).map(value).collect();
        let values = columns.values(parts.count as i64, &aggregates, &quantiles);
        stats.push(BucketStats { sensor_id, bucket: 0, values });
    }
    Ok(stats)
}

/// The sums of each sensor, or of all together as sensor 0.
async fn parts(
    snapshot: &mut PgConnection,
    query: &StatsQuery,
    spans: &ChunkSpans,
) -> Result<BTreeMap<i32, Parts>, sqlx::Error> {
    let mut parts: BTreeMap<i32, Parts> = BTreeMap::new();
    for span in spans.split(query.start..query.end) {
        let part = of_span(query, span).run_at_once(snapshot).await?;
        release_locks(snapshot).await?;
        for BucketStats { sensor_id, values, .. } in part {
            let part = Parts::of(&values);
            parts.entry(sensor_id).and_modify(|parts| parts.add(&part)).or_insert(part);
        }
    }
    Ok(parts)
}

fn of_span(query: &StatsQuery, span: Range<Timestamp>) -> StatsQuery {
    StatsQuery {
        edges: vec![span.start, span.end],
        start: span.start,
        end: span.end,
        measures: MEASURES.to_vec(),
        ..query.clone()
    }
}

/// What the spans so far come to; none is what no double holds.
#[derive(Clone, Copy, Debug)]
struct Parts {
    count: f64,
    min: Option<f64>,
    max: Option<f64>,
    sum: Option<f64>,
    mean: Option<f64>,
    /// Sum of the squared distances from the mean.
    squares: Option<f64>,
    first: Option<f64>,
    last: Option<f64>,
}

impl Parts {
    /// Out of the values of [`MEASURES`].
    fn of(values: &[Option<f64>]) -> Self {
        let value = |place: usize| values.get(place).copied().flatten();
        let count = value(0).unwrap_or_default();
        let squares = if count > 1.0 {
            value(5).map(|deviation| deviation * deviation * (count - 1.0))
        } else {
            Some(0.0)
        };
        Self {
            count,
            min: value(1),
            max: value(2),
            sum: value(3),
            mean: value(4),
            squares,
            first: value(6),
            last: value(7),
        }
    }

    /// Adds a part that comes after. Means and squares as Chan, Golub and `LeVeque` add them, and Postgres too.
    fn add(&mut self, later: &Self) {
        let count = self.count + later.count;
        let distance = later.mean.zip(self.mean).map(|(later, mean)| later - mean);
        self.squares = self.squares.zip(later.squares).zip(distance).map(|((squares, more), distance)| {
            squares + more + distance * distance * self.count * later.count / count
        });
        self.mean = self.mean.zip(distance).map(|(mean, distance)| mean + distance * later.count / count);
        self.count = count;
        self.min = self.min.zip(later.min).map(|(min, later)| min.min(later));
        self.max = self.max.zip(later.max).map(|(max, later)| max.max(later));
        self.sum = self.sum.zip(later.sum).map(|(sum, later)| sum + later);
        self.last = later.last;
    }

    /// Whether there are huge values, of which sums, means and deviations are not put together but computed anew.
    fn may_overflow(&self) -> bool {
        let is_huge = |value: Option<f64>| value.is_none_or(|value| value.abs() >= HUGE);
        is_huge(self.min) || is_huge(self.max)
    }

    /// Of a measure that is an aggregate; counts and quantiles are none.
    fn value(&self, measure: Measure) -> Option<f64> {
        match measure {
            Measure::Avg => self.mean,
            Measure::Min => self.min,
            Measure::Max => self.max,
            Measure::Sum => self.sum,
            Measure::Stddev if self.count > 1.0 => Some((self.squares? / (self.count - 1.0)).sqrt()),
            Measure::First => self.first,
            Measure::Last => self.last,
            Measure::Stddev | Measure::Count | Measure::Iqr | Measure::Quantile(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts_of(values: &[f64]) -> Parts {
        let count = values.len() as f64;
        let sum: f64 = values.iter().sum();
        let mean = sum / count;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let deviation = (count > 1.0).then(|| (squares / (count - 1.0)).sqrt());
        let min = values.iter().copied().reduce(f64::min);
        let max = values.iter().copied().reduce(f64::max);
        let (first, last) = (values.first().copied(), values.last().copied());
        Parts::of(&[Some(count), min, max, Some(sum), Some(mean), deviation, first, last])
    }

    #[test]
    fn parts_come_to_the_whole() {
        let values = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0];
        let whole = parts_of(&values);
        for at in 1..values.len() {
            let (before, after) = values.split_at(at);
            let mut parts = parts_of(before);
            parts.add(&parts_of(after));
            for measure in &MEASURES[1..] {
                let (found, expected) = (parts.value(*measure), whole.value(*measure));
                let (found, expected) = (found.unwrap(), expected.unwrap());
                assert!((found - expected).abs() < 1e-12, "{measure:?} at {at}: {found}, not {expected}");
            }
            assert!((parts.count - 8.0).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn what_no_double_holds_stays_so() {
        let mut parts = parts_of(&[1.0]);
        assert_eq!(parts.value(Measure::Stddev), None, "one reading has no deviation");
        parts.add(&Parts { sum: None, ..parts_of(&[2.0]) });
        parts.add(&parts_of(&[3.0]));
        assert_eq!((parts.value(Measure::Sum), parts.value(Measure::Max)), (None, Some(3.0)));
    }
}
