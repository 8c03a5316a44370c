//! `GET /sensors/{sensor_id}/chart`: a sensor's readings at any zoom.

mod rollup_filler;

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

pub(in crate::http) use self::rollup_filler::Filler;
use super::{QueryApi, query_failed};
use crate::{
    buckets::{Envelope, Zone},
    http::server::{
        ApiError, ErrorBody, InvalidBody, Parameters,
        parameters::{
            positive,
            time_range::{EARLIEST, LATEST, bounds},
        },
    },
    reading::Timestamp,
    store::queries::{self, Chart, ChartQuery, Source},
};

const WIDTH_DEFAULT: usize = 1_000;
/// The pixels of the widest screens.
const WIDTH_MAX: u64 = 8_000;
/// What is shown of a sensor without readings.
const DAY_MICROS: i64 = 86_400_000_000;

/// A chart of a sensor.
#[derive(Serialize, ToSchema)]
pub(super) struct ChartBody {
    #[schema(example = 3)]
    sensor_id: i32,
    /// Where it begins: the `start` asked for, or the first reading.
    #[schema(example = "2026-11-12T00:00:00Z")]
    start: String,
    /// Where it ends: the `end` asked for, or just after the last reading.
    #[schema(example = "2026-11-19T00:00:00Z")]
    end: String,
    /// How long a bucket is: `1s`, `5s`, `15s`, `1m`, `5m`, `15m`, `1h`, `3h`, `6h`, `1d`, `1w`, `2w`, `4w`, `12w` or
    /// `48w`, in UTC; or `raw`, where each point is a reading.
    #[schema(example = "15m")]
    bucket: String,
    /// What it is drawn from: readings (`raw`), kept `quarter_hours` or kept `days`.
    #[schema(example = "quarter_hours")]
    source: &'static str,
    /// Whether everything is drawn. If not, ask again: the rest is being worked out.
    complete: bool,
    /// Days that are not drawn yet, or each as one point.
    missing: Vec<MissingBody>,
    points: PointsBody,
}

/// Days that follow each other.
#[derive(Serialize, ToSchema)]
pub(super) struct MissingBody {
    #[schema(value_type = String, format = Date, example = "2026-11-12")]
    first_day: NaiveDate,
    #[schema(value_type = String, format = Date, example = "2026-11-14")]
    last_day: NaiveDate,
}

/// Columns of equal length, the oldest point first; buckets without readings are left out.
#[derive(Default, Serialize, ToSchema)]
#[schema(example = json!({"time": [1_762_905_600_000_i64], "min": [21.0], "max": [24.5], "avg": [22.7], "count": [900]}))]
pub(super) struct PointsBody {
    /// When the bucket begins, or the time of the reading, in milliseconds since 1970.
    time: Vec<i64>,
    min: Vec<f64>,
    max: Vec<f64>,
    avg: Vec<f64>,
    count: Vec<i64>,
}

impl PointsBody {
    fn of(points: &[(Timestamp, Envelope)]) -> Self {
        let of = |value: fn(&Envelope) -> f64| points.iter().map(|(_, envelope)| value(envelope)).collect();
        Self {
            time: points.iter().map(|(time, _)| time.micros().div_euclid(1_000)).collect(),
            min: of(|envelope| envelope.min),
            max: of(|envelope| envelope.max),
            avg: of(|envelope| envelope.avg),
            count: points.iter().map(|(_, envelope)| envelope.count).collect(),
        }
    }
}

impl ChartBody {
    fn of(sensor_id: i32, chart: &Chart) -> Self {
        let missing = chart.missing.iter().map(|&(first_day, last_day)| MissingBody { first_day, last_day });
        Self {
            sensor_id,
            start: chart.start.to_string(),
            end: chart.end.to_string(),
            bucket: chart.step.map_or_else(|| "raw".to_owned(), |step| step.to_string()),
            source: match chart.source {
                Source::Raw => "raw",
                Source::QuarterHours => "quarter_hours",
                Source::Days => "days",
            },
            complete: chart.missing.is_empty(),
            missing: missing.collect(),
            points: PointsBody::of(&chart.points),
        }
    }

    /// Of a sensor without readings.
    fn empty(sensor_id: i32, start: Option<Timestamp>, end: Option<Timestamp>) -> Self {
        let end =
            end.unwrap_or_else(|| start.unwrap_or_else(Timestamp::now).plus_micros(DAY_MICROS).min(LATEST));
        let start = start.unwrap_or_else(|| end.plus_micros(-DAY_MICROS).max(EARLIEST));
        Self {
            sensor_id,
            start: start.to_string(),
            end: end.to_string(),
            bucket: "raw".to_owned(),
            source: "raw",
            complete: true,
            missing: vec![],
            points: PointsBody::default(),
        }
    }
}

/// A sensor's readings as a chart shows them
///
/// At most about `width` buckets, or every reading where there are no more than twice as many. Each bucket has its
/// smallest and its largest value, so no spike vanishes. Long ranges are drawn from what is kept of days that are over;
/// where that is not there yet, `complete` is false, and the same request has more of it some seconds later.
#[utoipa::path(
    get, path = "/sensors/{sensor_id}/chart", tag = "statistics", operation_id = "sensor_chart",
    params(
        ("sensor_id" = i32, Path, description = "The sensor", example = 3),
        ("start" = Option<String>, Query, description = "Readings from then on, in any form that a reading's timestamp has; from the first one where absent", example = "2026-11-12"),
        ("end" = Option<String>, Query, description = "Readings before then; up to the last one where absent", example = "2026-11-19"),
        ("width" = Option<u32>, Query, description = "How many points there is room for; 1000 where absent", minimum = 1, maximum = 8000, example = 1000),
    ),
    responses(
        (status = 200, description = "The chart; without points where there are no readings.", body = ChartBody),
        (status = 404, description = "There is no such sensor.", body = ErrorBody, example = json!({"detail": "Sensor not found."})),
        (status = 422, description = "A parameter does not validate.", body = InvalidBody, example = json!({"detail": [{"loc": ["query", "width"], "msg": "Input should be a valid integer from 1 to 8000", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer, or not in time; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn draw(
    State(api): State<Arc<QueryApi>>,
    Path(sensor_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<ChartBody>, ApiError> {
    let mut parameters = Parameters::of(query.as_deref());
    let sensor_id = parameters.sensor_id(&sensor_id);
    let (start, end) = bounds(&mut parameters, &Zone::UTC);
    let width = parameters.take("width", |text| positive(text, WIDTH_MAX));
    parameters.finish()?;
    let query = ChartQuery {
        sensor_id,
        start,
        end,
        width: width.map_or(WIDTH_DEFAULT, |width| width as usize),
        uses_kept: api.uses_kept()?,
        today: chrono::Utc::now().date_naive(),
    };
    api.sensors.refuse_deleted(sensor_id).await?;
    let chart = queries::chart(&api.reads, query).await.map_err(query_failed)?;
    if chart.as_ref().is_none_or(|chart| chart.points.is_empty()) {
        api.sensors.require(sensor_id).await?;
    }
    let Some(chart) = chart else { return Ok(Json(ChartBody::empty(sensor_id, start, end))) };
    api.filler.want(sensor_id, chart.to_keep.clone());
    Ok(Json(ChartBody::of(sensor_id, &chart)))
}
