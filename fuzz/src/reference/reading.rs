//! Records and readings, read from a tree.

use sensorpipe::reading::{Reading, Reason, Timestamp, decode::is_time_name};
use serde_json::value::RawValue;

use super::{
    RECEIVED, WINDOW,
    json::{Json, parse_nested},
    time::{time_number, time_text},
};

/// A reading's place in its record, none where it is the record, and what it is.
pub type Outcome = (Option<u32>, Result<Reading, Reason>);

/// What the topic's contract says of a record's value; none where brackets do not close, or an object is no JSON: what
/// becomes of those is not written down a second time. Around an array's items so many containers count as nesting.
pub fn record(payload: &[u8], around_items: i32) -> Option<Vec<Outcome>> {
    let whole = |reason| Some(vec![(None, Err(reason))]);
    if payload.is_empty() {
        return whole(Reason::EmptyRecord);
    }
    if is_foreign(payload) {
        return whole(if payload.contains(&0) { Reason::NulByte } else { Reason::MalformedJson });
    }
    let text = std::str::from_utf8(payload.strip_prefix(b"\xef\xbb\xbf").unwrap_or(payload)).ok()?;
    let mut rest = text.trim_start_matches(SPACE);
    if rest.is_empty() {
        return whole(Reason::MalformedJson);
    }
    let mut all = Vec::new();
    let mut values = 0;
    let mut is_single = false;
    while !rest.is_empty() {
        let (outcomes, behind) = if rest.starts_with('[') {
            items(rest, around_items)?
        } else if rest.starts_with('{') {
            let (outcomes, behind, is_one) = object(rest)?;
            is_single = is_one;
            (outcomes, behind)
        } else {
            return None;
        };
        all.extend(outcomes);
        values += 1;
        rest = behind.trim_start_matches(SPACE);
    }
    let is_whole = values == 1 && is_single;
    Some((0..).zip(all).map(|(index, outcome)| ((!is_whole).then_some(index), outcome)).collect())
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// UTF-16, or what a schema registry's serializer writes.
pub fn is_foreign(payload: &[u8]) -> bool {
    let starts = |byte: u8| b"{[\"".contains(&byte);
    match payload {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [0, second, ..] if starts(*second) => true,
        [first, 0, ..] if starts(*first) => true,
        [0, ..] => payload.len() > 5,
        _ => false,
    }
}

/// An array's items, cut by brackets and quotes alone, and what stands behind it.
fn items(array: &str, around: i32) -> Option<(Vec<Result<Reading, Reason>>, &str)> {
    let mut all = Vec::new();
    let mut rest = &array[1..];
    loop {
        let length = end_of_item(rest)?;
        let (text, is_last) = (rest[..length].trim_matches(SPACE), rest.as_bytes()[length] == b']');
        rest = &rest[length + 1..];
        if !(text.is_empty() && is_last && all.is_empty()) {
            all.push(item_in(text, around)?);
        }
        if is_last {
            return Some((all, rest));
        }
    }
}

fn end_of_item(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0_u32, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\n' => (quoted, escaped) = (false, false),
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b',' | b']' if depth == 0 => return Some(at),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// An item's reading; none where it is not said what becomes of it.
fn item_in(text: &str, around: i32) -> Option<Result<Reading, Reason>> {
    match parse_nested(text, around) {
        Some(json) => Some(reading(&json, None, false)),
        None if may_be_not_finite(text) => None,
        None if text.contains('\0') => Some(Err(Reason::NulByte)),
        None => Some(Err(Reason::MalformedJson)),
    }
}

/// Whether `NaN` or an infinity may stand in it.
pub fn may_be_not_finite(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("nan") || text.contains("inf")
}

type Outcomes = Vec<Result<Reading, Reason>>;

/// The readings of an object, what stands behind it, and whether it is one reading, or none, in place of a list.
fn object(text: &str) -> Option<(Outcomes, &str, bool)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let raw = values.next()?.ok()?.get();
    let behind = &text[values.byte_offset()..];
    let Some(object) = parse_nested(raw, 0) else {
        let names_a_list = raw.contains("data") || raw.contains("\\u");
        return (!names_a_list).then(|| (vec![Err(Reason::MalformedJson)], behind, true));
    };
    let mut lists = object.all("data");
    let (one, list) = match lists.next() {
        None => (Some(reading(&object, None, false)), None),
        Some(Json::List(list)) if object.all("value").next().is_none() && !repeats(&object, &KEYS) => {
            (None, Some(list))
        }
        Some(_) => (Some(Err(Reason::WrongShape)), None),
    };
    let shared = sensor_id(&object);
    let has_time = object.all("timestamp").next().is_some() || has_time_name(&object);
    let listed = list.into_iter().flatten().map(|item| reading(item, Some(&shared), has_time));
    let is_one = one.is_some();
    Some((one.into_iter().chain(listed).collect(), behind, is_one))
}

/// What it says of an item that stands for itself: in a request's array.
pub fn item(text: &[u8]) -> Result<Reading, Reason> {
    let malformed = if text.contains(&0) { Reason::NulByte } else { Reason::MalformedJson };
    let json = std::str::from_utf8(text).ok().and_then(|text| parse_nested(text, 0)).ok_or(malformed)?;
    reading(&json, None, false)
}

const KEYS: [&str; 4] = ["sensor_id", "value", "timestamp", "data"];

/// Where more than one thing is wrong, the shape counts first, then value, timestamp, sensor and window.
fn reading(item: &Json, list: Option<&Result<i32, Reason>>, time_beside: bool) -> Result<Reading, Reason> {
    if !matches!(item, Json::Object(_)) || repeats(item, &KEYS[..3]) {
        return Err(Reason::WrongShape);
    }
    let names_sensor = item.all("sensor_id").next().is_some();
    let sensor_id = match list {
        None => sensor_id(item),
        Some(Ok(shared)) if names_sensor && sensor_id(item) != Ok(*shared) => Err(Reason::WrongShape),
        Some(shared) => *shared,
    };
    if sensor_id == Err(Reason::WrongShape) {
        return Err(Reason::WrongShape);
    }
    let value = value_of(item.all("value").next().ok_or(Reason::WrongShape)?).ok_or(Reason::InvalidValue)?;
    let time = match item.all("timestamp").next() {
        None if time_beside || has_time_name(item) => return Err(Reason::InvalidTimestamp),
        None => RECEIVED,
        Some(given) => time_of(given).ok_or(Reason::InvalidTimestamp)?,
    };
    let sensor_id = sensor_id?;
    if !WINDOW.contains(time) {
        return Err(Reason::TimeOutOfWindow);
    }
    Ok(Reading { sensor_id, time, value })
}

/// Whether a member means a time, without being called `timestamp`.
pub fn has_time_name(object: &Json) -> bool {
    object.names().any(|name| name != "timestamp" && is_time_name(name.as_bytes()))
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
        Json::Null | Json::Bool(_) | Json::List(_) | Json::Object(_) => None,
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
        Json::Null | Json::Bool(_) | Json::List(_) | Json::Object(_) => None,
    };
    micros.map(Timestamp::from_micros)
}
