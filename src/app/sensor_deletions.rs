//! The worker's task that deletes the readings of sensors that were deleted.

use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{config::DatabaseConfig, metrics::SENSOR_DELETIONS, store::sensors};

/// Where and how often.
pub(super) struct SensorDeletions {
    pub(super) database: DatabaseConfig,
    pub(super) interval: Duration,
}

impl SensorDeletions {
    /// Looks now and then, until `stop`; what is under way then is gone on with by the next worker that looks. Of workers
    /// that run side by side, one does it at a time.
    pub(super) async fn run(self, stop: CancellationToken) {
        let working = async {
            let mut could_delete = true;
            loop {
                could_delete = self.turn(could_delete).await;
                sleep(self.interval).await;
            }
        };
        tokio::select! {
            () = working => {}
            () = stop.cancelled() => {}
        }
    }

    /// Whether it could be done; what stands in the way is said once.
    async fn turn(&self, could_delete: bool) -> bool {
        match sensors::delete_marked(&self.database).await {
            Ok(turn) => {
                metrics::gauge!(SENSOR_DELETIONS).set((turn.pending - turn.deleted.len() as u64) as f64);
                for sensor_id in turn.deleted {
                    tracing::info!(sensor_id, "sensor and its readings deleted");
                }
                true
            }
            Err(error) if error.is_retriable() => {
                tracing::debug!(error = %error, cause = error.cause(), "readings of deleted sensors stay for now");
                could_delete
            }
            Err(error) => {
                if could_delete {
                    tracing::warn!(
                        error = %error, cause = error.cause(), db.sqlstate = error.sqlstate(),
                        "readings of deleted sensors stay; retrying. A missing privilege: run deploy/postgres/roles.sql"
                    );
                }
                false
            }
        }
    }
}
