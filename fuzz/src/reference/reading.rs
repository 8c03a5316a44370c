//! Records and readings, read from a tree.

use sensorpipe::reading::{Reading, Reason, Timestamp};

use super::{
    RECEIVED, WINDOW,
    json::{Json, parse},
    time::{time_number, time_text},
};

/// A reading's place in its record, none where it is the record, and what it is.
pub type Outcome = (Option<u32>, Result<Reading, Reason>);

/// What the topic's contract says of a record's value.
pub fn record(payload: &[u8]) -> Result<Vec<Outcome>, Reason> {
    if payload.is_empty() {
        return Err(Reason::EmptyRecord);
    }
    let record = json_of(payload)?;
    match &record {
        Json::List(items) => Ok(numbered(items, None)),
        Json::Object(_) if record.all("data").next().is_none() => Ok(vec![(None, reading(&record, None))]),
        Json::Object(_) => {
            let has_value = record.all("value").next().is_some();
            let mut lists = record.all("data");
            match lists.next() {
                Some(Json::List(items)) if !has_value && !repeats(&record, &KEYS) => {
                    Ok(numbered(items, Some(&sensor_id(&record))))
                }
                _ => Err(Reason::WrongShape),
            }
        }
        Json::Null | Json::Bool | Json::Number(_) | Json::Text(_) => Err(Reason::WrongShape),
    }
}

/// What it says of an item that stands for itself: on a line, or in a request's array.
pub fn item(text: &[u8]) -> Result<Reading, Reason> {
    reading(&json_of(text)?, None)
}

const KEYS: [&str; 4] = ["sensor_id", "value", "timestamp", "data"];

fn json_of(text: &[u8]) -> Result<Json, Reason> {
    let malformed = if text.contains(&0) { Reason::NulByte } else { Reason::MalformedJson };
    std::str::from_utf8(text).ok().and_then(parse).ok_or(malformed)
}

fn numbered(items: &[Json], shared: Option<&Result<i32, Reason>>) -> Vec<Outcome> {
    (0..).zip(items).map(|(index, item)| (Some(index), reading(item, shared))).collect()
}

/// Where more than one thing is wrong, the shape counts first, then value, timestamp, sensor and window.
fn reading(item: &Json, shared: Option<&Result<i32, Reason>>) -> Result<Reading, Reason> {
    let keys = if shared.is_some() { &KEYS[1..3] } else { &KEYS[..3] };
    if !matches!(item, Json::Object(_)) || repeats(item, keys) {
        return Err(Reason::WrongShape);
    }
    let sensor_id = shared.copied().unwrap_or_else(|| sensor_id(item));
    if sensor_id == Err(Reason::WrongShape) {
        return Err(Reason::WrongShape);
    }
    let value = value_of(item.all("value").next().ok_or(Reason::WrongShape)?).ok_or(Reason::InvalidValue)?;
    let time = match item.all("timestamp").next() {
        None | Some(Json::Null) => RECEIVED,
        Some(given) => time_of(given).ok_or(Reason::InvalidTimestamp)?,
    };
    let sensor_id = sensor_id?;
    if !WINDOW.contains(time) {
        return Err(Reason::TimeOutOfWindow);
    }
    Ok(Reading { sensor_id, time, value })
}

fn repeats(object: &Json, keys: &[&str]) -> bool {
    keys.iter().any(|key| object.all(key).count() > 1)
}

fn sensor_id(object: &Json) -> Result<i32, Reason> {
    match object.all("sensor_id").next() {
        Some(Json::Number(digits)) if !digits.contains(['.', 'e', 'E']) => {
            digits.parse().map_err(|_| Reason::UnknownSensor)
        }
        _ => Err(Reason::WrongShape),
    }
}

/// A value's double where it is a finite number, or one in quotes with white space around it.
pub fn value_of(value: &Json) -> Option<f64> {
    match value {
        Json::Number(digits) => serde_json::from_str(digits).ok().filter(|value: &f64| value.is_finite()),
        Json::Text(text) => number(text),
        Json::Null | Json::Bool | Json::List(_) | Json::Object(_) => None,
    }
}

/// The finite double of a text, by the standard library.
pub fn number(text: &str) -> Option<f64> {
    text.trim_ascii().parse().ok().filter(|value: &f64| value.is_finite())
}

/// The time that a timestamp says.
pub fn time_of(timestamp: &Json) -> Option<Timestamp> {
    let micros = match timestamp {
        Json::Number(digits) => time_number(digits),
        Json::Text(text) => time_text(text),
        Json::Null | Json::Bool | Json::List(_) | Json::Object(_) => None,
    };
    micros.map(Timestamp::from_micros)
}
