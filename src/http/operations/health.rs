//! `/healthz`, `/readyz` and `/metrics`: what Kubernetes and Prometheus ask.

use std::collections::BTreeMap;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    health::{Health, State as ComponentState},
    metrics::Exposition,
};

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Whether the process does anything.
#[derive(Serialize, ToSchema)]
pub(super) struct AliveBody {
    /// `ok` or `stuck`.
    #[schema(example = "ok")]
    status: &'static str,
    /// Loops that do not turn any more; only a restart mends that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["consumer-0"]))]
    stuck: Vec<String>,
}

/// Whether work should be sent here.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadyBody {
    /// No component that is needed is down, and the process goes on.
    ready: bool,
    /// The process is on its way out.
    stopping: bool,
    /// What it works with, by name.
    #[schema(value_type = BTreeMap<String, ComponentBody>)]
    components: BTreeMap<&'static str, ComponentBody>,
}

/// How a component is.
#[derive(Serialize, ToSchema)]
pub(super) struct ComponentBody {
    /// `up` or `down`.
    #[schema(example = "up")]
    state: &'static str,
    /// Why it is down.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<ComponentState> for ComponentBody {
    fn from(state: ComponentState) -> Self {
        match state {
            ComponentState::Up => Self { state: "up", reason: None },
            ComponentState::Down(reason) => Self { state: "down", reason: Some(reason) },
        }
    }
}

/// Is the process alive?
///
/// It is while its loops turn, whatever becomes of Kafka and Postgres: a restart would not mend those.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", operation_id = "alive",
    responses(
        (status = 200, description = "It is.", body = AliveBody, example = json!({"status": "ok"})),
        (status = 503, description = "A loop is stuck: restart the process.", body = AliveBody, example = json!({"status": "stuck", "stuck": ["consumer-0"]})),
    ),
)]
pub(super) async fn alive(State(health): State<Health>) -> impl IntoResponse {
    let stuck = health.stuck();
    if stuck.is_empty() {
        (StatusCode::OK, Json(AliveBody { status: "ok", stuck }))
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Json(AliveBody { status: "stuck", stuck }))
    }
}

/// Should work be sent here?
#[utoipa::path(
    get, path = "/readyz", tag = "operations", operation_id = "ready",
    responses(
        (status = 200, description = "Yes.", body = ReadyBody, example = json!({"ready": true, "stopping": false, "components": {"api_keys": {"state": "up"}, "kafka": {"state": "up"}, "postgres": {"state": "up"}}})),
        (status = 503, description = "Not now.", body = ReadyBody, example = json!({"ready": false, "stopping": false, "components": {"api_keys": {"state": "up"}, "kafka": {"state": "down", "reason": "no broker answers"}, "postgres": {"state": "up"}}})),
    ),
)]
pub(super) async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let report = health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let components = report.components.into_iter().map(|(name, state)| (name, state.into())).collect();
    (status, Json(ReadyBody { ready: report.ready, stopping: report.stopping, components }))
}

/// Metrics for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "operations", operation_id = "metrics",
    responses((status = 200, description = "Prometheus' text format.", body = String, content_type = "text/plain", example = "# TYPE sensorpipe_published_readings_total counter\nsensorpipe_published_readings_total 42\n")),
)]
pub(super) async fn render(State(metrics): State<Exposition>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_TYPE)], metrics.render())
}
