//! What came while `dead_letters` was at its bound: where the log has it.

use chrono::{DateTime, Utc};

use crate::store::{StoreError, pool::Pool};

/// Most ranges of one answer.
pub const RANGES_MAX: i64 = 1_000;

/// Readings of one reason between two offsets of a partition that were counted and not kept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct OverflowRange {
    /// Topic of the records.
    pub topic: String,
    /// Kafka's id of that topic.
    pub topic_id: String,
    /// Their partition.
    pub partition: i32,
    /// Why they were refused.
    pub reason: String,
    /// The first record.
    pub first_offset: i64,
    /// The last record. Records in between may be stored, kept as dead letters, or of other ranges.
    pub last_offset: i64,
    /// How many readings.
    pub letters: i64,
    /// When the first was counted.
    pub since: DateTime<Utc>,
    /// When the last was.
    pub until: DateTime<Utc>,
}

/// The newest ranges, in the log's order.
pub async fn not_kept(pool: &Pool) -> Result<Vec<OverflowRange>, StoreError> {
    const SQL: &str = "SELECT * FROM (
            SELECT topic, topic_id, partition, reason, first_offset, last_offset, letters, since, until
            FROM dead_letter_overflow ORDER BY until DESC LIMIT $1) AS newest
        ORDER BY topic, partition, first_offset, reason";
    pool.run("listing dead letters that are not kept", |connection| {
        Box::pin(sqlx::query_as(SQL).bind(RANGES_MAX).fetch_all(connection))
    })
    .await
}
