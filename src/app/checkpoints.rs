//! The worker's task that keeps the counts so far, for audits to come.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{
    config::{DatabaseConfig, KafkaConfig, KafkaSettings},
    kafka::{TopicLog, topic_log},
    log::Log,
    store::audit::checkpoints,
};

/// Where to and how often.
pub(super) struct Checkpoints {
    pub(super) database: DatabaseConfig,
    pub(super) kafka: KafkaConfig,
    pub(super) settings: KafkaSettings,
    pub(super) interval: Duration,
}

impl Checkpoints {
    /// Keeps a checkpoint of each partition now and then, until `stop`. Workers that run side by side keep one
    /// between them.
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                kept = self.keep() => match kept {
                    Ok(kept) => tracing::debug!(kept, "checkpoints kept"),
                    Err(error) => tracing::warn!("checkpoints for audits are not kept for now: {error:#}"),
                },
                () = stop.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn keep(&self) -> anyhow::Result<u64> {
        let TopicLog { identity, partitions } = topic_log(&self.kafka, &self.settings).await?;
        let log = Log::new(&self.kafka.kafka_topic, identity);
        let starts: Vec<(i32, i64)> =
            partitions.into_iter().map(|(partition, watermarks)| (partition, watermarks.low)).collect();
        // Several workers keep theirs at about the same time: one that is nearly as old as that will do.
        let interval = self.interval.mul_f64(0.9);
        Ok(checkpoints::keep(&self.database, &log, &starts, interval).await?)
    }
}
