//! Which sensors exist, as far as this process has seen: ingestion asks Postgres once a sensor, not once a reading.

use std::time::Duration;

use moka::sync::Cache;
use tokio_util::sync::CancellationToken;

use crate::store::{Pool, StoreError, sensors};

/// Pause between attempts to fill the cache while Postgres does not answer.
const WARM_UP_INTERVAL: Duration = Duration::from_secs(2);

/// A bounded cache of ids that exist; when it is full, the least used one makes room and is asked for again.
///
/// Only what exists is kept: an id that is unknown today may be made by the next request.
#[derive(Clone, Debug)]
pub struct KnownSensors {
    ids: Cache<i32, ()>,
    pool: Pool,
    max: u64,
}

impl KnownSensors {
    /// An empty cache of at most `max` ids.
    pub fn new(pool: Pool, max: u64) -> Self {
        Self { ids: Cache::new(max), pool, max }
    }

    /// Whether there is such a sensor; asks Postgres where the cache does not know.
    pub(super) async fn contains(&self, sensor_id: i32) -> Result<bool, StoreError> {
        if self.ids.get(&sensor_id).is_some() {
            return Ok(true);
        }
        let exists = sensors::exists(&self.pool, sensor_id).await?;
        if exists {
            self.insert(sensor_id);
        }
        Ok(exists)
    }

    /// Which of these are sensors; asks Postgres once, whatever the cache knows.
    pub(super) async fn among(&self, sensor_ids: &[i32]) -> Result<Vec<i32>, StoreError> {
        let there = sensors::existing(&self.pool, sensor_ids.to_vec()).await?;
        for sensor_id in &there {
            self.insert(*sensor_id);
        }
        Ok(there)
    }

    /// Whether the cache alone knows it.
    pub fn is_cached(&self, sensor_id: i32) -> bool {
        self.ids.contains_key(&sensor_id)
    }

    /// Notes that there is such a sensor.
    pub fn insert(&self, sensor_id: i32) {
        self.ids.insert(sensor_id, ());
    }

    /// Fills the cache with the newest sensors, as soon as Postgres answers.
    ///
    /// Without it, a Postgres that goes away after a restart would take ingestion with it.
    pub async fn warm_up(self, stop: CancellationToken) {
        loop {
            let ids = self.ids.clone();
            let error = match sensors::for_each_id(&self.pool, self.max, move |id| ids.insert(id, ())).await {
                Ok(count) => {
                    tracing::info!(sensors.count = count, "{count} sensors are known");
                    return;
                }
                Err(error) => error,
            };
            tracing::debug!("{error}: {}", error.server_message());
            tokio::select! {
                () = tokio::time::sleep(WARM_UP_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}
