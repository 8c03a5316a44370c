//! Drops what is older than `RETENTION`.

use std::time::Duration;

use super::{Failure, Job, Round};
use crate::{
    config::{DatabaseConfig, RetentionStats},
    metrics::CHUNKS_DROPPED,
    reading::{Acceptance, Timestamp},
    store::{self, Expiry, StoreError},
};

pub(super) struct Retention {
    pub(super) database: DatabaseConfig,
    pub(super) acceptance: Acceptance,
    pub(super) stats: RetentionStats,
    pub(super) interval: Duration,
}

impl Job for Retention {
    const NAME: &'static str = "retention";

    fn interval(&self) -> Duration {
        self.interval
    }

    /// A round that waits for a lock holds up everybody who waits behind it.
    fn retry_interval(&self) -> Duration {
        self.interval
    }

    async fn round(&mut self) -> Result<Round, Failure> {
        let Some(edge) = self.acceptance.retention_edge(Timestamp::now()) else { return Ok(Round::Done) };
        let Expiry { dropped, failed, held, error, is_elsewhere } =
            store::drop_expired(&self.database, edge, self.stats).await;
        metrics::counter!(CHUNKS_DROPPED).increment(dropped.len() as u64);
        for chunk in dropped {
            tracing::info!(chunk = chunk.chunk, since = %chunk.since, until = %chunk.until, "old readings dropped");
        }
        if let Some(failed) = failed.any() {
            tracing::error!(
                db.sqlstate = failed.sqlstate(),
                "old readings not dropped: {} chunks hold days whose statistics cannot be kept; retrying: {failed}",
                held.len()
            );
        }
        error.map_or(Ok(Round::unless(is_elsewhere)), |error| Err(failure(&error)))
    }
}

fn failure(error: &StoreError) -> Failure {
    let failure = Failure::from(error);
    if error.is_missing_right() {
        failure.with_advice("the role of the worker must own sensor_data to drop old readings")
    } else {
        failure
    }
}
