//! Changes of a sensor that is there.

use sqlx::{Acquire, Executor, PgConnection};

use super::Sensor;
use crate::store::{StoreError, pool::Pool};

/// What is to change; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Another type.
    pub sensor_type: Option<String>,
    /// Another description, or no more any.
    pub description: Option<Option<String>>,
    /// Another place, or no more any.
    pub location: Option<Option<String>>,
}

/// Changes a sensor and returns what it is then; none where there is no such sensor.
///
/// No writer of readings waits for it: the key stays.
pub async fn update(pool: &Pool, sensor_id: i32, change: Change) -> Result<Option<Sensor>, StoreError> {
    const SQL: &str = "UPDATE sensors
        SET sensor_type = coalesce($2, sensor_type),
            description = CASE WHEN $3 THEN $4 ELSE description END,
            location = CASE WHEN $5 THEN $6 ELSE location END
        WHERE sensor_id = $1
        RETURNING sensor_id, sensor_type, description, location";
    pool.run("changing a sensor", move |connection| {
        Box::pin(
            sqlx::query_as(SQL)
                .bind(sensor_id)
                .bind(change.sensor_type)
                .bind(change.description.is_some())
                .bind(change.description.flatten())
                .bind(change.location.is_some())
                .bind(change.location.flatten())
                .fetch_optional(connection),
        )
    })
    .await
}

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
    /// It has readings, which are to be kept.
    HasReadings,
    /// There is none.
    NoSuchSensor,
    /// This role may not delete readings.
    NotAllowed,
}

/// Deletes a sensor, in one transaction.
///
/// The sensor is locked first, as by everybody. A writer that holds it for a batch commits before; one that comes
/// later finds no sensor and sets the readings aside as of an unknown one. So none comes in between.
pub async fn delete(pool: &Pool, sensor_id: i32, readings: ReadingsOf) -> Result<Deletion, StoreError> {
    pool.run("deleting a sensor", move |connection| {
        Box::pin(async move {
            let mut transaction = connection.begin().await?;
            let deletion = delete_locked(&mut transaction, sensor_id, readings).await?;
            match deletion {
                Deletion::Deleted { .. } => transaction.commit().await?,
                Deletion::HasReadings | Deletion::NoSuchSensor | Deletion::NotAllowed => {
                    transaction.rollback().await?;
                }
            }
            Ok(deletion)
        })
    })
    .await
}

async fn delete_locked(
    connection: &mut PgConnection,
    sensor_id: i32,
    readings: ReadingsOf,
) -> Result<Deletion, sqlx::Error> {
    // Writers that need the sensor wait behind this one: better to give up than to hold them.
    connection.execute("SET LOCAL lock_timeout = '5s'").await?;
    let found = sqlx::query("SELECT FROM sensors WHERE sensor_id = $1 FOR UPDATE")
        .bind(sensor_id)
        .fetch_optional(&mut *connection)
        .await?;
    if found.is_none() {
        return Ok(Deletion::NoSuchSensor);
    }
    if readings == ReadingsOf::Delete && !may_delete_readings(connection).await? {
        return Ok(Deletion::NotAllowed);
    }
    let readings = match readings {
        ReadingsOf::Keep => {
            let has_readings: bool =
                sqlx::query_scalar("SELECT EXISTS (SELECT FROM sensor_data WHERE sensor_id = $1)")
                    .bind(sensor_id)
                    .fetch_one(&mut *connection)
                    .await?;
            if has_readings {
                return Ok(Deletion::HasReadings);
            }
            0
        }
        ReadingsOf::Delete => sqlx::query("DELETE FROM sensor_data WHERE sensor_id = $1")
            .bind(sensor_id)
            .execute(&mut *connection)
            .await?
            .rows_affected(),
    };
    sqlx::query("DELETE FROM sensors WHERE sensor_id = $1").bind(sensor_id).execute(&mut *connection).await?;
    // An audit finds its readings in the log, and nowhere else.
    sqlx::query("INSERT INTO removed_sensors (sensor_id, readings) VALUES ($1, $2)")
        .bind(sensor_id)
        .bind(readings.cast_signed())
        .execute(connection)
        .await?;
    Ok(Deletion::Deleted { readings })
}

/// An api whose role has no right to is no less an api (deploy/postgres/roles.sql).
async fn may_delete_readings(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT has_table_privilege('sensor_data', 'DELETE')").fetch_one(connection).await
}
