//! Refuses requests about sensors that do not exist.

use tokio::sync::Semaphore;

use super::SensorCache;
use crate::http::server::ApiError;

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
        let is_there = self.contains(sensor_id, turns).await?;
        if is_there { Ok(()) } else { Err(ApiError::NO_SUCH_SENSOR) }
    }

    /// Refuses what is about a sensor that is known to be gone: some of its readings may be there still. A question that
    /// the primary does not answer is none.
    pub(in crate::http) async fn refuse_deleted(&self, sensor_id: i32) -> Result<(), ApiError> {
        match self.contains(sensor_id, None).await {
            Ok(false) => Err(ApiError::NO_SUCH_SENSOR),
            Ok(true) | Err(_) => Ok(()),
        }
    }
}
