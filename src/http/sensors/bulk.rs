//! `POST /sensors/bulk`.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{Request, StatusCode},
};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    SensorsApi, fields,
    json_members::{items, members},
};
use crate::{
    http::server::{
        ApiError, ErrorBody, FieldError, InvalidBody, Step, ValidationErrors,
        body::{raw_value, read_json},
    },
    store::sensors::NewSensor,
};

/// Most sensors of one request, and the most bytes that these may take with room to spare.
const SENSORS_MAX: usize = 1_000;
const BODY_MAX_BYTES: usize = 4 << 20;

/// Sensors to be made. Other fields are ignored.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"sensors": [{"sensor_type": "temperature", "location": "Backyard"}, {"sensor_type": "humidity", "location": "Living Room"}]}))]
pub(super) struct SensorsBody {
    /// All of them are made, or none.
    #[schema(min_items = 1, max_items = 1000)]
    sensors: Vec<NewSensor>,
}

/// The sensors that were made.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedAllBody {
    /// Their ids, in the order of the sensors.
    #[schema(example = json!([3, 4]))]
    sensor_ids: Vec<i32>,
    /// For people.
    #[schema(example = "Sensors created successfully.")]
    message: &'static str,
}

/// Create many sensors
///
/// All of them in one transaction; readings can be sent for them at once.
#[utoipa::path(
    post, path = "/sensors/bulk", tag = "sensors", operation_id = "create_sensors",
    request_body(content = SensorsBody, content_type = "application/json"),
    responses(
        (status = 201, description = "The sensors exist.", body = CreatedAllBody),
        (status = 400, description = "The body is not JSON.", body = ErrorBody, example = json!({"detail": "The body is not valid JSON: expected value at line 1 column 1."})),
        (status = 408, description = "The body did not arrive in time.", body = ErrorBody, example = json!({"detail": "The body did not arrive in time."})),
        (status = 413, description = "The body is too large.", body = ErrorBody, example = json!({"detail": "The body is larger than 4194304 bytes."})),
        (status = 415, description = "The body is not called JSON.", body = ErrorBody, example = json!({"detail": "The body should be application/json."})),
        (status = 422, description = "The body does not validate; no sensor was made.", body = InvalidBody, example = json!({"detail": [{"loc": ["body", "sensors", 1, "sensor_type"], "msg": "Field required", "type": "missing"}]})),
        (status = 503, description = "The database or Kafka does not answer; try again after `Retry-After` seconds. The sensors may exist or not.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn create_all(
    State(api): State<Arc<SensorsApi>>,
    request: Request<Body>,
) -> Result<(StatusCode, Json<CreatedAllBody>), ApiError> {
    // The sensors take about as much as their body, which counts until they are made.
    let mut held = api.admission.hold_nothing();
    let body = read_json(&mut held, request, api.body_limits.at_most(BODY_MAX_BYTES)).await?;
    let SensorsBody { sensors } = read(raw_value(&body)?).map_err(ApiError::Invalid)?;
    drop(body);
    let sensor_ids = api.make(sensors).await?;
    Ok((StatusCode::CREATED, Json(CreatedAllBody { sensor_ids, message: "Sensors created successfully." })))
}

fn read(body: &RawValue) -> Result<SensorsBody, ValidationErrors> {
    let mut errors = ValidationErrors::default();
    let place = [Step::Field("body"), Step::Field("sensors")];
    let given = members(body, ["sensors"]).ok_or_else(FieldError::not_an_object);
    let Some([given]) = errors.check(&place[..1], given) else { return Err(errors) };
    let Some(list) = errors.check(&place, list(given)) else { return Err(errors) };
    let sensors: Vec<NewSensor> = list
        .into_iter()
        .enumerate()
        .filter_map(|(index, sensor)| {
            fields::new_sensor(sensor, &[place[0], place[1], Step::Index(index)], &mut errors)
        })
        .collect();
    if errors.is_empty() { Ok(SensorsBody { sensors }) } else { Err(errors) }
}

fn list(value: Option<&RawValue>) -> Result<Vec<&RawValue>, FieldError> {
    let (list, count) =
        items(value.ok_or_else(FieldError::missing)?, SENSORS_MAX).ok_or_else(FieldError::not_a_list)?;
    if list.is_empty() {
        Err(FieldError::new("too_short", "List should have at least 1 item"))
    } else if count > SENSORS_MAX {
        Err(FieldError::new("too_long", format!("List should have at most {SENSORS_MAX} items")))
    } else {
        Ok(list)
    }
}
