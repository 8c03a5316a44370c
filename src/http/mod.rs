//! The HTTP front end; the only place that names `axum`.
//!
//! ```text
//! server ── middleware ──> ingest  ── reading_body, reading_field ──> kafka::producer
//!                      ──> sensors, stats, queries/ ────────────────> store
//!                      ──> docs, health
//! ```
//!
//! Every answer that is not a success is an [`error::ApiError`].

mod body;
mod docs;
mod error;
mod fault;
mod health;
mod ingest;
mod known_sensors;
mod middleware;
mod path;
mod queries;
mod query;
mod reading_body;
mod reading_field;
mod reading_schema;
mod receipt_clock;
mod sensors;
mod server;
mod stats;

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use known_sensors::KnownSensors;
pub use server::serve;

use self::{
    body::BodyLimits,
    error::ApiError,
    queries::{ExportLimits, Exports, QueryLimits},
    receipt_clock::ReceiptClock,
};
use crate::{
    config::{HttpConfig, IngestConfig},
    health::Health,
    kafka::producer::Producer,
    reading::Timestamp,
    store::Pool,
};

/// What the routes need; clones share it.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// See [`Api`].
pub struct Parts {
    /// Takes the readings.
    pub producer: Producer,
    /// Answers what has to be true now, and writes.
    pub pool: Pool,
    /// Answers the queries over readings; maybe a replica.
    pub reads: Pool,
    /// Says which sensors there are.
    pub known_sensors: KnownSensors,
    /// What may be asked for.
    pub limits: Limits,
    exports: Exports,
    receipt_clock: ReceiptClock,
}

/// What a request may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    body: BodyLimits,
    request_timeout: Duration,
    accept_since: Timestamp,
    accept_ahead_micros: i64,
    queries: QueryLimits,
    exports: ExportLimits,
}

impl Limits {
    /// The limits that are configured.
    pub fn new(http: &HttpConfig, ingest: &IngestConfig) -> Self {
        let request_timeout = http.http_request_timeout;
        // What has arrived in time still has to be published within the request's time.
        let body_timeout = request_timeout.saturating_sub(http.publish_timeout).max(request_timeout / 2);
        Self {
            body: BodyLimits { max_bytes: http.http_max_body_bytes, timeout: body_timeout },
            request_timeout,
            accept_since: ingest.accept_since,
            accept_ahead_micros: i64::try_from(ingest.accept_ahead.as_micros()).unwrap_or(i64::MAX),
            queries: QueryLimits::new(&http.queries),
            exports: ExportLimits::new(&http.queries),
        }
    }
}

impl Api {
    /// Puts the parts together.
    pub fn new(
        producer: Producer,
        pool: Pool,
        reads: Pool,
        known_sensors: KnownSensors,
        limits: Limits,
    ) -> Self {
        let exports = Exports::new(limits.exports);
        let receipt_clock = ReceiptClock::default();
        Self(Arc::new(Parts { producer, pool, reads, known_sensors, limits, exports, receipt_clock }))
    }
}

impl Deref for Api {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "sensorpipe",
        description = "Sensor readings from HTTP and Kafka into TimescaleDB, each stored exactly once."
    ),
    tags(
        (name = "sensors", description = "What measures."),
        (name = "readings", description = "What was measured."),
        (name = "statistics", description = "What it comes to."),
    )
)]
struct Document;

fn documented_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(sensors::create))
        .routes(routes!(ingest::send))
        .routes(routes!(stats::daily_avg))
        .routes(routes!(queries::stats::of_one))
        .routes(routes!(queries::stats::of_many))
        .routes(routes!(queries::readings::list))
        .routes(routes!(queries::latest::of_one))
        .routes(routes!(queries::latest::of_many))
}

/// The OpenAPI document as JSON.
pub fn openapi_document() -> String {
    let document = documented_routes().into_openapi();
    document.to_pretty_json().expect("the document has string keys and finite numbers only")
}

/// Every route of the api.
pub fn router(api: Api, health: Health, metrics: PrometheusHandle) -> Router {
    let request_timeout = api.limits.request_timeout;
    let (routes, _) = documented_routes().split_for_parts();
    let routes =
        routes.with_state(api).merge(docs::routes(openapi_document())).merge(health::routes(health, metrics));
    finished(routes, request_timeout)
}

/// Serves a worker's `/metrics`, `/healthz` and `/readyz` until `stop`.
pub async fn serve_operations(
    address: std::net::SocketAddr,
    health: Health,
    metrics: PrometheusHandle,
    stop: CancellationToken,
) -> std::io::Result<()> {
    /// None of the three waits for anything.
    const TIMEOUT: Duration = Duration::from_secs(5);
    let listener = tokio::net::TcpListener::bind(address).await?;
    serve(listener, finished(health::routes(health, metrics), TIMEOUT), stop, TIMEOUT).await;
    Ok(())
}

/// With an answer for what no route takes, and what every request passes.
fn finished(routes: Router, request_timeout: Duration) -> Router {
    routes
        .fallback(async || ApiError::NotFound("Not found."))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(axum::middleware::from_fn_with_state(request_timeout, middleware::every_request))
}
