//! What sensors look like in requests and answers.

use serde::Serialize;
use utoipa::ToSchema;

use crate::store::sensors::{Change, NewSensor, Sensor};

/// A sensor to be made. Other fields are ignored.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"sensor_type": "temperature", "description": "Outdoor temperature sensor", "location": "Backyard"}))]
pub(super) struct SensorBody {
    /// What it measures.
    #[schema(min_length = 1, max_length = 50, pattern = "^[^\\u0000]+$")]
    pub(super) sensor_type: String,
    /// What it is.
    #[schema(max_length = 255, pattern = "^[^\\u0000]*$")]
    pub(super) description: Option<String>,
    /// Where it is.
    #[schema(max_length = 255, pattern = "^[^\\u0000]*$")]
    pub(super) location: Option<String>,
}

impl From<SensorBody> for NewSensor {
    fn from(sensor: SensorBody) -> Self {
        let SensorBody { sensor_type, description, location } = sensor;
        Self { sensor_type, description, location }
    }
}

/// A sensor.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"sensor_id": 3, "sensor_type": "temperature", "description": "Outdoor temperature sensor", "location": "Backyard"}))]
pub(super) struct StoredBody {
    /// Its id.
    pub(super) sensor_id: i32,
    /// What it measures.
    sensor_type: String,
    /// What it is.
    description: Option<String>,
    /// Where it is.
    location: Option<String>,
}

impl From<Sensor> for StoredBody {
    fn from(sensor: Sensor) -> Self {
        let Sensor { sensor_id, sensor_type, description, location } = sensor;
        Self { sensor_id, sensor_type, description, location }
    }
}

/// What is to change of a sensor. What is absent stays; other fields are ignored.
#[derive(Debug, PartialEq, Eq, ToSchema)]
#[expect(clippy::option_option, reason = "absent, null, or a text")]
#[schema(example = json!({"description": null, "location": "Cellar"}))]
pub(super) struct ChangeBody {
    /// What it measures.
    #[schema(min_length = 1, max_length = 50, pattern = "^[^\\u0000]+$", required = false, value_type = String)]
    pub(super) sensor_type: Option<String>,
    /// What it is; null takes the description away.
    #[schema(max_length = 255, pattern = "^[^\\u0000]*$", value_type = Option<String>)]
    pub(super) description: Option<Option<String>>,
    /// Where it is; null takes the place away.
    #[schema(max_length = 255, pattern = "^[^\\u0000]*$", value_type = Option<String>)]
    pub(super) location: Option<Option<String>>,
}

impl From<ChangeBody> for Change {
    fn from(change: ChangeBody) -> Self {
        let ChangeBody { sensor_type, description, location } = change;
        Self { sensor_type, description, location }
    }
}
