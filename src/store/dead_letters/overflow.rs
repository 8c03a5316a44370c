//! What came while `dead_letters` was at its bound: where the log has it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::{StoreError, pool::Pool};

/// Most ranges of one answer.
pub const RANGES_MAX: i64 = 1_000;

/// Readings of one reason between two offsets of a partition that were counted and not kept.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, Serialize, ToSchema)]
#[schema(as = NotKeptBody)]
pub struct OverflowRange {
    /// The topic.
    pub topic: String,
    /// Kafka's id of it.
    pub topic_id: String,
    /// The partition.
    pub partition: i32,
    /// Why they were refused.
    pub reason: String,
    /// The first record.
    pub first_offset: i64,
    /// The last record; others in between are none of these.
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
