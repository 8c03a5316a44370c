//! What can be asked about readings: statistics, the readings themselves, the latest ones.
//!
//! ```text
//! parameters, range, sensors ──> what is asked for, or every fault in it
//!   stats ── stats_body ──> store::queries
//!   latest ───────────────> store::queries
//!   readings ── export ───> store::queries, page by page
//! ```

mod export;
mod format;
pub(super) mod latest;
pub(super) mod range;
pub(super) mod readings;
mod sensors;
pub(super) mod stats;
mod stats_body;

pub(super) use self::{
    export::{ExportLimits, Exports},
    range::{EARLIEST, LATEST, bounds as time_bounds},
};
use super::{error::ApiError, store_error};
use crate::{
    config::QueryConfig,
    store::{StoreError, Trouble},
};

/// How much one query may ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueryLimits {
    buckets_max: usize,
    sensors_max: usize,
}

impl QueryLimits {
    pub(super) fn new(config: &QueryConfig) -> Self {
        Self { buckets_max: config.query_buckets_max, sensors_max: config.query_sensors_max }
    }
}

/// Why a query has no answer.
pub(super) fn refused(error: StoreError) -> ApiError {
    if error.trouble() == Trouble::TooLong {
        store_error::log(&error);
        return ApiError::Unavailable(
            "The query took too long; ask for a shorter range or fewer sensors.".into(),
        );
    }
    error.into()
}
