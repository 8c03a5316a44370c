//! Days whose sums, squares or distances no double holds. [`StatsQuery`] has an answer for any values, the same one that
//! plain SQL has where it has any; it takes several statements, so days are kept in a transaction of several, too.

use chrono::NaiveDate;
use sqlx::{Connection, Executor, PgConnection, Postgres, Transaction};

use super::{DayStats, KEPT};
use crate::store::{
    chunk_spans::ChunkSpans,
    day::{end_of, start_of},
    day_locks::{LOCK_CLASS, slot_of},
    quarter_figures::FIGURES,
    queries::{BucketStats, Measure, Quantile, StatsQuery},
};

/// As [`DayStats`] has them.
const MEASURES: [Measure; 7] = [
    Measure::Avg,
    Measure::Min,
    Measure::Max,
    Measure::Count,
    Measure::Quantile(Quantile::MEDIAN),
    Measure::Quantile(Quantile::LOWER_QUARTILE),
    Measure::Quantile(Quantile::UPPER_QUARTILE),
];

const QUARTER_HOURS: i64 = 96;
const QUARTER_HOUR_MICROS: i64 = 15 * 60 * 1_000_000;

/// Sums up a day in a snapshot, or under the day's lock; none where it has no readings.
pub(super) async fn sum_up(
    snapshot: &mut PgConnection,
    sensor_id: i32,
    day: NaiveDate,
    spans: &ChunkSpans,
) -> Result<Option<DayStats>, sqlx::Error> {
    let query = in_parts(sensor_id, day, 1, &MEASURES);
    let stats = query.run(snapshot, spans).await?;
    Ok(stats.first().map(|stats| {
        let value = |place| figure(stats, place);
        DayStats {
            day,
            avg_value: value(0),
            min_value: value(1),
            max_value: value(2),
            reading_count: value(3) as i64,
            median_value: value(4),
            lower_quartile: value(5),
            upper_quartile: value(6),
        }
    }))
}

/// Keeps the statistics of a day unless somebody is changing it.
pub(super) async fn roll_up_day(
    connection: &mut PgConnection,
    sensor_id: i32,
    day: NaiveDate,
) -> Result<(), sqlx::Error> {
    let spans = ChunkSpans::read(connection).await?;
    let Some(mut locked) = lock(connection, sensor_id, day).await? else { return Ok(()) };
    if let Some(stats) = sum_up(&mut locked, sensor_id, day, &spans).await? {
        let sql = format!(
            "INSERT INTO daily_stats (sensor_id, {KEPT}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT DO NOTHING"
        );
        sqlx::query(&sql)
            .bind(sensor_id)
            .bind(day)
            .bind(stats.avg_value)
            .bind(stats.min_value)
            .bind(stats.max_value)
            .bind(stats.reading_count)
            .bind(stats.lower_quartile)
            .bind(stats.median_value)
            .bind(stats.upper_quartile)
            .execute(&mut *locked)
            .await?;
    }
    locked.commit().await
}

/// Keeps the quarter-hours of a day that is kept unless somebody is changing it.
pub(super) async fn roll_up_quarter_hours(
    connection: &mut PgConnection,
    sensor_id: i32,
    day: NaiveDate,
) -> Result<(), sqlx::Error> {
    const SQL: &str = "UPDATE daily_stats SET quarter_hours = $3
        WHERE sensor_id = $1 AND day = $2 AND quarter_hours IS NULL AND NOT is_final";
    let spans = ChunkSpans::read(connection).await?;
    let Some(mut locked) = lock(connection, sensor_id, day).await? else { return Ok(()) };
    let query =
        in_parts(sensor_id, day, QUARTER_HOURS, &[Measure::Count, Measure::Min, Measure::Max, Measure::Avg]);
    let stats = query.run(&mut locked, &spans).await?;
    let figures = |stats: &BucketStats| -> [f64; FIGURES] {
        let value = |place| figure(stats, place);
        [stats.bucket as f64, value(0), value(1), value(2), value(3)]
    };
    let figures: Vec<f64> = stats.iter().flat_map(figures).collect();
    sqlx::query(SQL).bind(sensor_id).bind(day).bind(figures).execute(&mut *locked).await?;
    locked.commit().await
}

/// Of readings that are no numbers, there are figures that are none.
fn figure(stats: &BucketStats, place: usize) -> f64 {
    stats.values.get(place).copied().flatten().unwrap_or(f64::NAN)
}

/// A day in so many parts.
fn in_parts(sensor_id: i32, day: NaiveDate, parts: i64, measures: &[Measure]) -> StatsQuery {
    let (start, length) = (start_of(day), QUARTER_HOURS / parts * QUARTER_HOUR_MICROS);
    StatsQuery {
        sensor_ids: vec![sensor_id],
        by_sensor: true,
        start,
        end: end_of(day),
        edges: (0..=parts).map(|part| start.plus_micros(part * length)).collect(),
        measures: measures.to_vec(),
    }
}

/// Begins a transaction that has a day locked as [`crate::store::day_locks`] wants it; none where the locks are not to be
/// had. A process that is frozen inside it holds up who writes to the day: for two seconds, or, where the server is sending
/// it values, until `tcp_user_timeout`.
async fn lock(
    connection: &mut PgConnection,
    sensor_id: i32,
    day: NaiveDate,
) -> Result<Option<Transaction<'_, Postgres>>, sqlx::Error> {
    const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED;
        SET LOCAL synchronous_commit = off;
        SET LOCAL idle_in_transaction_session_timeout = '2s'";
    const LOCK_SENSOR: &str = "SELECT sensor_id FROM sensors
        WHERE sensor_id = $1 AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
        FOR KEY SHARE SKIP LOCKED";
    let mut transaction = connection.begin_with(BEGIN).await?;
    let sensor: Option<i32> =
        sqlx::query_scalar(LOCK_SENSOR).bind(sensor_id).fetch_optional(&mut *transaction).await?;
    if sensor.is_none() {
        return Ok(None);
    }
    let is_locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1, $2)")
        .bind(LOCK_CLASS)
        .bind(slot_of(day))
        .fetch_one(&mut *transaction)
        .await?;
    // For `release_locks`: what is locked before it stays so.
    transaction.execute("SAVEPOINT portion").await?;
    Ok(is_locked.then_some(transaction))
}
