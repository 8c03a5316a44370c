//! `POST /sensor_data/{sensor_id}`: one reading or many, answered when Kafka has them.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::Request,
};
use metrics::counter;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    body::read_json,
    error::{ApiError, ErrorBody, InvalidBody},
    fault::Faults,
    path, reading_body,
    reading_field::FieldRules,
    reading_schema::ReadingsBody,
};
use crate::{
    kafka::producer::{self, MAX_RECORD_BYTES},
    metrics::PUBLISHED_READINGS,
    reading::{Reading, Timestamp, encode},
};

/// Kafka has the readings, on all in-sync replicas.
#[derive(Serialize, ToSchema)]
pub(super) struct AcceptedBody {
    /// For people.
    #[schema(example = "Sensor data streamed successfully.")]
    message: &'static str,
    /// Where the last of them is in the log.
    receipt: Receipt,
    /// Every record of a batch that did not fit into one; the last is `receipt`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    receipts: Vec<Receipt>,
}

/// Where a record is in the log.
#[derive(Clone, Serialize, ToSchema)]
pub(super) struct Receipt {
    /// The topic.
    #[schema(example = "sensor-readings")]
    topic: String,
    /// Its partition; the same for all readings of a sensor.
    #[schema(example = 4)]
    partition: i32,
    /// The record's place in the partition.
    #[schema(example = 1042)]
    offset: i64,
}

/// Send readings of one sensor
///
/// Answered when Kafka has them on all in-sync replicas; queries show them milliseconds later. Of two readings for
/// the same sensor and time one is kept, so sending a request again never stores anything twice.
#[utoipa::path(
    post, path = "/sensor_data/{sensor_id}", tag = "readings", operation_id = "send_readings",
    params(("sensor_id" = i32, Path, description = "The sensor", example = 3)),
    request_body(content = ReadingsBody, content_type = "application/json", examples(
        ("one reading" = (value = json!({"value": 23.5, "timestamp": "2024-10-12T14:29:00"}))),
        ("many" = (value = json!({"data": [{"value": 22.7, "timestamp": "2024-10-12T14:30:00"}, {"value": 22.5, "timestamp": "2024-10-12T14:31:00"}]}))),
        ("lax" = (value = json!({"data": [{"value": "22.7", "timestamp": 1_728_743_400}, {"value": 22.5}]}))),
    )),
    responses(
        (status = 200, description = "Kafka has the readings.", body = AcceptedBody, example = json!({"message": "Sensor data streamed successfully.", "receipt": {"topic": "sensor-readings", "partition": 4, "offset": 1042}})),
        (status = 400, description = "The body is not JSON.", body = ErrorBody, example = json!({"detail": "The body is not valid JSON: expected value at line 1 column 1."})),
        (status = 404, description = "There is no such sensor.", body = ErrorBody, example = json!({"detail": "Sensor not found."})),
        (status = 408, description = "The body did not arrive in time.", body = ErrorBody, example = json!({"detail": "The body did not arrive in time."})),
        (status = 413, description = "The body is too large.", body = ErrorBody, example = json!({"detail": "The body is larger than 16777216 bytes."})),
        (status = 415, description = "The body is not called JSON.", body = ErrorBody, example = json!({"detail": "The body should be application/json."})),
        (status = 422, description = "The request does not validate; nothing of it is taken.", body = InvalidBody, example = json!({"detail": [{"loc": ["body", "data", 3, "value"], "msg": "Input should be a finite number", "type": "finite_number"}]})),
        (status = 503, description = "Kafka did not acknowledge in time, or the sensor is not known here and the database does not answer; send it again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "Not acknowledged: Kafka did not acknowledge in time. The readings may or may not have been stored. Sending them again is safe: one that is there already is not stored twice."})),
    ),
)]
pub(super) async fn send(
    State(api): State<Api>,
    Path(sensor_id): Path<String>,
    request: Request<Body>,
) -> Result<Json<AcceptedBody>, ApiError> {
    let body = read_json(request, api.limits.body).await?;
    let (sensor_id, readings) = validated(&api, &sensor_id, &body)?;
    drop(body);
    if !api.known_sensors.contains(sensor_id).await? {
        return Err(ApiError::NotFound("Sensor not found."));
    }
    let receipts = publish(&api, sensor_id, &readings).await?;
    counter!(PUBLISHED_READINGS).increment(readings.len() as u64);

    let mut receipts: Vec<Receipt> = receipts.into_iter().map(|receipt| named(&api, receipt)).collect();
    let Some(last) = receipts.last().cloned() else { return Err(ApiError::Internal) };
    if receipts.len() == 1 {
        receipts.clear();
    }
    Ok(Json(AcceptedBody { message: "Sensor data streamed successfully.", receipt: last, receipts }))
}

fn validated(api: &Api, sensor_id: &str, body: &[u8]) -> Result<(i32, Vec<Reading>), ApiError> {
    let mut faults = Faults::default();
    let sensor_id = faults.check(&path::SENSOR_ID, path::sensor_id(sensor_id));
    let now = Timestamp::now();
    let window = api.limits.acceptance.window(now);
    let rules =
        FieldRules { sensor_id: sensor_id.unwrap_or_default(), window, now, clock: &api.receipt_clock };
    let readings = reading_body::parse(body, &rules, &mut faults)
        .map_err(|error| ApiError::BadJson(error.to_string()))?;
    match sensor_id {
        Some(sensor_id) if faults.is_empty() => Ok((sensor_id, readings)),
        _ => Err(ApiError::Invalid(faults)),
    }
}

async fn publish(
    api: &Api,
    sensor_id: i32,
    readings: &[Reading],
) -> Result<Vec<producer::Receipt>, ApiError> {
    if let [reading] = readings {
        let receipt = api.producer.publish(sensor_id, encode::single(reading).as_bytes()).await?;
        return Ok(vec![receipt]);
    }
    let records = encode::batches(sensor_id, readings.iter().copied(), MAX_RECORD_BYTES);
    Ok(api.producer.publish_all(sensor_id, &records).await?)
}

fn named(api: &Api, receipt: producer::Receipt) -> Receipt {
    Receipt { topic: api.producer.topic().to_owned(), partition: receipt.partition, offset: receipt.offset }
}
