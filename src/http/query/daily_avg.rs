//! `GET /daily_avg/{sensor_id}`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::QueryApi;
use crate::{
    http::server::{ApiError, ErrorBody, InvalidBody, parameters::path},
    store::stats::{self, DayStats},
};

/// A sensor's readings of one UTC day, summed up.
#[derive(Serialize, ToSchema)]
pub(super) struct DayBody {
    #[schema(example = "2024-10-12")]
    day: NaiveDate,
    #[schema(example = 3)]
    sensor_id: i32,
    /// Null only where SQL of others has stored what is no number; so is any other value of such a day.
    #[schema(example = 22.9, required)]
    avg_value: Option<f64>,
    #[schema(example = 22.5, required)]
    min_value: Option<f64>,
    #[schema(example = 23.5, required)]
    max_value: Option<f64>,
    #[schema(example = 3)]
    reading_count: i64,
    /// Between two readings, linearly interpolated (`percentile_cont`).
    #[schema(example = 22.7, required)]
    median_value: Option<f64>,
    /// Third quartile less the first; null where that is past the largest double.
    #[schema(example = 0.5, required)]
    iqr_value: Option<f64>,
}

impl DayBody {
    fn new(sensor_id: i32, day: &DayStats) -> Self {
        // JSON has neither infinity nor NaN.
        let number = |value: f64| value.is_finite().then_some(value);
        Self {
            day: day.day,
            sensor_id,
            avg_value: number(day.avg_value),
            min_value: number(day.min_value),
            max_value: number(day.max_value),
            reading_count: day.reading_count,
            median_value: number(day.median_value),
            iqr_value: number(day.upper_quartile - day.lower_quartile),
        }
    }
}

/// Daily statistics of one sensor
///
/// The newest 7 UTC days that have readings, newest first.
#[utoipa::path(
    get, path = "/daily_avg/{sensor_id}", tag = "statistics", operation_id = "daily_avg",
    params(("sensor_id" = i32, Path, description = "The sensor", example = 3)),
    responses(
        (status = 200, description = "The days.", body = Vec<DayBody>),
        (status = 404, description = "The sensor has no readings, or does not exist.", body = ErrorBody, example = json!({"detail": "No data found for this sensor."})),
        (status = 422, description = "The id is no integer.", body = InvalidBody, example = json!({"detail": [{"loc": ["path", "sensor_id"], "msg": "Input should be a valid integer", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn daily_avg(
    State(api): State<Arc<QueryApi>>,
    Path(sensor_id): Path<String>,
) -> Result<Json<Vec<DayBody>>, ApiError> {
    let sensor_id = path::sensor(&sensor_id)?;
    api.sensors.refuse_deleted(sensor_id).await.map_err(|_| ApiError::NO_DATA)?;
    let kept_by = api.uses_kept()?.then_some(&api.current_reads);
    let days = stats::daily_avg(&api.current_reads, kept_by, sensor_id).await?;
    if days.is_empty() {
        return Err(ApiError::NO_DATA);
    }
    Ok(Json(days.iter().map(|day| DayBody::new(sensor_id, day)).collect()))
}
