//! What became of a record, as far as the database tells.

use super::{
    StoreError,
    pool::{LOOK_UP_TIMEOUT, Pool},
};
use crate::log::Log;

/// How far a partition is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Progress {
    /// The partition.
    pub partition: i32,
    /// Where ingestion of it began.
    pub first_offset: i64,
    /// First offset that is not stored.
    pub next_offset: i64,
}

/// All partitions of a log that were ever assigned; another topic of the same name is not it.
///
/// Cheap enough to be asked hundreds of times a second.
pub async fn progress(pool: &Pool, log: Log) -> Result<Vec<Progress>, StoreError> {
    const SQL: &str = "SELECT partition, first_offset, next_offset FROM ingest_offsets
        WHERE cluster_id = $1 AND topic = $2 AND topic_id = $3";
    pool.run_within(LOOK_UP_TIMEOUT, "looking at the stored offsets", move |connection| {
        Box::pin(
            sqlx::query_as(SQL).bind(log.cluster_id).bind(log.topic).bind(log.topic_id).fetch_all(connection),
        )
    })
    .await
}

/// Whether a record was gone from the log before it was stored, and an operator has accepted that.
pub async fn given_up(pool: &Pool, log: Log, partition: i32, offset: i64) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT EXISTS (SELECT FROM offset_moves
        WHERE cluster_id = $1 AND topic = $2 AND topic_id = $3 AND partition = $4 AND kind = 'gap'
          AND from_offset <= $5 AND to_offset > $5)";
    pool.run("looking for records that were given up", move |connection| {
        let query = sqlx::query_scalar(SQL).bind(log.cluster_id).bind(log.topic).bind(log.topic_id);
        Box::pin(query.bind(partition).bind(offset).fetch_one(connection))
    })
    .await
}

/// How many readings of a record are in `dead_letters`, by reason; those of a dead letter of many by the dead letter's.
///
/// Those of another topic of the same name are not this record's. A dead letter that does not say which topic it is of is
/// from before dead letters did.
pub async fn dead_lettered(
    pool: &Pool,
    log: Log,
    partition: i32,
    offset: i64,
) -> Result<Vec<(String, i64)>, StoreError> {
    const SQL: &str = r#"SELECT reason, sum(readings)::bigint FROM dead_letters
        WHERE topic = $1 AND partition = $2 AND "offset" = $3 AND (topic_id = $4 OR topic_id IS NULL)
        GROUP BY reason"#;
    pool.run("looking for a record's dead letters", move |connection| {
        let query = sqlx::query_as(SQL).bind(log.topic).bind(partition).bind(offset).bind(log.topic_id);
        Box::pin(query.fetch_all(connection))
    })
    .await
}

/// Reasons for which readings of records around this one were dead-lettered and not kept: whether its own are among them,
/// nobody has written down.
pub async fn maybe_not_kept(
    pool: &Pool,
    log: Log,
    partition: i32,
    offset: i64,
) -> Result<Vec<String>, StoreError> {
    const SQL: &str = "SELECT DISTINCT reason FROM dead_letter_overflow
        WHERE topic = $1 AND topic_id = $2 AND partition = $3 AND first_offset <= $4 AND last_offset >= $4
        ORDER BY reason";
    pool.run("looking for dead letters that are not kept", move |connection| {
        let query = sqlx::query_scalar(SQL).bind(log.topic).bind(log.topic_id);
        Box::pin(query.bind(partition).bind(offset).fetch_all(connection))
    })
    .await
}
