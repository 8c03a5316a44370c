//! `GET /sensors/{sensor_id}/stats` and `GET /sensors/stats`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    QueryApi, query_failed, selection,
    stats_body::{BucketBody, BucketSchema, Measures, Series, in_zone},
};
use crate::{
    buckets::{Bucket, Fill, TooManyBuckets, Zone, edges},
    http::server::{
        ApiError, ErrorBody, FieldError, InvalidBody, Parameters,
        parameters::{invalid, one_of, time_range},
    },
    reading::Timestamp,
    store::queries::{self, BucketStats, Measure, StatsQuery},
};

/// More than there are to choose from, percentiles aside.
const MEASURES_MAX: usize = 32;
const MEASURES_DEFAULT: &str = "count,avg,min,max";

const DAY_MICROS: i64 = 86_400_000_000;

/// A sensor's statistics.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsBody {
    #[schema(example = 3)]
    sensor_id: i32,
    #[serde(flatten)]
    range: RangeBody,
    /// Oldest first.
    #[schema(value_type = Vec<BucketSchema>)]
    buckets: Vec<BucketBody>,
}

/// Many sensors' statistics.
#[derive(Serialize, ToSchema)]
pub(super) struct StatsOfManyBody {
    #[serde(flatten)]
    range: RangeBody,
    /// One for each sensor, in the order of their ids, or a single one for all together.
    series: Vec<SeriesBody>,
}

/// One series of buckets.
#[derive(Serialize, ToSchema)]
pub(super) struct SeriesBody {
    /// Absent where the series is that of all sensors together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    sensor_id: Option<i32>,
    /// Oldest first.
    #[schema(value_type = Vec<BucketSchema>)]
    buckets: Vec<BucketBody>,
}

/// What was asked about, with the defaults filled in.
#[derive(Serialize, ToSchema)]
pub(super) struct RangeBody {
    /// Readings from here on count; the first bucket may begin before.
    #[schema(example = "2024-10-12T00:00:00+02:00")]
    start: String,
    /// Readings before here count; the last bucket may end after.
    #[schema(example = "2024-10-13T00:00:00+02:00")]
    end: String,
    #[schema(example = "1d")]
    bucket: String,
    #[schema(example = "Europe/Berlin")]
    timezone: String,
}

/// A sensor's statistics over time
///
/// Buckets of any length by any zone's calendar, with the measures asked for; to the last digit what Postgres'
/// aggregates answer over the raw readings. Where these fail because a double overflows on the way, sums and means are
/// exact and rounded once. A number that does not exist is null: the deviation of one reading, or a
/// sum past the largest double.
#[utoipa::path(
    get, path = "/sensors/{sensor_id}/stats", tag = "statistics", operation_id = "sensor_stats",
    params(
        ("sensor_id" = i32, Path, description = "The sensor", example = 3),
        ("start" = Option<String>, Query, description = "Readings from then on, in any form that a reading's timestamp has; without an offset by the clock of `timezone`; a time that it skips is when it does. Where absent, a day before `end`, or 30 buckets if that is more, or 1,440 if that is less", example = "2024-10-12"),
        ("end" = Option<String>, Query, description = "Readings before then; now where absent", example = "2024-10-13"),
        ("bucket" = Option<String>, Query, description = "`1s`, `5s`, `10s`, `15s`, `30s`, `1m`, `2m`, `3m`, `5m`, `10m`, `15m`, `20m`, `30m`, `1h`, `2h`, `3h`, `4h`, `6h`, `8h`, `12h`, `1d`, `1w` (from Monday), `1month`, `2month`, `3month`, `4month`, `6month`, `1year`; `1h` where absent", pattern = "^(1s|5s|10s|15s|30s|1m|2m|3m|5m|10m|15m|20m|30m|1h|2h|3h|4h|6h|8h|12h|1d|1w|1month|2month|3month|4month|6month|1year)$", example = "1d"),
        ("timezone" = Option<String>, Query, description = "Name of the zone by whose clock buckets begin; `UTC` where absent. An hour that the clock shows twice is two buckets of `1h`, one that it skips is none; where it is moved by half an hour, as on Lord Howe Island, one has half an hour or an hour and a half", example = "Europe/Berlin"),
        ("measures" = Option<String>, Query, description = "Any of `count`, `avg`, `min`, `max`, `sum`, `stddev`, `first`, `last`, `median`, `iqr` and percentiles from `p0` to `p100` such as `p99.9`, separated by commas; `count,avg,min,max` where absent", pattern = "^(count|avg|min|max|sum|stddev|first|last|median|iqr|p100|p[1-9]?[0-9])(,(count|avg|min|max|sum|stddev|first|last|median|iqr|p100|p[1-9]?[0-9])){0,9}$", example = "count,avg,min,max,p95"),
        ("fill" = Option<String>, Query, description = "What buckets without readings hold: `null`, the `previous` value, or one on the line between those on both sides (`linear`); left out where absent", pattern = "^(null|previous|linear)$", example = "null"),
    ),
    responses(
        (status = 200, description = "The buckets; none without readings unless they are filled.", body = StatsBody, example = json!({"sensor_id": 3, "start": "2024-10-12T00:00:00+02:00", "end": "2024-10-13T00:00:00+02:00", "bucket": "1d", "timezone": "Europe/Berlin", "buckets": [{"start": "2024-10-12T00:00:00+02:00", "end": "2024-10-13T00:00:00+02:00", "count": 3, "avg": 22.9, "min": 22.5, "max": 23.5}]})),
        (status = 404, description = "There is no such sensor.", body = ErrorBody, example = json!({"detail": "Sensor not found."})),
        (status = 422, description = "A parameter does not validate, there would be more buckets than 10,000, or one would reach past the years 1 to 9999.", body = InvalidBody, example = json!({"detail": [{"loc": ["query", "bucket"], "msg": "The range has about 525601 buckets of 1m, and an answer at most 10000: ask for longer buckets or a shorter range", "type": "too_many_buckets"}]})),
        (status = 503, description = "The database does not answer, or not in time; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn of_one(
    State(api): State<Arc<QueryApi>>,
    Path(sensor_id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<StatsBody>, ApiError> {
    let mut parameters = Parameters::of(query.as_deref());
    let sensor_id = parameters.sensor_id(&sensor_id);
    let asked = Asked::take(&mut parameters, api.limits.buckets_max);
    parameters.finish()?;
    api.sensors.refuse_deleted(sensor_id).await?;
    let stats = queries::stats(&api.reads, asked.query(vec![sensor_id], true)).await.map_err(query_failed)?;
    if stats.is_empty() {
        api.sensors.require(sensor_id).await?;
    }
    let buckets = asked.series().buckets(&stats);
    Ok(Json(StatsBody { sensor_id, range: asked.body(), buckets }))
}

/// Many sensors' statistics over time
///
/// Of all sensors, or of those that have all of what is given. Ids that no sensor has are left out, and, unless gaps
/// are filled, so are sensors without readings in the range.
#[utoipa::path(
    get, path = "/sensors/stats", tag = "statistics", operation_id = "sensors_stats",
    params(
        ("ids" = Option<String>, Query, description = "Ids, separated by commas", pattern = "^[0-9]{1,9}(,[0-9]{1,9}){0,99}$", example = "1,2,3"),
        ("type" = Option<String>, Query, description = "Only sensors of this type", pattern = "^[^\\u0000]*$", example = "temperature"),
        ("location" = Option<String>, Query, description = "Only sensors in this place", pattern = "^[^\\u0000]*$", example = "Backyard"),
        ("group" = Option<String>, Query, description = "A series for each `sensor`, or one for `all` together; `sensor` where absent. Of readings at the same microsecond, that of the smaller sensor id is the `first` or the `last` of all", pattern = "^(sensor|all)$", example = "sensor"),
        ("start" = Option<String>, Query, description = "As for one sensor", example = "2024-10-12"),
        ("end" = Option<String>, Query, description = "As for one sensor", example = "2024-10-13"),
        ("bucket" = Option<String>, Query, description = "As for one sensor", pattern = "^(1s|5s|10s|15s|30s|1m|2m|3m|5m|10m|15m|20m|30m|1h|2h|3h|4h|6h|8h|12h|1d|1w|1month|2month|3month|4month|6month|1year)$", example = "1d"),
        ("timezone" = Option<String>, Query, description = "As for one sensor", example = "Europe/Berlin"),
        ("measures" = Option<String>, Query, description = "As for one sensor", pattern = "^(count|avg|min|max|sum|stddev|first|last|median|iqr|p100|p[1-9]?[0-9])(,(count|avg|min|max|sum|stddev|first|last|median|iqr|p100|p[1-9]?[0-9])){0,9}$", example = "count,avg,min,max"),
        ("fill" = Option<String>, Query, description = "As for one sensor", pattern = "^(null|previous|linear)$", example = "previous"),
    ),
    responses(
        (status = 200, description = "The series.", body = StatsOfManyBody, example = json!({"start": "2024-10-12T00:00:00+02:00", "end": "2024-10-13T00:00:00+02:00", "bucket": "1d", "timezone": "Europe/Berlin", "series": [{"sensor_id": 3, "buckets": [{"start": "2024-10-12T00:00:00+02:00", "end": "2024-10-13T00:00:00+02:00", "count": 3, "avg": 22.9, "min": 22.5, "max": 23.5}]}]})),
        (status = 422, description = "A parameter does not validate, there would be more buckets, over all series, than 10,000, or more than 10,000 sensors, or a bucket would reach past the years 1 to 9999.", body = InvalidBody, example = json!({"detail": [{"loc": ["query", "fill"], "msg": "Input should be 'null' or 'previous' or 'linear'", "type": "enum"}]})),
        (status = 503, description = "The database does not answer, or not in time; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn of_many(
    State(api): State<Arc<QueryApi>>,
    RawQuery(query): RawQuery,
) -> Result<Json<StatsOfManyBody>, ApiError> {
    let limits = api.limits;
    let mut parameters = Parameters::of(query.as_deref());
    let selection = selection::take(&mut parameters, limits.sensors_max);
    let by_sensor = parameters.take("group", |text| one_of(text, &[("sensor", true), ("all", false)]));
    let by_sensor = by_sensor.unwrap_or(true);
    let asked = Asked::take(&mut parameters, limits.buckets_max);
    parameters.finish()?;
    let sensor_ids = selection::resolve(&api, selection).await?;
    let series = if by_sensor { sensor_ids.len() } else { 1 };
    let buckets = series * (asked.edges.len() - 1);
    if buckets > limits.buckets_max {
        let msg = format!(
            "{series} sensors have {buckets} buckets of {} together, and an answer at most {}: ask for longer \
             buckets, a shorter range, fewer sensors or group=all",
            asked.bucket, limits.buckets_max
        );
        return Err(invalid("bucket", FieldError::new("too_many_buckets", msg)));
    }
    let query = asked.query(sensor_ids.clone(), by_sensor);
    let stats = queries::stats(&api.reads, query).await.map_err(query_failed)?;
    let series = if by_sensor {
        asked.series_by_sensor(&sensor_ids, &stats)
    } else {
        vec![SeriesBody { sensor_id: None, buckets: asked.series().buckets(&stats) }]
    };
    Ok(Json(StatsOfManyBody { range: asked.body(), series }))
}

/// What a query string asks for of one sensor; none where it is invalid.
pub(in crate::http) fn stats_asked(query: &str, sensor_id: i32, buckets_max: usize) -> Option<StatsQuery> {
    let mut parameters = Parameters::of(Some(query));
    let asked = Asked::take(&mut parameters, buckets_max);
    parameters.finish().ok().map(|()| asked.query(vec![sensor_id], true))
}

/// What was asked for.
struct Asked {
    start: Timestamp,
    end: Timestamp,
    bucket: Bucket,
    zone: Zone,
    edges: Vec<Timestamp>,
    measures: Arc<Measures>,
    fill: Option<Fill>,
}

impl Asked {
    /// Holds any one thing where parameters are invalid.
    fn take(parameters: &mut Parameters<'_>, buckets_max: usize) -> Self {
        let zone = time_range::zone(parameters);
        let (start, end) = time_range::bounds(parameters, &zone);
        let bucket = parameters.take("bucket", bucket).unwrap_or(Bucket::Seconds(3_600));
        let measures = parameters.take("measures", measures);
        let fill = parameters.take("fill", |text| {
            one_of(text, &[("null", Fill::Null), ("previous", Fill::Previous), ("linear", Fill::Linear)])
        });
        let is_until_now = end.is_none();
        let end = end.unwrap_or_else(Timestamp::now);
        let earliest =
            start.unwrap_or_else(|| end.plus_micros(-usual_micros(bucket)).max(time_range::EARLIEST));
        let edges = if earliest < end {
            edges(bucket, &zone, earliest, end, buckets_max)
                .map_err(|error| too_many_buckets(bucket, error))
                .and_then(|edges| in_years(bucket, edges))
                .map_err(|error| parameters.refuse("bucket", error))
        } else {
            // Where both are given, this was noted.
            if is_until_now {
                parameters.refuse("start", FieldError::new("empty_range", "Input should be before end"));
            }
            Err(())
        };
        let edges = edges.unwrap_or_else(|()| vec![earliest, end]);
        Self {
            // Nobody asked for half a bucket.
            start: start.unwrap_or(edges[0]),
            end,
            bucket,
            zone,
            edges,
            measures: Arc::new(measures.unwrap_or_else(default_measures)),
            fill,
        }
    }

    fn query(&self, sensor_ids: Vec<i32>, by_sensor: bool) -> StatsQuery {
        StatsQuery {
            sensor_ids,
            by_sensor,
            start: self.start,
            end: self.end,
            edges: self.edges.clone(),
            measures: self.measures.iter().map(|(_, measure)| *measure).collect(),
        }
    }

    fn series(&self) -> Series<'_> {
        Series { zone: &self.zone, edges: &self.edges, measures: Arc::clone(&self.measures), fill: self.fill }
    }

    /// `stats` is in the order of the sensors.
    fn series_by_sensor(&self, sensor_ids: &[i32], stats: &[BucketStats]) -> Vec<SeriesBody> {
        let mut rest = stats;
        let mut all = Vec::new();
        for &sensor_id in sensor_ids {
            let (of_this, others) = rest.split_at(rest.partition_point(|stats| stats.sensor_id <= sensor_id));
            rest = others;
            if !of_this.is_empty() || self.fill.is_some() {
                all.push(SeriesBody { sensor_id: Some(sensor_id), buckets: self.series().buckets(of_this) });
            }
        }
        all
    }

    fn body(&self) -> RangeBody {
        RangeBody {
            start: in_zone(&self.zone, self.start),
            end: in_zone(&self.zone, self.end),
            bucket: self.bucket.to_string(),
            timezone: self.zone.name().to_owned(),
        }
    }
}

/// What is looked at unasked: a day, but at least 30 buckets and at most 1,440.
fn usual_micros(bucket: Bucket) -> i64 {
    let one = bucket.usual_seconds() * 1_000_000;
    DAY_MICROS.clamp(30 * one, 1_440 * one)
}

fn bucket(text: &str) -> Result<Bucket, FieldError> {
    Bucket::named(text).ok_or_else(|| {
        let names: Vec<&str> = Bucket::names().collect();
        FieldError::new("enum", format!("Input should be one of {}", names.join(", ")))
    })
}

/// The edges where all can be written; the buckets of the first and the last year may reach past them.
fn in_years(bucket: Bucket, edges: Vec<Timestamp>) -> Result<Vec<Timestamp>, FieldError> {
    if edges[0] >= time_range::EARLIEST && edges[edges.len() - 1] <= time_range::LATEST {
        return Ok(edges);
    }
    let msg = format!(
        "The range has a bucket of {bucket} that reaches past the years 1 to 9999: ask for shorter buckets or another \
         range"
    );
    Err(FieldError::new("datetime_out_of_range", msg))
}

fn too_many_buckets(bucket: Bucket, TooManyBuckets { about, max }: TooManyBuckets) -> FieldError {
    let msg = format!(
        "The range has about {about} buckets of {bucket}, and an answer at most {max}: ask for longer buckets or a \
         shorter range"
    );
    FieldError::new("too_many_buckets", msg)
}

fn default_measures() -> Measures {
    measures(MEASURES_DEFAULT).unwrap_or_default()
}

/// Those named twice are told once.
fn measures(text: &str) -> Result<Measures, FieldError> {
    let mut measures = Measures::new();
    for name in text.split(',').map(str::trim) {
        let measure = Measure::named(name).ok_or_else(|| {
            let msg = "Input should be any of count, avg, min, max, sum, stddev, first, last, median, iqr and \
                       percentiles from p0 to p100, separated by commas";
            FieldError::new("enum", msg)
        })?;
        if measures.iter().any(|(known, _)| known == name) {
            continue;
        }
        if measures.len() == MEASURES_MAX {
            return Err(FieldError::new(
                "too_long",
                format!("Input should name at most {MEASURES_MAX} measures"),
            ));
        }
        measures.push((name.to_owned(), measure));
    }
    Ok(measures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Asked {
        let mut parameters = Parameters::of(Some(query));
        let asked = Asked::take(&mut parameters, 10_000);
        parameters.finish().unwrap_or_else(|error| panic!("{query}: {error:?}"));
        asked
    }

    #[test]
    fn what_is_not_said_is_a_day_or_so_of_whole_buckets() {
        for (query, buckets) in [
            ("end=2026-11-01T12:30", 31),
            ("end=2026-11-01&bucket=1s", 1_440),
            ("end=2026-11-01&bucket=1m", 1_440),
            ("end=2026-11-01&bucket=15m", 96),
            ("end=2026-11-01&bucket=1d", 30),
            ("end=2026-11-02&bucket=1w", 30),
        ] {
            let asked = asked(query);
            assert_eq!(asked.edges.len() - 1, buckets, "{query}");
            assert_eq!(asked.start, asked.edges[0], "{query}");
        }
        let names: Vec<String> = asked("").measures.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names.join(","), MEASURES_DEFAULT);
    }

    #[test]
    fn no_bucket_reaches_past_the_years_that_can_be_written() {
        let asked_first = asked("end=0001-01-01T00:00:01Z&bucket=1year");
        let years: Vec<String> = asked_first.edges.iter().map(ToString::to_string).collect();
        assert_eq!(years, ["0001-01-01T00:00:00Z", "0002-01-01T00:00:00Z"]);
        assert_eq!(asked("start=9998-12-31&end=9998-12-31T12:00Z&bucket=1year").edges.len(), 2);
        for query in [
            "start=9999-12-31&end=9999-12-31T23:59:59.999999Z&bucket=1s",
            "start=2026-01-01&end=9999-12-31&bucket=1year",
            "start=0001-01-01T00:00:00Z&end=0001-01-02&bucket=1month&timezone=America/New_York",
        ] {
            let mut parameters = Parameters::of(Some(query));
            Asked::take(&mut parameters, 100_000);
            let refused = parameters.finish().map_err(|error| format!("{error:?}"));
            assert!(refused.is_err_and(|text| text.contains("datetime_out_of_range")), "{query}");
        }
    }

    #[test]
    fn measures_keep_the_names_they_were_asked_for_by() {
        let names: Vec<String> =
            measures("median, p50,p99.9,median").unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["median", "p50", "p99.9"]);
        for text in ["", "avg,", "mean", "p101", "p05"] {
            assert_eq!(measures(text).unwrap_err().kind, "enum", "{text}");
        }
        let many: Vec<String> = (0..=MEASURES_MAX).map(|n| format!("p{n}")).collect();
        assert_eq!(measures(&many.join(",")).unwrap_err().kind, "too_long");
    }
}
