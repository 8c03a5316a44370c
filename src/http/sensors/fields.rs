//! What the fields of a sensor may be.

use serde_json::{Map, Value};

use crate::{
    http::fault::{Faults, Refusal, Step},
    store::sensors::{Change, NewSensor},
};

/// The widths of the columns, in characters.
pub(super) const TYPE_MAX_CHARS: usize = 50;
pub(super) const TEXT_MAX_CHARS: usize = 255;

/// A sensor from the object at `place` of the request; null is as good as absent.
pub(super) fn new_sensor(body: &Value, place: &[Step], faults: &mut Faults) -> Option<NewSensor> {
    let fields = object(body, place, faults)?;
    let mut field = |name: &'static str, shortest: usize, longest: usize| {
        let value = fields.get(name).filter(|value| !value.is_null());
        let checked = value.map(|value| json_text(value, shortest, longest)).transpose();
        faults.check(&step_to(place, name), checked)
    };
    let sensor_type = field("sensor_type", 1, TYPE_MAX_CHARS);
    let description = field("description", 0, TEXT_MAX_CHARS);
    let location = field("location", 0, TEXT_MAX_CHARS);
    if sensor_type == Some(None) {
        let refusal =
            if fields.contains_key("sensor_type") { Refusal::not_a_string() } else { Refusal::missing() };
        faults.push(&step_to(place, "sensor_type"), refusal);
    }
    Some(NewSensor { sensor_type: sensor_type??, description: description?, location: location? })
}

/// A change from a body: what is absent stays, null clears.
pub(super) fn change(body: &Value, faults: &mut Faults) -> Option<Change> {
    let place = [Step::Field("body")];
    let fields = object(body, &place, faults)?;
    let mut field = |name: &'static str, shortest: usize, longest: usize, may_be_null: bool| {
        let checked = match fields.get(name) {
            None => Ok(None),
            Some(Value::Null) if may_be_null => Ok(Some(None)),
            Some(value) => json_text(value, shortest, longest).map(|text| Some(Some(text))),
        };
        faults.check(&step_to(&place, name), checked)
    };
    let sensor_type = field("sensor_type", 1, TYPE_MAX_CHARS, false);
    let description = field("description", 0, TEXT_MAX_CHARS, true);
    let location = field("location", 0, TEXT_MAX_CHARS, true);
    Some(Change { sensor_type: sensor_type?.flatten(), description: description?, location: location? })
}

/// A text of a column's width.
pub(super) fn text(text: &str, shortest: usize, longest: usize) -> Result<String, Refusal> {
    let length = text.chars().count();
    if length < shortest {
        Err(Refusal::new("string_too_short", format!("String should have at least {shortest} character")))
    } else if length > longest {
        Err(Refusal::new("string_too_long", format!("String should have at most {longest} characters")))
    } else if text.contains('\0') {
        Err(Refusal::nul())
    } else {
        Ok(text.to_owned())
    }
}

fn json_text(value: &Value, shortest: usize, longest: usize) -> Result<String, Refusal> {
    text(value.as_str().ok_or_else(Refusal::not_a_string)?, shortest, longest)
}

fn object<'a>(body: &'a Value, place: &[Step], faults: &mut Faults) -> Option<&'a Map<String, Value>> {
    faults.check(place, body.as_object().ok_or_else(Refusal::not_an_object))
}

fn step_to(place: &[Step], name: &'static str) -> Vec<Step> {
    let mut place = place.to_vec();
    place.push(Step::Field(name));
    place
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(body: &Value) -> Result<NewSensor, Faults> {
        let mut faults = Faults::default();
        new_sensor(body, &[Step::Field("body")], &mut faults).ok_or(faults)
    }

    fn named(faults: Faults) -> Vec<(Vec<Step>, &'static str)> {
        faults.into_vec().into_iter().map(|fault| (fault.loc, fault.kind)).collect()
    }

    fn faults(body: &Value) -> Vec<(Vec<Step>, &'static str)> {
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
        assert_eq!(faults(&json!([])), [(vec![Step::Field("body")], "model_attributes_type")]);
        for (value, kind) in [
            (json!(null), "string_type"),
            (json!(1), "string_type"),
            (json!(""), "string_too_short"),
            (json!("x".repeat(51)), "string_too_long"),
            (json!("a\0b"), "string_nul"),
        ] {
            assert_eq!(faults(&json!({"sensor_type": value})), [(in_body("sensor_type"), kind)]);
        }
        let body = json!({"description": 1, "location": "x".repeat(256)});
        assert_eq!(
            faults(&body),
            [
                (in_body("description"), "string_type"),
                (in_body("location"), "string_too_long"),
                (in_body("sensor_type"), "missing"),
            ]
        );
    }

    #[test]
    fn a_change_tells_null_from_absent() {
        let mut faults = Faults::default();
        let some = change(&json!({"description": null, "location": "Cellar", "sensor_id": 7}), &mut faults);
        let expected =
            Change { sensor_type: None, description: Some(None), location: Some(Some("Cellar".to_owned())) };
        assert_eq!(some, Some(expected));
        assert_eq!(change(&json!({}), &mut faults), Some(Change::default()));
        assert!(faults.is_empty());
    }

    #[test]
    fn a_change_is_held_to_the_same_rules() {
        for (body, field, kind) in [
            (json!({"sensor_type": null}), "sensor_type", "string_type"),
            (json!({"sensor_type": ""}), "sensor_type", "string_too_short"),
            (json!({"description": 1}), "description", "string_type"),
            (json!({"location": "x".repeat(256)}), "location", "string_too_long"),
        ] {
            let mut faults = Faults::default();
            assert_eq!(change(&body, &mut faults), None);
            assert_eq!(named(faults), [(in_body(field), kind)], "{body}");
        }
    }
}
