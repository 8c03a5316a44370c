//! What sensors have since the reading that was seen last.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{Row, parameter, reading, windows};
use crate::{
    reading::{Reading, Timestamp},
    store::{StoreError, chunk_spans::ChunkSpans, pool::Pool},
};

/// $1 and $2 the sensors with what was seen of each, $3 and $4 a window of time, $5 how many readings of each.
const SQL: &str = "SELECT newer.sensor_id, newer.time, newer.value
    FROM unnest($1::int4[], $2::timestamptz[]) AS watched (watched_id, seen)
    CROSS JOIN LATERAL (
        SELECT sensor_id, time, value FROM sensor_data
        WHERE sensor_id = watched_id AND time >= $3 AND time < $4 AND time > seen
        ORDER BY time DESC LIMIT $5) AS newer
    ORDER BY 1, 2 DESC";

/// The readings after a time of each of these sensors, the newest `limit` of each; by sensor, the oldest first.
pub async fn newer(
    pool: &Pool,
    after: Vec<(i32, Timestamp)>,
    limit: usize,
) -> Result<Vec<Reading>, StoreError> {
    pool.read_by_spans("reading new readings", after, move |connection, after, spans| {
        Box::pin(window_by_window(connection, after, limit, spans))
    })
    .await
}

/// The newest window first; a sensor drops out once it has as many as are wanted, or the window begins before what was
/// seen of it.
async fn window_by_window(
    connection: &mut PgConnection,
    mut watched: Vec<(i32, Timestamp)>,
    limit: usize,
    spans: ChunkSpans,
) -> Result<Vec<Reading>, sqlx::Error> {
    let Some(earliest) = watched.iter().map(|(_, seen)| *seen).min() else { return Ok(vec![]) };
    let mut newest_first: BTreeMap<i32, Vec<Reading>> = BTreeMap::new();
    for window in windows::backwards(earliest..windows::END, Timestamp::now(), spans) {
        let (sensor_ids, seen): (Vec<i32>, Vec<_>) =
            watched.iter().map(|&(sensor_id, seen)| (sensor_id, parameter(seen))).unzip();
        let query = sqlx::query_as(SQL).bind(sensor_ids).bind(seen);
        let query = query.bind(parameter(window.start)).bind(parameter(window.end)).bind(limit as i64);
        let rows: Vec<Row> = query.fetch_all(&mut *connection).await?;
        for reading in rows.into_iter().map(reading) {
            newest_first.entry(reading.sensor_id).or_default().push(reading);
        }
        watched.retain(|(sensor_id, seen)| {
            *seen < window.start && newest_first.get(sensor_id).is_none_or(|found| found.len() < limit)
        });
        if watched.is_empty() {
            break;
        }
    }
    let oldest_first = newest_first.into_values().flat_map(|mut readings| {
        readings.truncate(limit);
        readings.into_iter().rev()
    });
    Ok(oldest_first.collect())
}
