//! Offsets, counts and sums of one moment, while workers go on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::{Connection, FromRow, PgConnection, Row, postgres::PgRow};

use crate::{
    audit::{Books, Checkpoint, DeadLetterBooks, Point, TableBooks},
    batch::Tally,
    config::DatabaseConfig,
    log::{Gap, Log},
    reading::untimed::GivenTimes,
    store::{
        ConnectError, StoreError,
        chunk_spans::ChunkSpans,
        queries::{parameter, windows},
        read_snapshot::release_locks,
        startup::{STARTUP_PATIENCE, connect_within},
    },
};

const DOING: &str = "reading what is to be audited";

/// As [`crate::store::read_snapshot::BEGIN_SNAPSHOT`], with the time between statements that the connection gives.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SAVEPOINT portion";

/// What a snapshot is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The log.
    pub log: &'a Log,
    /// Whether the rows of `sensor_data` are counted, which scans the table.
    pub counts_rows: bool,
}

/// The database at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Which moment, by the database's clock.
    pub taken_at: DateTime<Utc>,
    /// The log's rows of `ingest_offsets`, in partition order.
    pub books: Vec<Books>,
    /// Other clusters that have offsets of a topic of this name.
    pub other_clusters: Vec<String>,
    /// The log's checkpoints.
    pub checkpoints: Vec<Checkpoint>,
    /// Dead letters of each partition.
    pub letters: BTreeMap<i32, DeadLetterBooks>,
    /// The table as a whole; none where it was not to be counted, or not in one piece.
    pub table: Option<TableBooks>,
}

/// A log that was cut, as an operator has accepted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedCut {
    /// When, the last time.
    pub accepted_at: DateTime<Utc>,
    /// Dead letters of records that are gone.
    pub letters: i64,
}

/// A connection that takes snapshots.
pub struct SnapshotStore {
    connection: PgConnection,
}

impl SnapshotStore {
    /// Connects; waits up to 30 s for Postgres to come up.
    pub async fn open(database: &DatabaseConfig) -> Result<Self, ConnectError> {
        Ok(Self { connection: connect_within(STARTUP_PATIENCE, database, "sensorpipe audit").await? })
    }

    /// Takes a snapshot.
    pub async fn take(&mut self, wanted: Wanted<'_>) -> Result<Snapshot, StoreError> {
        let mut transaction = self.connection.begin_with(SNAPSHOT).await.map_err(StoreError::new(DOING))?;
        let (mut snapshot, expired_then) =
            read(&mut transaction, wanted).await.map_err(StoreError::new(DOING))?;
        transaction.commit().await.map_err(StoreError::new(DOING))?;
        // A chunk that is dropped is gone for all at once, also for snapshots from before.
        if expired_now(&mut self.connection).await.map_err(StoreError::new(DOING))? != expired_then {
            snapshot.table = None;
        }
        Ok(snapshot)
    }

    /// Dead letters of records in the log that have been removed or were not kept by now, and of these those that were not kept, by partition.
    pub async fn letters_removed(&mut self, log: &Log) -> Result<BTreeMap<i32, (i64, i64)>, StoreError> {
        let removed: Vec<(i32, i64, i64)> = sqlx::query_as(
            "SELECT partition, sum(letters)::bigint,
                    coalesce(sum(letters) FILTER (WHERE is_overflow), 0)::bigint
             FROM (SELECT partition, letters, false AS is_overflow FROM dead_letter_removals
                   WHERE topic = $1 AND topic_id NOT LIKE '%/cut/%'
                   UNION ALL
                   SELECT partition, letters, true FROM dead_letter_overflow_totals WHERE topic = $1) AS gone
             GROUP BY partition",
        )
        .bind(&log.topic)
        .fetch_all(&mut self.connection)
        .await
        .map_err(StoreError::new("counting removed dead letters"))?;
        Ok(removed.into_iter().map(|(partition, all, not_kept)| (partition, (all, not_kept))).collect())
    }

    /// The log's partitions whose cuts were accepted. None where the role may not read `offset_moves`, which an audit does
    /// not need for anything else.
    pub async fn accepted_cuts(&mut self, log: &Log) -> Result<BTreeMap<i32, AcceptedCut>, StoreError> {
        const SQL: &str = "SELECT partition, max(moved_at),
                   (SELECT count(*) FROM dead_letters AS letter
                    WHERE letter.topic = $2 AND letter.partition = moved.partition
                      AND starts_with(letter.topic_id, $3 || '/cut/'))
            FROM offset_moves AS moved
            WHERE cluster_id = $1 AND topic = $2 AND topic_id = $3 AND kind = 'start' GROUP BY partition";
        let query = sqlx::query_as(SQL).bind(&log.cluster_id).bind(&log.topic).bind(&log.topic_id);
        let cuts: Result<Vec<(i32, DateTime<Utc>, i64)>, _> = query.fetch_all(&mut self.connection).await;
        match cuts.map_err(StoreError::new("reading which cuts were accepted")) {
            Ok(cuts) => {
                let cut =
                    |(partition, accepted_at, letters)| (partition, AcceptedCut { accepted_at, letters });
                Ok(cuts.into_iter().map(cut).collect())
            }
            Err(error) if error.sqlstate().is_some_and(|state| state == "42501") => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        }
    }

    /// Of the sensors that their topic has, those that the table lacks; and those of the table that the topic lacks.
    /// Neither those of which the topic is still to be told.
    pub async fn sensors_beside(&mut self, told: &[i32]) -> Result<(Vec<i32>, Vec<i32>), StoreError> {
        const SQL: &str = "WITH told AS (SELECT unnest($1::int[]) AS sensor_id),
            settled AS (
                SELECT sensor_id FROM told EXCEPT SELECT sensor_id FROM sensor_changes),
            there AS (
                SELECT sensor_id FROM sensors EXCEPT SELECT sensor_id FROM sensor_changes)
            SELECT ARRAY (SELECT sensor_id FROM settled EXCEPT SELECT sensor_id FROM sensors ORDER BY 1),
                   ARRAY (SELECT sensor_id FROM there EXCEPT SELECT sensor_id FROM told ORDER BY 1)";
        sqlx::query_as(SQL)
            .bind(told)
            .fetch_one(&mut self.connection)
            .await
            .map_err(StoreError::new("comparing sensors with their topic"))
    }

    /// Readings of the log that are counted as duplicates by now.
    pub async fn duplicates(&mut self, log: &Log) -> Result<i64, StoreError> {
        sqlx::query_scalar(
            "SELECT coalesce(sum(duplicates), 0)::bigint FROM ingest_offsets WHERE cluster_id = $1 AND topic = $2",
        )
        .bind(&log.cluster_id)
        .bind(&log.topic)
        .fetch_one(&mut self.connection)
        .await
        .map_err(StoreError::new("counting duplicates"))
    }
}

/// Also returns what retention had dropped by then.
async fn read(
    connection: &mut PgConnection,
    wanted: Wanted<'_>,
) -> Result<(Snapshot, (i64, i64)), sqlx::Error> {
    let Wanted { log, counts_rows } = wanted;
    let taken_at = sqlx::query_scalar("SELECT now()").fetch_one(&mut *connection).await?;
    let expired = expired_now(connection).await?;
    let books = sqlx::query_as(
        "SELECT partition, topic_id, first_offset, next_offset, stored, duplicates, dead_lettered, given_times,
                CASE WHEN gap_offset = next_offset AND (gap = 'log_diverged' OR last_record IS NULL) THEN gap END AS gap
         FROM ingest_offsets WHERE cluster_id = $1 AND topic = $2 ORDER BY partition",
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .fetch_all(&mut *connection)
    .await?;
    let other_clusters = sqlx::query_scalar(
        "SELECT DISTINCT cluster_id FROM ingest_offsets WHERE topic = $2 AND cluster_id <> $1 ORDER BY 1",
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .fetch_all(&mut *connection)
    .await?;
    let checkpoints = sqlx::query_as(
        r#"SELECT partition, topic_id, "offset", stored, duplicates, dead_lettered, starts_anew, kept_at,
                  given_times
           FROM audit_checkpoints WHERE cluster_id = $1 AND topic = $2 AND topic_id = $3
           ORDER BY partition, "offset""#,
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(&log.topic_id)
    .fetch_all(&mut *connection)
    .await?;
    let letters = letters(connection, &log.topic).await?;
    let table = if counts_rows { Some(table(connection).await?) } else { None };
    Ok((Snapshot { taken_at, books, other_clusters, checkpoints, letters, table }, expired))
}

/// Dead letters bear the topic's name alone, so those of all clusters are one account.
///
/// Where an offset was moved, records may have been counted again, whose dead letters are there once: no more are due then
/// than are known of. Those of records that were cut off are left out: that they are removed explains nothing that the log
/// lacks, and the offset was moved then.
async fn letters(
    connection: &mut PgConnection,
    topic: &str,
) -> Result<BTreeMap<i32, DeadLetterBooks>, sqlx::Error> {
    let rows: Vec<(i32, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT partition, coalesce(kept, 0)::bigint AS kept,
                (coalesce(removed, 0) + coalesce(not_kept, 0))::bigint AS removed,
                coalesce(not_kept, 0)::bigint AS not_kept,
                CASE WHEN EXISTS (SELECT FROM audit_checkpoints AS checkpoint
                                  WHERE checkpoint.topic = $1 AND checkpoint.partition = books.partition
                                    AND checkpoint.starts_anew)
                     THEN least(counted, coalesce(kept, 0) + coalesce(removed, 0) + coalesce(not_kept, 0))
                     ELSE counted END::bigint AS counted
         FROM (SELECT partition, sum(dead_lettered) AS counted FROM ingest_offsets WHERE topic = $1
               GROUP BY partition) AS books
         LEFT JOIN (SELECT partition, sum(readings) AS kept FROM dead_letters
                    WHERE topic = $1 AND coalesce(topic_id, '') NOT LIKE '%/cut/%'
                    GROUP BY partition) AS there USING (partition)
         LEFT JOIN (SELECT partition, sum(letters) AS removed FROM dead_letter_removals
                    WHERE topic = $1 AND topic_id NOT LIKE '%/cut/%'
                    GROUP BY partition) AS gone USING (partition)
         LEFT JOIN (SELECT partition, sum(letters) AS not_kept FROM dead_letter_overflow_totals WHERE topic = $1
                    GROUP BY partition) AS overflow USING (partition)",
    )
    .bind(topic)
    .fetch_all(connection)
    .await?;
    let books = |(partition, kept, removed, not_kept, counted)| {
        (partition, DeadLetterBooks { counted, kept, removed, not_kept })
    };
    Ok(rows.into_iter().map(books).collect())
}

/// Rows are counted span by span, in one snapshot.
async fn table(connection: &mut PgConnection) -> Result<TableBooks, sqlx::Error> {
    let (stored, expired, sensors_removed) = sqlx::query_as(
        "SELECT (SELECT coalesce(sum(stored), 0)::bigint FROM ingest_offsets) AS stored,
                (SELECT coalesce(sum(readings), 0)::bigint FROM expired_chunks) AS expired,
                (SELECT coalesce(sum(readings), 0)::bigint FROM removed_sensors) AS sensors_removed",
    )
    .fetch_one(&mut *connection)
    .await?;
    let mut rows = 0;
    for span in ChunkSpans::read(connection).await?.split(windows::BEGINNING..windows::END) {
        release_locks(connection).await?;
        let of_span: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sensor_data WHERE time >= $1 AND time < $2")
                .bind(parameter(span.start))
                .bind(parameter(span.end))
                // A plan for any range holds every chunk.
                .persistent(false)
                .fetch_one(&mut *connection)
                .await?;
        rows += of_span;
    }
    Ok(TableBooks { rows, stored, expired, sensors_removed })
}

/// Chunks and readings.
async fn expired_now(connection: &mut PgConnection) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as("SELECT count(*), coalesce(sum(readings), 0)::bigint FROM expired_chunks")
        .fetch_one(connection)
        .await
}

impl FromRow<'_, PgRow> for Books {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            partition: row.try_get("partition")?,
            topic_id: row.try_get("topic_id")?,
            first_offset: row.try_get("first_offset")?,
            next_offset: row.try_get("next_offset")?,
            gap: row.try_get::<Option<&str>, _>("gap")?.and_then(Gap::named),
            tally: Tally::from_row(row)?,
            given_times: given_times(row, row.try_get("next_offset")?)?.unwrap_or_default(),
        })
    }
}

impl FromRow<'_, PgRow> for Checkpoint {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            partition: row.try_get("partition")?,
            topic_id: row.try_get("topic_id")?,
            point: Point { offset: row.try_get("offset")?, tally: Tally::from_row(row)?, ..Point::default() },
            starts_anew: row.try_get("starts_anew")?,
            kept_at: row.try_get("kept_at")?,
            given_times: given_times(row, row.try_get("offset")?)?,
        })
    }
}

/// None where the column is null: nobody who knows of them wrote the row.
fn given_times(row: &PgRow, offset: i64) -> Result<Option<GivenTimes>, sqlx::Error> {
    let bytes: Option<&[u8]> = row.try_get("given_times")?;
    Ok(bytes.map(|bytes| GivenTimes::from_bytes(Some(bytes), offset)))
}
