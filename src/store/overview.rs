//! What the overview shows of the database: small enough to be asked every second.

use super::{
    StoreError,
    pool::{LOOK_UP_TIMEOUT, Pool},
};

/// How far a partition is stored, and what became of what was read of it.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct PartitionBooks {
    /// The partition.
    pub partition: i32,
    /// Where ingestion of it began.
    pub first_offset: i64,
    /// First offset that is not stored.
    pub next_offset: i64,
    /// Readings stored.
    pub stored: i64,
    /// Readings that were there already.
    pub duplicates: i64,
    /// Readings set aside.
    pub dead_lettered: i64,
    /// When the last batch of it was stored, in milliseconds since 1970.
    pub stored_at_ms: i64,
    /// How long ago that was by the database's clock, in seconds.
    pub age_seconds: f64,
}

/// What the last audit of a topic came to.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct LastAudit {
    /// Which moment it is about, in milliseconds since 1970: it covers what was stored by then.
    pub taken_at_ms: i64,
    /// When it was finished, in milliseconds since 1970.
    pub finished_at_ms: i64,
    /// How long ago that was by the database's clock, in seconds.
    pub age_seconds: f64,
    /// How long it took.
    pub duration_seconds: f64,
    /// `clean`, `differences` or `undetermined`.
    pub outcome: String,
    /// How many differences there are; a kind in a partition is one.
    pub differences: i32,
    /// Their kinds.
    pub difference_kinds: Vec<String>,
    /// The partitions that have one or could not be audited.
    pub partitions: Vec<i32>,
    /// Readings in the log, up to the stored offsets.
    pub readings: i64,
    /// Of them those before the first offset whose counts are known.
    pub uncounted: i64,
    /// Of the others, those counted as stored.
    pub stored: i64,
    /// As duplicates.
    pub duplicates: i64,
    /// As dead-lettered.
    pub dead_lettered: i64,
    /// Readings over which the log, the counts and the tables disagree; none where that is not known.
    pub difference: Option<i64>,
    /// Whether the rows of `sensor_data` were compared with the counts, too.
    pub rows_counted: bool,
}

/// Which topic: its cluster and its id tell it from others of the same name, where they are known.
#[derive(Clone, Debug)]
pub struct BooksOf {
    /// Its name.
    pub topic: String,
    /// Its cluster's id and its own.
    pub identity: Option<(String, String)>,
}

/// The partitions of a topic that were ever assigned, in order.
pub async fn books(pool: &Pool, of: BooksOf) -> Result<Vec<PartitionBooks>, StoreError> {
    const SQL: &str = "SELECT partition, first_offset, next_offset, stored, duplicates, dead_lettered,
            (extract(epoch FROM updated_at) * 1000)::bigint AS stored_at_ms,
            extract(epoch FROM clock_timestamp() - updated_at)::float8 AS age_seconds
        FROM ingest_offsets
        WHERE topic = $1 AND ($2::text IS NULL OR cluster_id = $2) AND ($3::text IS NULL OR topic_id = $3)
        ORDER BY partition";
    let (cluster_id, topic_id) = of.identity.unzip();
    pool.run_within(LOOK_UP_TIMEOUT, "looking at the stored offsets", move |connection| {
        Box::pin(sqlx::query_as(SQL).bind(of.topic).bind(cluster_id).bind(topic_id).fetch_all(connection))
    })
    .await
}

/// The last audit of a topic; where its identity is not known, of any topic of its name.
pub async fn last_audit(pool: &Pool, of: BooksOf) -> Result<Option<LastAudit>, StoreError> {
    const SQL: &str = "SELECT (extract(epoch FROM taken_at) * 1000)::bigint AS taken_at_ms,
            (extract(epoch FROM finished_at) * 1000)::bigint AS finished_at_ms,
            extract(epoch FROM clock_timestamp() - finished_at)::float8 AS age_seconds,
            duration_seconds, outcome, differences, difference_kinds, partitions, readings, uncounted, stored,
            duplicates, dead_lettered, difference, rows_counted
        FROM audits
        WHERE topic = $1 AND ($2::text IS NULL OR cluster_id = $2) AND ($3::text IS NULL OR topic_id = $3)
        ORDER BY finished_at DESC LIMIT 1";
    let (cluster_id, topic_id) = of.identity.unzip();
    pool.run_within(LOOK_UP_TIMEOUT, "looking at the last audit", move |connection| {
        Box::pin(
            sqlx::query_as(SQL).bind(of.topic).bind(cluster_id).bind(topic_id).fetch_optional(connection),
        )
    })
    .await
}
