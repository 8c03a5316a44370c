//! Counts at earlier offsets, for audits of logs whose beginning is gone.
//!
//! A row of `ingest_offsets` always tells an offset and the counts up to it, so a checkpoint is a copy of it, taken by
//! a task of its own: the transaction that stores a batch has nothing to do with it.

use std::time::Duration;

use sqlx::PgConnection;

use crate::{
    audit::Books,
    config::DatabaseConfig,
    log::Log,
    store::{StoreError, connection::connect},
};

/// Keeps a checkpoint of each partition that has moved, unless the last one is younger than `interval`; drops those
/// that lie before the log's start, from where nothing can be read any more. One that starts anew stays: that an
/// offset was moved matters for good.
///
/// An audit needs the first one at or after the start. Returns how many were kept.
pub async fn keep(
    database: &DatabaseConfig,
    log: &Log,
    log_starts: &[(i32, i64)],
    interval: Duration,
) -> Result<u64, StoreError> {
    let mut connection = connect(database, "sensorpipe checkpoints").await?;
    let (partitions, starts): (Vec<i32>, Vec<i64>) = log_starts.iter().copied().unzip();
    let kept = sqlx::query(
        r#"INSERT INTO audit_checkpoints (cluster_id, topic, partition, "offset", topic_id, stored, duplicates,
                                          dead_lettered, given_times)
           SELECT cluster_id, topic, partition, next_offset, topic_id, stored, duplicates, dead_lettered, given_times
           FROM ingest_offsets AS books
           WHERE cluster_id = $1 AND topic = $2 AND topic_id = $3
             AND NOT EXISTS (SELECT FROM audit_checkpoints AS kept
                             WHERE kept.cluster_id = $1 AND kept.topic = $2 AND kept.partition = books.partition
                               AND kept.kept_at > now() - make_interval(secs => $4))
           ON CONFLICT DO NOTHING"#,
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(&log.topic_id)
    .bind(interval.as_secs_f64())
    .execute(&mut connection)
    .await
    .map_err(StoreError::new("keeping checkpoints"))?;
    sqlx::query(
        r#"DELETE FROM audit_checkpoints AS kept
           USING unnest($4::int[], $5::bigint[]) AS log (partition, start)
           WHERE kept.cluster_id = $1 AND kept.topic = $2 AND kept.topic_id = $3
             AND kept.partition = log.partition AND kept."offset" < log.start
             AND NOT kept.starts_anew"#,
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(&log.topic_id)
    .bind(partitions)
    .bind(starts)
    .execute(&mut connection)
    .await
    .map_err(StoreError::new("dropping old checkpoints"))?;
    Ok(kept.rows_affected())
}

/// Has later audits begin at the offsets of these books, with their counts.
pub async fn restart_counting(
    database: &DatabaseConfig,
    log: &Log,
    books: &[Books],
) -> Result<(), StoreError> {
    let mut connection = connect(database, "sensorpipe audit").await?;
    for books in books.iter().filter(|books| books.topic_id == log.topic_id) {
        insert_first(&mut connection, log, books).await.map_err(StoreError::new("accepting the audit"))?;
    }
    Ok(())
}

async fn insert_first(connection: &mut PgConnection, log: &Log, books: &Books) -> Result<(), sqlx::Error> {
    sqlx::query(
        r#"INSERT INTO audit_checkpoints (cluster_id, topic, partition, "offset", topic_id, stored, duplicates,
                                          dead_lettered, given_times, starts_anew)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, true)
           ON CONFLICT (cluster_id, topic, partition, "offset") DO UPDATE
           SET stored = excluded.stored, duplicates = excluded.duplicates,
               dead_lettered = excluded.dead_lettered, given_times = excluded.given_times, starts_anew = true,
               kept_at = now()"#,
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(books.partition)
    .bind(books.next_offset)
    .bind(&log.topic_id)
    .bind(books.tally.stored)
    .bind(books.tally.duplicates)
    .bind(books.tally.dead_lettered)
    .bind(books.given_times.to_bytes(books.next_offset))
    .execute(connection)
    .await?;
    Ok(())
}
