//! Deletion of a sensor: at once where it is small, else marked for the job of a worker.
//!
//! A row of `sensor_deletions` is the mark. From its commit on the sensor is gone for everybody: writers dead-letter its
//! readings as of an unknown sensor, and no query of the api finds it. The job (`deletion_job`) does the rest.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Acquire, Executor, PgConnection};
use utoipa::ToSchema;

use crate::store::{StoreError, pool::Pool};

/// Most readings that a request deletes itself, in one short transaction.
const READINGS_AT_ONCE_MAX: i64 = 1_000;
/// With more chunks than this no statement may go over all of them: each locks every one, and Postgres' defaults give a
/// few thousand locks to everybody together.
const CHUNKS_AT_ONCE_MAX: i64 = 200;
const DOING: &str = "deleting a sensor";

/// What becomes of the readings of a sensor that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingsOf {
    /// While there are any, the sensor stays.
    Keep,
    /// They go, too.
    Delete,
}

/// What came of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone, and so many readings with it.
    Deleted {
        /// How many.
        readings: u64,
    },
    /// It is gone for everybody; a worker deletes its readings.
    Marked,
    /// It has readings, which are to be kept.
    HasReadings,
    /// There is none.
    NoSuchSensor,
    /// This role may not delete readings.
    NotAllowed,
}

/// How far a deletion is.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow, Serialize, ToSchema)]
#[schema(as = DeletionBody)]
#[expect(missing_docs, reason = "what a name says is not in the OpenAPI document again")]
pub struct DeletionProgress {
    #[schema(example = 3)]
    pub sensor_id: i32,
    pub state: DeletionState,
    /// When it was asked for.
    pub requested_at: DateTime<Utc>,
    /// Readings that are deleted.
    #[schema(example = 1_250_000)]
    pub readings_deleted: i64,
    /// Chunks of the table to go through; 0 before a worker has begun, and once all is done.
    #[schema(example = 120)]
    pub chunks: i32,
    /// Chunks that are done.
    #[schema(example = 31)]
    pub chunks_done: i32,
}

/// Whether readings are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum DeletionState {
    /// A worker deletes them, or will.
    Running,
    /// None is.
    Done,
}

/// Deletes a sensor, or marks it where it has many readings or the table has many chunks.
pub async fn delete(pool: &Pool, sensor_id: i32, readings: ReadingsOf) -> Result<Deletion, StoreError> {
    pool.run(DOING, move |connection| Box::pin(delete_or_mark(connection, sensor_id, readings))).await
}

/// The deletion that is under way for this sensor, or else the last one; none where there was none since it was made.
pub async fn progress(pool: &Pool, sensor_id: i32) -> Result<Option<DeletionProgress>, StoreError> {
    const SQL: &str =
        "SELECT sensor_id, CASE WHEN marked.sensor_id IS NULL THEN 'done' ELSE 'running' END AS state,
               removed_at AS requested_at, readings AS readings_deleted,
               coalesce(chunks, 0) AS chunks, coalesce(chunks_done, 0) AS chunks_done
        FROM removed_sensors
        LEFT JOIN sensor_deletions AS marked USING (sensor_id)
        WHERE sensor_id = $1
          AND (removed_at = marked.requested_at
               OR NOT EXISTS (SELECT FROM sensors WHERE sensors.sensor_id = removed_sensors.sensor_id))
        ORDER BY removed_at DESC LIMIT 1";
    pool.read("looking at the deletion of a sensor", move |connection| {
        Box::pin(sqlx::query_as(SQL).bind(sensor_id).fetch_optional(connection))
    })
    .await
}

async fn delete_or_mark(
    connection: &mut PgConnection,
    sensor_id: i32,
    readings: ReadingsOf,
) -> Result<Deletion, sqlx::Error> {
    let is_there: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM sensors WHERE sensor_id = $1
                          AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions)))",
    )
    .bind(sensor_id)
    .fetch_one(&mut *connection)
    .await?;
    if !is_there {
        return Ok(Deletion::NoSuchSensor);
    }
    match readings {
        ReadingsOf::Keep => delete_at_once(connection, sensor_id, readings).await,
        ReadingsOf::Delete if !may_delete_readings(connection).await? => Ok(Deletion::NotAllowed),
        ReadingsOf::Delete if is_small(connection, sensor_id).await? => {
            delete_at_once(connection, sensor_id, readings).await
        }
        ReadingsOf::Delete => mark(connection, sensor_id).await,
    }
}

/// Without a lock: should readings come meanwhile, the transaction deletes a few more.
async fn is_small(connection: &mut PgConnection, sensor_id: i32) -> Result<bool, sqlx::Error> {
    let chunks: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_inherits WHERE inhparent = 'sensor_data'::regclass")
            .fetch_one(&mut *connection)
            .await?;
    if chunks > CHUNKS_AT_ONCE_MAX {
        return Ok(false);
    }
    let readings: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT FROM sensor_data WHERE sensor_id = $1 LIMIT $2) AS counted",
    )
    .bind(sensor_id)
    .bind(READINGS_AT_ONCE_MAX + 1)
    .fetch_one(connection)
    .await?;
    Ok(readings <= READINGS_AT_ONCE_MAX)
}

/// In one transaction.
///
/// The sensor is locked first, as by everybody. A writer that holds it for a batch commits before; one that comes
/// later finds no sensor and sets the readings aside as of an unknown one. So none comes in between.
async fn delete_at_once(
    connection: &mut PgConnection,
    sensor_id: i32,
    readings: ReadingsOf,
) -> Result<Deletion, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // Writers that need the sensor wait behind this one: better to give up than to hold them.
    transaction.execute("SET LOCAL lock_timeout = '5s'").await?;
    let found = sqlx::query("SELECT FROM sensors WHERE sensor_id = $1 FOR UPDATE")
        .bind(sensor_id)
        .fetch_optional(&mut *transaction)
        .await?;
    if found.is_none() {
        return Ok(Deletion::NoSuchSensor);
    }
    let readings = match readings {
        ReadingsOf::Keep => 0,
        ReadingsOf::Delete => sqlx::query("DELETE FROM sensor_data WHERE sensor_id = $1")
            .bind(sensor_id)
            .execute(&mut *transaction)
            .await?
            .rows_affected(),
    };
    match delete_row(&mut transaction, sensor_id).await? {
        None => return Ok(Deletion::NoSuchSensor),
        Some(false) => return Ok(Deletion::HasReadings),
        Some(true) => {}
    }
    // An audit finds its readings in the log, and nowhere else.
    sqlx::query("INSERT INTO removed_sensors (sensor_id, readings) VALUES ($1, $2)")
        .bind(sensor_id)
        .bind(readings.cast_signed())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Deletion::Deleted { readings })
}

/// Deletes the row of a sensor that has no readings; false where it has, none where it is gone.
pub(super) async fn delete_row(
    connection: &mut PgConnection,
    sensor_id: i32,
) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar("SELECT sensorpipe_delete_sensor($1)").bind(sensor_id).fetch_one(connection).await
}

/// Waits for no writer. One that looked at the marks before this was committed may store a batch more, which the job
/// finds.
async fn mark(connection: &mut PgConnection, sensor_id: i32) -> Result<Deletion, sqlx::Error> {
    let marked = sqlx::query(
        "WITH marked AS (
             INSERT INTO sensor_deletions (sensor_id)
             SELECT sensor_id FROM sensors WHERE sensor_id = $1 FOR KEY SHARE
             ON CONFLICT DO NOTHING RETURNING sensor_id, requested_at
         )
         INSERT INTO removed_sensors (sensor_id, readings, removed_at) SELECT sensor_id, 0, requested_at FROM marked",
    )
    .bind(sensor_id)
    .execute(connection)
    .await?;
    Ok(if marked.rows_affected() == 1 { Deletion::Marked } else { Deletion::NoSuchSensor })
}

/// An api whose role has no right to is no less an api (deploy/postgres/roles.sql).
async fn may_delete_readings(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT has_table_privilege('sensor_data', 'DELETE') AND has_table_privilege('sensor_deletions', 'INSERT')",
    )
    .fetch_one(connection)
    .await
}
