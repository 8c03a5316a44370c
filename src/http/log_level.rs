//! `GET` and `PUT /log-level`: which log lines this process writes.

use axum::{Json, Router, body::Body, extract::State, http::Request, routing::get};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    body::{BodyLimits, read_json},
    error::{ApiError, ErrorBody, InvalidBody},
    fault::{Faults, Refusal, Step},
};
use crate::log_level::{LogLevel, TEXT_MAX};

/// The level to change to.
#[derive(ToSchema)]
#[schema(example = json!({"level": "info,sensorpipe::store=debug"}))]
#[expect(dead_code, reason = "only describes the body, which is checked field by field")]
pub(super) struct WantedBody {
    /// A level, levels of modules, or both with commas between.
    #[schema(
        max_length = 200,
        pattern = "^([a-z0-9_]+(::[a-z0-9_]+)*=)?(off|error|warn|info|debug|trace)(,([a-z0-9_]+(::[a-z0-9_]+)*=)?(off|error|warn|info|debug|trace))*$"
    )]
    level: String,
}

/// The level of the log.
#[derive(Serialize, ToSchema)]
pub(super) struct LevelBody {
    /// What it is now.
    #[schema(example = "info,sensorpipe=debug")]
    level: String,
    /// What it is after a restart.
    #[schema(example = "info")]
    configured: String,
}

/// The route, with a state of its own.
pub(super) fn routes(log_level: LogLevel, limits: BodyLimits) -> Router {
    Router::new().route("/log-level", get(show).put(change)).with_state((log_level, limits))
}

/// Show the log level
#[utoipa::path(
    get, path = "/log-level", tag = "operations", operation_id = "show_log_level",
    responses((status = 200, description = "The level.", body = LevelBody)),
)]
pub(super) async fn show(State((log_level, _)): State<(LogLevel, BodyLimits)>) -> Json<LevelBody> {
    Json(body_of(&log_level))
}

/// Change the log level
///
/// Of this process, until it ends or is told otherwise.
#[utoipa::path(
    put, path = "/log-level", tag = "operations", operation_id = "change_log_level",
    request_body(content = WantedBody, content_type = "application/json"),
    responses(
        (status = 200, description = "The level as it is now.", body = LevelBody),
        (status = 400, description = "The body is not JSON.", body = ErrorBody, example = json!({"detail": "The body is not valid JSON: expected value at line 1 column 1."})),
        (status = 408, description = "The body did not arrive in time.", body = ErrorBody, example = json!({"detail": "The body did not arrive in time."})),
        (status = 413, description = "The body is too large.", body = ErrorBody, example = json!({"detail": "The body is larger than 4096 bytes."})),
        (status = 415, description = "The body is not called JSON.", body = ErrorBody, example = json!({"detail": "The body should be application/json."})),
        (status = 422, description = "This is no level; it stays what it was.", body = InvalidBody, example = json!({"detail": [{"loc": ["body", "level"], "msg": "Input should be a log level", "type": "log_level"}]})),
    ),
)]
pub(super) async fn change(
    State((log_level, limits)): State<(LogLevel, BodyLimits)>,
    request: Request<Body>,
) -> Result<Json<LevelBody>, ApiError> {
    let body = read_json(request, limits).await?;
    let body: Value = serde_json::from_slice(&body).map_err(|error| ApiError::BadJson(error.to_string()))?;
    let mut faults = Faults::default();
    let place = [Step::Field("body")];
    let fields = faults.check(&place, body.as_object().ok_or_else(Refusal::not_an_object));
    if let Some(fields) = fields {
        let changed = fields.get("level").ok_or_else(Refusal::missing).and_then(|level| {
            let text = level
                .as_str()
                .ok_or_else(|| Refusal::new("string_type", "Input should be a valid string"))?;
            log_level.set(text).map_err(|error| {
                Refusal::new("log_level", format!("Input should be at most {TEXT_MAX} characters; {error}"))
            })
        });
        faults.check(&[Step::Field("body"), Step::Field("level")], changed);
    }
    if faults.is_empty() { Ok(Json(body_of(&log_level))) } else { Err(ApiError::Invalid(faults)) }
}

fn body_of(log_level: &LogLevel) -> LevelBody {
    LevelBody { level: log_level.current(), configured: log_level.configured().to_owned() }
}
