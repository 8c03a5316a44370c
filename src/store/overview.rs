//! What the overview shows of the database: small enough to be asked every second.

use serde::Serialize;
use utoipa::ToSchema;

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

/// The last audit of the whole topic.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow, Serialize, ToSchema)]
#[schema(as = AuditBody)]
pub struct LastAudit {
    // In milliseconds since 1970, as all times of the overview.
    /// All readings that were stored by then are accounted for, where the outcome is `clean`.
    #[schema(example = 1_728_743_159_000_i64)]
    pub up_to: i64,
    /// When it was finished.
    #[schema(example = 1_728_743_160_000_i64)]
    pub finished_at: i64,
    // By the database's clock.
    /// How long ago that was.
    #[schema(example = 180.0)]
    pub age_seconds: f64,
    /// How long it took; of `--watch`, its last round.
    #[schema(example = 0.5)]
    pub duration_seconds: f64,
    /// `clean`; `differences`; or `undetermined`, where none is known and a partition could not be audited.
    #[schema(example = "clean")]
    pub outcome: String,
    /// How many differences there are; a kind in a partition is one.
    #[schema(example = 0)]
    pub differences: i32,
    /// Their kinds, as `docs/audit.md` lists them.
    pub kinds: Vec<String>,
    /// The partitions that have one or could not be audited.
    pub partitions: Vec<i32>,
    /// Readings in the log, up to the offsets that were stored then.
    #[schema(example = 1_200)]
    pub readings: i64,
    /// Of them those before the first offset whose counts are known. The others are stored, duplicates or
    /// dead-lettered.
    #[schema(example = 0)]
    pub uncounted: i64,
    /// Of the others, those counted as stored.
    #[schema(example = 1_180)]
    pub stored: i64,
    /// As duplicates.
    #[schema(example = 12)]
    pub duplicates: i64,
    /// As dead-lettered.
    #[schema(example = 8)]
    pub dead_lettered: i64,
    /// Whether the rows of the table were compared with the counts, too.
    #[schema(example = true)]
    pub rows_counted: bool,
    /// Readings over which the log, the counts and the tables disagree; none where that is not known.
    #[serde(skip)]
    pub difference: Option<i64>,
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
    const SQL: &str = "SELECT (extract(epoch FROM taken_at) * 1000)::bigint AS up_to,
            (extract(epoch FROM finished_at) * 1000)::bigint AS finished_at,
            extract(epoch FROM clock_timestamp() - finished_at)::float8 AS age_seconds,
            duration_seconds, outcome, differences, difference_kinds AS kinds, partitions, readings, uncounted,
            stored, duplicates, dead_lettered, difference, rows_counted
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
