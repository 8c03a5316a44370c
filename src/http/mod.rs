//! The HTTP front end; the only place that names `axum`.
//!
//! ```text
//! server ── middleware ──> ingest   ── reading_body, reading_field ──> publish ──> kafka::producer
//!                      ──> readings ── split, intake ────────────────> publish
//!                      ──> sensors, stats, queries/, receipts ───────> store
//!                      ──> dead_letters/ ────────────────────────> store
//!                      ──> chart ── filler ────────────────────────> store
//!                      ──> tail ── events ────────────────────────> store
//!                      ──> overview ── events ────────────────────> store, kafka::LogObserver
//!                      ──> dashboard, docs, health
//! ```
//!
//! [`parsing`] has what the routes make of bytes as plain functions, for fuzz targets and property tests.
//! `middleware` asks `access` whether a request may pass before any route sees it, and as which client.
//! Every answer that is not a success is an [`error::ApiError`].

mod access;
mod admission;
mod body;
mod chart;
mod cors;
mod cross_site;
mod cursor;
mod dashboard;
mod dead_letters;
mod docs;
mod document;
mod error;
mod events;
mod fault;
mod health;
mod host;
mod ingest;
mod json_members;
mod known_sensors;
mod log_level;
mod middleware;
mod operations;
mod overview;
mod parameters;
pub mod parsing;
mod path;
mod prefer;
mod publish;
mod queries;
mod query;
mod reading_body;
mod reading_field;
mod reading_schema;
mod readings;
mod receipt_clock;
mod receipts;
mod request_id;
mod request_metrics;
mod sensor_hints;
mod sensors;
mod server;
mod static_file;
mod stats;
mod store_error;
mod tail;
mod trace;
mod unread_body;
mod visibility;

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::{Router, http::HeaderMap};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use access::KeyRing;
pub use known_sensors::KnownSensors;
pub use operations::serve_operations;
pub use request_id::current_request_id;
pub use server::{ServeLimits, serve};

use self::{
    admission::Admission,
    body::BodyLimits,
    chart::Filler,
    cross_site::CrossSite,
    error::ApiError,
    events::Streams,
    log_level::LogLevelState,
    middleware::Rules,
    overview::{Overview, Sources},
    prefer::Wait,
    queries::{ExportLimits, Exports, QueryLimits},
    receipt_clock::ReceiptClock,
    tail::Tails,
    visibility::Visibility,
};
use crate::{
    config::{AdmissionConfig, HttpConfig, IngestConfig, Rollups},
    health::{Component, Health},
    kafka::{
        LogObserver,
        producer::{Producer, Receipt},
    },
    log_level::LogLevel,
    metrics::Exposition,
    reading::{Acceptance, OnDuplicate, Timestamp, Window},
    store::{Pool, dead_letters::ReplayRules},
};

/// What the routes need; clones share it.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

/// See [`Api`].
pub struct Parts {
    /// Takes the readings.
    pub producer: Producer,
    /// Writes.
    pub pool: Pool,
    /// Answers what has to be true now: half of the connections of the pool that writes.
    pub current_reads: Pool,
    /// Answers the queries over readings; maybe a replica.
    pub reads: Pool,
    /// Says which sensors there are.
    pub known_sensors: KnownSensors,
    /// What may be asked for.
    pub limits: Limits,
    exports: Exports,
    receipt_clock: ReceiptClock,
    admission: Admission,
    visibility: Visibility,
    overview: Overview,
    filler: Filler,
    tails: Tails,
    streams: Streams,
}

/// What a request may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    body: BodyLimits,
    admission: AdmissionConfig,
    request_timeout: Duration,
    acceptance: Acceptance,
    on_duplicate: OnDuplicate,
    rollups: Rollups,
    queries: QueryLimits,
    exports: ExportLimits,
    event_streams_max: usize,
}

impl Limits {
    /// The limits that are configured.
    pub fn new(http: &HttpConfig, ingest: &IngestConfig) -> Self {
        let request_timeout = http.http_request_timeout;
        // What has arrived in time still has to be published within the request's time.
        let body_timeout = request_timeout.saturating_sub(http.publish_timeout).max(request_timeout / 2);
        Self {
            body: BodyLimits { max_bytes: http.http_max_body_bytes, timeout: body_timeout },
            admission: http.admission.clone(),
            request_timeout,
            acceptance: ingest.acceptance(),
            on_duplicate: ingest.on_duplicate,
            rollups: ingest.rollups,
            queries: QueryLimits::new(&http.queries),
            exports: ExportLimits::new(&http.queries),
            event_streams_max: http.queries.event_streams_max,
        }
    }

    /// The times that are accepted now.
    fn window(&self, now: Timestamp) -> Window {
        self.acceptance.window(now)
    }

    /// What a dead letter has to pass now.
    fn replay_rules(&self) -> ReplayRules {
        ReplayRules {
            window: self.window(Timestamp::now()),
            on_duplicate: self.on_duplicate,
            rollups: self.rollups,
        }
    }

    /// How long the request wants to wait for its readings to show, as far as it may.
    fn wait(&self, headers: &HeaderMap) -> Option<Wait> {
        Wait::asked(headers, self.admission.http_max_wait)
    }

    /// When to answer a request that wants to wait: before its own time is up, or the answer would be lost.
    fn until(&self, started: Instant, wait: Wait) -> Instant {
        (Instant::now() + wait.duration()).min(started + self.request_timeout * 9 / 10)
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
        Self(Arc::new(Parts {
            producer,
            current_reads: pool.half(),
            pool,
            reads,
            known_sensors,
            exports: Exports::new(limits.exports),
            receipt_clock: ReceiptClock::default(),
            admission: Admission::new(&limits.admission, limits.body.held_bytes_max()),
            visibility: Visibility::default(),
            overview: Overview::default(),
            filler: Filler::default(),
            tails: Tails::default(),
            streams: Streams::new(limits.event_streams_max),
            limits,
        }))
    }

    /// Refuses what is about a sensor that there is not. The primary knows; it hears of a new sensor first.
    async fn require_sensor(&self, sensor_id: i32) -> Result<(), ApiError> {
        self.require_sensor_in_turn(sensor_id, None).await
    }

    /// The same for those whose requests are not bounded otherwise.
    async fn require_sensor_in_turn(
        &self,
        sensor_id: i32,
        turns: Option<&Semaphore>,
    ) -> Result<(), ApiError> {
        let is_there = self.known_sensors.contains(sensor_id, turns).await?;
        if is_there { Ok(()) } else { Err(ApiError::NO_SUCH_SENSOR) }
    }

    /// Refuses what is about a sensor that is known to be gone: some of its readings may be there still. A question that
    /// the primary does not answer is none.
    async fn refuse_deleted(&self, sensor_id: i32) -> Result<(), ApiError> {
        match self.known_sensors.contains(sensor_id, None).await {
            Ok(false) => Err(ApiError::NO_SUCH_SENSOR),
            Ok(true) | Err(_) => Ok(()),
        }
    }

    /// What became of the records of a request that `started` then and wants to `wait` for it.
    async fn state_after(
        &self,
        wait: Option<Wait>,
        started: Instant,
        records: &[Receipt],
    ) -> Option<receipts::State> {
        let until = self.limits.until(started, wait?);
        Some(self.visibility.stored_within(records, until).await.into())
    }

    /// Finds out for those who wait whether their readings are stored, until `stop`.
    pub fn watch_visibility(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let Parts { visibility, pool, producer, .. } = &**self;
        visibility.clone().watch(pool.clone(), producer.clone(), stop)
    }

    /// Keeps the live pages going until `stop`, which ends all event streams; `kafka` and `postgres` say how these are.
    pub fn serve_live(
        &self,
        observer: LogObserver,
        kafka: Component,
        postgres: Component,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let Parts { overview, filler, tails, streams, pool, current_reads, reads, producer, .. } = &**self;
        let (overview, filler) = (overview.clone(), filler.clone());
        let (tails, streams) = (tails.clone(), streams.clone());
        let (fills, polls) = (pool.clone(), reads.clone());
        let (producer, pool, reads) = (producer.clone(), current_reads.clone(), reads.clone());
        let sources = Sources { producer, pool, reads, observer, kafka, postgres };
        async move {
            tokio::select! {
                () = overview.sample(sources) => {}
                () = filler.run(fills) => {}
                () = tails.poll(polls) => {}
                () = stop.cancelled() => {}
            }
            streams.close();
        }
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
        (name = "dead letters", description = "What could not be stored, and how it is worked through."),
        (name = "operations", description = "What Kubernetes and Prometheus ask, open to all; and the log."),
    ),
    paths(health::alive, health::ready, health::render, log_level::show, log_level::change)
)]
struct Document;

fn documented_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(sensors::list::list, sensors::create))
        .routes(routes!(sensors::bulk::create_all))
        .routes(routes!(sensors::one::show, sensors::one::change, sensors::one::delete))
        .routes(routes!(sensors::deletion::show))
        .routes(routes!(ingest::send))
        .routes(routes!(readings::send_many))
        .routes(routes!(receipts::read))
        .routes(routes!(stats::daily_avg))
        .routes(routes!(queries::stats::of_one))
        .routes(routes!(queries::stats::of_many))
        .routes(routes!(queries::readings::list))
        .routes(routes!(queries::latest::of_one))
        .routes(routes!(queries::latest::of_many))
        .routes(routes!(chart::draw))
        .routes(routes!(tail::events))
        .routes(routes!(overview::once))
        .routes(routes!(overview::events))
        .routes(routes!(dead_letters::list::list))
        .routes(routes!(dead_letters::summary::show))
        .routes(routes!(dead_letters::replay::many))
        .routes(routes!(dead_letters::discard::many))
        .routes(routes!(dead_letters::list::show, dead_letters::discard::one))
        .routes(routes!(dead_letters::replay::one))
}

/// The OpenAPI document as JSON.
pub fn openapi_document() -> String {
    document::text(documented_routes().into_openapi())
}

/// What is asked of the process itself.
#[derive(Clone)]
pub struct Operations {
    /// What `/healthz` and `/readyz` answer.
    pub health: Health,
    /// What `/metrics` answers.
    pub metrics: Exposition,
    /// What `/log-level` shows and changes.
    pub log_level: LogLevel,
}

/// Every route of the api; `keys` says who may use them, `http` whose pages may.
pub fn router(api: Api, keys: KeyRing, http: &HttpConfig, operations: Operations) -> Router {
    /// More than a log level takes.
    const LOG_LEVEL_MAX_BYTES: usize = 4_096;
    let rules = Rules { timeout: api.limits.request_timeout, keys, cross_site: CrossSite::new(http) };
    let Operations { health, metrics, log_level } = operations;
    let log_level = LogLevelState {
        log_level,
        admission: api.admission.clone(),
        limits: api.limits.body.at_most(LOG_LEVEL_MAX_BYTES),
    };
    let (routes, document) = documented_routes().split_for_parts();
    let routes = routes
        .with_state(api)
        .merge(dashboard::routes())
        .merge(docs::routes(document::text(document)))
        .merge(health::routes(health, metrics))
        .merge(log_level::routes(log_level));
    let routes = finished(routes, rules);
    match cors::layer(&http.cors_allow_origins) {
        // Outermost: a browser's question beforehand shows no key.
        Some(layer) => routes.layer(layer),
        None => routes,
    }
}

/// With an answer for what no route takes, and what every request passes.
fn finished(routes: Router, rules: Rules) -> Router {
    routes
        .fallback(async || ApiError::NotFound("Not found."))
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(axum::middleware::from_fn_with_state(rules, middleware::every_request))
}
