//! The table of sensors.

use futures_util::TryStreamExt;

use super::{
    StoreError,
    pool::{LOOK_UP_TIMEOUT, Pool},
};

/// A sensor that is to be made; lengths as the columns have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSensor {
    /// At most 50 characters.
    pub sensor_type: String,
    /// At most 255 characters.
    pub description: Option<String>,
    /// At most 255 characters.
    pub location: Option<String>,
}

/// Makes a sensor and returns its id.
pub async fn create(pool: &Pool, sensor: NewSensor) -> Result<i32, StoreError> {
    const SQL: &str = "INSERT INTO sensors (sensor_type, description, location)
        VALUES ($1, $2, $3) RETURNING sensor_id";
    pool.run("creating a sensor", move |connection| {
        Box::pin(
            sqlx::query_scalar(SQL)
                .bind(sensor.sensor_type)
                .bind(sensor.description)
                .bind(sensor.location)
                .fetch_one(connection),
        )
    })
    .await
}

/// Whether there is a sensor of this id.
pub async fn exists(pool: &Pool, sensor_id: i32) -> Result<bool, StoreError> {
    const SQL: &str = "SELECT EXISTS (SELECT FROM sensors WHERE sensor_id = $1)";
    pool.run_within(LOOK_UP_TIMEOUT, "looking up a sensor", move |connection| {
        Box::pin(sqlx::query_scalar(SQL).bind(sensor_id).fetch_one(connection))
    })
    .await
}

/// Which of these ids are sensors'.
pub async fn existing(pool: &Pool, sensor_ids: Vec<i32>) -> Result<Vec<i32>, StoreError> {
    const SQL: &str = "SELECT sensor_id FROM sensors WHERE sensor_id = ANY ($1)";
    pool.run_within(LOOK_UP_TIMEOUT, "looking up sensors", move |connection| {
        Box::pin(sqlx::query_scalar(SQL).bind(sensor_ids).fetch_all(connection))
    })
    .await
}

/// Hands the ids of the newest sensors, at most `limit`, to `each` as they arrive.
pub async fn for_each_id(
    pool: &Pool,
    limit: u64,
    each: impl Fn(i32) + Send + 'static,
) -> Result<u64, StoreError> {
    const SQL: &str = "SELECT sensor_id FROM sensors ORDER BY sensor_id DESC LIMIT $1";
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
