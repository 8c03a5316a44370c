//! Changes of a sensor that is there.

use utoipa::ToSchema;

use super::Sensor;
use crate::store::{StoreError, pool::Pool};

/// What is to change of a sensor. What is absent stays; other fields are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, ToSchema)]
#[schema(as = ChangeBody, example = json!({"description": null, "location": "Cellar"}))]
pub struct Change {
    /// What it measures.
    #[schema(min_length = 1, max_length = 50, pattern = "^[^\\u0000]+$", required = false, value_type = String)]
    pub sensor_type: Option<String>,
    /// What it is; null takes the description away.
    #[schema(max_length = 255, pattern = "^[^\\u0000]*$", value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// Where it is; null takes the place away.
    #[schema(max_length = 255, pattern = "^[^\\u0000]*$", value_type = Option<String>)]
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
