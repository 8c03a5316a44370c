//! The worker's task that drops what is older than `RETENTION`.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    config::{DatabaseConfig, RetentionStats},
    metrics::CHUNKS_DROPPED,
    reading::{Acceptance, Timestamp},
    store::{self, Expiry, StoreError},
};

/// When and how old readings go.
pub(super) struct Retention {
    pub(super) database: DatabaseConfig,
    pub(super) acceptance: Acceptance,
    pub(super) stats: RetentionStats,
    pub(super) interval: Duration,
}

impl Retention {
    /// Looks for old chunks at once and then now and then, until `stop`; what is under way then is rolled back.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = self.drop_expired() => {}
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn drop_expired(&self) {
        let Some(edge) = self.acceptance.retention_edge(Timestamp::now()) else { return };
        let Expiry { dropped, failed, held, error } =
            store::drop_expired(&self.database, edge, self.stats).await;
        metrics::counter!(CHUNKS_DROPPED).increment(dropped.len() as u64);
        for chunk in dropped {
            tracing::info!(chunk = chunk.chunk, since = %chunk.since, until = %chunk.until, "old readings dropped");
        }
        if let Some(failed) = failed.any() {
            tracing::error!(
                db.sqlstate = failed.sqlstate(),
                "old readings not dropped: {} chunks hold days whose statistics cannot be kept; trying again: {failed}",
                held.len()
            );
        }
        if let Some(error) = error {
            log(&error);
        }
    }
}

/// Why old readings are still there.
fn log(error: &StoreError) {
    let (sqlstate, cause) = (error.sqlstate(), error.cause());
    if error.is_retriable() {
        tracing::warn!(error = %error, cause, db.sqlstate = sqlstate, "old readings not dropped; trying again");
    } else if error.is_missing_right() {
        tracing::error!(
            error = %error, cause, db.sqlstate = sqlstate,
            "old readings not dropped; the role of the worker must own sensor_data for that"
        );
    } else {
        tracing::error!(error = %error, cause, db.sqlstate = sqlstate, "old readings not dropped; trying again");
    }
}
