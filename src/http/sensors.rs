//! `POST /sensors`.

use axum::{Json, body::Body, extract::State, http::Request};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    Api,
    body::{BodyLimits, read_json},
    error::{ApiError, ErrorBody, InvalidBody},
    fault::{Faults, Refusal, Step},
};
use crate::store::sensors::{self, NewSensor};

/// Far more than the three fields can fill.
const BODY_MAX_BYTES: usize = 64 << 10;
/// The widths of the columns, in characters.
const TYPE_MAX_CHARS: usize = 50;
const TEXT_MAX_CHARS: usize = 255;

/// A sensor to be made. Other fields are ignored.
#[derive(ToSchema)]
#[schema(example = json!({"sensor_type": "temperature", "description": "Outdoor temperature sensor", "location": "Backyard"}))]
#[expect(dead_code, reason = "only describes the body, which is checked field by field")]
pub(super) struct SensorBody {
    /// What it measures.
    #[schema(min_length = 1, max_length = 50, pattern = "^[^\\u0000]+$")]
    sensor_type: String,
    /// What it is.
    #[schema(max_length = 255, pattern = "^[^\\u0000]*$")]
    description: Option<String>,
    /// Where it is.
    #[schema(max_length = 255, pattern = "^[^\\u0000]*$")]
    location: Option<String>,
}

/// The sensor that was made.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedBody {
    /// Its id from now on.
    #[schema(example = 3)]
    sensor_id: i32,
    /// For people.
    #[schema(example = "Sensor created successfully.")]
    message: &'static str,
}

/// Create a sensor
///
/// Readings can be sent for it at once.
#[utoipa::path(
    post, path = "/sensors", tag = "sensors", operation_id = "create_sensor",
    request_body(content = SensorBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The sensor exists.", body = CreatedBody),
        (status = 400, description = "The body is not JSON.", body = ErrorBody, example = json!({"detail": "The body is not valid JSON: expected value at line 1 column 1."})),
        (status = 408, description = "The body did not arrive in time.", body = ErrorBody, example = json!({"detail": "The body did not arrive in time."})),
        (status = 413, description = "The body is too large.", body = ErrorBody, example = json!({"detail": "The body is larger than 65536 bytes."})),
        (status = 415, description = "The body is not called JSON.", body = ErrorBody, example = json!({"detail": "The body should be application/json."})),
        (status = 422, description = "The body does not validate.", body = InvalidBody, example = json!({"detail": [{"loc": ["body", "sensor_type"], "msg": "Field required", "type": "missing"}]})),
        (status = 503, description = "The database does not answer; try again after `Retry-After` seconds. The sensor may exist or not.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The database does not answer now."})),
    ),
)]
pub(super) async fn create(
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Json<CreatedBody>, ApiError> {
    let limits = BodyLimits { max_bytes: BODY_MAX_BYTES.min(api.limits.body.max_bytes), ..api.limits.body };
    let body = read_json(request, limits).await?;
    let body: Value = serde_json::from_slice(&body).map_err(|error| ApiError::BadJson(error.to_string()))?;
    let sensor = new_sensor(&body).map_err(ApiError::Invalid)?;
    let sensor_id = sensors::create(&api.pool, sensor).await?;
    api.known_sensors.insert(sensor_id);
    Ok(Json(CreatedBody { sensor_id, message: "Sensor created successfully." }))
}

fn new_sensor(body: &Value) -> Result<NewSensor, Faults> {
    let mut faults = Faults::default();
    let Some(fields) = body.as_object() else {
        faults.push(&[Step::Field("body")], Refusal::not_an_object());
        return Err(faults);
    };
    let mut field = |name: &'static str, shortest: usize, longest: usize| {
        let value = fields.get(name).filter(|value| !value.is_null());
        let checked = value.map(|value| text(value, shortest, longest)).transpose();
        faults.check(&[Step::Field("body"), Step::Field(name)], checked).flatten()
    };
    let sensor_type = field("sensor_type", 1, TYPE_MAX_CHARS);
    let description = field("description", 0, TEXT_MAX_CHARS);
    let location = field("location", 0, TEXT_MAX_CHARS);
    if sensor_type.is_none() && fields.get("sensor_type").is_none_or(Value::is_null) {
        let refusal = match fields.get("sensor_type") {
            None => Refusal::missing(),
            Some(_null) => not_a_string(),
        };
        faults.push(&[Step::Field("body"), Step::Field("sensor_type")], refusal);
    }
    match sensor_type {
        Some(sensor_type) if faults.is_empty() => Ok(NewSensor { sensor_type, description, location }),
        _ => Err(faults),
    }
}

fn text(value: &Value, shortest: usize, longest: usize) -> Result<String, Refusal> {
    let text = value.as_str().ok_or_else(not_a_string)?;
    let length = text.chars().count();
    if length < shortest {
        Err(Refusal::new("string_too_short", format!("String should have at least {shortest} character")))
    } else if length > longest {
        Err(Refusal::new("string_too_long", format!("String should have at most {longest} characters")))
    } else if text.contains('\0') {
        // Postgres has no place for it.
        Err(Refusal::new("string_nul", "String should not contain a NUL character"))
    } else {
        Ok(text.to_owned())
    }
}

fn not_a_string() -> Refusal {
    Refusal::new("string_type", "Input should be a valid string")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(body: &Value) -> Vec<(Vec<Step>, &'static str)> {
        new_sensor(body).unwrap_err().into_vec().into_iter().map(|fault| (fault.loc, fault.kind)).collect()
    }

    fn in_body(field: &'static str) -> Vec<Step> {
        vec![Step::Field("body"), Step::Field(field)]
    }

    #[test]
    fn a_sensor_needs_its_type_only() {
        let sensor =
            new_sensor(&json!({"sensor_type": "ü".repeat(50), "description": null, "more": 1})).unwrap();
        assert_eq!(sensor.description, None);
        assert_eq!(sensor.sensor_type.chars().count(), 50);
        let sensor =
            new_sensor(&json!({"sensor_type": "t", "description": "", "location": "x".repeat(255)})).unwrap();
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
}
