//! What the routes make of what clients write, as plain functions: no request, no server.
//!
//! Fuzz targets and property tests call these; each is the code that its route runs.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    http::{
        ingest::{
            reading_field::FieldRules,
            readings::{
                intake::read,
                split::{Broken, Item, Splitter},
            },
            receipt_clock::ReceiptClock,
            receipts,
            sensor_data::body,
            wait_preference::Wait,
        },
        query,
        server::{ValidationErrors, request_id, trace_context},
    },
    reading::{Reading, Reason, Timestamp, Window},
    store::queries::{PageQuery, StatsQuery},
    traces,
};

/// Why a body of `POST /sensor_data/{sensor_id}` is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusedBody {
    /// 400: it is no JSON.
    NotJson,
    /// 422: the `type` of each error.
    Invalid(Vec<&'static str>),
}

/// `POST /sensor_data/{sensor_id}`: the readings of a body. `now` is the time of those that have none.
pub fn sensor_data(
    body: &[u8],
    sensor_id: i32,
    window: Window,
    now: Timestamp,
) -> Result<Vec<Reading>, RefusedBody> {
    let clock = ReceiptClock::default();
    let rules = FieldRules { sensor_id: Some(sensor_id), window, now, clock: &clock };
    let mut errors = ValidationErrors::default();
    let readings = body::parse(body, &rules, &mut errors).map_err(|_| RefusedBody::NotJson)?;
    if errors.is_empty() {
        return Ok(readings);
    }
    Err(RefusedBody::Invalid(errors.into_vec().into_iter().map(|error| error.kind).collect()))
}

/// The form of a body of `POST /readings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingsForm {
    /// NDJSON.
    Lines,
    /// JSON: an array, an object, or several.
    Values,
}

/// `POST /readings`: what comes of each reading, in their order, and whether the body is whole.
///
/// `received` is the time of all items that have none.
pub fn readings<'c>(
    form: ReadingsForm,
    chunks: impl IntoIterator<Item = &'c [u8]>,
    window: &Window,
    received: Timestamp,
) -> (Vec<Result<Reading, Reason>>, bool) {
    let mut splitter = match form {
        ReadingsForm::Lines => Splitter::lines(),
        ReadingsForm::Values => Splitter::values(),
    };
    let (mut items, mut decoded) = (Vec::new(), Vec::new());
    let mut each = |item: Item<'_>| {
        read(item, &mut |_, _| Ok(received), window, &mut decoded);
        items.extend(decoded.drain(..).map(|outcome| outcome.map_err(|reject| reject.reason)));
    };
    let feed_all = || -> Result<(), Broken> {
        chunks.into_iter().try_for_each(|chunk| splitter.feed(chunk, &mut each))?;
        splitter.finish(&mut each)
    };
    let is_whole = feed_all().is_ok();
    (items, is_whole)
}

/// `GET /sensors/{sensor_id}/stats`: what a query string asks for; none where it is invalid.
pub fn stats(query: &str, sensor_id: i32, buckets_max: usize) -> Option<StatsQuery> {
    query::stats::stats_asked(query, sensor_id, buckets_max)
}

/// `GET /sensors/{sensor_id}/readings`: the page that a query string asks for; none where it is invalid.
pub fn page(query: &str, sensor_id: i32) -> Option<PageQuery> {
    query::readings::page_asked(query, sensor_id)
}

/// `Prefer: wait`: for how long a request waits, at most `longest`.
///
/// As everywhere here, a header's value that no server lets in (a line's end in it) is left out.
pub fn wait(values: &[&[u8]], longest: Duration) -> Option<Duration> {
    Wait::asked(&headers("prefer", values), longest).map(Wait::duration)
}

/// `traceparent`: whether it goes on into the records.
pub fn is_traceparent(text: &str) -> bool {
    traces::is_traceparent(text)
}

/// `tracestate`: all of them as one, where they go on into the records.
pub fn tracestate(values: &[&[u8]]) -> Option<String> {
    trace_context::tracestate(&headers("tracestate", values))
}

/// `x-request-id`: the name that a request gets.
pub fn request_id(values: &[&[u8]]) -> Vec<u8> {
    request_id::settle(&mut headers("x-request-id", values)).as_bytes().to_vec()
}

/// `GET /receipts/{partition}/{offset}`: the two numbers; none where they are invalid.
pub fn receipt(partition: &str, offset: &str) -> Option<(i32, i64)> {
    let receipt = receipts::receipt(partition, offset).ok()?;
    Some((receipt.partition, receipt.offset))
}

fn headers(name: &'static str, values: &[&[u8]]) -> HeaderMap {
    let name = HeaderName::from_static(name);
    let values = values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok());
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(name.clone(), value);
    }
    headers
}
