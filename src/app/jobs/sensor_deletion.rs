//! Deletes the readings of deleted sensors. What is under way when the worker stops is continued by the next worker
//! that looks; of workers that run side by side, one does it at a time.

use std::time::Duration;

use super::{Failure, Job, Round};
use crate::{config::DatabaseConfig, metrics::SENSOR_DELETIONS, store::sensors};

pub(super) struct SensorDeletion {
    pub(super) database: DatabaseConfig,
    pub(super) interval: Duration,
}

impl Job for SensorDeletion {
    const NAME: &'static str = "sensor_deletion";

    fn interval(&self) -> Duration {
        self.interval
    }

    async fn round(&mut self) -> Result<Round, Failure> {
        let turn = sensors::delete_marked(&self.database).await?;
        metrics::gauge!(SENSOR_DELETIONS).set((turn.pending - turn.deleted.len() as u64) as f64);
        for sensor_id in turn.deleted {
            tracing::info!(sensor_id, "sensor and its readings deleted");
        }
        Ok(Round::unless(turn.is_elsewhere))
    }
}
