//! Chunks of readings that are older than they are wanted for.
//!
//! A chunk goes once all of it is before the edge, which is a midnight, and by then no worker accepts readings of it.
//! Its days' statistics are made complete first where they are to stay, and final in the transaction that drops it:
//! a day that a chunk's border runs through is kept whole, and not computed from the half that is left.
//!
//! A chunk of which a day's statistics cannot be kept stays, with all its readings, and so does one that Postgres will not
//! drop; younger chunks go. It is tried again each time.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::{Connection, Executor, PgConnection, Postgres, Transaction};

use super::{
    StoreError,
    connection::{connect, takes},
    queries::windows,
    stats::{FailedDays, fill},
};
use crate::{
    config::{DatabaseConfig, RetentionStats},
    reading::Timestamp,
};

/// Of the advisory lock that lets one process at a time do it: "expire" in ASCII.
const LOCK_KEY: i64 = 0x6578_7069_7265;

/// How often days are looked for that are not kept yet. A day whose readings are being changed is not to be had; the
/// chunk then waits for the next time.
const ROUNDS: usize = 3;

const DOING: &str = "dropping old readings";

/// A chunk that is gone.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Dropped {
    /// Its table's name.
    pub chunk: String,
    /// The earliest time that it could hold.
    pub since: DateTime<Utc>,
    /// The time after its last.
    pub until: DateTime<Utc>,
}

impl Dropped {
    /// The days that it has readings of, whole or in part.
    fn days(&self) -> (NaiveDate, NaiveDate) {
        (self.since.date_naive(), (self.until - TimeDelta::microseconds(1)).date_naive())
    }
}

/// What one look at old chunks came to.
#[derive(Debug, Default)]
pub struct Expiry {
    /// Chunks that are gone.
    pub dropped: Vec<Dropped>,
    /// Days whose statistics were to stay and could not be kept; their chunks stay instead.
    pub failed: FailedDays,
    /// Chunks that stay because of these days.
    pub held: Vec<Dropped>,
    /// What else went wrong first: with one chunk, or for all of them, which ended it.
    pub error: Option<StoreError>,
    /// Another process is at it, and this one did nothing.
    pub is_elsewhere: bool,
}

/// Drops the chunks that end at or before `edge`, the oldest first; none where another process is at it.
pub async fn drop_expired(database: &DatabaseConfig, edge: Timestamp, stats: RetentionStats) -> Expiry {
    let mut expiry = Expiry::default();
    if let Err(error) = expiry.run(database, edge, stats).await {
        expiry.error = Some(error);
    }
    expiry
}

impl Expiry {
    async fn run(
        &mut self,
        database: &DatabaseConfig,
        edge: Timestamp,
        stats: RetentionStats,
    ) -> Result<(), StoreError> {
        let mut connection = connect(database, "sensorpipe retention").await?;
        let is_ours = takes(&mut connection, LOCK_KEY).await.map_err(StoreError::new(DOING))?;
        self.is_elsewhere = !is_ours;
        if is_ours {
            for chunk in expired(&mut connection, edge).await? {
                match self.drop_chunk(&mut connection, chunk, stats).await {
                    // Of others it would not be otherwise.
                    Err(error) if !error.is_of_the_work() || error.is_retriable() => return Err(error),
                    Err(error) => drop(self.error.get_or_insert(error)),
                    Ok(()) => {}
                }
            }
        }
        // The lock goes with the connection.
        connection.close().await.map_err(StoreError::new(DOING))
    }

    /// Drops a chunk unless days of it are not kept.
    async fn drop_chunk(
        &mut self,
        connection: &mut PgConnection,
        chunk: Dropped,
        stats: RetentionStats,
    ) -> Result<(), StoreError> {
        let failed_before = self.failed.count();
        let is_kept =
            stats == RetentionStats::Drop || roll_up_days_of(connection, &chunk, &mut self.failed).await?;
        if self.failed.count() > failed_before {
            self.held.push(chunk);
        } else if is_kept && drop_one(connection, &chunk, stats).await? {
            self.dropped.push(chunk);
        }
        Ok(())
    }
}

async fn expired(connection: &mut PgConnection, edge: Timestamp) -> Result<Vec<Dropped>, StoreError> {
    sqlx::query_as(
        "SELECT format('%I.%I', chunk_schema, chunk_name) AS chunk,
                greatest(range_start, $2) AS since, range_end AS until
         FROM timescaledb_information.chunks
         WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'sensor_data'::regclass
           AND range_end <= $1
         ORDER BY range_end",
    )
    .bind(edge.to_datetime())
    .bind(windows::BEGINNING.to_datetime())
    .fetch_all(connection)
    .await
    .map_err(StoreError::new("looking for old chunks"))
}

/// Completes the statistics of a chunk's days; says whether they are complete.
async fn roll_up_days_of(
    connection: &mut PgConnection,
    chunk: &Dropped,
    failed: &mut FailedDays,
) -> Result<bool, StoreError> {
    let failed_before = failed.count();
    for _ in 0..ROUNDS {
        let missing = not_kept(connection, chunk).await?;
        if missing.is_empty() {
            return Ok(true);
        }
        for (sensor_id, day) in missing {
            let outcome = fill::keep(connection, sensor_id, day).await;
            failed.take(sensor_id, day, outcome)?;
        }
        if failed.count() > failed_before {
            return Ok(false);
        }
    }
    Ok(not_kept(connection, chunk).await?.is_empty())
}

/// Days of sensors that have readings in the chunk and no statistics: two probes of an index for each.
async fn not_kept(
    connection: &mut PgConnection,
    chunk: &Dropped,
) -> Result<Vec<(i32, NaiveDate)>, StoreError> {
    let (first, last) = chunk.days();
    sqlx::query_as(
        "SELECT sensors.sensor_id, start::date
         FROM sensors
         CROSS JOIN generate_series($1::date::timestamptz, $2::date, interval '24 hours') AS start
         WHERE sensors.sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
           AND NOT EXISTS (SELECT FROM daily_stats AS kept
                           WHERE kept.sensor_id = sensors.sensor_id AND kept.day = start::date)
           AND EXISTS (SELECT FROM sensor_data AS reading
                       WHERE reading.sensor_id = sensors.sensor_id AND reading.time >= $3 AND reading.time < $4
                         AND reading.time >= start AND reading.time < start + interval '24 hours')
         ORDER BY 1, 2",
    )
    .bind(first)
    .bind(last)
    .bind(chunk.since)
    .bind(chunk.until)
    // A plan for any times holds every chunk.
    .persistent(false)
    .fetch_all(connection)
    .await
    .map_err(StoreError::new("looking for days without statistics"))
}

/// Drops one chunk and no other, unless readings have come meanwhile whose statistics are to be kept.
///
/// Dropping a table that refers to `sensors` locks `sensors` against everybody. Taken first, as everybody does, that
/// lock also keeps away all who write readings or statistics until the transaction ends; so it is waited for, and held
/// by a process that is frozen, for two seconds at most.
async fn drop_one(
    connection: &mut PgConnection,
    chunk: &Dropped,
    stats: RetentionStats,
) -> Result<bool, StoreError> {
    // Before the lock, for it takes a scan: a reading that others' SQL adds meanwhile is not counted.
    let readings = count(connection, chunk).await?;
    let mut transaction = connection.begin().await.map_err(StoreError::new(DOING))?;
    transaction
        .execute(
            "SET LOCAL lock_timeout = '2s'; SET LOCAL idle_in_transaction_session_timeout = '2s';
             LOCK TABLE sensors IN ACCESS EXCLUSIVE MODE",
        )
        .await
        .map_err(StoreError::new(DOING))?;
    if stats == RetentionStats::Keep && !not_kept(&mut transaction, chunk).await?.is_empty() {
        return Ok(false);
    }
    settle_stats(&mut transaction, chunk, stats).await?;
    keep_account(&mut transaction, chunk, readings).await?;
    // What holds the earliest times has no beginning, and nothing lies before it.
    let since = Some(chunk.since).filter(|since| Some(*since) > windows::BEGINNING.to_datetime());
    sqlx::query("SELECT drop_chunks('sensor_data', older_than => $1, newer_than => $2)")
        .bind(chunk.until)
        .bind(since)
        .execute(&mut *transaction)
        .await
        .map_err(StoreError::new(DOING))?;
    transaction.commit().await.map_err(StoreError::new(DOING))?;
    Ok(true)
}

async fn count(connection: &mut PgConnection, chunk: &Dropped) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT count(*) FROM sensor_data WHERE time >= $1 AND time < $2")
        .bind(chunk.since)
        .bind(chunk.until)
        .persistent(false)
        .fetch_one(connection)
        .await
        .map_err(StoreError::new("counting old readings"))
}

/// What an audit finds in the log, and nowhere else. A chunk that late readings recreated goes a second time.
async fn keep_account(
    transaction: &mut Transaction<'_, Postgres>,
    chunk: &Dropped,
    readings: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO expired_chunks AS kept (until, since, readings) VALUES ($1, $2, $3)
         ON CONFLICT (until) DO UPDATE
         SET since = least(kept.since, excluded.since), readings = kept.readings + excluded.readings,
             dropped_at = excluded.dropped_at",
    )
    .bind(chunk.until)
    .bind(chunk.since)
    .bind(readings)
    .execute(&mut **transaction)
    .await
    .map_err(StoreError::new(DOING))?;
    Ok(())
}

async fn settle_stats(
    transaction: &mut Transaction<'_, Postgres>,
    chunk: &Dropped,
    stats: RetentionStats,
) -> Result<(), StoreError> {
    let (first, last) = chunk.days();
    let settling = match stats {
        RetentionStats::Keep => {
            const FINAL: &str =
                "UPDATE daily_stats SET is_final = true WHERE day BETWEEN $2 AND $1 AND NOT is_final";
            sqlx::query(FINAL).bind(last).bind(first)
        }
        // Those that an earlier choice kept go, too; and a day of which readings stay is computed from these.
        RetentionStats::Drop => sqlx::query("DELETE FROM daily_stats WHERE day <= $1").bind(last),
    };
    settling.execute(&mut **transaction).await.map_err(StoreError::new(DOING))?;
    Ok(())
}
