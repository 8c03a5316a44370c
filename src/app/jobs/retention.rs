//! Drops what is older than `RETENTION`: that of this process, or the one that the database has by now where it is longer.

use std::time::Duration;

use super::{Failure, Job, Round};
use crate::{
    config::{DatabaseConfig, IngestConfig, from_database},
    metrics::CHUNKS_DROPPED,
    reading::Timestamp,
    store::{self, Expiry, Pool, StoreError, settings},
};

pub(super) struct Retention {
    pub(super) database: DatabaseConfig,
    pub(super) settings_pool: Pool,
    /// What the worker runs with.
    pub(super) running: IngestConfig,
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
        let ingest = self.what_both_would_drop().await?;
        let Some(edge) = ingest.acceptance().retention_edge(Timestamp::now()) else { return Ok(Round::Done) };
        let Expiry { dropped, failed, held, error, is_elsewhere } =
            store::drop_expired(&self.database, edge, ingest.retention_stats).await;
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

impl Retention {
    /// What is dropped is gone, and a worker may run for long after somebody has set a longer retention.
    async fn what_both_would_drop(&self) -> Result<IngestConfig, Failure> {
        let Some(stored) = settings::read(&self.settings_pool).await? else { return Ok(self.running) };
        let stored = from_database(&stored).map_err(|error| Failure::passing(&error))?;
        Ok(self.running.keeping_what_either_keeps(&stored))
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
