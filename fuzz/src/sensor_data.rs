//! Bodies of `POST /sensor_data/{sensor_id}`, one reading or many, in strict and lax forms.

use sensorpipe::{
    http::parsing::{RefusedBody, sensor_data},
    reading::{Reading, Timestamp},
};
use serde_json::value::RawValue;

use super::{
    decode::there_and_back,
    reference::{Json, RECEIVED, WINDOW, has_time_name, may_be_not_finite, parse, time_of, value_of},
    work,
};

const SENSOR: i32 = 3;

/// Any bytes may be a body.
pub fn check(body: &[u8]) {
    work::is_bounded(body, |long| drop(sensor_data(long, SENSOR, WINDOW, RECEIVED)));
    let found = sensor_data(body, SENSOR, WINDOW, RECEIVED);
    let json = std::str::from_utf8(body).ok().and_then(parse);
    match (json, found) {
        (None, Err(RefusedBody::Invalid(faults))) if faults.contains(&"finite_number") => {
            // Bare, it is no JSON.
            let is_json_but_for_its_text = serde_json::from_slice::<&RawValue>(body).is_ok();
            assert!(
                may_be_not_finite(&String::from_utf8_lossy(body)) || is_json_but_for_its_text,
                "{faults:?}"
            );
        }
        (None, Ok(_) | Err(RefusedBody::Invalid(_))) => {
            // Members that mean nothing are not looked into: their text need be no text, and no nesting is too deep.
            assert!(serde_json::from_slice::<&RawValue>(body).is_ok(), "what is no JSON was taken for it");
        }
        (None, Err(RefusedBody::NotJson)) => {}
        (Some(json), Err(RefusedBody::NotJson)) => {
            assert!(is_refused_as_json(&json, body), "JSON was refused");
        }
        (Some(json), Ok(readings)) => {
            let expected = expected(&json).expect("the reference refuses it");
            let bits = |reading: &Reading| (reading.sensor_id, reading.time, reading.value.to_bits());
            assert!(
                readings.iter().map(bits).eq(expected.iter().map(bits)),
                "{readings:?}, not {expected:?}"
            );
            // What HTTP takes is what a worker reads.
            there_and_back(&readings);
        }
        (Some(json), Err(RefusedBody::Invalid(faults))) => {
            assert!(!faults.is_empty() && faults.len() <= 100, "{faults:?}");
            assert_eq!(expected(&json), None, "{faults:?}");
        }
    }
}

/// JSON that the parser refuses all the same: a second `data`, and in `data` a number that no double holds.
fn is_refused_as_json(json: &Json, body: &[u8]) -> bool {
    let has_second = json.all("data").skip_while(|data| **data == Json::Null).count() > 1;
    has_second || serde_json::from_slice::<serde_json::Value>(body).is_err()
}

/// The readings; none where any of them is at fault. Of a key that comes twice the last one counts.
fn expected(body: &Json) -> Option<Vec<Reading>> {
    let mut clock = 0..;
    let value = body.all("value").last().filter(|value| **value != Json::Null);
    match body.all("data").last() {
        Some(Json::List(items)) if value.is_none() => {
            items.iter().map(|item| reading(item, &mut clock)).collect()
        }
        Some(Json::List(_)) => None,
        Some(data) if *data != Json::Null && value.is_none() => None,
        // With a value beside it, `data` is a member that means something else.
        None | Some(_) => reading(body, &mut clock).map(|reading| vec![reading]),
    }
}

/// A reading without a time gets a microsecond of its own from the time of receipt on.
fn reading(fields: &Json, clock: &mut impl Iterator<Item = i64>) -> Option<Reading> {
    let Json::Object(_) = fields else { return None };
    let value = match fields.all("value").last()? {
        Json::Bool(value) => f64::from(u8::from(*value)),
        value => value_of(value)?,
    };
    let named = match fields.all("sensor_id").last() {
        Some(Json::Number(digits) | Json::Text(digits)) => digits.trim().parse().ok(),
        _ => None,
    };
    if named.is_some_and(|named: i64| named != i64::from(SENSOR)) {
        return None;
    }
    let time: Timestamp = match fields.all("timestamp").last() {
        None if has_time_name(fields) => return None,
        None => RECEIVED.plus_micros(clock.next()?),
        Some(given) => time_of(given).filter(|time| WINDOW.contains(*time))?,
    };
    Some(Reading { sensor_id: SENSOR, time, value })
}
