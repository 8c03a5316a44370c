//! `GET /sensors/{sensor_id}/latest` and `GET /sensors/latest`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{QueryApi, query_failed, selection};
use crate::{
    http::server::{ApiError, ErrorBody, InvalidBody, Parameters, parameters::path},
    reading::Reading,
    store::queries,
};

/// A sensor's latest reading.
#[derive(Serialize, ToSchema)]
pub(super) struct LatestBody {
    #[schema(example = 3)]
    sensor_id: i32,
    #[schema(example = 22.7)]
    value: f64,
    /// RFC 3339, UTC.
    #[schema(example = "2024-10-12T14:31:00Z")]
    timestamp: String,
}

impl From<Reading> for LatestBody {
    fn from(reading: Reading) -> Self {
        Self { sensor_id: reading.sensor_id, value: reading.value, timestamp: reading.time.to_string() }
    }
}

/// Many sensors' latest readings.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"latest": [{"sensor_id": 3, "value": 22.7, "timestamp": "2024-10-12T14:31:00Z"}]}))]
pub(super) struct LatestOfManyBody {
    /// In the order of the sensors' ids; sensors without readings are left out.
    latest: Vec<LatestBody>,
}

/// A sensor's latest reading
///
/// The one with the latest timestamp.
#[utoipa::path(
    get, path = "/sensors/{sensor_id}/latest", tag = "readings", operation_id = "latest_reading",
    params(("sensor_id" = i32, Path, description = "The sensor", example = 3)),
    responses(
        (status = 200, description = "The reading.", body = LatestBody),
        (status = 404, description = "There is no such sensor, or it has no readings.", body = ErrorBody, example = json!({"detail": "Sensor not found."})),
        (status = 422, description = "The id is no integer.", body = InvalidBody, example = json!({"detail": [{"loc": ["path", "sensor_id"], "msg": "Input should be a valid integer from -2147483648 to 2147483647", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer, or not in time; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn of_one(
    State(api): State<Arc<QueryApi>>,
    Path(sensor_id): Path<String>,
) -> Result<Json<LatestBody>, ApiError> {
    let sensor_id = path::sensor(&sensor_id)?;
    api.sensors.refuse_deleted(sensor_id).await?;
    let latest = queries::latest(&api.reads, vec![sensor_id]).await.map_err(query_failed)?;
    let Some(latest) = latest.into_iter().next() else {
        api.sensors.require(sensor_id).await?;
        return Err(ApiError::NO_DATA);
    };
    Ok(Json(latest.into()))
}

/// Many sensors' latest readings
///
/// Of all sensors, or of those that have all of what is given. Ids that no sensor has are left out.
#[utoipa::path(
    get, path = "/sensors/latest", tag = "readings", operation_id = "latest_readings",
    params(
        ("ids" = Option<String>, Query, description = "Ids, separated by commas", pattern = "^[0-9]{1,9}(,[0-9]{1,9}){0,99}$", example = "1,2,3"),
        ("type" = Option<String>, Query, description = "Only sensors of this type", pattern = "^[^\\u0000]*$", example = "temperature"),
        ("location" = Option<String>, Query, description = "Only sensors in this place", pattern = "^[^\\u0000]*$", example = "Backyard"),
    ),
    responses(
        (status = 200, description = "The readings; maybe none.", body = LatestOfManyBody),
        (status = 422, description = "A parameter does not validate, or more than 10,000 sensors are selected.", body = InvalidBody, example = json!({"detail": [{"loc": ["query", "type"], "msg": "Input should select at most 10000 sensors", "type": "too_many_sensors"}]})),
        (status = 503, description = "The database does not answer, or not in time; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn of_many(
    State(api): State<Arc<QueryApi>>,
    RawQuery(query): RawQuery,
) -> Result<Json<LatestOfManyBody>, ApiError> {
    let mut parameters = Parameters::of(query.as_deref());
    let selection = selection::take(&mut parameters, api.limits.sensors_max);
    parameters.finish()?;
    let sensor_ids = selection::resolve(&api, selection).await?;
    let latest = queries::latest(&api.reads, sensor_ids).await.map_err(query_failed)?;
    Ok(Json(LatestOfManyBody { latest: latest.into_iter().map(Into::into).collect() }))
}
