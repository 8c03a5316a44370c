//! Records read with a parser that others keep, to hold our own decoder against.
//!
//! It does the work of `sensorpipe::reading::decode`: the three forms of a record in any order of their members, UTF-8,
//! repeated keys, nesting, members that mean a time, exact doubles, and the same reason for what is refused. What a
//! crate cannot do is not asked of it: where JSON is broken within a list or between values, our decoder loses one
//! reading and this one loses the rest of the record.

pub(crate) mod with_sonic;

use sensorpipe::reading::{
    Reading, Reason, Timestamp, Window,
    decode::{Decoded, Place, Reject, decode, is_time_name, time_by_place},
};

/// The time of readings without one.
pub(crate) const RECEIVED: Timestamp = Timestamp::from_micros(1_772_712_000_000_000);

/// Reads one record.
pub(crate) type Read = fn(&[u8], &Window, &mut dyn FnMut(Decoded));

/// Reads one record with our own decoder.
pub(crate) fn with_ours(payload: &[u8], window: &Window, each: &mut dyn FnMut(Decoded)) {
    decode(payload, &mut time_by_place(RECEIVED), window, &mut |decoded| each(decoded));
}

/// The members of an object, as far as they have been read.
#[derive(Default)]
struct Fields {
    sensor_id: Option<Result<i32, Reason>>,
    value: Option<Result<f64, Reason>>,
    timestamp: Option<Result<Timestamp, Reason>>,
    /// Whether another member means a time; in a record's object `timestamp` as well.
    has_other_time: bool,
    has_repeated_key: bool,
}

#[derive(Clone, Copy)]
enum Member {
    SensorId,
    Value,
    Timestamp,
    Data,
    Other { is_time: bool },
}

fn member(name: &str) -> Member {
    match name {
        "sensor_id" => Member::SensorId,
        "value" => Member::Value,
        "timestamp" => Member::Timestamp,
        "data" => Member::Data,
        _ => Member::Other { is_time: is_time_name(name.as_bytes()) },
    }
}

/// What the object around a list says of its readings.
#[derive(Clone, Copy)]
struct List {
    sensor_id: Result<i32, Reason>,
    has_time: bool,
}

impl Fields {
    fn list(&self) -> List {
        List {
            sensor_id: self.sensor_id.unwrap_or(Err(Reason::WrongShape)),
            has_time: self.has_other_time || self.timestamp.is_some(),
        }
    }

    /// Shape first, then value, timestamp, sensor and window.
    fn reading(self, place: Place, list: Option<List>, window: &Window) -> Result<Reading, Reason> {
        if self.has_repeated_key {
            return Err(Reason::WrongShape);
        }
        let sensor_id = match (self.sensor_id, list) {
            (Some(own), Some(list)) if list.sensor_id.is_ok() && own != list.sensor_id => {
                Err(Reason::WrongShape)
            }
            (_, Some(list)) => list.sensor_id,
            (own, None) => own.unwrap_or(Err(Reason::WrongShape)),
        };
        if sensor_id == Err(Reason::WrongShape) {
            return Err(Reason::WrongShape);
        }
        let value = self.value.unwrap_or(Err(Reason::WrongShape))?;
        let time = self.timestamp.transpose()?;
        if time.is_none() && (self.has_other_time || list.is_some_and(|list| list.has_time)) {
            return Err(Reason::InvalidTimestamp);
        }
        let sensor_id = sensor_id?;
        let time = time.unwrap_or_else(|| RECEIVED.plus_micros(i64::from(place.index())));
        if !window.contains(time) {
            return Err(Reason::TimeOutOfWindow);
        }
        Ok(Reading { sensor_id, time, value })
    }
}

fn decoded(place: Place, outcome: Result<Reading, Reason>) -> Decoded {
    Decoded::Reading(place, outcome.map_err(|reason| Reject::new(reason, "")))
}

/// What is no JSON.
fn malformed(payload: &[u8]) -> Reason {
    if payload.contains(&0) { Reason::NulByte } else { Reason::MalformedJson }
}

/// Asserts that all of these records mean to a reader what they mean to our decoder, but for texts of which a crate is
/// known to lose something.
pub(crate) fn assert_same(
    name: &str,
    read: Read,
    loses: fn(&str) -> bool,
    payloads: &[String],
    window: &Window,
) {
    let kinds = TEXTS.iter().map(|text| (*text).to_owned()).chain(nested()).filter(|text| !loses(text));
    let differs = |payload: &String| outcomes(with_ours, payload, window) != outcomes(read, payload, window);
    let differing: Vec<String> = payloads.iter().cloned().chain(kinds).filter(differs).collect();
    assert!(differing.is_empty(), "{name} reads these otherwise: {differing:#?}");
}

/// A reading's place, sensor, time and the bits of its value, or why it is none.
type Outcome = (Place, Result<(i32, i64, u64), Reason>);

fn outcomes(read: Read, payload: &str, window: &Window) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    read(payload.as_bytes(), window, &mut |decoded| match decoded {
        Decoded::Reading(place, outcome) => {
            let exact =
                |reading: Reading| (reading.sensor_id, reading.time.micros(), reading.value.to_bits());
            outcomes.push((place, outcome.map(exact).map_err(|reject| reject.reason)));
        }
        Decoded::TakeBack(index) => outcomes.truncate(index as usize),
    });
    outcomes
}

/// As deep as it may be, and one deeper.
fn nested() -> impl Iterator<Item = String> {
    [126, 127].into_iter().map(|depth| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"sensor_id":1,"value":1,"timestamp":"2026-03-05","x":{open}{close}}}"#)
    })
}

/// One for each kind of good and bad text.
const TEXTS: [&str; 54] = [
    r#"{"sensor_id":1,"value":21.5,"timestamp":"2026-03-05T11:59:00Z"}"#,
    r#" { "timestamp" : 1772711940 , "value" : "2.50" , "sensor_id" : 1 } "#,
    r#"{"sensor_id":1,"value":0.1,"timestamp":1772711940.123456}"#,
    r#"{"sensor_id":1,"value":1e-320}"#,
    r#"{"sensor_id":1,"value":9007199254740993}"#,
    r#"{"sensor_id":1,"value":123456789012345678901234567890}"#,
    r#"{"sensor_id":1,"value":-0.30000000000000004,"unit":"\u00b0C","tags":[{"a":null},true,false,-1.5e3]}"#,
    r#"{"sensor_id":1,"value":-0}"#,
    r#"{"sensor_id":1,"\u0076alue":1}"#,
    r#"{"sensor_id":1,"value":"\u0031"}"#,
    r#"{"sensor_id":1,"value":1,"timestamp":"2026-03-05T11:59:00\u005a"}"#,
    r#"{"sensor_id":1,"value":1e400}"#,
    r#"{"sensor_id":1,"value":"NaN"}"#,
    r#"{"sensor_id":1,"value":"abc"}"#,
    r#"{"sensor_id":1,"value":null}"#,
    r#"{"sensor_id":1,"value":true}"#,
    r#"{"sensor_id":1,"value":[1]}"#,
    r#"{"sensor_id":1,"value":{}}"#,
    r#"{"sensor_id":1,"value":1,"timestamp":null}"#,
    r#"{"sensor_id":1,"value":1,"timestamp":"soon"}"#,
    r#"{"sensor_id":1,"value":1,"timestamp":[]}"#,
    r#"{"sensor_id":1,"value":1,"timestamp":"1999-03-05"}"#,
    r#"{"sensor_id":1,"value":1,"time":"2026-03-05"}"#,
    r#"{"sensor_id":"1","value":1}"#,
    r#"{"sensor_id":1.0,"value":1}"#,
    r#"{"sensor_id":1e0,"value":1}"#,
    r#"{"sensor_id":2147483648,"value":1}"#,
    r#"{"sensor_id":99999999999999999999,"value":1}"#,
    r#"{"sensor_id":null,"value":1}"#,
    r#"{"value":1}"#,
    r#"{"sensor_id":1}"#,
    "{}",
    r#"{"sensor_id":1,"value":1,"value":1}"#,
    r#"{"sensor_id":1,"sensor_id":1,"value":1}"#,
    r#"{"sensor_id":1,"data":[{"value":1},{"value":2,"timestamp":"2026-03-05"},{"value":"x"},3,null,[],{"sensor_id":2,"value":1},{"sensor_id":1,"value":1}]}"#,
    r#"{"data":[{"value":1},{"value":2}],"sensor_id":1}"#,
    r#"{"data":[{"value":1}]}"#,
    r#"{"sensor_id":1,"data":[]}"#,
    r#"{"sensor_id":1,"data":{}}"#,
    r#"{"sensor_id":1,"data":[{"value":1}],"value":1}"#,
    r#"{"sensor_id":1,"data":[{"value":1}],"data":[{"value":1}]}"#,
    r#"{"sensor_id":1,"time":"2026-03-05","data":[{"value":1}]}"#,
    r#"[{"sensor_id":1,"value":1},{"sensor_id":2,"value":2,"data":[]},3,"x",{}]"#,
    "[]",
    "3",
    r#""x""#,
    "",
    "nope",
    r#"{"sensor_id":1,"value":01}"#,
    r#"{"sensor_id":1,"value":1.}"#,
    r#"{"sensor_id":1,"value":1"#,
    r#"{"sensor_id":1,"value":1,}"#,
    "{\"sensor_id\":1,\"value\":\"\u{0}\"}",
    r#"{"sensor_id":1,"value":"\ud800"}"#,
];
