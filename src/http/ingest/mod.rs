//! Readings come in: they are validated, published to Kafka, and whoever waits for it is told that they are stored.
//!
//! ```text
//! sensor_data ── body, reading_rules ──> publish ──> kafka::producer
//! readings ── split, intake ───────────> publish
//! receipts ── visibility ──────────────> store::receipts
//! ```

mod publish;
pub(super) mod reading_rules;
mod reading_schema;
pub(super) mod readings;
pub(super) mod receipt_clock;
pub(super) mod receipts;
pub(super) mod sensor_data;
mod visibility;
pub(super) mod wait_preference;

use std::{sync::Arc, time::Duration};

use axum::extract::FromRef;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa_axum::routes;

use self::{receipt_clock::ReceiptClock, visibility::Visibility, wait_preference::Wait};
use crate::{
    access::{Scope, Scopes},
    config::RunningSettings,
    http::{
        sensors::SensorCache,
        server::{Access, Admission, ApiError, BodyLimits, Routes, running_settings},
    },
    kafka::producer::{Producer, Receipt},
    reading::{Timestamp, Window},
    store::Pool,
};

/// What the routes of readings need.
pub(super) struct IngestApi {
    /// Takes the readings.
    pub(super) producer: Producer,
    /// Reads the stored offsets for those who wait.
    pub(super) pool: Pool,
    /// Answers what has to be true now.
    pub(super) current_reads: Pool,
    /// Says which sensors there are.
    pub(super) sensors: SensorCache,
    /// Bounds what is under way.
    pub(super) admission: Admission,
    /// What a request may ask for.
    pub(super) limits: IngestLimits,
    /// Which times are accepted.
    ingest: RunningSettings,
    receipt_clock: ReceiptClock,
    visibility: Visibility,
}

/// What a request with readings may ask for.
#[derive(Clone, Debug)]
pub(super) struct IngestLimits {
    /// Bounds one body.
    pub(super) body: BodyLimits,
    /// Longest time that a request may take.
    pub(super) request_timeout: Duration,
}

/// The routes of readings that come in.
pub(super) fn routes<S>() -> Routes<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<IngestApi>: FromRef<S>,
{
    // Whoever sent readings may ask what became of them. Who waits for a receipt is no query meanwhile, but before and
    // after.
    let either = Scopes::one(Scope::Ingest) | Scopes::one(Scope::Read);
    let receipts = Routes::only_for(either).route(Access::Key(either), routes!(receipts::read));
    Routes::new()
        .route(Access::key(Scope::Ingest), routes!(sensor_data::send))
        .route(Access::key(Scope::Ingest), routes!(readings::send_many))
        .merge(receipts)
}

impl IngestApi {
    /// Puts the parts together.
    pub(super) fn new(
        producer: Producer,
        pool: Pool,
        current_reads: Pool,
        sensors: SensorCache,
        admission: Admission,
        limits: IngestLimits,
        ingest: RunningSettings,
    ) -> Self {
        let (receipt_clock, visibility) = (ReceiptClock::default(), Visibility::default());
        Self { producer, pool, current_reads, sensors, admission, limits, ingest, receipt_clock, visibility }
    }

    /// The times that are accepted now.
    fn window(&self, now: Timestamp) -> Result<Window, ApiError> {
        Ok(running_settings(&self.ingest)?.acceptance().window(now))
    }

    /// When to answer a request that wants to wait: before its own time is up, or the answer would be lost.
    fn answer_by(&self, started: Instant, wait: Wait) -> Instant {
        (Instant::now() + wait.duration()).min(started + self.limits.request_timeout * 9 / 10)
    }

    /// What became of the records of a request that `started` then and wants to `wait` for it.
    async fn state_after(
        &self,
        wait: Option<Wait>,
        started: Instant,
        records: &[Receipt],
    ) -> Option<receipts::State> {
        let until = self.answer_by(started, wait?);
        Some(self.visibility.stored_within(records, until).await.into())
    }

    /// Finds out for those who wait whether their readings are stored, until `stop`.
    pub(super) fn watch_visibility(
        &self,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        self.visibility.clone().watch(self.pool.clone(), self.producer.clone(), stop)
    }
}
