//! `POST /sensor_data/{sensor_id}`: one reading or many, answered when Kafka has them.

pub(in crate::http) mod body;
mod syntax;

use std::sync::Arc;

use axum::{
    Extension, Json,
    body::Body,
    extract::{Path, State},
    http::Request,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio::{task, time::Instant};
use utoipa::ToSchema;

use super::{
    IngestApi,
    publish::Outbox,
    reading_rules::ReadingRules,
    reading_schema::ReadingsBody,
    receipts::{Receipt, State as StoredState},
    wait_preference::Wait,
};
use crate::{
    http::server::{
        ApiError, Client, ErrorBody, InvalidBody, ValidationErrors, body::read_json, parameters::path,
        trace_context,
    },
    reading::{Reading, Timestamp},
};

/// Most bytes of a body that is looked at between two other requests; a larger one takes so long that it has a thread to
/// itself.
const LOOKED_AT_ONCE_MAX: usize = 64 << 10;

/// Kafka has the readings, on all in-sync replicas.
#[derive(Serialize, ToSchema)]
pub(super) struct AcceptedBody {
    /// For people.
    #[schema(example = "Sensor data streamed successfully.")]
    message: &'static str,
    /// Where the last of them is in the log; only of an empty list there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    /// Every record of a batch that did not fit into one; the last is `receipt`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    receipts: Vec<Receipt>,
    /// Whether queries show the readings; only where `Prefer: wait` asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<StoredState>,
}

/// Send readings of one sensor
///
/// Answered when Kafka has them on all in-sync replicas; queries show them milliseconds later, and `Prefer: wait=5`
/// answers then. Of two readings for the same sensor and time one is kept, so sending a request again never stores a
/// reading twice that has a timestamp. The body may be packed with gzip or zstd
/// (`Content-Encoding`).
#[utoipa::path(
    post, path = "/sensor_data/{sensor_id}", tag = "readings", operation_id = "send_readings",
    params(
        ("sensor_id" = i32, Path, description = "The sensor", example = 3),
        ("Prefer" = Option<String>, Header, description = "`wait=5`: answer when queries show the readings, or after so many seconds (RFC 7240)."),
    ),
    request_body(content = ReadingsBody, content_type = "application/json", examples(
        ("one reading" = (value = json!({"value": 23.5, "timestamp": "2024-10-12T14:29:00"}))),
        ("many" = (value = json!({"data": [{"value": 22.7, "timestamp": "2024-10-12T14:30:00"}, {"value": 22.5, "timestamp": "2024-10-12T14:31:00"}]}))),
        ("lax" = (value = json!({"data": [{"value": "22.7", "timestamp": 1_728_743_400}, {"value": 22.5}]}))),
    )),
    responses(
        (status = 200, description = "Kafka has the readings.", body = AcceptedBody, headers(("Preference-Applied" = String, description = "Where `Prefer: wait` was")), examples(
            ("accepted" = (value = json!({"message": "Sensor data streamed successfully.", "receipt": {"topic": "sensor-readings", "partition": 4, "offset": 1042}}))),
            ("after Prefer: wait=5" = (value = json!({"message": "Sensor data streamed successfully.", "receipt": {"topic": "sensor-readings", "partition": 4, "offset": 1042}, "state": "stored"}))),
        )),
        (status = 400, description = "The body is not JSON, broke off, or cannot be unpacked.", body = ErrorBody, example = json!({"detail": "The body is not valid JSON: expected value at line 1 column 1."})),
        (status = 404, description = "There is no such sensor.", body = ErrorBody, example = json!({"detail": "Sensor not found."})),
        (status = 408, description = "The body did not arrive in time.", body = ErrorBody, example = json!({"detail": "The body did not arrive in time."})),
        (status = 413, description = "The body is too large, packed or unpacked.", body = ErrorBody, example = json!({"detail": "The body is larger than 16777216 bytes."})),
        (status = 415, description = "The body is not called JSON, or packed in an unknown way.", body = ErrorBody, example = json!({"detail": "The body should be application/json."})),
        (status = 422, description = "The request does not validate; nothing of it is taken.", body = InvalidBody, example = json!({"detail": [{"loc": ["body", "data", 3, "value"], "msg": "Input should be a finite number", "type": "finite_number"}]})),
        (status = 503, description = "Kafka does not take readings now or did not acknowledge in time, there are too many requests, or the sensor is not known here and the database does not answer; send it again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "Not acknowledged: Kafka did not acknowledge in time. The readings may or may not have been stored. Sending them again is safe: one that has a timestamp is not stored twice."})),
    ),
)]
pub(super) async fn send(
    State(api): State<Arc<IngestApi>>,
    Path(sensor_id): Path<String>,
    Extension(client): Extension<Client>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let mut admitted = api.admission.admit()?;
    api.producer.ready()?;
    let headers = trace_context::record_headers(request.headers());
    let wait = Wait::asked(request.headers());
    let body = read_json(&mut admitted.held, request, api.limits.body).await?;
    let (sensor_id, readings) = if body.len() <= LOOKED_AT_ONCE_MAX {
        validated(&api, &sensor_id, &body)?
    } else {
        let api = api.clone();
        let validating = task::spawn_blocking(move || validated(&api, &sensor_id, &body));
        validating.await.map_err(|_| ApiError::Internal)??
    };
    api.sensors.require_in_turn(sensor_id, client.look_ups()).await?;
    let mut outbox = Outbox::new(&api.producer, headers);
    if !readings.is_empty() {
        outbox.send(readings)?;
    }
    let receipts = outbox.sent().await?;
    drop(admitted);

    let state = api.state_after(wait, started, &receipts).await;
    let all: &[_] = if receipts.len() > 1 { &receipts } else { &[] };
    let mut response = Json(AcceptedBody {
        message: "Sensor data streamed successfully.",
        receipt: receipts.last().map(|last| Receipt::new(&api, *last)),
        receipts: all.iter().map(|receipt| Receipt::new(&api, *receipt)).collect(),
        state,
    })
    .into_response();
    if let Some(wait) = wait {
        wait.note(&mut response);
    }
    Ok(response)
}

fn validated(api: &IngestApi, sensor_id: &str, body: &[u8]) -> Result<(i32, Vec<Reading>), ApiError> {
    let mut errors = ValidationErrors::default();
    let sensor_id = errors.check(&path::SENSOR_ID, path::sensor_id(sensor_id));
    let now = Timestamp::now();
    let rules = ReadingRules { sensor_id, window: api.window(now)?, now, clock: &api.receipt_clock };
    let readings = body::parse(body, &rules, &mut errors).map_err(ApiError::BadJson)?;
    match sensor_id {
        Some(sensor_id) if errors.is_empty() => Ok((sensor_id, readings)),
        _ => Err(ApiError::Invalid(errors)),
    }
}
