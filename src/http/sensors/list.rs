//! `GET /sensors`.

use std::sync::Arc;

use axum::{
    Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    SensorsApi,
    fields::{TEXT_MAX_CHARS, TYPE_MAX_CHARS, text},
};
use crate::{
    http::server::{
        ApiError, ErrorBody, InvalidBody, Parameters,
        parameters::{cursor, positive},
    },
    store::{
        StoreError, Trouble,
        sensors::{self, Filter, Sensor},
    },
};

const LIMIT_DEFAULT: u64 = 100;
const LIMIT_MAX: u64 = 1_000;

/// A page of sensors.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"sensors": [{"sensor_id": 3, "sensor_type": "temperature", "description": "Greenhouse", "location": "North"}], "next": "AAAAAw"}))]
pub(super) struct PageBody {
    /// In the order of their ids.
    sensors: Vec<Sensor>,
    /// What to send as `after` for the page behind this one; null on the last.
    next: Option<String>,
}

/// List sensors
///
/// In the order of their ids, page by page. Sensors that are made or deleted meanwhile never make another one appear
/// twice or not at all. Where a replica answers (`READ_DATABASE_URL`), a sensor is listed once the replica has it.
#[utoipa::path(
    get, path = "/sensors", tag = "sensors", operation_id = "list_sensors",
    params(
        ("type" = Option<String>, Query, description = "Only those of this type", max_length = 50, pattern = "^[^\\u0000]*$", example = "temperature"),
        ("location" = Option<String>, Query, description = "Only those in this place", max_length = 255, pattern = "^[^\\u0000]*$", example = "Backyard"),
        ("q" = Option<String>, Query, description = "Only those that have this text in their type, description or location, in whatever case", max_length = 255, pattern = "^[^\\u0000]*$", example = "green"),
        ("limit" = Option<u16>, Query, description = "Most sensors of a page; 100 where absent", minimum = 1, maximum = 1000, example = 100),
        ("after" = Option<String>, Query, description = "`next` of the page before this one", pattern = "^[A-Za-z0-9_-]{5}[AQgw]$", example = "AAAAAw"),
    ),
    responses(
        (status = 200, description = "Sensors; maybe none.", body = PageBody),
        (status = 422, description = "A parameter does not validate.", body = InvalidBody, example = json!({"detail": [{"loc": ["query", "limit"], "msg": "Input should be a valid integer from 1 to 1000", "type": "int_parsing"}]})),
        (status = 503, description = "The database does not answer, or not in time; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn list(
    State(api): State<Arc<SensorsApi>>,
    RawQuery(query): RawQuery,
) -> Result<Json<PageBody>, ApiError> {
    let mut parameters = Parameters::of(query.as_deref());
    let mut some_text =
        |name: &'static str, longest: usize| parameters.take(name, |value| text(value, 0, longest));
    let filter = Filter {
        sensor_type: some_text("type", TYPE_MAX_CHARS),
        location: some_text("location", TEXT_MAX_CHARS),
        text: some_text("q", TEXT_MAX_CHARS),
    };
    let limit = parameters.take("limit", |text| positive(text, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
    let after = parameters.take("after", |text| cursor::decode(text).map(i32::from_be_bytes));
    parameters.finish()?;
    let page = sensors::page(&api.reads, filter, after, limit as u16).await.map_err(refused)?;
    let next = page
        .sensors
        .last()
        .filter(|_| page.has_more)
        .map(|last| cursor::encode(last.sensor_id.to_be_bytes()));
    Ok(Json(PageBody { sensors: page.sensors, next }))
}

/// Why there is no page.
fn refused(error: StoreError) -> ApiError {
    if error.trouble() == Trouble::TooLong {
        tracing::debug!("{error}: {}", error.server_message());
        return ApiError::Unavailable(
            "The list took too long; `type` and `location` are found faster than `q`.".into(),
        );
    }
    error.into()
}
