//! The table of sensors. One that is marked in `sensor_deletions` is none any more: no query here finds it.

mod change;
mod deletion;
mod deletion_job;
mod list;
mod portion_size;
mod record_keeping;
mod sequence;

use futures_util::{TryStreamExt, future::BoxFuture};
use serde::Serialize;
use sqlx::Connection as _;
use utoipa::ToSchema;

pub use change::{Change, update};
pub use deletion::{Deletion, DeletionProgress, DeletionState, ReadingsOf, delete, progress};
pub use deletion_job::{DeletionTurn, delete_marked};
pub use list::{Filter, Page, page};
pub use record_keeping::{Changes, KeepingTurn, RecordKeeper, Standing};

use super::{
    StoreError,
    pool::{LOOK_UP_TIMEOUT, Pool},
};

/// A sensor.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow, Serialize, ToSchema)]
#[schema(as = StoredBody, example = json!({"sensor_id": 3, "sensor_type": "temperature", "description": "Outdoor temperature sensor", "location": "Backyard"}))]
pub struct Sensor {
    /// Its id.
    pub sensor_id: i32,
    /// What it measures.
    pub sensor_type: String,
    /// What it is.
    pub description: Option<String>,
    /// Where it is.
    pub location: Option<String>,
}

/// A sensor to be made. Other fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, ToSchema)]
#[schema(as = SensorBody, example = json!({"sensor_type": "temperature", "description": "Outdoor temperature sensor", "location": "Backyard"}))]
pub struct NewSensor {
    /// What it measures.
    #[schema(min_length = 1, max_length = 50, pattern = "^[^\\u0000]+$")]
    pub sensor_type: String,
    /// What it is.
    #[schema(max_length = 255, pattern = "^[^\\u0000]*$")]
    pub description: Option<String>,
    /// Where it is.
    #[schema(max_length = 255, pattern = "^[^\\u0000]*$")]
    pub location: Option<String>,
}

/// Makes all of them or none; their ids are in the order of the sensors.
///
/// `claim` is asked before it is committed whether the ids are to be had; where they are not, nothing is made.
pub async fn create_all<C, E>(
    pool: &Pool,
    new: Vec<NewSensor>,
    claim: C,
) -> Result<Result<Vec<i32>, E>, StoreError>
where
    C: FnOnce(Vec<Sensor>) -> BoxFuture<'static, Result<(), E>> + Send + 'static,
    E: Send + 'static,
{
    const SQL: &str = "INSERT INTO sensors (sensor_type, description, location)
        SELECT sensor_type, description, location
        FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
             AS new (sensor_type, description, location, place)
        ORDER BY place
        RETURNING sensor_id, sensor_type, description, location";
    let (mut types, mut descriptions, mut locations) = (Vec::new(), Vec::new(), Vec::new());
    for sensor in new {
        types.push(sensor.sensor_type);
        descriptions.push(sensor.description);
        locations.push(sensor.location);
    }
    pool.run("creating sensors", move |connection| {
        Box::pin(async move {
            let mut transaction = connection.begin().await?;
            // What is refused is refused before the ids are claimed.
            sqlx::query("SET CONSTRAINTS ALL IMMEDIATE").execute(&mut *transaction).await?;
            let made: Vec<Sensor> = sqlx::query_as(SQL)
                .bind(types)
                .bind(descriptions)
                .bind(locations)
                .fetch_all(&mut *transaction)
                .await?;
            let ids = made.iter().map(|sensor| sensor.sensor_id).collect();
            if let Err(error) = claim(made).await {
                transaction.rollback().await?;
                return Ok(Err(error));
            }
            transaction.commit().await?;
            Ok(Ok(ids))
        })
    })
    .await
}

/// The last id that was given out; 0 where none was, or there is no sequence.
pub async fn last_id(pool: &Pool) -> Result<i32, StoreError> {
    const SQL: &str = "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('sensors', 'sensor_id')::regclass), 0)";
    let last: i64 = pool
        .run("reading the sequence of sensor ids", |connection| {
            Box::pin(sqlx::query_scalar(SQL).fetch_one(connection))
        })
        .await?;
    Ok(i32::try_from(last).unwrap_or(i32::MAX))
}

/// Has the next ids be larger than this one, where they are not and it is not much larger.
pub async fn skip_ids(pool: &Pool, up_to: i32) -> Result<(), StoreError> {
    /// "sensorid" in ASCII: who waits finds them skipped.
    const LOCK: &str = "SELECT pg_advisory_xact_lock(8315178127977572708)";
    pool.run("skipping ids of sensors", move |connection| {
        Box::pin(async move {
            let mut transaction = connection.begin().await?;
            sqlx::query(LOCK).execute(&mut *transaction).await?;
            sequence::skip(&mut transaction, up_to).await?;
            transaction.commit().await
        })
    })
    .await
}

/// The sensor of this id.
pub async fn find(pool: &Pool, sensor_id: i32) -> Result<Option<Sensor>, StoreError> {
    const SQL: &str = "SELECT sensor_id, sensor_type, description, location FROM sensors
         WHERE sensor_id = $1 AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))";
    pool.read("reading a sensor", move |connection| {
        Box::pin(sqlx::query_as(SQL).bind(sensor_id).fetch_optional(connection))
    })
    .await
}

/// Which of these ids are sensors'.
pub async fn existing(pool: &Pool, sensor_ids: Vec<i32>) -> Result<Vec<i32>, StoreError> {
    const SQL: &str = "SELECT sensor_id FROM sensors
        WHERE sensor_id = ANY ($1) AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))";
    pool.read_within(LOOK_UP_TIMEOUT, "looking up sensors", move |connection| {
        Box::pin(sqlx::query_scalar(SQL).bind(sensor_ids.clone()).fetch_all(connection))
    })
    .await
}

/// Which of these ids are not about to change, as by a deletion.
pub async fn unchanged(pool: &Pool, sensor_ids: Vec<i32>) -> Result<Vec<i32>, StoreError> {
    const SQL: &str = "SELECT sensor_id FROM unnest($1::int[]) AS asked (sensor_id)
        WHERE sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
          AND NOT EXISTS (SELECT FROM sensor_changes WHERE sensor_changes.sensor_id = asked.sensor_id)";
    pool.read_within(LOOK_UP_TIMEOUT, "looking up changes of sensors", move |connection| {
        Box::pin(sqlx::query_scalar(SQL).bind(sensor_ids.clone()).fetch_all(connection))
    })
    .await
}

/// Hands the ids of the newest sensors, at most `limit`, to `each` as they arrive.
pub async fn for_each_id(
    pool: &Pool,
    limit: u64,
    each: impl Fn(i32) + Send + 'static,
) -> Result<u64, StoreError> {
    const SQL: &str = "SELECT sensor_id FROM sensors
        WHERE sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
        ORDER BY sensor_id DESC LIMIT $1";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    pool.run("listing sensors", move |connection| {
        Box::pin(async move {
            let mut ids = sqlx::query_scalar(SQL).bind(limit).fetch(connection);
            let mut count = 0;
            while let Some(id) = ids.try_next().await? {
                each(id);
                count += 1;
            }
            Ok(count)
        })
    })
    .await
}
