//! What the last audit of a topic came to, in `audits`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio::time::timeout;

use crate::{
    audit::{Kept, Progress, Summary, Sums},
    config::DatabaseConfig,
    log::Log,
    store::{StoreError, connection::connect},
};

const DOING: &str = "keeping the audit's result";
const READING: &str = "reading how far the last audit got";
/// One row; only somebody's lock makes it take long.
const KEEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Whose result may be overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Any: this one is of the whole log, and others go on from it.
    Any,
    /// That of this moment, which is known; none where none is known. Another one is to be taken over first.
    Known(Option<DateTime<Utc>>),
}

/// What became of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is kept.
    Kept,
    /// Another one is.
    Superseded,
    /// This role may not write it, or the database is a replica.
    NotAllowed,
}

/// Keeps the result of an audit as of `taken_at`.
pub async fn keep(
    database: &DatabaseConfig,
    log: &Log,
    taken_at: DateTime<Utc>,
    summary: &Summary,
    progress: &[Progress],
    overwrite: Overwrite,
) -> Result<Outcome, StoreError> {
    let keeping = async {
        let mut connection = connect(database, "sensorpipe audit").await?;
        if !may_write(&mut connection).await.map_err(StoreError::new(DOING))? {
            return Ok(Outcome::NotAllowed);
        }
        let written = write(&mut connection, log, taken_at, summary, progress, overwrite).await;
        Ok(if written.map_err(StoreError::new(DOING))? { Outcome::Kept } else { Outcome::Superseded })
    };
    timeout(KEEP_TIMEOUT, keeping).await.map_err(StoreError::timed_out(DOING))?
}

#[derive(sqlx::FromRow)]
struct KeptRow {
    taken_at: DateTime<Utc>,
    progress: Option<String>,
    rows_missing: Option<i64>,
    rows_counted: bool,
}

/// What the last audit of a log has left for the next one; none where there was none. Progress that another version has
/// kept in another form is none.
pub async fn last(database: &DatabaseConfig, log: &Log) -> Result<Option<Kept>, StoreError> {
    let asking = async {
        let mut connection = connect(database, "sensorpipe audit").await?;
        let kept: Option<KeptRow> = sqlx::query_as(
            "SELECT taken_at, progress::text, rows_counted,
                    CASE WHEN 'rows_missing' = ANY (difference_kinds) THEN difference END AS rows_missing
             FROM audits WHERE cluster_id = $1 AND topic = $2 AND topic_id = $3",
        )
        .bind(&log.cluster_id)
        .bind(&log.topic)
        .bind(&log.topic_id)
        .fetch_optional(&mut connection)
        .await
        .map_err(StoreError::new(READING))?;
        Ok(kept.map(|KeptRow { taken_at, progress, rows_missing, rows_counted }| Kept {
            taken_at,
            progress: progress.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
            rows_missing,
            rows_counted,
        }))
    };
    timeout(KEEP_TIMEOUT, asking).await.map_err(StoreError::timed_out(READING))?
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
    progress: &[Progress],
    overwrite: Overwrite,
) -> Result<bool, sqlx::Error> {
    let Sums { readings, uncounted, counts } = summary.sums;
    let (any, known) = match overwrite {
        Overwrite::Any => (true, None),
        Overwrite::Known(known) => (false, known),
    };
    let kinds: Vec<&str> = summary.kinds.keys().copied().collect();
    let written = sqlx::query(
        "INSERT INTO audits AS kept (cluster_id, topic, topic_id, taken_at, duration_seconds, outcome, differences,
                                     difference_kinds, readings, uncounted, stored, duplicates, dead_lettered,
                                     difference, rows_counted, partitions,
                                     progress)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17::jsonb)
         ON CONFLICT (cluster_id, topic, topic_id) DO UPDATE
         SET taken_at = excluded.taken_at, finished_at = excluded.finished_at,
             duration_seconds = excluded.duration_seconds, outcome = excluded.outcome,
             differences = excluded.differences, difference_kinds = excluded.difference_kinds,
             readings = excluded.readings, uncounted = excluded.uncounted, stored = excluded.stored,
             duplicates = excluded.duplicates, dead_lettered = excluded.dead_lettered,
             difference = excluded.difference, rows_counted = excluded.rows_counted,
             partitions = excluded.partitions, progress = excluded.progress
         WHERE $18 OR kept.taken_at = $19",
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(&log.topic_id)
    .bind(taken_at)
    .bind(summary.duration_seconds)
    .bind(summary.outcome.as_str())
    .bind(summary.differences)
    .bind(kinds)
    .bind(readings)
    .bind(uncounted)
    .bind(counts.stored)
    .bind(counts.duplicates)
    .bind(counts.dead_lettered)
    .bind(summary.difference)
    .bind(summary.rows_counted)
    .bind(&summary.partitions)
    .bind(serde_json::to_string(progress).expect("progress has string keys"))
    .bind(any)
    .bind(known)
    .execute(connection)
    .await?;
    Ok(written.rows_affected() > 0)
}
