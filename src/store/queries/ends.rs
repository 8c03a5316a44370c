//! Where a sensor's readings begin and end, found span by span.
//!
//! For snapshots that [`crate::store::read_snapshot`] begins: each span's locks are given back.

use std::ops::Range;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{parameter, windows};
use crate::{
    reading::Timestamp,
    store::{chunk_spans::ChunkSpans, read_snapshot::release_locks},
};

/// The first reading's time: $1 the sensor, $2 and $3 the range.
pub const FIRST_TIME: &str = "SELECT time FROM sensor_data
    WHERE sensor_id = $1 AND time >= $2 AND time < $3 ORDER BY time LIMIT 1";

/// The same of the last reading.
pub const LAST_TIME: &str = "SELECT time FROM sensor_data
    WHERE sensor_id = $1 AND time >= $2 AND time < $3 ORDER BY time DESC LIMIT 1";

/// When a sensor's first reading in a range was.
pub(in crate::store) async fn first_time(
    snapshot: &mut PgConnection,
    sensor_id: i32,
    range: Range<Timestamp>,
    spans: &ChunkSpans,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let windows = windows::forwards(range, Timestamp::now(), spans.clone());
    first_found(snapshot, FIRST_TIME, sensor_id, windows).await
}

/// When its last one was.
pub(in crate::store) async fn last_time(
    snapshot: &mut PgConnection,
    sensor_id: i32,
    range: Range<Timestamp>,
    spans: &ChunkSpans,
) -> Result<Option<Timestamp>, sqlx::Error> {
    let windows = windows::backwards(range, Timestamp::now(), spans.clone());
    first_found(snapshot, LAST_TIME, sensor_id, windows).await
}

async fn first_found(
    snapshot: &mut PgConnection,
    statement: &'static str,
    sensor_id: i32,
    windows: impl Iterator<Item = Range<Timestamp>>,
) -> Result<Option<Timestamp>, sqlx::Error> {
    for window in windows {
        let time: Option<DateTime<Utc>> = sqlx::query_scalar(statement)
            .bind(sensor_id)
            .bind(parameter(window.start))
            .bind(parameter(window.end))
            .fetch_optional(&mut *snapshot)
            .await?;
        release_locks(snapshot).await?;
        if let Some(time) = time {
            return Ok(Some(Timestamp::from_micros(time.timestamp_micros())));
        }
    }
    Ok(None)
}
