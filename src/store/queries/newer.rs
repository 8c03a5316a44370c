//! What sensors have since the reading that was seen last.

use super::{Row, parameter, reading};
use crate::{
    reading::{Reading, Timestamp},
    store::{StoreError, pool::Pool},
};

/// The readings after a time of each of these sensors, the newest `limit` of each; by sensor, the oldest first.
pub async fn newer(
    pool: &Pool,
    after: Vec<(i32, Timestamp)>,
    limit: usize,
) -> Result<Vec<Reading>, StoreError> {
    // The earliest of the times lets the planner leave out the chunks before it.
    const SQL: &str = "SELECT newer.sensor_id, newer.time, newer.value
        FROM unnest($1::int4[], $2::timestamptz[]) AS watched (watched_id, seen)
        CROSS JOIN LATERAL (
            SELECT sensor_id, time, value FROM sensor_data
            WHERE sensor_id = watched_id AND time >= $3 AND time > seen
            ORDER BY time DESC LIMIT $4) AS newer
        ORDER BY 1, 2";
    let Some(earliest) = after.iter().map(|(_, time)| *time).min() else { return Ok(vec![]) };
    pool.run("reading new readings", move |connection| {
        Box::pin(async move {
            let (sensor_ids, seen): (Vec<i32>, Vec<_>) =
                after.into_iter().map(|(sensor_id, time)| (sensor_id, parameter(time))).unzip();
            let query = sqlx::query_as(SQL).bind(sensor_ids).bind(seen).bind(parameter(earliest));
            let rows: Vec<Row> = query.bind(limit as i64).fetch_all(connection).await?;
            Ok(rows.into_iter().map(reading).collect())
        })
    })
    .await
}
