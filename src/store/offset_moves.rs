//! Stored offsets that a person moves, and the record of it: `offset_moves`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use super::{
    ConnectError, ReportedStall, StoreError, database_identity, stalled,
    startup::{COMMAND_PATIENCE, connect_within},
};
use crate::{
    batch::Tally,
    config::{DatabaseConfig, MoveNote},
    log::{DatabaseId, Gap, Log, RecordIdentity},
    reading::untimed::GivenTimes,
};

/// A worker holds its rows for as long as a batch takes; one that is frozen, for longer.
const LOCK_TIMEOUT: &str = "15s";

/// A row of `ingest_offsets`.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct KeptOffset {
    /// The cluster that the topic is in.
    pub cluster_id: String,
    /// The topic's id.
    pub topic_id: String,
    /// The partition.
    pub partition: i32,
    /// Where ingestion of it began.
    pub first_offset: i64,
    /// First offset that is not stored.
    pub next_offset: i64,
    /// What a worker found the log to have against a stored offset.
    pub gap: Option<String>,
    /// Which one.
    pub gap_offset: Option<i64>,
    /// The last record before it.
    pub last_record: Option<Vec<u8>>,
    /// Outcomes of all readings so far.
    #[sqlx(flatten)]
    pub tally: Tally,
    /// When a batch, or a person, moved it last.
    pub updated_at: DateTime<Utc>,
}

impl KeptOffset {
    /// What a worker has found the log to have against the offset that is stored now.
    pub fn found_gap(&self) -> Option<Gap> {
        let found = self.gap.as_deref().filter(|_| self.gap_offset == Some(self.next_offset));
        found.and_then(Gap::named)
    }

    /// Notes what the log has against it.
    pub fn note_gap(&mut self, gap: Gap) {
        (self.gap, self.gap_offset) = (Some(gap.as_str().to_owned()), Some(self.next_offset));
    }

    /// The last record before it, where that is known.
    pub fn last_record(&self) -> Option<RecordIdentity> {
        RecordIdentity::from_bytes(self.last_record.as_deref(), self.next_offset)
    }
}

/// Why an offset is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveKind {
    /// Records that retention took unread are given up.
    Gap,
    /// The topic was recreated and is read from its start.
    Recreated,
    /// The log was cut and is read again from its start.
    Start,
    /// Back, to read again.
    Replay,
}

impl MoveKind {
    /// Its name in `offset_moves`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Recreated => "recreated",
            Self::Start => "start",
            Self::Replay => "replay",
        }
    }
}

/// One partition's stored offset, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Where it is.
    pub from: KeptOffset,
    /// Where it goes.
    pub to_offset: i64,
}

/// A row of `offset_moves`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, sqlx::FromRow)]
pub struct RecordedMove {
    /// When.
    pub moved_at: DateTime<Utc>,
    /// Of which cluster's topic.
    pub cluster_id: String,
    /// The topic's id afterwards.
    pub topic_id: String,
    /// The partition.
    pub partition: i32,
    /// Where it was.
    pub from_offset: i64,
    /// Where it went.
    pub to_offset: i64,
    /// Why: `gap`, `recreated`, `start` or `replay`.
    pub kind: String,
    /// By whom.
    pub moved_by: String,
    /// What they said about it.
    pub note: String,
}

/// The stored offsets as an operator's commands see them.
pub struct OffsetLedger {
    connection: PgConnection,
    topic: String,
}

/// The stored offsets of one topic, which nobody moves while the value is there.
pub struct LockedOffsets<'l> {
    transaction: Transaction<'l, Postgres>,
    log: &'l Log,
    /// The rows, in the order of partitions.
    pub kept: Vec<KeptOffset>,
}

impl OffsetLedger {
    /// Connects; waits up to 10 s for Postgres to come up.
    pub async fn open(database: &DatabaseConfig, topic: &str) -> Result<Self, ConnectError> {
        let connection = connect_within(COMMAND_PATIENCE, database, "sensorpipe offsets").await?;
        Ok(Self { connection, topic: topic.to_owned() })
    }

    /// Which database this is.
    pub async fn database_id(&mut self) -> Result<DatabaseId, StoreError> {
        database_identity::read(&mut self.connection).await
    }

    /// The partitions of the topic that a worker reports as stalled.
    pub async fn stalled(&mut self, cluster_id: &str) -> Result<Vec<ReportedStall>, StoreError> {
        stalled::read(&mut self.connection, cluster_id, &self.topic).await
    }

    /// All rows of the topic's name, whichever cluster it is in.
    pub async fn list(&mut self) -> Result<Vec<KeptOffset>, StoreError> {
        const SQL: &str = "SELECT * FROM ingest_offsets WHERE topic = $1 ORDER BY cluster_id, partition";
        let kept = sqlx::query_as(SQL).bind(&self.topic).fetch_all(&mut self.connection).await;
        kept.map_err(StoreError::new("listing the offsets"))
    }

    /// All moves of the topic's name, oldest first.
    pub async fn moves(&mut self) -> Result<Vec<RecordedMove>, StoreError> {
        const SQL: &str = "SELECT * FROM offset_moves WHERE topic = $1 ORDER BY id";
        let moves = sqlx::query_as(SQL).bind(&self.topic).fetch_all(&mut self.connection).await;
        moves.map_err(StoreError::new("listing the moves"))
    }

    /// Locks the topic's rows in the order of partitions, as writers do; they wait.
    pub async fn lock<'l>(&'l mut self, log: &'l Log) -> Result<LockedOffsets<'l>, StoreError> {
        self.try_to_lock(log).await.map_err(StoreError::new("locking the stored offsets"))
    }

    async fn try_to_lock<'l>(&'l mut self, log: &'l Log) -> Result<LockedOffsets<'l>, sqlx::Error> {
        const SQL: &str = "SELECT * FROM ingest_offsets WHERE cluster_id = $1 AND topic = $2
            ORDER BY partition FOR UPDATE";
        let mut transaction = self.connection.begin().await?;
        sqlx::query("SELECT set_config('lock_timeout', $1, true)")
            .bind(LOCK_TIMEOUT)
            .execute(&mut *transaction)
            .await?;
        let kept =
            sqlx::query_as(SQL).bind(&log.cluster_id).bind(&log.topic).fetch_all(&mut *transaction).await?;
        Ok(LockedOffsets { transaction, log, kept })
    }
}

impl LockedOffsets<'_> {
    /// Takes the dead letters from these offsets on for those of a log that is gone: each partition with the offset at
    /// which it was cut. Returns how many there are of each. The log has other records at their offsets, whose dead letters
    /// have to find room there, and an audit does not take one for the other.
    pub async fn set_letters_aside(&mut self, cuts: &[(i32, i64)]) -> Result<BTreeMap<i32, i64>, StoreError> {
        const SQL: &str = r#"WITH set_aside AS (
                UPDATE dead_letters AS letter
                SET topic_id = $2 || '/cut/' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS.US"Z"')
                FROM unnest($3::int[], $4::bigint[]) AS cut (partition, "offset")
                WHERE letter.topic = $1 AND letter.topic_id = $2 AND letter.partition = cut.partition
                  AND letter."offset" >= cut."offset"
                RETURNING letter.partition
            )
            SELECT partition, count(*) FROM set_aside GROUP BY partition"#;
        let (partitions, offsets): (Vec<i32>, Vec<i64>) = cuts.iter().copied().unzip();
        let set_aside: Vec<(i32, i64)> = sqlx::query_as(SQL)
            .bind(&self.log.topic)
            .bind(&self.log.topic_id)
            .bind(partitions)
            .bind(offsets)
            .fetch_all(&mut *self.transaction)
            .await
            .map_err(StoreError::new("setting dead letters aside"))?;
        Ok(set_aside.into_iter().collect())
    }

    /// Moves the offsets, all or none, and keeps a record of it. Workers find out by the compare-and-set, or by
    /// looking.
    ///
    /// Where ingestion began moves along where the offset goes before it, and with a recreated topic. Each move comes
    /// with the times that readings before its target were given last.
    pub async fn move_all(
        mut self,
        kind: MoveKind,
        moves: &[(Move, GivenTimes)],
        note: &MoveNote,
    ) -> Result<(), StoreError> {
        const SQL: &str = "WITH wanted AS (
                SELECT * FROM unnest($4::int[], $5::text[], $6::bigint[], $7::bigint[], $11::bytea[])
                     AS wanted (partition, from_topic_id, from_offset, to_offset, given_times)
            ), moved AS (
                UPDATE ingest_offsets AS kept
                SET topic_id = $3, next_offset = to_offset, given_times = wanted.given_times, updated_at = now(),
                    last_record = NULL, gap = NULL, gap_offset = NULL,
                    first_offset = CASE WHEN $8 = 'recreated' THEN to_offset ELSE least(first_offset, to_offset) END
                FROM wanted
                WHERE kept.cluster_id = $1 AND kept.topic = $2 AND kept.partition = wanted.partition
                  AND kept.topic_id = from_topic_id AND kept.next_offset = from_offset
                RETURNING kept.partition, stored, duplicates, dead_lettered
            )
            INSERT INTO offset_moves (cluster_id, topic, topic_id, partition, from_topic_id, from_offset, to_offset,
                                      kind, stored, duplicates, dead_lettered, moved_by, note)
            SELECT $1, $2, $3, partition, from_topic_id, from_offset, to_offset, $8, stored, duplicates, dead_lettered,
                   $9, $10
            FROM moved JOIN wanted USING (partition) ORDER BY partition";
        let doing = "moving the stored offsets";
        sqlx::query(SQL)
            .bind(&self.log.cluster_id)
            .bind(&self.log.topic)
            .bind(&self.log.topic_id)
            .bind(moves.iter().map(|(moved, _)| moved.from.partition).collect::<Vec<_>>())
            .bind(moves.iter().map(|(moved, _)| moved.from.topic_id.as_str()).collect::<Vec<_>>())
            .bind(moves.iter().map(|(moved, _)| moved.from.next_offset).collect::<Vec<_>>())
            .bind(moves.iter().map(|(moved, _)| moved.to_offset).collect::<Vec<_>>())
            .bind(kind.as_str())
            .bind(&note.by)
            .bind(&note.note)
            .bind(moves.iter().map(|(moved, given)| given.to_bytes(moved.to_offset)).collect::<Vec<_>>())
            .execute(&mut *self.transaction)
            .await
            .map_err(StoreError::new(doing))?;
        self.transaction.commit().await.map_err(StoreError::new(doing))
    }
}
