//! Changes of a sensor that is there.

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
        WHERE sensor_id = $1 AND sensor_id <> ALL (ARRAY (SELECT sensor_id FROM sensor_deletions))
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
