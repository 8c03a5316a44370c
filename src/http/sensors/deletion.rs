//! `GET /sensors/{sensor_id}/deletion`: how far the readings of a deleted sensor are gone.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};

use super::SensorsApi;
use crate::{
    http::server::{ApiError, ErrorBody, InvalidBody, parameters::path},
    store::sensors::{self, DeletionProgress},
};

const NO_DELETION: ApiError = ApiError::NotFound("No deletion of this sensor.");

/// Show the deletion of a sensor
///
/// Of a sensor that is deleted, while its readings are being deleted and afterwards.
#[utoipa::path(
    get, path = "/sensors/{sensor_id}/deletion", tag = "sensors", operation_id = "show_sensor_deletion",
    params(("sensor_id" = i32, Path, description = "The sensor", example = 3)),
    responses(
        (status = 200, description = "How far it is.", body = DeletionProgress),
        (status = 404, description = "The sensor is not deleted, or there never was one.", body = ErrorBody, example = json!({"detail": "No deletion of this sensor."})),
        (status = 422, description = "The id is no id.", body = InvalidBody, example = json!({"detail": [{"loc": ["path", "sensor_id"], "msg": "Input should be a valid integer from -2147483648 to 2147483647", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn show(
    State(api): State<Arc<SensorsApi>>,
    Path(sensor_id): Path<String>,
) -> Result<Json<DeletionProgress>, ApiError> {
    let sensor_id = path::sensor(&sensor_id)?;
    Ok(Json(sensors::progress(&api.current_reads, sensor_id).await?.ok_or(NO_DELETION)?))
}
