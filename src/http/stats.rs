//! `GET /daily_avg/{sensor_id}`.

use axum::{
    Json,
    extract::{Path, State},
};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    error::{ApiError, ErrorBody, InvalidBody},
    path,
};
use crate::{
    config::Rollups,
    store::stats::{self, DayStats},
};

/// A sensor's readings of one UTC day, summed up.
#[derive(Serialize, ToSchema)]
pub(super) struct DayBody {
    #[schema(example = "2024-10-12")]
    day: NaiveDate,
    #[schema(example = 3)]
    sensor_id: i32,
    #[schema(example = 22.9)]
    avg_value: f64,
    #[schema(example = 22.5)]
    min_value: f64,
    #[schema(example = 23.5)]
    max_value: f64,
    #[schema(example = 3)]
    reading_count: i64,
    /// Between two readings, linearly interpolated (`percentile_cont`).
    #[schema(example = 22.7)]
    median_value: f64,
    /// Third quartile less the first.
    #[schema(example = 0.5)]
    iqr_value: f64,
}

impl DayBody {
    fn new(sensor_id: i32, day: &DayStats) -> Self {
        Self {
            day: day.day,
            sensor_id,
            avg_value: day.avg_value,
            min_value: day.min_value,
            max_value: day.max_value,
            reading_count: day.reading_count,
            median_value: day.median_value,
            // The quartiles of the largest doubles are further apart than any double, and JSON has no infinity.
            iqr_value: (day.upper_quartile - day.lower_quartile).min(f64::MAX),
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
    State(api): State<Api>,
    Path(sensor_id): Path<String>,
) -> Result<Json<Vec<DayBody>>, ApiError> {
    let sensor_id = path::sensor(&sensor_id)?;
    api.refuse_deleted(sensor_id).await.map_err(|_| ApiError::NO_DATA)?;
    let kept_by = (api.limits.rollups == Rollups::On).then_some(&api.current_reads);
    let days = stats::daily_avg(&api.current_reads, kept_by, sensor_id).await?;
    if days.is_empty() {
        return Err(ApiError::NO_DATA);
    }
    Ok(Json(days.iter().map(|day| DayBody::new(sensor_id, day)).collect()))
}
