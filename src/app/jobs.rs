//! What a worker does now and then beside consuming: a file for each job, and the runner that owns their loops.
//!
//! A round that fails or panics is logged, counted in `sensorpipe_job_rounds_total` and tried again; it ends nothing.

mod checkpoints;
mod dead_letter_count;
mod dead_letter_expiry;
mod dead_letter_forwarding;
mod failure;
mod retention;
mod rollups;
mod runner;
mod sensor_deletion;
mod sensor_topic;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) use self::dead_letter_forwarding::DeadLetterForwarding;
use self::{
    checkpoints::Checkpoints,
    dead_letter_count::DeadLetterCount,
    dead_letter_expiry::DeadLetterExpiry,
    failure::{Failure, FailureLog},
    retention::Retention,
    rollups::Rollups,
    runner::Restart,
    sensor_deletion::SensorDeletion,
    sensor_topic::SensorTopic,
};
use super::{sensor_records::SensorRecords, servers::Servers, supervisor::Supervisor};
use crate::{
    config::{self, IngestConfig, WorkerConfig},
    store::{Pool, dead_letters::Expiry},
};

/// Something that is done now and then.
trait Job: Send + 'static {
    /// What it is called in the log and in the label `job_name`.
    const NAME: &'static str;

    /// From the worker's start to the first round.
    fn first_pause(&self) -> Duration {
        Duration::ZERO
    }

    /// From the end of a round to the next one.
    fn interval(&self) -> Duration;

    /// The same after a failure that may pass, where that is less.
    fn retry_interval(&self) -> Duration {
        const RETRY_INTERVAL: Duration = Duration::from_secs(60);
        RETRY_INTERVAL
    }

    /// Does it once. Dropped where the worker stops meanwhile.
    fn round(&mut self) -> impl Future<Output = Result<Round, Failure>> + Send;
}

/// What a round that did not fail came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// What there was to do is done.
    Done,
    /// Another process is at it: this one knows no more than before.
    Elsewhere,
}

impl Round {
    fn unless(is_elsewhere: bool) -> Self {
        if is_elsewhere { Self::Elsewhere } else { Self::Done }
    }
}

/// What the jobs of a worker work with.
pub(super) struct JobsConfig<'c> {
    pub(super) servers: &'c Servers,
    /// Reads the shared settings.
    pub(super) settings_pool: Pool,
    pub(super) ingest: &'c IngestConfig,
    pub(super) worker: &'c WorkerConfig,
    /// Where `DEAD_LETTER_TOPIC` is set.
    pub(super) forwarding: Option<DeadLetterForwarding>,
    pub(super) sensor_records: Arc<SensorRecords>,
}

/// The jobs that run.
pub(super) struct Jobs {
    running: JoinSet<()>,
    supervisor: Supervisor,
    stop: CancellationToken,
}

impl Jobs {
    /// Starts the jobs of a worker, which run until `stop`.
    pub(super) fn start(config: JobsConfig<'_>, supervisor: Supervisor, stop: CancellationToken) -> Self {
        let JobsConfig { servers, settings_pool, ingest, worker, forwarding, sensor_records } = config;
        let database = &servers.database;
        let mut jobs = Self { running: JoinSet::new(), supervisor, stop };
        if ingest.retention.0.is_some() {
            jobs.spawn(Retention {
                database: database.clone(),
                settings_pool,
                running: *ingest,
                interval: worker.retention_interval,
            });
        }
        if ingest.rollups == config::Rollups::On {
            jobs.spawn(Rollups::new(database.clone(), worker.rollup_interval));
        }
        jobs.spawn(SensorDeletion { database: database.clone(), interval: worker.sensor_deletion_interval });
        jobs.spawn(SensorTopic { records: sensor_records });
        jobs.spawn(DeadLetterCount { database: database.clone(), bounds: worker.dead_letter_bounds() });
        if let Some(age) = worker.dead_letter_retention.0 {
            jobs.spawn(DeadLetterExpiry {
                database: database.clone(),
                expiry: Expiry { age, is_mirrored: forwarding.is_some() },
                interval: worker.retention_interval,
            });
        }
        jobs.spawn(Checkpoints { servers: servers.clone(), interval: worker.checkpoint_interval });
        if let Some(forwarding) = forwarding {
            jobs.spawn(forwarding);
        }
        jobs
    }

    /// A job ends by `stop` alone; the supervisor would notice if the runner itself ended.
    fn spawn<J: Job>(&mut self, job: J) {
        let running = runner::run(job, Restart::DEFAULT, self.stop.clone());
        self.running.spawn(self.supervisor.watch(J::NAME, &self.stop, running));
    }

    /// Waits until all have stopped.
    pub(super) async fn join(mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.running.join_next().await {
            ended.context("stopping the background jobs")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{CATALOGUE, JOB_ROUNDS, Values};

    #[test]
    fn the_series_of_every_job_are_there_from_the_start() {
        let metric = CATALOGUE.iter().find(|metric| metric.name == JOB_ROUNDS).unwrap();
        let Values::OneOf(names) = metric.labels[0].values else { panic!("an open label") };
        let jobs = [
            Checkpoints::NAME,
            DeadLetterCount::NAME,
            DeadLetterExpiry::NAME,
            DeadLetterForwarding::NAME,
            Retention::NAME,
            Rollups::NAME,
            SensorDeletion::NAME,
            SensorTopic::NAME,
        ];
        assert_eq!(names, jobs);
    }
}
