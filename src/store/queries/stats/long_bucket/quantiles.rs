//! Quantiles over readings that are too many for one statement: exact, and in little memory.
//!
//! The readings are counted in bins by value; the bins that hold a wanted rank are divided into finer ones, until they
//! hold few enough readings to be read. Each pass goes over all spans.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use sqlx::PgConnection;

use super::Parts;
use crate::{
    reading::Timestamp,
    store::{
        queries::{measure::Quantile, parameter},
        read_snapshot::release_locks,
    },
};

/// Into so many a bin is divided.
const FINER: u64 = 256;
/// So many readings are read rather than counted once more.
const READ_MAX: u64 = 100_000;

/// Which readings.
pub(super) struct Readings {
    /// Of these sensors together.
    pub(super) sensor_ids: Vec<i32>,
    /// In these ranges.
    pub(super) spans: Vec<Range<Timestamp>>,
}

/// Values from one key to before another; see [`key_of`].
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bin {
    keys: Range<u64>,
    /// Readings whose values are smaller.
    before: u64,
    count: u64,
}

impl Readings {
    /// As `percentile_cont` answers them, in the order of `wanted`.
    pub(super) async fn quantiles(
        &self,
        snapshot: &mut PgConnection,
        parts: &Parts,
        wanted: &[Quantile],
    ) -> Result<Vec<Option<f64>>, sqlx::Error> {
        let (Some(min), Some(max)) = (parts.min, parts.max) else { return Ok(vec![None; wanted.len()]) };
        let place = |quantile: &Quantile| quantile.fraction() * (parts.count - 1.0);
        let ranks: BTreeSet<u64> =
            wanted.iter().map(place).flat_map(|place| [place.floor() as u64, place.ceil() as u64]).collect();
        let all = Bin { keys: key_of(min)..key_of(max) + 1, before: 0, count: parts.count as u64 };
        let values = self.select(snapshot, all, &ranks).await?;
        let value = |rank: f64| values.get(&(rank as u64)).copied();
        let quantile = |place: f64| {
            let (below, above) = (value(place.floor())?, value(place.ceil())?);
            Some(between(below, above, place - place.floor()))
        };
        Ok(wanted.iter().map(place).map(quantile).collect())
    }

    /// The values at these ranks, the smallest value being 0.
    async fn select(
        &self,
        snapshot: &mut PgConnection,
        all: Bin,
        ranks: &BTreeSet<u64>,
    ) -> Result<BTreeMap<u64, f64>, sqlx::Error> {
        let (mut bins, mut values) = (vec![all], BTreeMap::new());
        loop {
            // All readings of a bin of one value have it.
            for bin in bins.extract_if(.., |bin| bin.keys.end - bin.keys.start <= 1) {
                values.extend(wanted_in(&bin, ranks).map(|rank| (rank, value_of(bin.keys.start))));
            }
            if bins.iter().map(|bin| bin.count).sum::<u64>() <= READ_MAX {
                break;
            }
            let finer: Vec<Range<u64>> = bins.iter().flat_map(divided).collect();
            let counts = self.count(snapshot, &finer).await?;
            bins = bins.iter().flat_map(|bin| counted(bin, &counts)).collect();
            bins.retain(|bin| wanted_in(bin, ranks).next().is_some());
        }
        if bins.is_empty() {
            return Ok(values);
        }
        let read = self.read(snapshot, &bins).await?;
        let mut read_before = 0;
        for bin in &bins {
            for rank in wanted_in(bin, ranks) {
                if let Some(value) = read.get((read_before + rank - bin.before) as usize) {
                    values.insert(rank, *value);
                }
            }
            read_before += bin.count;
        }
        Ok(values)
    }

    /// How many readings each of these ranges has, by its first key.
    async fn count(
        &self,
        snapshot: &mut PgConnection,
        ranges: &[Range<u64>],
    ) -> Result<BTreeMap<u64, u64>, sqlx::Error> {
        const SQL: &str = "SELECT width_bucket(value, $4::float8[]), count(*) FROM sensor_data
            WHERE sensor_id = ANY($1::int4[]) AND time >= $2 AND time < $3 GROUP BY 1";
        let mut counts = BTreeMap::new();
        for span in &self.spans {
            let found: Vec<(i32, i64)> = sqlx::query_as(SQL)
                .bind(&self.sensor_ids)
                .bind(parameter(span.start))
                .bind(parameter(span.end))
                .bind(thresholds(ranges))
                .fetch_all(&mut *snapshot)
                .await?;
            release_locks(snapshot).await?;
            for (threshold, count) in found {
                if let Some(range) = place_of(threshold).and_then(|place| ranges.get(place)) {
                    *counts.entry(range.start).or_default() += count.cast_unsigned();
                }
            }
        }
        Ok(counts)
    }

    /// The values of these bins, the smallest first.
    async fn read(&self, snapshot: &mut PgConnection, bins: &[Bin]) -> Result<Vec<f64>, sqlx::Error> {
        const SQL: &str = "SELECT value FROM sensor_data
            WHERE sensor_id = ANY($1::int4[]) AND time >= $2 AND time < $3
              AND width_bucket(value, $4::float8[]) % 2 = 1";
        let ranges: Vec<Range<u64>> = bins.iter().map(|bin| bin.keys.clone()).collect();
        let mut values: Vec<f64> = Vec::new();
        for span in &self.spans {
            let found: Vec<f64> = sqlx::query_scalar(SQL)
                .bind(&self.sensor_ids)
                .bind(parameter(span.start))
                .bind(parameter(span.end))
                .bind(thresholds(&ranges))
                .fetch_all(&mut *snapshot)
                .await?;
            release_locks(snapshot).await?;
            values.extend(found);
        }
        values.sort_unstable_by(f64::total_cmp);
        Ok(values)
    }
}

/// As `percentile_cont` interpolates; by way of halves where no double is as large as the distance.
fn between(below: f64, above: f64, share: f64) -> f64 {
    let value = |below: f64, above: f64| below + share * (above - below);
    let (whole, halved) = (value(below, above), value(below / 2.0, above / 2.0) * 2.0);
    if whole.is_finite() { whole } else { halved }
}

/// Both ends of each range, for `width_bucket`: it answers odd numbers within ranges, and even ones between them.
fn thresholds(ranges: &[Range<u64>]) -> Vec<f64> {
    ranges.iter().flat_map(|range| [value_of(range.start), value_of(range.end)]).collect()
}

/// Which range an answer of `width_bucket` over [`thresholds`] is about.
fn place_of(threshold: i32) -> Option<usize> {
    (threshold % 2 == 1).then_some(threshold as usize / 2)
}

fn divided(bin: &Bin) -> Vec<Range<u64>> {
    let width = bin.keys.end - bin.keys.start;
    let step = width.div_ceil(FINER);
    let starts = (0..width.div_ceil(step)).map(|n| bin.keys.start + n * step);
    starts.map(|start| start..(start + step).min(bin.keys.end)).collect()
}

/// The finer bins of a bin, of those that have readings.
fn counted(bin: &Bin, counts: &BTreeMap<u64, u64>) -> Vec<Bin> {
    let mut before = bin.before;
    let mut finer = Vec::new();
    for keys in divided(bin) {
        let count = counts.get(&keys.start).copied().unwrap_or_default();
        if count > 0 {
            finer.push(Bin { keys, before, count });
        }
        before += count;
    }
    finer
}

fn wanted_in<'r>(bin: &Bin, ranks: &'r BTreeSet<u64>) -> impl Iterator<Item = u64> + use<'r> {
    ranks.range(bin.before..bin.before + bin.count).copied()
}

/// A double as a number that is larger for a larger double; every one between two of them is a double, too.
fn key_of(value: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The double of a key.
fn value_of(key: u64) -> f64 {
    const SIGN: u64 = 1 << 63;
    f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_values() {
        let values = [f64::MIN, -1.5, -f64::MIN_POSITIVE, -0.0, 0.0, 1e-300, 1.0, 1.5, f64::MAX];
        assert!(values.windows(2).all(|pair| key_of(pair[0]) < key_of(pair[1])));
        assert!(values.iter().all(|value| value_of(key_of(*value)).to_bits() == value.to_bits()));
        assert!(value_of(key_of(f64::MAX) + 1).is_infinite());
    }

    #[test]
    fn the_largest_doubles_have_a_middle() {
        for (below, above, share, expected) in [
            (1.0, 2.0, 0.25, 1.25),
            (f64::MIN, f64::MAX, 0.5, 0.0),
            (f64::MIN, f64::MAX, 0.75, f64::MAX / 2.0),
            (f64::MIN, f64::MAX, 0.0, f64::MIN),
        ] {
            let value = between(below, above, share);
            assert!((value - expected).abs() <= f64::MAX * 1e-15, "{below:e} {above:e} {share}: {value:e}");
        }
    }

    #[test]
    fn a_bin_is_divided_without_gaps() {
        for width in [2, 255, 256, 257, 1_000, 1 << 40] {
            let bin = Bin { keys: 7..7 + width, before: 0, count: 1 };
            let finer = divided(&bin);
            assert!(finer.len() as u64 <= FINER);
            assert_eq!((finer[0].start, finer[finer.len() - 1].end), (7, 7 + width));
            assert!(finer.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn bins_know_the_ranks_that_they_hold() {
        let bin = Bin { keys: 0..2, before: 10, count: 9 };
        let finer = counted(&bin, &BTreeMap::from([(0, 4), (1, 5)]));
        let of = |keys, before, count| Bin { keys, before, count };
        assert_eq!(finer, [of(0..1, 10, 4), of(1..2, 14, 5)]);
        let ranks = BTreeSet::from([9, 13, 14, 19]);
        assert_eq!(wanted_in(&finer[0], &ranks).collect::<Vec<_>>(), [13]);
        assert_eq!(wanted_in(&finer[1], &ranks).collect::<Vec<_>>(), [14]);
    }

    #[test]
    fn what_lies_between_ranges_is_of_none() {
        let ranges = [key_of(1.0)..key_of(2.0), key_of(3.0)..key_of(4.0)];
        assert_eq!(thresholds(&ranges), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!([0, 1, 2, 3, 4].map(place_of), [None, Some(0), None, Some(1), None]);
    }
}
