//! `GET /sensors/{sensor_id}/readings`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, Version, header::VARY},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{QueryApi, export, export_format::Format, query_failed};
use crate::{
    http::server::{
        ApiError, Client, ErrorBody, InvalidBody, Parameters,
        parameters::{cursor, one_of, positive, time_range},
    },
    reading::{Reading, Timestamp},
    store::queries::{self, Order, PageQuery},
};

const PAGE_DEFAULT: u64 = 1_000;
const PAGE_MAX: u64 = 10_000;

/// HTTP/1.0 ends an answer of unknown length by closing the connection, and so does what breaks off.
const EXPORT_OVER_HTTP10: ApiError = ApiError::NeedsHttp11(
    "CSV and NDJSON need HTTP/1.1: over HTTP/1.0 a client takes an export that breaks off for complete. \
     If a proxy sent this request, let it speak HTTP/1.1 to the api (nginx: proxy_http_version 1.1).",
);

/// A page of readings.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadingsPage {
    #[schema(example = 3)]
    sensor_id: i32,
    /// In the order asked for.
    data: Vec<StoredReading>,
    /// What to send as `after` for the page behind this one; null on the last.
    #[schema(example = "AAYkSHPXUQA")]
    next: Option<String>,
}

/// A reading, as `POST /sensor_data` takes it.
#[derive(Serialize, ToSchema)]
pub(super) struct StoredReading {
    #[schema(example = 22.7)]
    value: f64,
    /// RFC 3339, UTC.
    #[schema(example = "2024-10-12T14:31:00Z")]
    timestamp: String,
}

/// A sensor's readings
///
/// As JSON page by page. Readings that come meanwhile never make another one appear twice or not at all.
///
/// With `Accept: text/csv` or `application/x-ndjson` the whole range, or `limit` readings of it, in one answer of any
/// size. It is complete if it ends as chunked bodies do; where the export breaks off, so does the connection.
#[utoipa::path(
    get, path = "/sensors/{sensor_id}/readings", tag = "readings", operation_id = "sensor_readings",
    params(
        ("sensor_id" = i32, Path, description = "The sensor", example = 3),
        ("start" = Option<String>, Query, description = "Readings from then on, in any form that a reading's timestamp has; without an offset by the clock of `timezone`. From the first one where absent", example = "2024-10-12"),
        ("end" = Option<String>, Query, description = "Readings before then; to the last one where absent", example = "2024-10-13"),
        ("timezone" = Option<String>, Query, description = "Name of the zone of `start` and `end`; `UTC` where absent", example = "Europe/Berlin"),
        ("order" = Option<String>, Query, description = "`desc` for the newest first, `asc` for the oldest; `desc` where absent", pattern = "^(asc|desc)$", example = "asc"),
        ("limit" = Option<u64>, Query, description = "Most readings of a page, to 10000; 1000 where absent. Without an end and a default for CSV and NDJSON", minimum = 1, example = 1000),
        ("after" = Option<String>, Query, description = "`next` of the page before this one, whose other parameters stay as they were", pattern = "^[A-Za-z0-9_-]{10}[AEIMQUYcgkosw048]$", example = "AAYkSHPXUQA"),
    ),
    responses(
        (status = 200, description = "Readings; maybe none.", content((ReadingsPage = "application/json"), (String = "text/csv", example = "sensor_id,timestamp,value\n3,2024-10-12T14:31:00Z,22.5\n"), (String = "application/x-ndjson", example = "{\"sensor_id\":3,\"value\":22.5,\"timestamp\":\"2024-10-12T14:31:00Z\"}\n"))),
        (status = 404, description = "There is no such sensor.", body = ErrorBody, example = json!({"detail": "Sensor not found."})),
        (status = 422, description = "A parameter does not validate.", body = InvalidBody, example = json!({"detail": [{"loc": ["query", "order"], "msg": "Input should be 'desc' or 'asc'", "type": "enum"}]})),
        (status = 426, description = "CSV or NDJSON over HTTP/1.0, where an export that breaks off would look complete; a proxy in between has to speak HTTP/1.1 (nginx: `proxy_http_version 1.1`).", body = ErrorBody, headers(("Upgrade" = String, description = "`HTTP/1.1`")), example = json!({"detail": "CSV and NDJSON need HTTP/1.1."})),
        (status = 503, description = "The database does not answer, or not in time, or 8 exports are under way; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn list(
    State(api): State<Arc<QueryApi>>,
    Extension(client): Extension<Client>,
    Path(sensor_id): Path<String>,
    RawQuery(query): RawQuery,
    version: Version,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let format = Format::accepted(&headers);
    if format.is_some() && version < Version::HTTP_11 {
        return Err(EXPORT_OVER_HTTP10);
    }
    let mut parameters = Parameters::of(query.as_deref());
    let sensor_id = parameters.sensor_id(&sensor_id);
    let page = asked(&mut parameters, sensor_id, format);
    parameters.finish()?;
    api.sensors.refuse_deleted(sensor_id).await?;
    let mut response = match format {
        None => one_page(&api, page).await?.into_response(),
        Some(format) => {
            let started = api.exports.start(&client, &api.reads, page, format).await?;
            if started.is_none() {
                api.sensors.require(sensor_id).await?;
            }
            started.unwrap_or_else(|| export::empty(format, sensor_id))
        }
    };
    response.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// The page that a query string asks for; none where it is invalid.
pub(in crate::http) fn page_asked(query: &str, sensor_id: i32) -> Option<PageQuery> {
    let mut parameters = Parameters::of(Some(query));
    let page = asked(&mut parameters, sensor_id, None);
    parameters.finish().ok().map(|()| page)
}

fn asked(parameters: &mut Parameters<'_>, sensor_id: i32, format: Option<Format>) -> PageQuery {
    let zone = time_range::zone(parameters);
    let (start, end) = time_range::bounds(parameters, &zone);
    let order = parameters
        .take("order", |text| one_of(text, &[("desc", Order::Descending), ("asc", Order::Ascending)]));
    let (limit_default, limit_max) = match format {
        None => (PAGE_DEFAULT, PAGE_MAX),
        // More than any table holds.
        Some(Format::Csv | Format::NdJson) => (i64::MAX as u64, i64::MAX as u64),
    };
    let limit = parameters.take("limit", |text| positive(text, limit_max)).unwrap_or(limit_default);
    let after = parameters.take("after", |text| cursor::decode(text).map(i64::from_be_bytes));
    let page =
        PageQuery { sensor_id, start, end, order: order.unwrap_or(Order::Descending), limit: limit as usize };
    match after {
        Some(micros) => page.after(Timestamp::from_micros(micros)),
        None => page,
    }
}

async fn one_page(api: &QueryApi, page: PageQuery) -> Result<Json<ReadingsPage>, ApiError> {
    let (sensor_id, limit) = (page.sensor_id, page.limit);
    // One more tells whether there is a page behind this one.
    let asked = PageQuery { limit: limit + 1, ..page };
    let mut readings = queries::readings(&api.reads, asked).await.map_err(query_failed)?;
    if readings.is_empty() {
        api.sensors.require(sensor_id).await?;
    }
    let has_more = readings.len() > limit;
    readings.truncate(limit);
    let next =
        readings.last().filter(|_| has_more).map(|last| cursor::encode(last.time.micros().to_be_bytes()));
    Ok(Json(ReadingsPage { sensor_id, data: readings.iter().map(body).collect(), next }))
}

fn body(reading: &Reading) -> StoredReading {
    StoredReading { value: reading.value, timestamp: reading.time.to_string() }
}
