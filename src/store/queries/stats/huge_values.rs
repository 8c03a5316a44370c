//! Statistics of values whose sums, squares or distances no double holds.
//!
//! Buckets without huge values are what plain SQL says of them. Of the others, minima, quantiles and the like are, too;
//! what adds up is added up here, of their readings one by one, so that one bucket's values change no other's answer.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use sqlx::PgConnection;

use super::{BucketStats, LOOK_UPS_MAX, StatsQuery, moments::Moments};
use crate::{
    reading::Timestamp,
    store::{
        queries::{
            measure::{Columns, Measure},
            parameter,
        },
        read_snapshot::release_locks,
    },
};

/// Of [`Columns::sql_of_any`].
type Row = (i32, i32, i64, Vec<Option<f64>>, Vec<Option<f64>>, Vec<Option<f64>>, bool);

/// A bucket whose readings are added up here.
#[derive(Clone, Copy, Debug)]
struct Huge {
    /// Its place among the rows.
    row: usize,
    sensor_id: i32,
    start: Timestamp,
    end: Timestamp,
}

/// The statistics of a query whose range one statement may touch, in a snapshot.
pub(super) async fn stats(
    snapshot: &mut PgConnection,
    query: &StatsQuery,
) -> Result<Vec<BucketStats>, sqlx::Error> {
    let columns = Columns::new(&query.measures);
    let rows: Vec<Row> = query.fetch(snapshot, &columns.sql_of_any()).await?;
    release_locks(snapshot).await?;
    let adds_up = query.measures.iter().any(|measure| measure.adds_up());
    let huge: Vec<Huge> = rows
        .iter()
        .enumerate()
        .filter(|(_, (.., has_huge))| adds_up && *has_huge)
        .map(|(row, &(sensor_id, bucket, ..))| {
            let (start, end) = query.bounds(bucket as usize - 1);
            Huge { row, sensor_id, start, end }
        })
        .collect();
    let mut moments = BTreeMap::new();
    for huge in huge.chunks(LOOK_UPS_MAX) {
        add_up(snapshot, query, huge, &mut moments).await?;
    }
    let stats = rows.into_iter().enumerate().map(|(row, found)| {
        let (sensor_id, bucket, count, mut aggregates, quantiles, halved, _) = found;
        if let Some(moments) = moments.get(&row) {
            replace(&mut aggregates, &query.measures, moments);
        }
        let quantiles: Vec<Option<f64>> =
            quantiles.iter().zip(&halved).map(|(whole, halved)| finite(*whole, *halved)).collect();
        query.bucket_stats(sensor_id, bucket, columns.values(count, &aggregates, &quantiles))
    });
    Ok(stats.collect())
}

/// The quantile of halves where the distance of two values overflowed.
fn finite(quantile: Option<f64>, halved: Option<f64>) -> Option<f64> {
    quantile.filter(|quantile| quantile.is_finite()).or_else(|| halved.map(|halved| halved * 2.0))
}

/// Puts what was added up into its places among the aggregates.
fn replace(aggregates: &mut [Option<f64>], measures: &[Measure], moments: &Moments) {
    let places = measures.iter().filter(|measure| measure.aggregate().is_some());
    for (aggregate, measure) in aggregates.iter_mut().zip(places) {
        if measure.adds_up() {
            *aggregate = moments.of(*measure);
        }
    }
}

/// Reads the readings of these buckets; no more than are looked up one by one.
async fn add_up(
    snapshot: &mut PgConnection,
    query: &StatsQuery,
    huge: &[Huge],
    moments: &mut BTreeMap<usize, Moments>,
) -> Result<(), sqlx::Error> {
    let (Some(start), Some(end)) =
        (huge.iter().map(|huge| huge.start).min(), huge.iter().map(|huge| huge.end).max())
    else {
        return Ok(());
    };
    let sensors = if query.by_sensor { "sensor_id = wanted" } else { "sensor_id = ANY($6::int4[])" };
    let sql = format!(
        "SELECT place::int4, value
         FROM unnest($1::int4[], $2::timestamptz[], $3::timestamptz[])
            WITH ORDINALITY AS huge (wanted, bucket_start, bucket_end, place)
         CROSS JOIN LATERAL (
            SELECT value FROM sensor_data
            WHERE {sensors} AND time >= $4 AND time < $5 AND time >= bucket_start AND time < bucket_end) AS found
         WHERE $6::int4[] IS NOT NULL"
    );
    let mut values = sqlx::query_as::<_, (i32, f64)>(&sql)
        .bind(huge.iter().map(|huge| huge.sensor_id).collect::<Vec<_>>())
        .bind(huge.iter().map(|huge| parameter(huge.start)).collect::<Vec<_>>())
        .bind(huge.iter().map(|huge| parameter(huge.end)).collect::<Vec<_>>())
        .bind(parameter(start))
        .bind(parameter(end))
        .bind(&query.sensor_ids)
        .persistent(false)
        .fetch(&mut *snapshot);
    while let Some((place, value)) = values.try_next().await? {
        let row = huge[place as usize - 1].row;
        moments.entry(row).or_default().add(value);
    }
    drop(values);
    release_locks(snapshot).await
}

/// What adds up, of a bucket of many spans.
pub(super) async fn moments(
    snapshot: &mut PgConnection,
    sensor_ids: &[i32],
    spans: &[std::ops::Range<Timestamp>],
) -> Result<Moments, sqlx::Error> {
    const SQL: &str =
        "SELECT value FROM sensor_data WHERE sensor_id = ANY($1::int4[]) AND time >= $2 AND time < $3";
    let mut moments = Moments::default();
    for span in spans {
        let mut values = sqlx::query_scalar::<_, f64>(SQL)
            .bind(sensor_ids)
            .bind(parameter(span.start))
            .bind(parameter(span.end))
            .persistent(false)
            .fetch(&mut *snapshot);
        while let Some(value) = values.try_next().await? {
            moments.add(value);
        }
        drop(values);
        release_locks(snapshot).await?;
    }
    Ok(moments)
}
