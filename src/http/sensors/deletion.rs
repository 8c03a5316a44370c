//! `GET /sensors/{sensor_id}/deletion`: how far the readings of a deleted sensor are gone.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    http::{
        sensors::SensorsApi,
        server::{ApiError, ErrorBody, InvalidBody, parameters::path},
    },
    store::sensors::{self, DeletionProgress},
};

const NO_DELETION: ApiError = ApiError::NotFound("No deletion of this sensor.");

/// How far a deletion is.
#[derive(Serialize, ToSchema)]
pub(super) struct DeletionBody {
    #[schema(example = 3)]
    sensor_id: i32,
    state: DeletionState,
    /// When it was asked for.
    requested_at: DateTime<Utc>,
    /// Readings that are deleted.
    #[schema(example = 1_250_000)]
    readings_deleted: i64,
    /// Chunks of the table to go through; 0 before a worker has begun, and once all is done.
    #[schema(example = 120)]
    chunks: i32,
    /// Chunks that are done.
    #[schema(example = 31)]
    chunks_done: i32,
}

/// Whether readings are left.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum DeletionState {
    /// A worker deletes them, or will.
    Running,
    /// None is.
    Done,
}

/// Show the deletion of a sensor
///
/// Of a sensor that is deleted, while its readings are being deleted and afterwards.
#[utoipa::path(
    get, path = "/sensors/{sensor_id}/deletion", tag = "sensors", operation_id = "show_sensor_deletion",
    params(("sensor_id" = i32, Path, description = "The sensor", example = 3)),
    responses(
        (status = 200, description = "How far it is.", body = DeletionBody),
        (status = 404, description = "The sensor is not deleted, or there never was one.", body = ErrorBody, example = json!({"detail": "No deletion of this sensor."})),
        (status = 422, description = "The id is no id.", body = InvalidBody, example = json!({"detail": [{"loc": ["path", "sensor_id"], "msg": "Input should be a valid integer from -2147483648 to 2147483647", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn show(
    State(api): State<Arc<SensorsApi>>,
    Path(sensor_id): Path<String>,
) -> Result<Json<DeletionBody>, ApiError> {
    let sensor_id = path::sensor(&sensor_id)?;
    let progress = sensors::progress(&api.current_reads, sensor_id).await?.ok_or(NO_DELETION)?;
    let DeletionProgress { requested_at, is_running, readings, chunks, chunks_done } = progress;
    let state = if is_running { DeletionState::Running } else { DeletionState::Done };
    Ok(Json(DeletionBody { sensor_id, state, requested_at, readings_deleted: readings, chunks, chunks_done }))
}
