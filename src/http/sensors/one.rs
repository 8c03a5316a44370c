//! `GET`, `PATCH` and `DELETE /sensors/{sensor_id}`.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{Request, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{BODY_MAX_BYTES, SensorsApi, fields};
use crate::{
    http::server::{
        ApiError, ErrorBody, FieldError, InvalidBody, Parameters, ValidationErrors,
        body::{raw_value, read_json},
        parameters::path,
    },
    store::sensors::{self, Change, Deletion, ReadingsOf, Sensor},
};

/// The sensor that is gone.
#[derive(Serialize, ToSchema)]
pub(super) struct DeletedBody {
    /// Its id, which is not given out again.
    #[schema(example = 3)]
    sensor_id: i32,
    /// So many readings went with it.
    #[schema(example = 0)]
    readings_deleted: u64,
    /// For people.
    #[schema(example = "Sensor deleted successfully.")]
    message: &'static str,
}

/// Show a sensor
#[utoipa::path(
    get, path = "/sensors/{sensor_id}", tag = "sensors", operation_id = "show_sensor",
    params(("sensor_id" = i32, Path, description = "The sensor", example = 3)),
    responses(
        (status = 200, description = "The sensor.", body = Sensor),
        (status = 404, description = "There is no such sensor.", body = ErrorBody, example = json!({"detail": "Sensor not found."})),
        (status = 422, description = "The id is no id.", body = InvalidBody, example = json!({"detail": [{"loc": ["path", "sensor_id"], "msg": "Input should be a valid integer from -2147483648 to 2147483647", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn show(
    State(api): State<Arc<SensorsApi>>,
    Path(sensor_id): Path<String>,
) -> Result<Json<Sensor>, ApiError> {
    let sensor_id = path::sensor(&sensor_id)?;
    let sensor = sensors::find(&api.current_reads, sensor_id).await?.ok_or(ApiError::NO_SUCH_SENSOR)?;
    Ok(Json(sensor))
}

/// Change a sensor
///
/// A JSON merge patch (RFC 7396): what the body names is changed, null takes away, all else stays.
#[utoipa::path(
    patch, path = "/sensors/{sensor_id}", tag = "sensors", operation_id = "change_sensor",
    params(("sensor_id" = i32, Path, description = "The sensor", example = 3)),
    request_body(content = Change, content_type = "application/json"),
    responses(
        (status = 200, description = "The sensor as it is now.", body = Sensor),
        (status = 400, description = "The body is not JSON.", body = ErrorBody, example = json!({"detail": "The body is not valid JSON: expected value at line 1 column 1."})),
        (status = 404, description = "There is no such sensor.", body = ErrorBody, example = json!({"detail": "Sensor not found."})),
        (status = 408, description = "The body did not arrive in time.", body = ErrorBody, example = json!({"detail": "The body did not arrive in time."})),
        (status = 413, description = "The body is too large.", body = ErrorBody, example = json!({"detail": "The body is larger than 65536 bytes."})),
        (status = 415, description = "The body is not called JSON.", body = ErrorBody, example = json!({"detail": "The body should be application/json."})),
        (status = 422, description = "The request does not validate; nothing is changed.", body = InvalidBody, example = json!({"detail": [{"loc": ["body", "sensor_type"], "msg": "Input should be a valid string", "type": "string_type"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn change(
    State(api): State<Arc<SensorsApi>>,
    Path(sensor_id): Path<String>,
    request: Request<Body>,
) -> Result<Json<Sensor>, ApiError> {
    let mut held = api.admission.hold_nothing();
    let body = read_json(&mut held, request, api.body_limits.at_most(BODY_MAX_BYTES)).await?;
    let mut errors = ValidationErrors::default();
    let sensor_id = errors.check(&path::SENSOR_ID, path::sensor_id(&sensor_id));
    let change = fields::change(raw_value(&body)?, &mut errors);
    drop(body);
    let (Some(sensor_id), Some(change)) = (sensor_id, change) else { return Err(ApiError::Invalid(errors)) };
    let sensor = sensors::update(&api.pool, sensor_id, change).await?.ok_or(ApiError::NO_SUCH_SENSOR)?;
    Ok(Json(sensor))
}

/// A sensor that is gone, whose readings are being deleted.
#[derive(Serialize, ToSchema)]
pub(super) struct MarkedBody {
    /// Its id, which is not given out again.
    #[schema(example = 3)]
    sensor_id: i32,
    /// For people.
    #[schema(example = "Sensor deleted; its readings are being deleted.")]
    message: &'static str,
    /// Where to see how far that is.
    #[schema(example = "/sensors/3/deletion")]
    progress: String,
}

/// Delete a sensor
///
/// Refused while it has readings, unless they are to go, too. Readings that are still on their way, or come later,
/// become dead letters of an unknown sensor. More than a few readings are deleted by a worker; the sensor is gone at once.
#[utoipa::path(
    delete, path = "/sensors/{sensor_id}", tag = "sensors", operation_id = "delete_sensor",
    params(
        ("sensor_id" = i32, Path, description = "The sensor", example = 3),
        ("readings" = inline(Option<WhatOfReadings>), Query, description = "`delete` to delete its readings, too"),
    ),
    responses(
        (status = 200, description = "It is gone, and so are its readings.", body = DeletedBody),
        (status = 202, description = "It is gone; a worker deletes its readings.", body = MarkedBody, headers(("Location" = String, description = "Where to see how far that is"))),
        (status = 404, description = "There is no such sensor.", body = ErrorBody, example = json!({"detail": "Sensor not found."})),
        (status = 409, description = "It has readings, or this api may not delete any.", body = ErrorBody, example = json!({"detail": "The sensor has readings; ?readings=delete deletes them, too."})),
        (status = 422, description = "A parameter does not validate.", body = InvalidBody, example = json!({"detail": [{"loc": ["query", "readings"], "msg": "Input should be 'delete'", "type": "literal_error"}]})),
        (status = 503, description = "The database does not answer in time; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn delete(
    State(api): State<Arc<SensorsApi>>,
    Path(sensor_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut parameters = Parameters::of(query.as_deref());
    let sensor_id = parameters.sensor_id(&sensor_id);
    let readings = parameters.take("readings", |text| match text {
        "delete" => Ok(WhatOfReadings::Delete),
        _ => Err(FieldError::new("literal_error", "Input should be 'delete'")),
    });
    parameters.finish()?;
    let readings = readings.map_or(ReadingsOf::Keep, |WhatOfReadings::Delete| ReadingsOf::Delete);
    match sensors::delete(&api.pool, sensor_id, readings).await? {
        Deletion::Deleted { readings } => {
            api.sensors.remove(sensor_id);
            let message = "Sensor deleted successfully.";
            Ok(Json(DeletedBody { sensor_id, readings_deleted: readings, message }).into_response())
        }
        Deletion::Marked => {
            api.sensors.remove(sensor_id);
            let message = "Sensor deleted; its readings are being deleted.";
            let progress = format!("/sensors/{sensor_id}/deletion");
            let location = [(LOCATION, progress.clone())];
            let body = Json(MarkedBody { sensor_id, message, progress });
            Ok((StatusCode::ACCEPTED, location, body).into_response())
        }
        Deletion::HasReadings => {
            Err(ApiError::Conflict("The sensor has readings; ?readings=delete deletes them, too."))
        }
        Deletion::NotAllowed => Err(ApiError::Conflict(
            "The role that this api has in its database may not delete readings (deploy/postgres/roles.sql).",
        )),
        Deletion::NoSuchSensor => Err(ApiError::NO_SUCH_SENSOR),
    }
}

/// What becomes of a sensor's readings.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(super) enum WhatOfReadings {
    Delete,
}
