//! Refuses requests about sensors that do not exist; one that the database has lost does.

use std::time::Duration;

use tokio::{sync::Semaphore, time::timeout};

use super::SensorCache;
use crate::{
    http::server::ApiError,
    kafka::UnreadError,
    store::{StoreError, sensors},
};

impl SensorCache {
    /// Refuses what is about a sensor that there is not. The primary knows; it hears of a new sensor first.
    pub(in crate::http) async fn require(&self, sensor_id: i32) -> Result<(), ApiError> {
        self.require_in_turn(sensor_id, None).await
    }

    /// The same for those whose requests are not bounded otherwise.
    pub(in crate::http) async fn require_in_turn(
        &self,
        sensor_id: i32,
        turns: Option<&Semaphore>,
    ) -> Result<(), ApiError> {
        if self.contains(sensor_id, turns).await? { Ok(()) } else { Err(self.absence(sensor_id).await) }
    }

    /// Refuses what is about a sensor that is known to be gone: some of its readings may be there still. A question that
    /// the primary does not answer is none.
    pub(in crate::http) async fn refuse_deleted(&self, sensor_id: i32) -> Result<(), ApiError> {
        match self.contains(sensor_id, None).await {
            Ok(false) => Err(self.absence(sensor_id).await),
            Ok(true) | Err(_) => Ok(()),
        }
    }

    /// What it is to a client that the database does not have a sensor.
    async fn absence(&self, sensor_id: i32) -> ApiError {
        match self.lost(&[sensor_id]).await {
            Ok(lost) if lost.is_empty() => ApiError::NO_SUCH_SENSOR,
            Ok(_) => {
                let detail = "The database has lost this sensor, which comes back in a moment.";
                ApiError::Unavailable(detail.into())
            }
            Err(error) => error.into(),
        }
    }

    /// Which of these, which the database does not have, it has lost, as by a failover to a standby that was behind. A
    /// client that is told that there is no such sensor throws its readings away, and a worker makes the sensor again.
    pub(in crate::http) async fn lost(&self, absent: &[i32]) -> Result<Vec<i32>, StoreError> {
        /// Longest wait for Kafka where it was not read yet.
        const FIRST_READ_TIMEOUT: Duration = Duration::from_secs(1);
        let Some(topic) = &self.topic else { return Ok(vec![]) };
        if absent.iter().all(|&id| self.is_lost(id)) {
            return Ok(absent.to_vec());
        }
        if !topic.is_whole() {
            match timeout(FIRST_READ_TIMEOUT, topic.read_to_end()).await {
                Ok(Ok(()) | Err(UnreadError::Unreadable { .. })) => {}
                Ok(Err(UnreadError::TooSlow { .. })) | Err(_) => return Ok(absent.to_vec()),
            }
        }
        let in_topic = |ids: &[i32]| -> Vec<i32> {
            let registry = topic.registry();
            ids.iter().copied().filter(|&id| registry.has(id)).collect()
        };
        let known = in_topic(absent);
        if known.is_empty() {
            return Ok(known);
        }
        // The topic hears later of what was deleted, and this process later of what the topic has heard.
        let unchanged = sensors::unchanged(&self.pool, known).await?;
        let lost = match topic.read_to_end().await {
            Ok(()) => in_topic(&unchanged),
            Err(_) => unchanged,
        };
        self.note_lost(&lost);
        Ok(lost)
    }
}
