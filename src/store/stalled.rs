//! `stalled_partitions`: what workers say of partitions of which no record is taken, for those who are not workers.

use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::{
    StoreError,
    overview::BooksOf,
    pool::{LOOK_UP_TIMEOUT, Pool},
};
use crate::log::{Log, StoredOffset};

/// A stalled partition, as its worker reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StallReport {
    /// The partition.
    pub partition: i32,
    /// The reason's name.
    pub reason: &'static str,
    /// For people.
    pub detail: String,
    /// The stored offset that the log contradicts, where its ends may stop telling of that.
    pub kept_at: Option<StoredOffset>,
}

/// A partition of which no record is taken.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, Serialize, ToSchema)]
#[schema(as = StallBody)]
pub struct ReportedStall {
    /// The partition.
    #[serde(skip)]
    pub partition: i32,
    /// As the label `gap` of `sensorpipe_stalled_partitions`.
    #[schema(example = "not_authorized")]
    pub reason: String,
    /// What is wrong, what Kafka says, and what to do.
    pub detail: String,
    // In milliseconds since 1970.
    /// Since when.
    #[schema(example = 1_728_743_339_600_i64)]
    pub since: i64,
}

/// Workers confirm a stall every three seconds; a row that is older than this is of a worker that is gone.
const CONFIRMED_WITHIN_SECONDS: f64 = 30.0;

/// Of the partitions that a worker has, these are stalled, and the others are not.
pub(super) async fn report(
    connection: &mut PgConnection,
    log: &Log,
    partitions: &[i32],
    stalled: &[StallReport],
) -> Result<(), StoreError> {
    let of = |stall: &StallReport| stall.partition;
    sqlx::query(
        "WITH gone AS (
             DELETE FROM stalled_partitions AS kept
             WHERE kept.cluster_id = $1 AND kept.topic = $2 AND kept.partition = ANY ($3)
               AND kept.partition <> ALL ($4)
         )
         INSERT INTO stalled_partitions AS kept (cluster_id, topic, partition, reason, detail)
         SELECT $1, $2, partition, reason, detail
         FROM unnest($4::int[], $5::text[], $6::text[]) AS told (partition, reason, detail)
         ORDER BY partition
         ON CONFLICT (cluster_id, topic, partition) DO UPDATE
         SET reason = excluded.reason, detail = excluded.detail, seen_at = excluded.seen_at,
             since = CASE WHEN kept.reason = excluded.reason THEN kept.since ELSE excluded.since END",
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(partitions)
    .bind(stalled.iter().map(of).collect::<Vec<_>>())
    .bind(stalled.iter().map(|stall| stall.reason).collect::<Vec<_>>())
    .bind(stalled.iter().map(|stall| stall.detail.replace('\0', "\u{fffd}")).collect::<Vec<_>>())
    .execute(&mut *connection)
    .await
    .map_err(StoreError::new("reporting stalled partitions"))?;
    keep_gaps(connection, log, stalled).await
}

/// Notes, beside the stored offset, what the log has against it: whoever has the partition next may not be able to tell.
async fn keep_gaps(
    connection: &mut PgConnection,
    log: &Log,
    stalled: &[StallReport],
) -> Result<(), StoreError> {
    let kept: Vec<(&StoredOffset, &str)> =
        stalled.iter().filter_map(|stall| Some((stall.kept_at.as_ref()?, stall.reason))).collect();
    if kept.is_empty() {
        return Ok(());
    }
    let last_record = |at: &StoredOffset| at.last_record.map(|last| last.to_bytes(at.next_offset));
    // An operator may have moved the offset to where it was: from there on no last record is known.
    sqlx::query(
        "UPDATE ingest_offsets AS kept SET gap = told.gap, gap_offset = told.at
         FROM unnest($4::int[], $5::bigint[], $6::text[], $7::bytea[]) AS told (partition, at, gap, last_record)
         WHERE kept.cluster_id = $1 AND kept.topic = $2 AND kept.topic_id = $3 AND kept.partition = told.partition
           AND kept.next_offset = told.at AND (told.last_record IS NULL OR kept.last_record = told.last_record)
           AND (kept.gap, kept.gap_offset) IS DISTINCT FROM (told.gap, told.at)",
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(&log.topic_id)
    .bind(kept.iter().map(|(at, _)| at.partition).collect::<Vec<_>>())
    .bind(kept.iter().map(|(at, _)| at.next_offset).collect::<Vec<_>>())
    .bind(kept.iter().map(|(_, gap)| *gap).collect::<Vec<_>>())
    .bind(kept.iter().map(|(at, _)| last_record(at)).collect::<Vec<_>>())
    .execute(connection)
    .await
    .map_err(StoreError::new("noting what the log has against stored offsets"))?;
    Ok(())
}

const REPORTED: &str = "SELECT partition, reason, detail, (extract(epoch FROM since) * 1000)::bigint AS since
    FROM stalled_partitions
    WHERE topic = $1 AND ($2::text IS NULL OR cluster_id = $2)
      AND seen_at > clock_timestamp() - make_interval(secs => $3)
    ORDER BY partition";

/// The partitions of a topic that are stalled now.
pub async fn stalled(pool: &Pool, of: BooksOf) -> Result<Vec<ReportedStall>, StoreError> {
    let cluster_id = of.identity.map(|(cluster_id, _)| cluster_id);
    pool.run_within(LOOK_UP_TIMEOUT, "looking at the stalled partitions", move |connection| {
        Box::pin(
            sqlx::query_as(REPORTED)
                .bind(of.topic)
                .bind(cluster_id)
                .bind(CONFIRMED_WITHIN_SECONDS)
                .fetch_all(connection),
        )
    })
    .await
}

/// The same over a connection that is open.
pub(super) async fn read(
    connection: &mut PgConnection,
    cluster_id: &str,
    topic: &str,
) -> Result<Vec<ReportedStall>, StoreError> {
    sqlx::query_as(REPORTED)
        .bind(topic)
        .bind(cluster_id)
        .bind(CONFIRMED_WITHIN_SECONDS)
        .fetch_all(connection)
        .await
        .map_err(StoreError::new("looking at the stalled partitions"))
}
