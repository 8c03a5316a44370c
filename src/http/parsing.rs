//! What the routes make of what clients write, as plain functions: no request, no server.
//!
//! Fuzz targets and property tests call these; each is the code that its route runs.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    http::{
        ingest::{
            reading_rules::ReadingRules,
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
    let rules = ReadingRules { sensor_id: Some(sensor_id), window, now, clock: &clock };
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

/// `Prefer: wait`: for how long a request waits.
///
/// As everywhere here, a header's value that no server lets in (a line's end in it) is left out.
pub fn wait(values: &[&[u8]]) -> Option<Duration> {
    Wait::asked(&headers("prefer", values)).map(Wait::duration)
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_728_743_340_000_000);

    /// Whether a reading is taken where the document has the schema of this name.
    fn is_taken(schema: &str, reading: &Value) -> bool {
        let day = 86_400_000_000;
        let window = Window {
            since: Timestamp::from_micros(NOW.micros() - 1_000 * day),
            until: Timestamp::from_micros(NOW.micros() + 1_000 * day),
        };
        match schema {
            "ReadingBody" => sensor_data(reading.to_string().as_bytes(), 1, window, NOW).is_ok(),
            "ReadingItem" => {
                let body = json!({ "data": [reading] }).to_string();
                sensor_data(body.as_bytes(), 1, window, NOW).is_ok()
            }
            _ => {
                let text = reading.to_string();
                let (items, is_whole) = readings(ReadingsForm::Values, [text.as_bytes()], &window, NOW);
                is_whole && items.len() == 1 && items[0].is_ok()
            }
        }
    }

    fn with(reading: &Value, field: &str, value: Value) -> Value {
        let mut reading = reading.clone();
        reading[field] = value;
        reading
    }

    /// Values that a schema allows, one of each form.
    fn allowed(schema: &Value) -> Vec<Value> {
        let resolved = schema["oneOf"].as_array().map_or(vec![schema], |forms| forms.iter().collect());
        let one = |form: &Value| match (form["type"].as_str(), form["format"].as_str()) {
            (Some("string"), Some("date-time")) => json!("2024-10-12T14:29:00Z"),
            (Some("string"), None) => json!("1.5"),
            (Some("number"), _) => json!(1_728_743_341),
            (Some("integer"), _) => json!(1),
            _ => panic!("a form that no test knows: {form}"),
        };
        resolved.into_iter().map(one).collect()
    }

    #[test]
    fn the_document_describes_the_readings_that_are_parsed() {
        let document: Value = serde_json::from_str(&super::super::openapi_document()).unwrap();
        let schemas = &document["components"]["schemas"];
        let item = &schemas["BatchBody"]["example"]["data"][0];
        for (name, example) in [
            ("ReadingBody", &schemas["ReadingBody"]["example"]),
            ("ReadingItem", item),
            ("SensorReading", &schemas["SensorReading"]["example"]),
        ] {
            assert!(is_taken(name, example), "{name}: {example}");
            assert!(is_taken(name, &with(example, "more", json!({}))), "{name}: other fields are ignored");
            let properties = schemas[name]["properties"].as_object().unwrap();
            let required: Vec<&str> =
                schemas[name]["required"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            for (field, schema) in properties {
                if schema["type"] == "null" {
                    assert!(
                        !is_taken(name, &with(example, field, json!([]))),
                        "{name}: {field} together with others"
                    );
                    continue;
                }
                let mut without = example.clone();
                without.as_object_mut().unwrap().remove(field);
                assert_eq!(
                    is_taken(name, &without),
                    !required.contains(&field.as_str()),
                    "{name} without {field}"
                );
                assert!(!is_taken(name, &with(example, field, json!({}))), "{name}: {field} is no object");
                let schema = match schema["$ref"].as_str() {
                    Some(path) => document.pointer(path.trim_start_matches('#')).unwrap(),
                    None => schema,
                };
                for value in allowed(schema) {
                    let reading = with(example, field, value);
                    assert!(is_taken(name, &reading), "{name}: {reading}");
                }
            }
        }
    }
}
