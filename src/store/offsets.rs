//! `ingest_offsets`: how far each partition is stored.

use sqlx::{FromRow, PgConnection, Row, postgres::PgRow};

use super::{StoreError, connection::connect, database_identity};
use crate::{
    batch::Tally,
    config::DatabaseConfig,
    log::{DatabaseId, Gap, Log, RecordIdentity, StoredOffset},
    reading::untimed::GivenTimes,
};

/// A short conversation about the offsets of one topic, apart from the writers'.
pub struct Offsets<'a> {
    connection: PgConnection,
    log: &'a Log,
}

impl<'a> Offsets<'a> {
    /// Connects. What is dropped half-way is rolled back by the server.
    pub async fn connect(database: &DatabaseConfig, log: &'a Log) -> Result<Self, StoreError> {
        Ok(Self { connection: connect(database, "sensorpipe offsets").await?, log })
    }

    /// Which database this is.
    pub async fn database_id(&mut self) -> Result<DatabaseId, StoreError> {
        database_identity::read(&mut self.connection).await
    }

    /// Whether nothing of this topic has ever been stored.
    pub async fn is_new_topic(&mut self) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT FROM ingest_offsets WHERE cluster_id = $1 AND topic = $2)",
        )
        .bind(&self.log.cluster_id)
        .bind(&self.log.topic)
        .fetch_one(&mut self.connection)
        .await
        .map_err(StoreError::new("looking for the topic's offsets"))
    }

    /// Other clusters that have a topic of this name here.
    pub async fn other_clusters(&mut self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(
            "SELECT DISTINCT cluster_id FROM ingest_offsets WHERE topic = $2 AND cluster_id <> $1 ORDER BY 1",
        )
        .bind(&self.log.cluster_id)
        .bind(&self.log.topic)
        .fetch_all(&mut self.connection)
        .await
        .map_err(StoreError::new("looking for other clusters' offsets"))
    }

    /// Adds rows for partitions that have none, all or none of them; whoever comes second changes nothing. Returns
    /// how many.
    ///
    /// Rows that are there are left out by a plain look: `ON CONFLICT` alone would wait for a transaction that is
    /// changing one of them, such as a frozen worker's.
    pub async fn add_missing(&mut self, firsts: &[(i32, i64)]) -> Result<u64, StoreError> {
        let (partitions, offsets): (Vec<i32>, Vec<i64>) = firsts.iter().copied().unzip();
        sqlx::query(
            "INSERT INTO ingest_offsets (cluster_id, topic, topic_id, partition, first_offset, next_offset)
             SELECT $1, $2, $3, partition, first_offset, first_offset
             FROM unnest($4::int[], $5::bigint[]) AS missing (partition, first_offset)
             WHERE NOT EXISTS (SELECT FROM ingest_offsets AS kept
                               WHERE kept.cluster_id = $1 AND kept.topic = $2 AND kept.partition = missing.partition)
             ORDER BY partition
             ON CONFLICT DO NOTHING",
        )
        .bind(&self.log.cluster_id)
        .bind(&self.log.topic)
        .bind(&self.log.topic_id)
        .bind(partitions)
        .bind(offsets)
        .execute(&mut self.connection)
        .await
        .map(|done| done.rows_affected())
        .map_err(StoreError::new("adding offsets"))
    }

    /// The stored offsets of these partitions, each with the gap that was found at it, if any.
    pub async fn read_with_gaps(
        &mut self,
        partitions: &[i32],
    ) -> Result<Vec<(StoredOffset, Option<Gap>)>, StoreError> {
        let rows: Vec<StartRow> = sqlx::query_as(
            "SELECT partition, next_offset, topic_id, given_times, last_record,
                    CASE WHEN gap_offset = next_offset THEN gap END AS gap
             FROM ingest_offsets
             WHERE cluster_id = $1 AND topic = $2 AND partition = ANY ($3) ORDER BY partition",
        )
        .bind(&self.log.cluster_id)
        .bind(&self.log.topic)
        .bind(partitions)
        .fetch_all(&mut self.connection)
        .await
        .map_err(StoreError::new("reading offsets"))?;
        let found = |StartRow { stored, gap }| (stored, gap.as_deref().and_then(Gap::named));
        Ok(rows.into_iter().map(found).collect())
    }

    /// The stored offsets of these partitions.
    pub async fn read(&mut self, partitions: &[i32]) -> Result<Vec<StoredOffset>, StoreError> {
        read(&mut self.connection, self.log, partitions).await
    }
}

#[derive(FromRow)]
struct StartRow {
    #[sqlx(flatten)]
    stored: StoredOffset,
    gap: Option<String>,
}

/// The stored offsets of these partitions, as this connection sees them now.
pub(super) async fn read(
    connection: &mut PgConnection,
    log: &Log,
    partitions: &[i32],
) -> Result<Vec<StoredOffset>, StoreError> {
    sqlx::query_as(
        "SELECT partition, next_offset, topic_id, given_times, last_record FROM ingest_offsets
         WHERE cluster_id = $1 AND topic = $2 AND partition = ANY ($3) ORDER BY partition",
    )
    .bind(&log.cluster_id)
    .bind(&log.topic)
    .bind(partitions)
    .fetch_all(connection)
    .await
    .map_err(StoreError::new("reading offsets"))
}

impl FromRow<'_, PgRow> for StoredOffset {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let next_offset = row.try_get("next_offset")?;
        Ok(Self {
            partition: row.try_get("partition")?,
            next_offset,
            topic_id: row.try_get("topic_id")?,
            given_times: GivenTimes::from_bytes(row.try_get("given_times")?, next_offset),
            last_record: RecordIdentity::from_bytes(row.try_get("last_record")?, next_offset),
        })
    }
}

impl FromRow<'_, PgRow> for Tally {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            stored: row.try_get("stored")?,
            duplicates: row.try_get("duplicates")?,
            dead_lettered: row.try_get("dead_lettered")?,
        })
    }
}
