//! `GET` and `PUT /log-level`: which log lines this process writes.

use axum::{Json, body::Body, extract::State, http::Request};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    http::server::{
        Admission, ApiError, BodyLimits, ErrorBody, FieldError, InvalidBody, Step, ValidationErrors,
        body::read_value,
    },
    log_level::{LogLevel, TEXT_MAX},
};

/// Where a body has the level.
const LEVEL: [Step; 2] = [Step::Field("body"), Step::Field("level")];

/// The level to change to.
#[derive(ToSchema)]
#[schema(example = json!({"level": "info,sensorpipe::store=debug"}))]
pub(super) struct WantedBody {
    /// A level, levels of modules, or both with commas between.
    #[schema(
        max_length = 200,
        pattern = "^([a-z0-9_]+(::[a-z0-9_]+)*=)?(off|error|warn|info|debug|trace)(,([a-z0-9_]+(::[a-z0-9_]+)*=)?(off|error|warn|info|debug|trace))*$"
    )]
    level: String,
}

impl WantedBody {
    /// Reads a body; none where it is invalid, which `errors` then say.
    fn read(body: &Value, errors: &mut ValidationErrors) -> Option<Self> {
        let body = errors.check(&LEVEL[..1], body.as_object().ok_or_else(FieldError::not_an_object))?;
        let level = body.get("level").ok_or_else(FieldError::missing);
        let level = level.and_then(|level| level.as_str().ok_or_else(FieldError::not_a_string));
        Some(Self { level: errors.check(&LEVEL, level)?.to_owned() })
    }
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

/// What the route needs.
#[derive(Clone)]
pub(in crate::http) struct LogLevelApi {
    log_level: LogLevel,
    admission: Admission,
    limits: BodyLimits,
}

impl LogLevelApi {
    /// Puts the parts together; a log level's body is short.
    pub(in crate::http) fn new(log_level: LogLevel, admission: Admission, limits: BodyLimits) -> Self {
        const BODY_MAX_BYTES: usize = 4_096;
        Self { log_level, admission, limits: limits.at_most(BODY_MAX_BYTES) }
    }
}

/// Show the log level
#[utoipa::path(
    get, path = "/log-level", tag = "operations", operation_id = "show_log_level",
    responses((status = 200, description = "The level.", body = LevelBody)),
)]
pub(super) async fn show(State(state): State<LogLevelApi>) -> Json<LevelBody> {
    Json(body_of(&state.log_level))
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
        (status = 503, description = "The memory for requests under way is used up; try again after `Retry-After` seconds.", body = ErrorBody, headers(("Retry-After" = u32, description = "Seconds")), example = json!({"detail": "The memory for requests under way is used up. Send this one again."})),
    ),
)]
pub(super) async fn change(
    State(LogLevelApi { log_level, admission, limits }): State<LogLevelApi>,
    request: Request<Body>,
) -> Result<Json<LevelBody>, ApiError> {
    let body = read_value(&mut admission.hold_nothing(), request, limits).await?;
    let mut errors = ValidationErrors::default();
    if let Some(WantedBody { level }) = WantedBody::read(&body, &mut errors) {
        let changed = log_level.set(&level).map_err(|error| {
            FieldError::new("log_level", format!("Input should be at most {TEXT_MAX} characters; {error}"))
        });
        errors.check(&LEVEL, changed);
    }
    if errors.is_empty() { Ok(Json(body_of(&log_level))) } else { Err(ApiError::Invalid(errors)) }
}

fn body_of(log_level: &LogLevel) -> LevelBody {
    LevelBody { level: log_level.current(), configured: log_level.configured().to_owned() }
}
