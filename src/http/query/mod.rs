//! What can be asked about readings: statistics, the readings themselves, the latest ones, charts.
//!
//! ```text
//! parameters, selection ──> what is asked for, or every error in it
//!   stats ── stats_body ──────> store::queries
//!   latest, daily_avg ────────> store
//!   readings ── export ───────> store::queries, page by page
//!   chart ── rollup_filler ───> store::queries, and the days that it keeps
//! ```

mod chart;
mod daily_avg;
mod export;
mod export_format;
mod latest;
pub(super) mod readings;
mod selection;
pub(super) mod stats;
mod stats_body;

use std::sync::Arc;

use axum::extract::FromRef;
use utoipa_axum::routes;

use self::{chart::Filler, export::Exports};
use crate::{
    access::Scope,
    config::{QueryConfig, Rollups, RunningSettings},
    http::{
        sensors::SensorCache,
        server::{Access, ApiError, Routes, errors::store, running_settings},
    },
    store::{Pool, StoreError, Trouble},
};

/// What the routes that query readings need.
pub(super) struct QueryApi {
    /// Keeps the days that charts were asked for.
    pool: Pool,
    /// Answers what has to be true now.
    current_reads: Pool,
    /// Answers the queries over readings; maybe a replica.
    reads: Pool,
    /// Says which sensors there are.
    sensors: SensorCache,
    limits: QueryLimits,
    ingest: RunningSettings,
    exports: Exports,
    filler: Filler,
}

/// How much one query may ask for.
#[derive(Clone, Copy, Debug)]
struct QueryLimits {
    buckets_max: usize,
    sensors_max: usize,
}

/// The routes that query readings.
pub(super) fn routes<S>() -> Routes<S>
where
    S: Clone + Send + Sync + 'static,
    Arc<QueryApi>: FromRef<S>,
{
    const READ: Access = Access::query(Scope::Read);
    Routes::new()
        .route(READ, routes!(daily_avg::daily_avg))
        .route(READ, routes!(stats::of_one))
        .route(READ, routes!(stats::of_many))
        .route(READ, routes!(readings::list))
        .route(READ, routes!(latest::of_one))
        .route(READ, routes!(latest::of_many))
        .route(READ, routes!(chart::draw))
}

impl QueryApi {
    /// Puts the parts together.
    pub(super) fn new(
        pool: Pool,
        current_reads: Pool,
        reads: Pool,
        sensors: SensorCache,
        config: &QueryConfig,
        ingest: RunningSettings,
    ) -> Self {
        Self {
            pool,
            current_reads,
            reads,
            sensors,
            limits: QueryLimits {
                buckets_max: config.query_buckets_max,
                sensors_max: config.query_sensors_max,
            },
            ingest,
            exports: Exports::new(config),
            filler: Filler::default(),
        }
    }

    /// Whether answers may come from statistics that are kept.
    fn uses_kept(&self) -> Result<bool, ApiError> {
        Ok(running_settings(&self.ingest)?.rollups == Rollups::On)
    }

    /// Keeps the days that charts were asked for, for as long as it is polled.
    pub(super) async fn roll_up_days(&self) {
        self.filler.run(self.pool.clone()).await;
    }
}

/// Why a query has no answer.
pub(super) fn query_failed(error: StoreError) -> ApiError {
    if error.trouble() == Trouble::TooLong {
        store::log(&error);
        return ApiError::Unavailable(
            "The query took too long; ask for a shorter range or fewer sensors.".into(),
        );
    }
    error.into()
}
