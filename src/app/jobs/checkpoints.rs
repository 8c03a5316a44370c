//! Stores the counts so far, for audits of a log whose beginning is gone. Workers that run side by side store one
//! checkpoint between them.

use std::time::Duration;

use super::{Failure, Job, Round};
use crate::{
    config::{DatabaseConfig, KafkaConfig, KafkaSettings},
    kafka::{TopicLog, topic_log},
    log::Log,
    store::audit::checkpoints,
};

pub(super) struct Checkpoints {
    pub(super) database: DatabaseConfig,
    pub(super) kafka: KafkaConfig,
    pub(super) settings: KafkaSettings,
    pub(super) interval: Duration,
}

impl Job for Checkpoints {
    const NAME: &'static str = "checkpoints";

    fn interval(&self) -> Duration {
        self.interval
    }

    async fn round(&mut self) -> Result<Round, Failure> {
        let TopicLog { identity, partitions } =
            topic_log(&self.kafka, &self.settings).await.map_err(|error| Failure::passing(&error))?;
        let log = Log::new(&self.kafka.kafka_topic, identity);
        let starts: Vec<(i32, i64)> =
            partitions.into_iter().map(|(partition, watermarks)| (partition, watermarks.low)).collect();
        // Several workers store theirs at about the same time: one that is nearly as old as that will do.
        let interval = self.interval.mul_f64(0.9);
        let stored = checkpoints::keep(&self.database, &log, &starts, interval).await?;
        tracing::debug!(stored, "checkpoints stored");
        Ok(Round::Done)
    }
}
