//! Tells the topic of the sensors what has changed in their table, and makes again what the table has lost.

use std::{sync::Arc, time::Duration};

use super::{Failure, Job, Round};
use crate::app::sensor_records::{Keeping, RecordsError, SensorRecords};

pub(super) struct SensorTopic {
    pub(super) records: Arc<SensorRecords>,
}

impl Job for SensorTopic {
    const NAME: &'static str = "sensor_topic";

    /// So long the topic does not know of a change that was not made over HTTP.
    fn interval(&self) -> Duration {
        const INTERVAL: Duration = Duration::from_secs(1);
        INTERVAL
    }

    async fn round(&mut self) -> Result<Round, Failure> {
        match self.records.keep().await {
            Ok(keeping) => Ok(Round::unless(keeping == Keeping::Elsewhere)),
            Err(RecordsError::Store(error)) => Err(error.into()),
            Err(error) => Err(Failure::passing(&error)),
        }
    }
}
