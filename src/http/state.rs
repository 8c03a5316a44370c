//! What the routes need, each folder a part of it.

use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;

use super::{
    dead_letters::DeadLettersApi,
    ingest::{IngestApi, IngestLimits},
    live::{LiveApi, Sources},
    operations::LogLevelApi,
    query::QueryApi,
    sensors::{SensorCache, SensorsApi},
    server::{Admission, BodyLimits},
};
use crate::{
    config::{HttpConfig, RunningSettings},
    durability::FoundSettings,
    health::{Component, Health},
    kafka::{LogObserver, SensorTopic, producer::Producer},
    log_level::LogLevel,
    metrics::Exposition,
    store::Pool,
};

/// What the routes of readings and sensors need; clones share it.
#[derive(Clone)]
pub struct Api {
    ingest: Arc<IngestApi>,
    query: Arc<QueryApi>,
    sensors: Arc<SensorsApi>,
    dead_letters: Arc<DeadLettersApi>,
    live: Arc<LiveApi>,
    admission: Admission,
}

/// What is known of sensors besides their table.
pub struct Sensors {
    /// Which there are.
    pub known: SensorCache,
    /// Where their ids are kept.
    pub topic: SensorTopic,
}

impl Api {
    /// Puts the parts together: `pool` writes, `reads` answers the queries over readings and is maybe a replica's.
    pub fn new(
        producer: Producer,
        pool: Pool,
        reads: Pool,
        Sensors { known: sensors, topic: sensor_topic }: Sensors,
        http: &HttpConfig,
        ingest: &RunningSettings,
    ) -> Self {
        let sensors = sensors.and_of(sensor_topic.clone());
        let body_limits = body_limits(http);
        let admission = Admission::new(&http.admission, body_limits.max_bytes, body_limits.held_bytes_max());
        // What has to be true now takes half of the connections of the pool that writes.
        let current_reads = pool.half();
        let limits = IngestLimits { body: body_limits, request_timeout: http.http_request_timeout };
        Self {
            ingest: Arc::new(IngestApi::new(
                producer.clone(),
                pool.clone(),
                current_reads.clone(),
                sensors.clone(),
                admission.clone(),
                limits,
                ingest.clone(),
            )),
            query: Arc::new(QueryApi::new(
                pool.clone(),
                current_reads.clone(),
                reads.clone(),
                sensors.clone(),
                &http.queries,
                ingest.clone(),
            )),
            sensors: Arc::new(SensorsApi {
                pool: pool.clone(),
                current_reads: current_reads.clone(),
                reads: reads.clone(),
                sensors: sensors.clone(),
                sensor_topic,
                producer,
                admission: admission.clone(),
                body_limits,
            }),
            dead_letters: Arc::new(DeadLettersApi {
                pool,
                current_reads,
                admission: admission.clone(),
                body_limits,
                ingest: ingest.clone(),
            }),
            live: Arc::new(LiveApi::new(reads, sensors, http.queries.event_streams_max)),
            admission,
        }
    }

    /// Finds out for those who wait whether their readings are stored, until `stop`.
    pub fn watch_visibility(&self, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        self.ingest.watch_visibility(stop)
    }

    /// Keeps the live pages going until `stop`, which ends all event streams; `kafka` and `postgres` say how these are.
    pub fn serve_live(
        &self,
        observer: LogObserver,
        kafka: Component,
        postgres: Component,
        found_settings: FoundSettings,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (live, query) = (Arc::clone(&self.live), Arc::clone(&self.query));
        let IngestApi { producer, current_reads, .. } = &*self.ingest;
        let (producer, pool) = (producer.clone(), current_reads.clone());
        let reads = self.sensors.reads.clone();
        let sources = Sources { producer, pool, reads, observer, kafka, postgres, found_settings };
        async move {
            tokio::select! {
                () = live.serve(sources, stop) => {}
                () = query.roll_up_days() => {}
            }
        }
    }
}

fn body_limits(http: &HttpConfig) -> BodyLimits {
    let request_timeout = http.http_request_timeout;
    // What has arrived in time still has to be published within the request's time.
    let timeout = request_timeout.saturating_sub(http.publish_timeout).max(request_timeout / 2);
    BodyLimits { max_bytes: http.http_max_body_bytes, timeout }
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

/// What all routes together need.
#[derive(Clone)]
pub(super) struct FrontEnd {
    api: Api,
    health: Health,
    metrics: Exposition,
    log_level: LogLevelApi,
}

impl FrontEnd {
    pub(super) fn new(api: Api, operations: Operations, http: &HttpConfig) -> Self {
        let Operations { health, metrics, log_level } = operations;
        let log_level = LogLevelApi::new(log_level, api.admission.clone(), body_limits(http));
        Self { api, health, metrics, log_level }
    }
}

/// Routes take the part that their folder needs.
macro_rules! parts {
    ($($part:ty = $of:expr;)+) => {
        $(
            impl FromRef<FrontEnd> for $part {
                fn from_ref(all: &FrontEnd) -> Self {
                    let of: fn(&FrontEnd) -> &$part = $of;
                    of(all).clone()
                }
            }
        )+
    };
}

parts! {
    Arc<IngestApi> = |all| &all.api.ingest;
    Arc<QueryApi> = |all| &all.api.query;
    Arc<SensorsApi> = |all| &all.api.sensors;
    Arc<DeadLettersApi> = |all| &all.api.dead_letters;
    Arc<LiveApi> = |all| &all.api.live;
    Health = |all| &all.health;
    Exposition = |all| &all.metrics;
    LogLevelApi = |all| &all.log_level;
}
