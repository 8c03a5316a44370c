//! The `worker` role: a pool of consumers.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::{runtime::Handle, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    Operations, checkpoints::Checkpoints, keep_days::KeepDays, letters::Letters, mirror::Mirror,
    retention::Retention, sensor_deletions::SensorDeletions,
};
use crate::{
    batch::Limits,
    config::{
        DatabaseConfig, IngestConfig, KafkaConfig, KafkaSettings, MetricsConfig, MirrorConfig, Rollups,
        WorkerConfig,
    },
    health::{Component, Health, Need},
    http,
    pipeline::{Absences, FirstTrial, Member, MemberConfig, MemberError, Outage, StalledPartitions},
    store::{self, Pool, WriterConfig},
};

/// How long to wait for `migrate` when everything is started at once.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(120);

#[expect(
    clippy::too_many_arguments,
    reason = "one configuration for each component, as the command line has them"
)]
/// Runs the consumers until asked to stop; one that ends unasked stops the others and is the role's error.
pub(super) async fn run(
    database: &DatabaseConfig,
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    ingest: &IngestConfig,
    worker: &WorkerConfig,
    mirror: &MirrorConfig,
    metrics: &MetricsConfig,
    operations: Operations,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let Operations { health, metrics: recorder, supervisor, .. } = operations;
    let mirror = mirror.kafka(kafka)?.map(|kafka| Mirror::new(database, &kafka, settings)).transpose()?;
    let component = health.component("worker", Need::Required);
    let served = metrics.metrics_addr.map(|address| {
        tracing::info!("serving /metrics, /healthz and /readyz on http://{address}");
        let serving = http::serve_operations(address, health.clone(), recorder, stop.clone());
        tokio::spawn(supervisor.watch_server(&stop, serving))
    });
    let config = member_config(database, kafka, settings, ingest, worker, component.clone(), &health);
    tokio::select! {
        waited = wait_for_database(database, &config.writer) => waited?,
        () = stop.cancelled() => return Ok(()),
    }
    component.up();
    let postgres = health.component("worker_postgres", Need::Required);
    let probe = Pool::for_probe(database)?.watch(postgres, stop.clone());
    let probing = tokio::spawn(supervisor.watch("the watch over Postgres", &stop, probe));
    let retention = Retention {
        database: database.clone(),
        acceptance: ingest.acceptance(),
        stats: worker.retention_stats,
        interval: worker.retention_interval,
    };
    let letters = Letters {
        database: database.clone(),
        retention: worker.dead_letter_retention,
        interval: worker.retention_interval,
        is_mirrored: mirror.is_some(),
        bounds: worker.letter_bounds(),
    };
    let checkpoints = Checkpoints {
        database: database.clone(),
        kafka: kafka.clone(),
        settings: settings.clone(),
        interval: worker.checkpoint_interval,
    };
    let mut aside = JoinSet::new();
    if ingest.retention.is_some() {
        aside.spawn(supervisor.watch("retention", &stop, retention.run(stop.clone())));
    }
    if ingest.rollups == Rollups::On {
        let keep_days = KeepDays { database: database.clone(), interval: worker.keep_days_interval };
        aside.spawn(supervisor.watch("the keeping of days", &stop, keep_days.run(stop.clone())));
    }
    let deletions = SensorDeletions { database: database.clone(), interval: worker.sensor_deletion_interval };
    aside.spawn(supervisor.watch("the deletion of sensors", &stop, deletions.run(stop.clone())));
    aside.spawn(supervisor.watch("the upkeep of dead letters", &stop, letters.run(stop.clone())));
    aside.spawn(supervisor.watch("the keeping of checkpoints", &stop, checkpoints.run(stop.clone())));
    if let Some(mirror) = mirror {
        aside.spawn(supervisor.watch("the copying of dead letters", &stop, mirror.run(stop.clone())));
    }
    let (ended, mut endings) = mpsc::channel(worker.consumers());
    for index in 0..worker.consumers() {
        let name = format!("consumer-{index}");
        let pulse = health.pulse(name.clone(), worker.stuck_after);
        let member = Member::new(config.clone(), index, Handle::current(), stop.clone(), pulse);
        let (ended, supervisor) = (ended.clone(), supervisor.clone());
        thread::Builder::new()
            .name(name.clone())
            .spawn(move || {
                let outcome = supervisor.catch(&name, || member.run());
                // The role listens until every consumer has ended.
                let _ = ended.blocking_send((name, outcome));
            })
            .context("starting a consumer")?;
    }
    drop(ended);
    tracing::info!(consumers = worker.consumers(), kafka.topic = kafka.kafka_topic, "worker runs");
    let mut failure: Option<MemberError> = None;
    while let Some((name, outcome)) = endings.recv().await {
        match outcome {
            Some(Ok(())) if stop.is_cancelled() => {}
            Some(Ok(())) => supervisor.fail(format!("{name} ended unasked")),
            Some(Err(error)) => {
                tracing::error!(error = %error, "a consumer failed; stopping the others");
                failure.get_or_insert(error);
            }
            // Noted already.
            None => {}
        }
        stop.cancel();
    }
    health.stopping();
    probing.await.context("asking whether Postgres answers")?;
    while let Some(ended) = aside.join_next().await {
        ended.context("looking after what is old, the dead letters and the checkpoints")?;
    }
    if let Some(served) = served {
        served.await?;
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Waits for the schema and for a database that may be written to; a role without the rights is an error at once.
async fn wait_for_database(database: &DatabaseConfig, writer: &WriterConfig) -> anyhow::Result<()> {
    let deadline = Instant::now() + SCHEMA_PATIENCE;
    store::wait_for_schema(database, SCHEMA_PATIENCE).await?;
    store::wait_until_fit(database, deadline.saturating_duration_since(Instant::now())).await?;
    match store::try_writing(writer).await {
        Err(error) if error.is_missing_right() => bail!(
            "the role of DATABASE_URL may not do all that a worker does ({}): run deploy/postgres/roles.sql and use \
             sensorpipe_writer, or grant what that grants",
            error.server_message()
        ),
        // What may pass is waited for by each consumer.
        Ok(()) | Err(_) => Ok(()),
    }
}

fn member_config(
    database: &DatabaseConfig,
    kafka: &KafkaConfig,
    settings: &KafkaSettings,
    ingest: &IngestConfig,
    worker: &WorkerConfig,
    component: Component,
    health: &Health,
) -> MemberConfig {
    let writer = WriterConfig {
        database: database.clone(),
        on_duplicate: ingest.on_duplicate,
        fk_check: worker.write_fk_check,
        rollups: ingest.rollups,
        lock_timeout: worker.lock_timeout,
        write_timeout: worker.write_timeout,
        letter_bounds: worker.letter_bounds(),
    };
    MemberConfig {
        database: database.clone(),
        kafka: kafka.clone(),
        settings: settings.clone(),
        ingest: ingest.clone(),
        first_trial: FirstTrial::new(writer.clone()),
        writer,
        limits: Limits {
            max_readings: worker.batch_max_readings,
            max_bytes: worker.batch_max_bytes,
            max_record_bytes: worker.record_max_bytes,
        },
        linger: Duration::from_millis(worker.linger_ms),
        start: worker.start,
        assign_timeout: worker.assign_timeout,
        drain_timeout: worker.drain_timeout,
        health: component,
        kafka_health: health.component("worker_kafka", Need::Required),
        absences: Absences::new(health.component("worker_group", Need::Required)),
        // The others are read on, and a new start of the process would mend nothing.
        stalled: StalledPartitions::new(health.component("partitions", Need::Optional)),
        outage: Outage::default(),
    }
}
