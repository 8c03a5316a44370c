//! Stores the counts so far, for audits of a log whose beginning is gone. Workers that run side by side store one
//! checkpoint between them.

use std::time::Duration;

use super::{Failure, Job, Round};
use crate::{
    app::servers::Servers,
    kafka::{TopicLog, topic_log},
    log::Log,
    store::audit::checkpoints,
};

pub(super) struct Checkpoints {
    pub(super) servers: Servers,
    pub(super) interval: Duration,
}

impl Job for Checkpoints {
    const NAME: &'static str = "checkpoints";

    fn interval(&self) -> Duration {
        self.interval
    }

    async fn round(&mut self) -> Result<Round, Failure> {
        let Servers { database, kafka, settings } = &self.servers;
        let TopicLog { identity, partitions } =
            topic_log(kafka, settings).await.map_err(|error| Failure::passing(&error))?;
        let log = Log::new(&kafka.kafka_topic, identity);
        let starts: Vec<(i32, i64)> =
            partitions.into_iter().map(|(partition, watermarks)| (partition, watermarks.low)).collect();
        // Several workers store theirs at about the same time: one that is nearly as old as that will do.
        let interval = self.interval.mul_f64(0.9);
        let stored = checkpoints::keep(database, &log, &starts, interval).await?;
        tracing::debug!(stored, "checkpoints stored");
        Ok(Round::Done)
    }
}
