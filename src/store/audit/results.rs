//! What the last audit of a topic came to, in `audits`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio::time::timeout;

use crate::{
    audit::{Summary, Sums},
    config::DatabaseConfig,
    pipeline::Log,
    store::{StoreError, connection::connect},
};

const DOING: &str = "keeping the audit's result";
/// One row; only somebody's lock makes it take long.
const KEEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps the result of an audit as of `taken_at`, unless one of a later moment is there. False where this role may not,
/// or the database is a replica.
pub async fn keep(
    database: &DatabaseConfig,
    log: &Log,
    taken_at: DateTime<Utc>,
    summary: &Summary,
) -> Result<bool, StoreError> {
    let keeping = async {
        let mut connection = connect(database, "sensorpipe audit").await?;
        let is_allowed = may_write(&mut connection).await.map_err(StoreError::new(DOING))?;
        if is_allowed {
            write(&mut connection, log, taken_at, summary).await.map_err(StoreError::new(DOING))?;
        }
        Ok(is_allowed)
    };
    timeout(KEEP_TIMEOUT, keeping).await.map_err(StoreError::timed_out(DOING))?
}

/// Asked for rather than tried, so that it is no error in the server's log each time.
async fn may_write(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT has_table_privilege('audits', 'INSERT') AND has_table_privilege('audits', 'UPDATE')
                AND NOT current_setting('transaction_read_only')::boolean",
    )
    .fetch_one(connection)
    .await
}

async fn write(
    connection: &mut PgConnection,
    log: &Log,
    taken_at: DateTime<Utc>,
    summary: &Summary,
) -> Result<(), sqlx::Error> {
    let Sums { readings, uncounted, counts } = summary.sums;
    sqlx::query(
        "INSERT INTO audits AS kept (cluster_id, topic, topic_id, taken_at, duration_seconds, outcome, differences,
                                     difference_kinds, readings, uncounted, stored, duplicates, dead_lettered,
                                     difference, rows_counted)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (cluster_id, topic, topic_id) DO UPDATE
         SET taken_at = excluded.taken_at, finished_at = excluded.finished_at,
             duration_seconds = excluded.duration_seconds, outcome = excluded.outcome,
             differences = excluded.differences, difference_kinds = excluded.difference_kinds,
             readings = excluded.readings, uncounted = excluded.uncounted, stored = excluded.stored,
             duplicates = excluded.duplicates, dead_lettered = excluded.dead_lettered,
             difference = excluded.difference, rows_counted = excluded.rows_counted
         WHERE kept.taken_at <= excluded.taken_at",
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(&log.topic_id)
    .bind(taken_at)
    .bind(summary.duration_seconds)
    .bind(summary.outcome.as_str())
    .bind(summary.differences)
    .bind(&summary.kinds)
    .bind(readings)
    .bind(uncounted)
    .bind(counts.stored)
    .bind(counts.duplicates)
    .bind(counts.dead_lettered)
    .bind(summary.difference)
    .bind(summary.rows_counted)
    .execute(connection)
    .await?;
    Ok(())
}
