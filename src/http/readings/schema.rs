//! What an item looks like, for the OpenAPI document alone: `reading::decode` reads it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::http::reading_schema::{Number, Time};

/// A reading with its sensor. Other fields are ignored.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"sensor_id": 1, "value": 21.5, "timestamp": "2024-10-12T14:30:00Z"}))]
#[expect(dead_code, reason = "only describes the body")]
pub(super) struct SensorReading {
    /// The sensor.
    #[schema(example = 1)]
    sensor_id: i32,
    /// What was measured; finite.
    value: Number,
    /// When; the time of receipt where it is absent or null.
    timestamp: Option<Time>,
}
