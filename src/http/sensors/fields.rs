//! What the fields of a sensor may be.

use serde_json::value::RawValue;

use super::{
    bodies::{ChangeBody, SensorBody},
    json_members::members,
};
use crate::http::server::{FieldError, Step, ValidationErrors};

/// The widths of the columns, in characters.
pub(super) const TYPE_MAX_CHARS: usize = 50;
pub(super) const TEXT_MAX_CHARS: usize = 255;
const NAMES: [&str; 3] = ["sensor_type", "description", "location"];

/// A sensor from the object at `place` of the request; null is as good as absent.
pub(super) fn new_sensor(
    body: &RawValue,
    place: &[Step],
    errors: &mut ValidationErrors,
) -> Option<SensorBody> {
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
    Some(SensorBody { sensor_type: sensor_type??, description: description?, location: location? })
}

/// A change from a body: what is absent stays, null clears.
pub(super) fn change(body: &RawValue, errors: &mut ValidationErrors) -> Option<ChangeBody> {
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
    Some(ChangeBody { sensor_type: sensor_type?.flatten(), description: description?, location: location? })
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json, value::to_raw_value};

    use super::*;

    fn checked(body: &Value) -> Result<SensorBody, ValidationErrors> {
        let mut errors = ValidationErrors::default();
        new_sensor(&to_raw_value(body).unwrap(), &[Step::Field("body")], &mut errors).ok_or(errors)
    }

    fn changed(body: &Value, errors: &mut ValidationErrors) -> Option<ChangeBody> {
        change(&to_raw_value(body).unwrap(), errors)
    }

    fn named(errors: ValidationErrors) -> Vec<(Vec<Step>, &'static str)> {
        errors.into_vec().into_iter().map(|error| (error.loc, error.kind)).collect()
    }

    fn errors(body: &Value) -> Vec<(Vec<Step>, &'static str)> {
        named(checked(body).unwrap_err())
    }

    fn in_body(field: &'static str) -> Vec<Step> {
        vec![Step::Field("body"), Step::Field(field)]
    }

    #[test]
    fn a_sensor_needs_its_type_only() {
        let sensor =
            checked(&json!({"sensor_type": "ü".repeat(50), "description": null, "more": 1})).unwrap();
        assert_eq!(sensor.description, None);
        assert_eq!(sensor.sensor_type.chars().count(), 50);
        let sensor =
            checked(&json!({"sensor_type": "t", "description": "", "location": "x".repeat(255)})).unwrap();
        assert_eq!(sensor.description.as_deref(), Some(""));
    }

    #[test]
    fn every_fault_is_named() {
        assert_eq!(errors(&json!([])), [(vec![Step::Field("body")], "model_attributes_type")]);
        for (value, kind) in [
            (json!(null), "string_type"),
            (json!(1), "string_type"),
            (json!(""), "string_too_short"),
            (json!("x".repeat(51)), "string_too_long"),
            (json!("a\0b"), "string_nul"),
        ] {
            assert_eq!(errors(&json!({"sensor_type": value})), [(in_body("sensor_type"), kind)]);
        }
        let body = json!({"description": 1, "location": "x".repeat(256)});
        assert_eq!(
            errors(&body),
            [
                (in_body("description"), "string_type"),
                (in_body("location"), "string_too_long"),
                (in_body("sensor_type"), "missing"),
            ]
        );
    }

    #[test]
    fn a_change_tells_null_from_absent() {
        let mut errors = ValidationErrors::default();
        let some = changed(&json!({"description": null, "location": "Cellar", "sensor_id": 7}), &mut errors);
        let expected = ChangeBody {
            sensor_type: None,
            description: Some(None),
            location: Some(Some("Cellar".to_owned())),
        };
        assert_eq!(some, Some(expected));
        let nothing = ChangeBody { sensor_type: None, description: None, location: None };
        assert_eq!(changed(&json!({}), &mut errors), Some(nothing));
        assert!(errors.is_empty());
    }

    #[test]
    fn a_change_is_held_to_the_same_rules() {
        for (body, field, kind) in [
            (json!({"sensor_type": null}), "sensor_type", "string_type"),
            (json!({"sensor_type": ""}), "sensor_type", "string_too_short"),
            (json!({"description": 1}), "description", "string_type"),
            (json!({"location": "x".repeat(256)}), "location", "string_too_long"),
        ] {
            let mut errors = ValidationErrors::default();
            assert_eq!(changed(&body, &mut errors), None);
            assert_eq!(named(errors), [(in_body(field), kind)], "{body}");
        }
    }
}
