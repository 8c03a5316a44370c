//! What the fields of a sensor may be.

use serde_json::value::RawValue;

use super::json_members::members;
use crate::{
    http::server::{FieldError, Step, ValidationErrors},
    store::sensors::{Change, NewSensor},
};

/// The widths of the columns, in characters.
pub(super) const TYPE_MAX_CHARS: usize = 50;
pub(super) const TEXT_MAX_CHARS: usize = 255;
const NAMES: [&str; 3] = ["sensor_type", "description", "location"];

/// A sensor from the object at `place` of the request; null is as good as absent.
pub(super) fn new_sensor(
    body: &RawValue,
    place: &[Step],
    errors: &mut ValidationErrors,
) -> Option<NewSensor> {
    let given = given(body, place, errors)?;
    let mut field = |index: usize, shortest: usize, longest: usize| {
        let value = given[index].filter(|value| !is_null(value));
        let checked = value.map(|value| json_text(value, shortest, longest)).transpose();
        errors.check(&step_to(place, NAMES[index]), checked)
    };
    let sensor_type = field(0, 1, TYPE_MAX_CHARS);
    let description = field(1, 0, TEXT_MAX_CHARS);
    let location = field(2, 0, TEXT_MAX_CHARS);
    if sensor_type == Some(None) {
        let error = if given[0].is_some() { FieldError::not_a_string() } else { FieldError::missing() };
        errors.push(&step_to(place, "sensor_type"), error);
    }
    Some(NewSensor { sensor_type: sensor_type??, description: description?, location: location? })
}

/// A change from a body: what is absent stays, null clears.
pub(super) fn change(body: &RawValue, errors: &mut ValidationErrors) -> Option<Change> {
    let place = [Step::Field("body")];
    let given = given(body, &place, errors)?;
    let mut field = |index: usize, shortest: usize, longest: usize, may_be_null: bool| {
        let checked = match given[index] {
            None => Ok(None),
            Some(value) if may_be_null && is_null(value) => Ok(Some(None)),
            Some(value) => json_text(value, shortest, longest).map(|text| Some(Some(text))),
        };
        errors.check(&step_to(&place, NAMES[index]), checked)
    };
    let sensor_type = field(0, 1, TYPE_MAX_CHARS, false);
    let description = field(1, 0, TEXT_MAX_CHARS, true);
    let location = field(2, 0, TEXT_MAX_CHARS, true);
    Some(Change { sensor_type: sensor_type?.flatten(), description: description?, location: location? })
}

/// A text of a column's width.
pub(super) fn text(text: &str, shortest: usize, longest: usize) -> Result<String, FieldError> {
    let length = text.chars().count();
    if length < shortest {
        Err(FieldError::new("string_too_short", format!("String should have at least {shortest} character")))
    } else if length > longest {
        Err(FieldError::new("string_too_long", format!("String should have at most {longest} characters")))
    } else if text.contains('\0') {
        Err(FieldError::nul())
    } else {
        Ok(text.to_owned())
    }
}

/// Half of a surrogate pair makes a text of JSON that is no text of Unicode: that is refused, too.
fn json_text(value: &RawValue, shortest: usize, longest: usize) -> Result<String, FieldError> {
    let given: String = serde_json::from_str(value.get()).map_err(|_| FieldError::not_a_string())?;
    text(&given, shortest, longest)
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// What an object has under each of [`NAMES`].
fn given<'a>(
    body: &'a RawValue,
    place: &[Step],
    errors: &mut ValidationErrors,
) -> Option<[Option<&'a RawValue>; NAMES.len()]> {
    errors.check(place, members(body, NAMES).ok_or_else(FieldError::not_an_object))
}

fn step_to(place: &[Step], name: &'static str) -> Vec<Step> {
    let mut place = place.to_vec();
    place.push(Step::Field(name));
    place
}
