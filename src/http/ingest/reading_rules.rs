//! The rules that one reading of `POST /sensor_data/{sensor_id}` has to meet, in every form that clients send.

use super::receipt_clock::ReceiptClock;
use crate::{
    http::server::{FieldError, Step, ValidationErrors},
    reading::{
        InvalidValue, Reading, Timestamp, Window,
        decode::{Members, Token},
        parse_value,
    },
};

/// Characters of a field's name that an error quotes, at most.
const NAME_QUOTED_MAX_CHARS: usize = 40;

/// What makes a reading out of an object's members. Of one that comes twice the last counts, as in most parsers.
pub(in crate::http) struct ReadingRules<'c> {
    /// The path's; none where that is invalid.
    pub(in crate::http) sensor_id: Option<i32>,
    pub(in crate::http) window: Window,
    /// The time of receipt.
    pub(in crate::http) now: Timestamp,
    pub(in crate::http) clock: &'c ReceiptClock,
}

impl ReadingRules<'_> {
    /// The reading, or its errors under `loc`.
    pub(in crate::http) fn reading(
        &self,
        members: &Members<'_>,
        loc: &[Step],
        errors: &mut ValidationErrors,
    ) -> Option<Reading> {
        let value = members.value.ok_or_else(FieldError::missing).and_then(value);
        let value = value.map_err(|error| errors.push(&within(loc, "value"), error));
        let time = self.time(members);
        let time = time.map_err(|error| errors.push(&within(loc, "timestamp"), error));
        if let (Some(expected), Some(named)) = (self.sensor_id, members.sensor_id.and_then(integer))
            && named != i64::from(expected)
        {
            let msg = format!("Input should be {expected}, as in the path, or left out");
            errors.push(&within(loc, "sensor_id"), FieldError::new("value_error", msg));
            return None;
        }
        Some(Reading { sensor_id: self.sensor_id.unwrap_or_default(), time: time.ok()?, value: value.ok()? })
    }

    fn time(&self, members: &Members<'_>) -> Result<Timestamp, FieldError> {
        let timestamp = match (members.timestamp, members.time_name()) {
            (Some(timestamp), _) => timestamp,
            (None, Some(name)) => {
                let name = String::from_utf8_lossy(&name);
                let name: String = name.chars().take(NAME_QUOTED_MAX_CHARS).collect();
                let msg = format!("Field required: `{name}` is not read, the field is called `timestamp`");
                return Err(FieldError::new("missing", msg));
            }
            (None, None) => return Ok(self.clock.next(self.now)),
        };
        let time = match timestamp {
            Token::String(text) => Timestamp::parse_text(&text.resolved()),
            Token::Number(digits) => Timestamp::parse_number(digits),
            Token::Null => {
                let msg = "Input should be a valid datetime, or left out: null is neither";
                return Err(FieldError::new("datetime_type", msg));
            }
            Token::True | Token::False | Token::Object | Token::Array | Token::NotFinite => {
                return Err(FieldError::new("datetime_type", "Input should be a valid datetime"));
            }
        };
        let time = time.map_err(|_| {
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

fn value(value: Token<'_>) -> Result<f64, FieldError> {
    let parsed = match value {
        Token::String(text) => parse_value(&text.resolved()),
        Token::Number(digits) => parse_value(digits),
        // As pydantic takes them.
        Token::True => Ok(1.0),
        Token::False => Ok(0.0),
        Token::NotFinite => Err(InvalidValue::NotFinite),
        Token::Null | Token::Object | Token::Array => {
            return Err(FieldError::new("float_type", "Input should be a valid number"));
        }
    };
    parsed.map_err(|error| match error {
        InvalidValue::NotANumber => FieldError::new(
            "float_parsing",
            "Input should be a valid number, unable to parse string as a number",
        ),
        InvalidValue::NotFinite => FieldError::not_finite(),
    })
}

/// The number of a sensor, written as one or in quotes; none where the field means something else.
fn integer(sensor_id: Token<'_>) -> Option<i64> {
    let text = match sensor_id {
        Token::String(text) => text.resolved(),
        Token::Number(digits) => digits.into(),
        Token::Null | Token::True | Token::False | Token::Object | Token::Array | Token::NotFinite => {
            return None;
        }
    };
    std::str::from_utf8(&text).ok()?.trim().parse().ok()
}

fn within(loc: &[Step], field: &'static str) -> Vec<Step> {
    [loc, &[Step::Field(field)]].concat()
}
