//! The readings of sensors that are marked as deleted, taken away in portions.
//!
//! Each portion is one statement, so one transaction that the server runs to its end, whatever becomes of this process:
//! it deletes from one chunk by the chunk's own name, which locks no other, counts in `removed_sensors` what it deleted
//! and notes how far it is. The sensor's row goes last. A process that takes over begins with the first chunk again,
//! which costs a look at an index for each chunk that is done.

use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};
use tokio::time::{Instant, sleep};

use super::{deletion::delete_row, portion_size::PortionSize};
use crate::{
    config::DatabaseConfig,
    metrics::SENSOR_READINGS_DELETED,
    store::{
        StoreError,
        connection::{connect, takes},
        postgres_time::PostgresTime,
    },
};

/// Of the advisory lock that lets one process at a time do it: "sensors" in ASCII.
const LOCK_KEY: i64 = 0x0073_656e_736f_7273;
/// How often a sensor's chunks are gone through before the next sensor has its turn: a writer that had looked at the marks
/// before the sensor was marked may store a batch into a chunk that is done.
const ROUNDS: usize = 3;
/// Rest after each portion, by the time that it took: writers come first.
const REST: u32 = 1;
/// Days of one statement.
const DAYS: i64 = 500;
const DOING: &str = "deleting the readings of a sensor";
/// SQLSTATE of a chunk that retention has dropped since it was listed.
const UNDEFINED_TABLE: &str = "42P01";

/// What came of a turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DeletionTurn {
    /// Sensors that were marked when it began, whoever deletes them.
    pub pending: u64,
    /// Sensors that are gone now, by this process.
    pub deleted: Vec<i32>,
    /// Another process is at it, and this one did nothing.
    pub is_elsewhere: bool,
}

/// A part of the table. Somebody's SQL may have put a reading at infinity, which is where its chunk ends then.
#[derive(sqlx::FromRow)]
struct Chunk {
    name: String,
    since: PostgresTime,
    until: PostgresTime,
    is_compressed: bool,
}

/// Deletes the readings of all marked sensors, and then the sensors; leaves it to another process that is at it.
pub async fn delete_marked(database: &DatabaseConfig) -> Result<DeletionTurn, StoreError> {
    let mut connection = connect(database, "sensorpipe deletion").await?;
    let turn = take_turn(&mut connection).await.map_err(StoreError::new(DOING))?;
    // The lock goes with the connection.
    connection.close().await.map_err(StoreError::new(DOING))?;
    Ok(turn)
}

async fn take_turn(connection: &mut PgConnection) -> Result<DeletionTurn, sqlx::Error> {
    let marked: Vec<i32> =
        sqlx::query_scalar("SELECT sensor_id FROM sensor_deletions ORDER BY requested_at, sensor_id")
            .fetch_all(&mut *connection)
            .await?;
    let mut turn = DeletionTurn { pending: marked.len() as u64, deleted: vec![], is_elsewhere: false };
    turn.is_elsewhere = !marked.is_empty() && !takes(connection, LOCK_KEY).await?;
    if marked.is_empty() || turn.is_elsewhere {
        return Ok(turn);
    }
    // The key serves; a scan of a chunk would go over what earlier portions have deleted, again and again.
    connection
        .execute(
            "SET lock_timeout = '1s'; SET enable_seqscan = off; SET enable_bitmapscan = off; SET jit = off",
        )
        .await?;
    for sensor_id in marked {
        if delete_one(connection, sensor_id).await? {
            turn.deleted.push(sensor_id);
        }
    }
    Ok(turn)
}

/// Whether the sensor is gone.
async fn delete_one(connection: &mut PgConnection, sensor_id: i32) -> Result<bool, sqlx::Error> {
    forget_days(connection, sensor_id).await?;
    for _ in 0..ROUNDS {
        let chunks = begin_round(connection, sensor_id).await?;
        let mut size = PortionSize::default();
        for (done, chunk) in chunks.iter().enumerate() {
            empty(connection, sensor_id, chunk, done as i32, &mut size).await?;
        }
        match delete_row(connection, sensor_id).await? {
            Some(true) | None => return Ok(true),
            Some(false) => {}
        }
    }
    Ok(false)
}

/// What is kept of its days goes before the readings do, so that at no moment anything is kept that they contradict;
/// nobody keeps a day of a marked sensor.
async fn forget_days(connection: &mut PgConnection, sensor_id: i32) -> Result<(), sqlx::Error> {
    loop {
        let forgotten = sqlx::query(
            "DELETE FROM daily_stats WHERE ctid = ANY (ARRAY (
                 SELECT ctid FROM daily_stats WHERE sensor_id = $1 ORDER BY day LIMIT $2 FOR UPDATE))",
        )
        .bind(sensor_id)
        .bind(DAYS)
        .execute(&mut *connection)
        .await?;
        if forgotten.rows_affected() == 0 {
            return Ok(());
        }
    }
}

/// The chunks that there are now, the oldest first.
async fn begin_round(connection: &mut PgConnection, sensor_id: i32) -> Result<Vec<Chunk>, sqlx::Error> {
    let chunks: Vec<Chunk> = sqlx::query_as(
        "SELECT format('%I.%I', chunk_schema, chunk_name) AS name, range_start AS since, range_end AS until,
                is_compressed
         FROM timescaledb_information.chunks
         WHERE format('%I.%I', hypertable_schema, hypertable_name)::regclass = 'sensor_data'::regclass
         ORDER BY range_start, chunk_name",
    )
    .fetch_all(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE sensor_deletions SET chunks = $2, chunks_done = 0, updated_at = now() WHERE sensor_id = $1",
    )
    .bind(sensor_id)
    .bind(chunks.len() as i32)
    .execute(connection)
    .await?;
    Ok(chunks)
}

/// Deletes what a chunk has of the sensor, portion by portion.
async fn empty(
    connection: &mut PgConnection,
    sensor_id: i32,
    chunk: &Chunk,
    done: i32,
    size: &mut PortionSize,
) -> Result<(), sqlx::Error> {
    let mut from = chunk.since;
    loop {
        let (started, rows) = (Instant::now(), size.rows());
        let (deleted, last) = match delete_portion(connection, sensor_id, chunk, (from, rows), done).await {
            Err(error) if is_gone(&error) => return Ok(()),
            portion => portion?,
        };
        metrics::counter!(SENSOR_READINGS_DELETED).increment(deleted.cast_unsigned());
        let took = started.elapsed();
        size.adapt(took);
        if deleted > 0 {
            sleep((took * REST).min(Duration::from_secs(1))).await;
        }
        match last {
            Some(last) if deleted == rows => from = last,
            Some(_) | None => return Ok(()),
        }
    }
}

/// One portion: how many readings it deleted, and the time of the last one.
async fn delete_portion(
    connection: &mut PgConnection,
    sensor_id: i32,
    chunk: &Chunk,
    (from, rows): (PostgresTime, i64),
    done: i32,
) -> Result<(i64, Option<PostgresTime>), sqlx::Error> {
    let Chunk { name, until, is_compressed, .. } = chunk;
    let before = if *until == PostgresTime::INFINITY { "<=" } else { "<" };
    let gone = if *is_compressed {
        // Rows of a compressed chunk have no place of their own: the sensor's segment goes as a whole.
        format!("DELETE FROM sensor_data WHERE sensor_id = $1 AND time >= $2 AND time {before} $3")
    } else {
        format!(
            "DELETE FROM {name} WHERE ctid = ANY (ARRAY (
                 SELECT ctid FROM {name}
                 WHERE sensor_id = $1 AND time >= $2 AND time {before} $3 ORDER BY time LIMIT $4))"
        )
    };
    let statement = format!(
        "WITH gone AS (
             {gone} AND EXISTS (SELECT FROM sensor_deletions WHERE sensor_id = $1) RETURNING time
         ), portion AS (
             SELECT count(*) AS readings, max(time) AS last FROM gone
         ), counted AS (
             UPDATE removed_sensors AS kept SET readings = kept.readings + portion.readings
             FROM portion, sensor_deletions AS marked
             WHERE marked.sensor_id = $1 AND kept.sensor_id = $1 AND kept.removed_at = marked.requested_at
               AND portion.readings > 0
         ), noted AS (
             UPDATE sensor_deletions SET chunks_done = $5, updated_at = now() FROM portion
             WHERE sensor_id = $1 AND portion.readings > 0
         )
         SELECT readings, last FROM portion WHERE $4 > 0"
    );
    sqlx::query_as(&statement)
        // The text is another one for each chunk.
        .persistent(false)
        .bind(sensor_id)
        .bind(from)
        .bind(*until)
        .bind(rows)
        .bind(done)
        .fetch_one(connection)
        .await
}

fn is_gone(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(UNDEFINED_TABLE)
}
