//! One reading's fields in every form that clients send, and the rules that they have to meet.

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::receipt_clock::ReceiptClock;
use crate::{
    http::server::{FieldError, Step, ValidationErrors},
    reading::{InvalidValue, Reading, Timestamp, Window, decode::is_time_name, parse_value},
};

/// A reading as it was written: the JSON text of its fields, so that no digit is lost.
#[derive(Clone, Debug, Default)]
pub(in crate::http) struct Fields<'a> {
    pub(in crate::http) value: Option<&'a str>,
    timestamp: Option<&'a str>,
    sensor_id: Option<&'a str>,
    /// The name of a field that means a time in place of `timestamp`.
    time_name: Option<String>,
}

impl<'a> Fields<'a> {
    /// Reads a field's value. Of a field that comes twice the last one counts, as in most parsers.
    pub(in crate::http) fn read<M: MapAccess<'a>>(&mut self, key: Key, map: &mut M) -> Result<(), M::Error> {
        match key {
            Key::Value => self.value = Some(map.next_value::<&RawValue>()?.get()),
            Key::Timestamp => self.timestamp = Some(map.next_value::<&RawValue>()?.get()),
            Key::SensorId => self.sensor_id = Some(map.next_value::<&RawValue>()?.get()),
            Key::Time(name) => {
                self.time_name.get_or_insert(name);
                map.next_value::<IgnoredAny>()?;
            }
            Key::Data | Key::Other => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

/// An item of a batch.
pub(super) enum MaybeObject<'a> {
    Object(Fields<'a>),
    Other,
}

/// What makes a reading out of fields.
pub(in crate::http) struct FieldRules<'c> {
    /// The path's; none where that is invalid.
    pub(in crate::http) sensor_id: Option<i32>,
    pub(in crate::http) window: Window,
    /// The time of receipt.
    pub(in crate::http) now: Timestamp,
    pub(in crate::http) clock: &'c ReceiptClock,
}

impl FieldRules<'_> {
    /// The reading, or its errors under `loc`.
    pub(in crate::http) fn reading(
        &self,
        fields: &Fields<'_>,
        loc: &[Step],
        errors: &mut ValidationErrors,
    ) -> Option<Reading> {
        let value = fields.value.map_or_else(|| Err(FieldError::missing()), value);
        let value = value.map_err(|error| errors.push(&within(loc, "value"), error));
        let time = self.time(fields);
        let time = time.map_err(|error| errors.push(&within(loc, "timestamp"), error));
        if let (Some(expected), Some(named)) = (self.sensor_id, fields.sensor_id.and_then(integer))
            && named != i64::from(expected)
        {
            let msg = format!("Input should be {expected}, as in the path, or left out");
            errors.push(&within(loc, "sensor_id"), FieldError::new("value_error", msg));
            return None;
        }
        Some(Reading { sensor_id: self.sensor_id.unwrap_or_default(), time: time.ok()?, value: value.ok()? })
    }

    fn time(&self, fields: &Fields<'_>) -> Result<Timestamp, FieldError> {
        let raw = match (fields.timestamp, &fields.time_name) {
            (Some(raw), _) => raw,
            (None, Some(name)) => {
                let msg = format!("Field required: `{name}` is not read, the field is called `timestamp`");
                return Err(FieldError::new("missing", msg));
            }
            (None, None) => return Ok(self.clock.next(self.now)),
        };
        let time = match raw.as_bytes().first() {
            Some(b'"') => unquoted(raw).and_then(|text| Timestamp::parse_text(text.as_bytes()).ok()),
            Some(b'-' | b'0'..=b'9') => Timestamp::parse_number(raw.as_bytes()).ok(),
            Some(b'n') => {
                let msg = "Input should be a valid datetime, or left out: null is neither";
                return Err(FieldError::new("datetime_type", msg));
            }
            _ => return Err(FieldError::new("datetime_type", "Input should be a valid datetime")),
        };
        let time = time.ok_or_else(|| {
            FieldError::new(
                "datetime_parsing",
                "Input should be a valid datetime: RFC 3339, without an offset for UTC, or Unix time in seconds \
                 or milliseconds",
            )
        })?;
        if self.window.contains(time) {
            return Ok(time);
        }
        let Window { since, until } = self.window;
        Err(FieldError::new("time_out_of_window", format!("Input should be a time from {since} to {until}")))
    }
}

fn value(raw: &str) -> Result<f64, FieldError> {
    let parsed = match raw.as_bytes().first() {
        Some(b'"') => {
            unquoted(raw).map_or(Err(InvalidValue::NotANumber), |text| parse_value(text.as_bytes()))
        }
        Some(b'-' | b'0'..=b'9') => parse_value(raw.as_bytes()),
        // As pydantic takes them.
        Some(b't') => Ok(1.0),
        Some(b'f') => Ok(0.0),
        _ => return Err(FieldError::new("float_type", "Input should be a valid number")),
    };
    parsed.map_err(|error| match error {
        InvalidValue::NotANumber => FieldError::new(
            "float_parsing",
            "Input should be a valid number, unable to parse string as a number",
        ),
        InvalidValue::NotFinite => FieldError::not_finite(),
    })
}

/// The text within the quotes of a JSON string; none where an escape stands for no character.
fn unquoted(raw: &str) -> Option<Cow<'_, str>> {
    if raw.contains('\\') {
        return serde_json::from_str(raw).ok().map(Cow::Owned);
    }
    raw.strip_prefix('"')?.strip_suffix('"').map(Cow::Borrowed)
}

/// The number of a sensor, written as one or in quotes; none where the field means something else.
fn integer(raw: &str) -> Option<i64> {
    if raw.starts_with('"') { unquoted(raw)?.trim().parse().ok() } else { raw.parse().ok() }
}

fn within(loc: &[Step], field: &'static str) -> Vec<Step> {
    [loc, &[Step::Field(field)]].concat()
}

/// A field's name.
pub(in crate::http) enum Key {
    Value,
    Timestamp,
    SensorId,
    Data,
    /// Means a time, and is not the name of it.
    Time(String),
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Key, E> {
        Ok(match name {
            "value" => Key::Value,
            "timestamp" => Key::Timestamp,
            "sensor_id" => Key::SensorId,
            "data" => Key::Data,
            name if is_time_name(name.as_bytes()) => Key::Time(name.chars().take(40).collect()),
            _ => Key::Other,
        })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for MaybeObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = MaybeObject<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a reading")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key()? {
            fields.read(key, &mut map)?;
        }
        Ok(MaybeObject::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(MaybeObject::Other)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(MaybeObject::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(MaybeObject::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(MaybeObject::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(MaybeObject::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(MaybeObject::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(MaybeObject::Other)
    }
}
