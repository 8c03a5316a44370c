//! `POST /sensors`.

use std::sync::Arc;

use axum::{Json, body::Body, extract::State, http::Request};
use serde::Serialize;
use utoipa::ToSchema;

use super::{BODY_MAX_BYTES, SensorsApi, fields};
use crate::{
    http::server::{
        ApiError, ErrorBody, InvalidBody, Step, ValidationErrors,
        body::{raw_value, read_json},
    },
    store::sensors::NewSensor,
};

/// The sensor that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedBody {
    /// Its id from now on.
    #[schema(example = 3)]
    sensor_id: i32,
    /// For people.
    #[schema(example = "Sensor created successfully.")]
    message: &'static str,
}

/// Create a sensor
///
/// Readings can be sent for it at once.
#[utoipa::path(
    post, path = "/sensors", tag = "sensors", operation_id = "create_sensor",
    request_body(content = NewSensor, content_type = "application/json"),
    responses(
        (status = 200, description = "The sensor exists.", body = CreatedBody),
        (status = 400, description = "The body is not JSON.", body = ErrorBody, example = json!({"detail": "The body is not valid JSON: expected value at line 1 column 1."})),
        (status = 408, description = "The body did not arrive in time.", body = ErrorBody, example = json!({"detail": "The body did not arrive in time."})),
        (status = 413, description = "The body is too large.", body = ErrorBody, example = json!({"detail": "The body is larger than 65536 bytes."})),
        (status = 415, description = "The body is not called JSON.", body = ErrorBody, example = json!({"detail": "The body should be application/json."})),
        (status = 422, description = "The body does not validate.", body = InvalidBody, example = json!({"detail": [{"loc": ["body", "sensor_type"], "msg": "Field required", "type": "missing"}]})),
        (status = 503, description = "The database or Kafka does not answer; try again after `Retry-After` seconds. The sensor may exist or not.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn create(
    State(api): State<Arc<SensorsApi>>,
    request: Request<Body>,
) -> Result<Json<CreatedBody>, ApiError> {
    let mut held = api.admission.hold_nothing();
    let body = read_json(&mut held, request, api.body_limits.at_most(BODY_MAX_BYTES)).await?;
    let mut errors = ValidationErrors::default();
    let Some(sensor) = fields::new_sensor(raw_value(&body)?, &[Step::Field("body")], &mut errors) else {
        return Err(ApiError::Invalid(errors));
    };
    drop(body);
    let made = api.make(vec![sensor]).await?;
    let sensor_id = made.into_iter().next().ok_or(ApiError::Internal)?;
    Ok(Json(CreatedBody { sensor_id, message: "Sensor created successfully." }))
}
