//! `POST /readings`: readings of many sensors, taken as they arrive.

pub(in crate::http) mod intake;
mod report;
mod schema;
pub(in crate::http) mod split;

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, Request},
    response::Response,
};
use tokio::time::Instant;

use super::{
    IngestApi,
    publish::{Outbox, last_of_each_partition},
    receipts::Receipt,
    wait_preference::Wait,
};
use crate::http::server::{
    ApiError, Client, ErrorBody, FieldError, InvalidBody, Step, ValidationErrors,
    body::{BodyReader, content_type, is_json},
    trace_context,
};
use intake::Intake;
use report::{BrokenReport, ReadingsReport, answer};
use schema::SensorReadings;
use split::{Broken, Splitter};

/// Fewest bytes of a reading: `{"value":1},` in a sensor's `data`. A body has no more items than the largest one has room for
/// readings; there would be room for many more that are nothing but a comma, all of them packed into some hundred bytes.
const READING_BYTES_MIN: usize = 12;

/// What NDJSON is called.
const NDJSON_TYPES: [&str; 5] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/jsonlines",
    "application/x-jsonlines",
];

/// Send readings of many sensors
///
/// A JSON array, or NDJSON with a reading on each line; also one object, objects one behind the other, and the topic's
/// `{"sensor_id": …, "data": […]}`. Compressed with gzip or zstd (`Content-Encoding`), or not at all. Each item is judged
/// by itself, whether it is JSON or not: the good ones are accepted, the others named. It is read as it arrives, so what
/// came before an error of the body itself is accepted, and the answer says so. Sending a request again never stores a reading twice that has
/// a timestamp.
#[utoipa::path(
    post, path = "/readings", tag = "readings", operation_id = "send_many_readings",
    params(("Prefer" = Option<String>, Header, description = "`wait=5`: answer when queries show the readings, or after so many seconds (RFC 7240).")),
    request_body(content(
        (SensorReadings = "application/json", example = json!([{"sensor_id": 1, "value": 21.5, "timestamp": "2024-10-12T14:30:00Z"}, {"sensor_id": 2, "value": "48", "timestamp": 1_728_743_400}])),
        (String = "application/x-ndjson", example = json!("{\"sensor_id\":1,\"value\":21.5,\"timestamp\":\"2024-10-12T14:30:00Z\"}\n{\"sensor_id\":2,\"value\":48.0}\n")),
    )),
    responses(
        (status = 202, description = "Every reading is in Kafka.", body = ReadingsReport, headers(("Preference-Applied" = String, description = "Where `Prefer: wait` was")), example = json!({"accepted": 2, "failed": 0, "errors": [], "receipts": [{"topic": "sensor-readings", "partition": 4, "offset": 1042}, {"topic": "sensor-readings", "partition": 7, "offset": 986}]})),
        (status = 207, description = "Some are, some are not.", body = ReadingsReport, headers(("Preference-Applied" = String, description = "Where `Prefer: wait` was")), example = json!({"accepted": 1, "failed": 1, "errors": [{"index": 1, "code": "invalid_value", "message": "`value` is not a number"}], "receipts": [{"topic": "sensor-readings", "partition": 4, "offset": 1043}]})),
        (status = 400, description = "The body broke off, cannot be unpacked, or is no JSON from some place on. With `accepted`, where what came before was accepted.", body = BrokenReport, example = json!({"detail": "The body broke off."})),
        (status = 408, description = "The body did not arrive in time; as with 400, what came before may be accepted.", body = BrokenReport, example = json!({"detail": "The body did not arrive in time."})),
        (status = 413, description = "The body is too large, or has more items than fit into the largest one as readings; as with 400, what came before may be accepted.", body = BrokenReport, example = json!({"detail": "The body is larger than 16777216 bytes. Of the items after the first 230000 none was taken.", "accepted": 230_000, "failed": 0, "errors": [], "receipts": [{"topic": "sensor-readings", "partition": 4, "offset": 1044}]})),
        (status = 415, description = "The body is called neither JSON nor NDJSON, or packed in an unknown way.", body = ErrorBody, example = json!({"detail": "The body should be application/json or application/x-ndjson."})),
        (status = 422, description = "No item was accepted, or the body is no list.", body = InvalidBody, example = json!({"detail": [{"loc": ["body", 0], "msg": "there is no sensor 77", "type": "unknown_sensor"}]})),
        (status = 503, description = "Kafka does not take readings now, or there are too many requests; send it again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "Kafka does not answer now. Nothing was stored."})),
    ),
)]
pub(super) async fn send_many(
    State(api): State<Arc<IngestApi>>,
    Extension(client): Extension<Client>,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let started = Instant::now();
    let mut admitted = api.admission.admit()?;
    api.producer.ready()?;
    let (head, body) = request.into_parts();
    let mut splitter = splitter(&head.headers)?;
    let mut body = BodyReader::open(&head.headers, body, api.limits.body)?;
    let topic = api.producer.live_topic().await?;

    let items_max = (api.limits.body.max_bytes / READING_BYTES_MIN) as u64;
    let mut intake = Intake::new(&api, &client, topic.partitions)?;
    let mut outbox = Outbox::new(&api.producer, trace_context::record_headers(&head.headers));
    admitted.held.hold(body.held_bytes())?;
    let broken = loop {
        match body.chunk().await {
            Ok(Some(chunk)) => {
                let kept = splitter.held_bytes() + intake.held_bytes() + outbox.held_bytes();
                admitted.held.hold(chunk.len() + body.held_bytes() + kept)?;
                if let Err(broken) = splitter.feed(&chunk, &mut |item| intake.take(item)) {
                    break Some(broken.into_error(intake.items()));
                }
                if intake.items() > items_max {
                    break Some(ApiError::TooManyItems { max: items_max });
                }
                intake.settle(&mut outbox).await?;
                // The client may keep the next chunk back for a long time.
                let kept = splitter.held_bytes() + intake.held_bytes() + outbox.held_bytes();
                admitted.held.hold(body.held_bytes() + kept)?;
            }
            Ok(None) => {
                let ended = splitter.finish(&mut |item| intake.take(item));
                break ended.err().map(|broken| broken.into_error(intake.items()));
            }
            Err(error) => break Some(error),
        }
    };
    drop(body);
    intake.settle(&mut outbox).await?;
    let tally = intake.finish(&mut outbox)?;
    let receipts = last_of_each_partition(&outbox.sent().await?);
    drop(admitted);

    let wait = Wait::asked(&head.headers).filter(|_| tally.accepted > 0);
    let state = api.state_after(wait, started, &receipts).await;
    let receipts = receipts.into_iter().map(|receipt| Receipt::new(&api, receipt)).collect();
    let mut response = answer(tally, broken, receipts, state);
    if let Some(wait) = wait {
        wait.note(&mut response);
    }
    Ok(response)
}

/// What cuts the body.
fn splitter(headers: &HeaderMap) -> Result<Splitter, ApiError> {
    let is_ndjson = content_type(headers).is_some_and(|essence| NDJSON_TYPES.contains(&essence.as_str()));
    match () {
        () if is_ndjson => Ok(Splitter::lines()),
        () if is_json(headers) => Ok(Splitter::values()),
        () => Err(ApiError::UnsupportedMediaType("application/json or application/x-ndjson")),
    }
}

impl Broken {
    fn into_error(self, item: u64) -> ApiError {
        match self {
            Self::NotAList => {
                let mut errors = ValidationErrors::default();
                errors.push(&[Step::Field("body")], FieldError::not_a_list());
                ApiError::Invalid(errors)
            }
            Self::Expected(expected) => ApiError::BadJson(format!("expected {expected} at item {item}")),
            Self::Encoding(encoding) => ApiError::BadJson(encoding.into_owned()),
        }
    }
}
