//! `/healthz`, `/readyz` and `/metrics`: what Kubernetes and Prometheus ask.

use std::collections::BTreeMap;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;

use crate::health::{Health, State as ComponentState};

/// Prometheus' text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Serialize)]
struct ReadyBody {
    ready: bool,
    stopping: bool,
    components: BTreeMap<&'static str, ComponentBody>,
}

#[derive(Serialize)]
struct ComponentBody {
    state: &'static str,
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

/// The three routes, with a state of their own.
pub(super) fn routes(health: Health, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready).with_state(health))
        .route("/metrics", get(render).with_state(metrics))
}

async fn alive() -> impl IntoResponse {
    Json(serde_json::json!({"status": "ok"}))
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let report = health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let components = report.components.into_iter().map(|(name, state)| (name, state.into())).collect();
    (status, Json(ReadyBody { ready: report.ready, stopping: report.stopping, components }))
}

async fn render(State(metrics): State<PrometheusHandle>) -> impl IntoResponse {
    ([(CONTENT_TYPE, METRICS_TYPE)], metrics.render())
}
