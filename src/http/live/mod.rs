//! What browsers watch: new readings of a sensor, and how the service is doing, as server-sent events.
//!
//! ```text
//! readings, overview ──> event_streams ──> viewers
//! ```
//!
//! One task asks the database and Kafka for all who watch.

mod event_streams;
mod overview;
mod readings;

use std::sync::Arc;

use axum::extract::FromRef;
use tokio_util::sync::CancellationToken;
use utoipa_axum::routes;

pub(super) use self::overview::Sources;
use self::{event_streams::Streams, overview::Overview, readings::WatchedSensors};
use crate::{
    access::Scope,
    http::{
        sensors::SensorCache,
        server::{Access, Routes},
    },
    store::Pool,
};

/// What the live routes need.
pub(super) struct LiveApi {
    /// Answers the queries over readings; maybe a replica.
    reads: Pool,
    /// Says which sensors there are.
    sensors: SensorCache,
    overview: Overview,
    watched: WatchedSensors,
    streams: Streams,
}

/// The live routes.
pub(super) fn routes<S>() -> Routes<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<LiveApi>: FromRef<S>,
{
    Routes::new()
        // A query until its first event, which is where the sensor's readings are. Streams are counted by themselves.
        .route(Access::query(Scope::Read), routes!(readings::events))
        // Asked for once for all who watch.
        .route(Access::key(Scope::Read), routes!(overview::once))
        .route(Access::key(Scope::Read), routes!(overview::events))
}

impl LiveApi {
    /// Puts the parts together; `event_streams_max` streams are open at a time.
    pub(super) fn new(reads: Pool, sensors: SensorCache, event_streams_max: usize) -> Self {
        Self {
            reads,
            sensors,
            overview: Overview::default(),
            watched: WatchedSensors::default(),
            streams: Streams::new(event_streams_max),
        }
    }

    /// Keeps all streams going until `stop`, which ends them.
    pub(super) async fn serve(&self, sources: Sources, stop: CancellationToken) {
        tokio::select! {
            () = self.overview.sample(sources) => {}
            () = self.watched.poll(self.reads.clone()) => {}
            () = stop.cancelled() => {}
        }
        self.streams.close();
    }
}
